"""What people paste for a repository, and what is no repository."""

import pytest
from huggingface_hub.utils import validate_repo_id

from workers.engine.specs.hub_ids import BadRepository, hub_id


@pytest.mark.parametrize(
    "text",
    [
        "roneneldan/TinyStories",
        " https://huggingface.co/datasets/roneneldan/TinyStories/viewer/default/train?p=1 ",
        "huggingface.co/datasets/roneneldan/TinyStories/tree/main",
        "https://hf.co/datasets/roneneldan/TinyStories#card",
        "datasets/roneneldan/TinyStories",
        "models/roneneldan/TinyStories",
        " roneneldan/TinyStories ",
        "https://huggingface.co/roneneldan/TinyStories",
        "huggingface.co/roneneldan/TinyStories/",
        "https://hf.co/roneneldan/TinyStories/tree/main/sub",
        "https://huggingface.co/roneneldan/TinyStories?library=transformers#usage",
        "https://www.huggingface.co/roneneldan/TinyStories/blob/main/config.json",
        "https://huggingface.co/roneneldan/TinyStories/commits/main",
    ],
)
def test_a_pasted_address_is_as_good_as_an_id(text):
    assert hub_id(text) == "roneneldan/TinyStories"
    validate_repo_id(hub_id(text))


@pytest.mark.parametrize(
    "text", ["gpt2", "https://huggingface.co/gpt2", "hf.co/gpt2/tree/main", "https://huggingface.co/datasets/gpt2"]
)
def test_repositories_of_no_owner_keep_their_name(text):
    assert hub_id(text) == "gpt2"


def test_a_repository_may_be_called_like_a_page():
    assert hub_id("owner/tree") == "owner/tree"


@pytest.mark.parametrize(
    "text",
    ["", "../../etc", "/etc/passwd", "a/b/c", "a b", "a\0b", "https://example.org/datasets/a/b", "https://hf.co/"],
)
def test_what_is_no_repository_is_refused(text):
    with pytest.raises(BadRepository) as caught:
        hub_id(text)
    assert (caught.value.code, caught.value.field) == ("bad_repository", "repo_id")
