"""The admin of training runs, SAEs and exports: numbers stay, deletions go through the services."""

import pytest
from django.contrib.auth.models import Permission

from apps.core.storage import data_path
from apps.exports.models import Export
from apps.jobs.states import State
from apps.saes.models import Sae
from apps.training.models import TrainingRun
from tests.apps.exports.worlds import export_make
from tests.apps.training.worlds import evaluation_finish, sae_make, state_set

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_data_dir")]


@pytest.fixture
def world(owner):
    owner.is_staff = owner.is_superuser = True
    owner.save()
    export = export_make(sae_make())
    state_set(export.job, State.SUCCEEDED)
    evaluation_finish(export.sae.evaluations.get())
    return export


@pytest.mark.parametrize(
    "page", ["training/trainingrun", "training/checkpoint", "saes/sae", "saes/evaluation", "exports/export"]
)
def test_every_list_answers(client_in, world, page):
    assert client_in.get(f"/admin/{page}/").status_code == 200


def test_a_name_can_be_changed_and_a_measured_number_cannot(client_in, world):
    run = TrainingRun.objects.get()
    answer = client_in.post(f"/admin/training/trainingrun/{run.pk}/change/", {"name": "mine", "fvu": "0.001"})
    run.refresh_from_db()
    assert answer.status_code == 302 and run.name == "mine" and run.fvu == 0.25


@pytest.mark.parametrize(
    ("action", "before", "after"),
    [
        ("pause", State.RUNNING, State.STOPPING),
        ("resume", State.PAUSED, State.QUEUED),
        ("checkpoint", State.RUNNING, State.RUNNING),
        ("finish", State.RUNNING, State.STOPPING),
        ("stop", State.QUEUED, State.CANCELLED),
        ("retry", State.CANCELLED, State.QUEUED),
    ],
)
def test_runs_can_be_asked_what_their_pages_ask(client_in, world, action, before, after):
    run = TrainingRun.objects.get()
    state_set(run.job, before)
    values = {"action": action, "_selected_action": [run.pk]}
    page = client_in.post("/admin/training/trainingrun/", values, follow=True).text
    assert run.job.state == after and run.name in page
    refused = client_in.post("/admin/training/trainingrun/", values | {"action": "resume"}, follow=True).text
    assert "is not paused" in refused


def test_a_deletion_frees_the_files_too(client_in, world):
    sae = world.sae
    folder = data_path("saes", sae.pk)
    assert folder.exists()
    page = delete_rows(client_in, "saes/sae", sae)
    assert "deleted" in page and "freed" in page
    assert not Sae.objects.exists() and not Export.objects.exists() and not folder.exists()


def test_a_refused_deletion_is_a_message(client_in, world):
    state_set(world.job, State.RUNNING)
    page = delete_rows(client_in, "exports/export", world)
    assert Export.objects.exists() and "still works on" in page


@pytest.mark.parametrize("page", ["training/trainingrun", "saes/sae", "exports/export"])
def test_djangos_own_deletion_which_would_leave_the_files_is_off(client_in, world, page):
    row = {"training/trainingrun": world.sae.training_run, "saes/sae": world.sae, "exports/export": world}[page]
    assert client_in.post(f"/admin/{page}/{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert type(row).objects.filter(pk=row.pk).exists()
    assert 'value="delete_selected"' not in client_in.get(f"/admin/{page}/").text


def test_a_person_without_djangos_permission_to_delete_has_no_such_action(client_in, world, owner):
    owner.is_superuser = False
    owner.save()
    owner.user_permissions.add(Permission.objects.get(codename="view_export"))
    delete_rows(client_in, "exports/export", world)
    assert Export.objects.exists()


def delete_rows(client, page, row):
    """The action of the admin's list on one row; the page that follows."""
    values = {"action": "delete_rows", "_selected_action": [row.pk]}
    return client.post(f"/admin/{page}/", values, follow=True).text
