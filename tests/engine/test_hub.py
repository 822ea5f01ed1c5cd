import pytest

from workers.engine.hub import repo_id_of


@pytest.mark.parametrize(
    "text",
    [
        "roneneldan/TinyStories",
        " https://huggingface.co/datasets/roneneldan/TinyStories/viewer/default/train?p=1 ",
        "huggingface.co/datasets/roneneldan/TinyStories/tree/main",
        "https://hf.co/datasets/roneneldan/TinyStories#card",
        "datasets/roneneldan/TinyStories",
        "models/roneneldan/TinyStories",
    ],
)
def test_a_pasted_address_is_as_good_as_an_id(text):
    assert repo_id_of(text) == "roneneldan/TinyStories"
