"""What the services of language models do and refuse."""

import pytest

from apps.core.errors import AppError, StillReferenced
from apps.core.storage import data_path
from apps.jobs.states import State
from apps.language_models.models import LanguageModel
from apps.language_models.selectors import site_width
from apps.language_models.services import (
    language_model_delete,
    language_model_import,
    language_model_import_again,
    language_model_rename,
)
from apps.language_models.vocabulary import vocabulary_of
from tests.apps.prepared import BYTE_LEVEL, job_about, make_language_model, make_tokenization, vocabulary_write
from workers.engine.specs.language_models import LanguageModelImportSpec

pytestmark = pytest.mark.django_db


def refusal(call, *arguments, **values) -> AppError:
    with pytest.raises(AppError) as caught:
        call(*arguments, **values)
    return caught.value


def test_an_import_from_the_hub_stores_the_bare_id_and_revision():
    spec = LanguageModelImportSpec(repo_id="https://huggingface.co/HuggingFaceTB/SmolLM2-135M/tree/main", revision="v1")
    language_model = language_model_import(spec=spec)
    assert (language_model.name, language_model.origin) == ("SmolLM2-135M", "HuggingFaceTB/SmolLM2-135M")
    assert language_model.revision == "v1" and language_model.job.spec["repo_id"] == "HuggingFaceTB/SmolLM2-135M"


def test_a_folder_or_gguf_file_must_be_there_and_be_one(tmp_path):
    (tmp_path / "weights.bin").write_bytes(b"x")
    (tmp_path / "small.gguf").write_bytes(b"GGUF")
    for source, path, code in (
        ("folder", "nowhere", "path_missing"),
        ("folder", "weights.bin", "path_format"),
        ("gguf", "weights.bin", "path_format"),
        ("gguf", ".", "path_is_folder"),
    ):
        spec = LanguageModelImportSpec(source=source, path=str(tmp_path / path))
        assert refusal(language_model_import, spec=spec).code == code
    spec = LanguageModelImportSpec(source="gguf", path=str(tmp_path / "small.gguf"))
    assert language_model_import(spec=spec).name == "small.gguf"


def test_a_failed_import_is_tried_again():
    language_model = make_language_model(is_ready=False)
    job_about(language_model, state=State.FAILED)
    assert language_model_import_again(language_model=language_model).state == State.QUEUED
    assert refusal(language_model_import_again, language_model=make_language_model()).code == "already_ready"


def test_a_used_model_is_not_deleted_a_free_one_is_with_its_files():
    used = make_tokenization().language_model
    assert isinstance(refusal(language_model_delete, language_model=used), StillReferenced)
    free = make_language_model()
    folder = data_path("models", free.pk)
    assert folder.exists() and language_model_delete(language_model=free) > 0 and not folder.exists()
    assert list(LanguageModel.objects.all()) == [used]


def test_a_name_of_blanks_is_refused():
    assert refusal(language_model_rename, language_model=make_language_model(), name="\0 ").code == "name_invalid"


@pytest.mark.parametrize(("layer", "site", "field"), [(2, "resid_post", "layer"), (0, "attn_z", "site")])
def test_a_hook_site_the_model_lacks_is_an_error_that_names_what_it_has(layer, site, field):
    error = refusal(site_width, make_language_model(), layer, site)
    assert (error.code, error.field) == ("no_such_hook_site", field)
    assert "0 to 1" in error.hint or "resid_pre" in error.hint


def test_a_hook_site_has_its_width():
    assert site_width(make_language_model(), 1, "mlp_out") == 32


def test_the_vocabulary_gives_raw_strings_and_survives_ids_without_one():
    vocabulary = vocabulary_of(make_language_model().pk)
    assert vocabulary.raw([2, 3, 99, -1]) == ["The", "Ġcat", "<99>", "<-1>"]
    assert vocabulary.spelling == BYTE_LEVEL


def test_a_vocabulary_written_anew_is_read_anew():
    language_model = make_language_model()
    assert vocabulary_of(language_model.pk).raw([0]) == ["<s>"]
    vocabulary_write(data_path("models", language_model.pk), ["<other>"])
    assert vocabulary_of(language_model.pk).raw([0]) == ["<other>"]


def test_a_missing_vocabulary_is_a_clear_error():
    language_model = make_language_model()
    data_path("models", language_model.pk, "vocabulary.parquet").unlink()
    assert refusal(vocabulary_of, language_model.pk).code == "no_vocabulary"
