"""Nothing that pages, JSON or a job's words show tells where on the machine files lie."""

import importlib
import sys
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings

from apps.core.errors import AppError
from apps.core.machine_paths import paths_hidden
from apps.core.storage import data_path
from apps.datasets.models import Dataset
from apps.datasets.services import dataset_import
from apps.jobs.models import Job
from apps.jobs.services import event_write, job_move, job_retry
from apps.jobs.states import State
from apps.language_models.models import LanguageModel
from apps.language_models.services import language_model_import
from workers.engine.specs.datasets import DatasetImportSpec
from workers.engine.specs.errors import BadArtifact
from workers.engine.specs.language_models import LanguageModelImportSpec


def test_the_machines_folders_are_said_by_their_names():
    data, code = settings.DATA_DIR, settings.BASE_DIR
    for text, shown in [
        (f"There is no file {data}/saes/3/x.json.", "There is no file DATA_DIR/saes/3/x.json."),
        (f'File "{code}/workers/child.py", line 9', 'File "miStudio/workers/child.py", line 9'),
        (f"[Errno 2] '{data}'", "[Errno 2] 'DATA_DIR'"),
        (f"{sys.prefix}/lib/python3/site-packages/torch/x.py", "python/lib/python3/site-packages/torch/x.py"),
        (f"in {Path.home()}/texts/a.txt", "in ~/texts/a.txt"),
        (f"{data}-other/x and x{data}", f"{data}-other/x and x{data}"),
        ("nothing of this", "nothing of this"),
    ]:
        assert paths_hidden(text) == shown


def test_a_given_path_is_said_by_its_own_name():
    assert paths_hidden("There is no file /mnt/ada/w.gguf.", given=["/mnt/ada/w.gguf"]) == "There is no file w.gguf."
    assert paths_hidden("/mnt/ada/model/config.json", given=["/mnt/ada/model"]) == "model/config.json"
    assert paths_hidden("/a/b", given=["/", ""]) == "/a/b"


def test_an_error_of_the_engine_reaches_the_web_without_paths():
    error = AppError.from_engine(BadArtifact(f"{settings.DATA_DIR}/saes/3 is damaged.", f"See {settings.DATA_DIR}."))
    assert (error.message, error.hint) == ("DATA_DIR/saes/3 is damaged.", "See DATA_DIR.")


@pytest.fixture
def imported(db, tmp_path):
    """(row, place on the machine) of a dataset and a model from files."""
    (tmp_path / "stories.txt").write_text("One.")
    (tmp_path / "small.gguf").write_bytes(b"GGUF")
    text = dataset_import(spec=DatasetImportSpec(source="file", path=str(tmp_path / "stories.txt")))
    model = language_model_import(spec=LanguageModelImportSpec(source="gguf", path=str(tmp_path / "small.gguf")))
    return [text, model], tmp_path


def test_origins_are_names_and_no_page_and_no_json_shows_the_path(client_in, imported):
    rows, place = imported
    assert [row.origin for row in rows] == ["stories.txt", "small.gguf"]
    for row in rows:
        job = row.job
        assert job.loaded_spec.path.startswith(str(place)), "the job still finds the file"
        message = f"There is no file {job.loaded_spec.path} in {settings.DATA_DIR}/tmp."
        Job.objects.filter(pk=job.pk).update(state=State.RUNNING, attempt=1)
        log = data_path("jobs", job.pk, "attempt-1", "log.txt")
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(message)
        event_write(job, message)
        job_move(job, State.FAILED, text=message, error_code="x", error_message=message, error_traceback=message)
        addresses = [row.get_absolute_url(), job.get_absolute_url(), f"/api/v1/jobs/{job.pk}", "/jobs/"]
        addresses += ["/datasets/", "/language-models/", "/api/v1/datasets", "/api/v1/models"]
        for address in addresses:
            text = client_in.get(address).text
            assert str(place) not in text and str(settings.DATA_DIR) not in text, address
        assert f"There is no file {row.origin} in DATA_DIR/tmp." in client_in.get(job.get_absolute_url()).text
        assert client_in.get(f"/api/v1/jobs/{job.pk}").json()["spec"]["path"] == row.origin
        again = job_retry(job=Job.objects.get(pk=job.pk)).pk
        assert Job.objects.get(pk=again).loaded_spec == job.loaded_spec


def test_a_refused_path_is_said_as_it_was_typed(client_in, db, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    body = {"source": "file", "path": "nowhere.txt"}
    message = client_in.post("/api/v1/datasets", body, content_type="application/json").json()["error"]["message"]
    assert message == "There is no file or folder nowhere.txt."


@pytest.mark.parametrize(
    ("module", "make"),
    [
        ("apps.datasets.migrations.0004_origins_are_names", lambda **row: Dataset.objects.create(name="d", **row)),
        (
            "apps.language_models.migrations.0003_origins_are_names",
            lambda **row: LanguageModel.objects.create(name="m", **row),
        ),
    ],
)
def test_the_migration_shortens_what_older_rows_tell(db, module, make):
    kept = make(source="hub", origin="/odd/but/from-the-hub")
    shortened = make(source="file", origin="/home/ada/texts/stories.txt")
    importlib.import_module(module).origins_shorten(apps, None)
    kept.refresh_from_db(), shortened.refresh_from_db()
    assert (kept.origin, shortened.origin) == ("/odd/but/from-the-hub", "stories.txt")
