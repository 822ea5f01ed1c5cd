"""Exports: refusals, pages in each state, the archive itself through the real child process."""

import hashlib
import io
import zipfile

import pytest

from apps.core.errors import AppError
from apps.core.live.rendering import fragment, renderers_discover
from apps.core.storage import data_path
from apps.exports.models import Export
from apps.exports.services import export_create, export_delete
from apps.jobs.states import State
from tests.apps.exports.worlds import export_make, real_sae_make
from tests.apps.training.worlds import sae_make, state_set
from workers.engine.specs.exports import ExportSpec
from workers.supervisor.foreground import supervise_here

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_data_dir")]
JSON = "application/json"


def test_the_archives_name_is_made_of_ids_and_architecture_alone():
    sae = sae_make()
    sae.name = "../../etc/passwd"
    sae.save()
    assert export_make(sae).file_name == f"sae-{sae.pk}-topk-64-saelens.zip"


def test_an_sae_that_does_not_exist_is_refused():
    with pytest.raises(AppError) as refused:
        export_create(spec=ExportSpec(sae=999))
    assert refused.value.field == "sae" and not Export.objects.exists()


@pytest.mark.parametrize("state", [state for state in State.values if state != State.SUCCEEDED])
def test_an_export_has_a_page_in_every_state(client_in, state):
    export = export_make()
    state_set(export.job, state, error_message="No room.")
    page = client_in.get(f"/exports/{export.pk}/").content.decode()
    assert export.file_name in page and ("No room." in page) == (state == State.FAILED)
    assert export.file_name in client_in.get("/exports/").content.decode()


def test_an_unfinished_export_is_neither_downloaded_nor_deleted(client_in):
    export = export_make()
    assert client_in.get(f"/exports/{export.pk}/download").status_code == 409
    assert client_in.delete(f"/api/v1/exports/{export.pk}").json()["error"]["code"] == "job_active"


@pytest.mark.django_db(transaction=True)
def test_an_sae_is_packed_shown_downloaded_and_deleted(client_in):
    sae = real_sae_make()
    answer = client_in.post("/api/v1/exports", {"sae": sae.pk}, content_type=JSON)
    assert answer.status_code == 202
    export = Export.objects.get()
    supervise_here(export.job)
    export.refresh_from_db()
    assert export.job.state == State.SUCCEEDED, export.job.error_message

    body = b"".join(client_in.get(f"/api/v1/exports/{export.pk}/download").streaming_content)
    assert hashlib.sha256(body).hexdigest() == export.sha256 and len(body) == export.bytes
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.namelist() == export.members and "sae_weights.safetensors" in export.members
    attachment = client_in.get(f"/exports/{export.pk}/download")
    assert attachment["Content-Disposition"] == f'attachment; filename="{export.file_name}"'
    attachment.close()

    page = client_in.get(f"/exports/{export.pk}/").content.decode()
    assert "SAE.load_from_disk" in page and export.sha256 in page and "cfg.json" in page
    one = client_in.get(f"/api/v1/exports/{export.pk}").json()
    assert one["state"] == "succeeded" and one["members"] == export.members

    folder = data_path("exports", export.pk)
    assert export_delete(export=export) == len(body)
    assert not folder.exists() and not Export.objects.exists()


def test_a_lost_archive_is_said_in_place_of_a_crash(client_in):
    export = export_make()
    state_set(export.job, State.SUCCEEDED)
    Export.objects.update(ready_at="2020-01-01T00:00:00Z")
    page = client_in.get(f"/exports/{export.pk}/")
    assert page.status_code == 200 and "no longer on the disk" in page.content.decode()


def test_the_form_packs_the_chosen_sae(client_in):
    sae = sae_make()
    assert f'<option value="{sae.pk}" selected>' in client_in.get(f"/exports/new/?sae={sae.pk}").content.decode()
    answer = client_in.post("/exports/new/", {"sae": sae.pk, "format": "saelens"})
    assert answer.status_code == 302 and Export.objects.get().sae == sae


def test_the_list_is_narrowed_and_pages_hold_their_numbers(client_in):
    export = export_make()
    assert client_in.get(f"/api/v1/exports?sae={export.sae_id}").json()["total"] == 1
    assert client_in.get("/api/v1/exports?sae=999").json()["total"] == 0
    assert "No export matches" in client_in.get("/exports/?q=zzz").content.decode()


def test_the_live_fragment_shows_the_state():
    renderers_discover()
    export = export_make()
    assert "queued" in fragment(export.topic)
    topic = export.topic
    export.delete()
    assert fragment(topic) is None


def test_an_export_for_which_the_disk_has_no_room_is_refused(monkeypatch):
    sae = real_sae_make()
    monkeypatch.setattr("apps.core.room.disk_free_bytes", lambda: 100)
    with pytest.raises(AppError, match="100 B are free"):
        export_create(spec=ExportSpec(sae=sae.pk))
    assert not Export.objects.exists()
