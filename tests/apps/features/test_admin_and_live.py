"""Features in the admin, and the live fragment of their runs."""

import pytest

from apps.core.live.rendering import fragment, renderers_discover
from apps.core.storage import data_path
from apps.features.services import feature_label_set
from tests.apps.features.worlds import finished_run_make, run_make, sae_make

pytestmark = pytest.mark.django_db
CHANGES = "/admin/features/feature/"


@pytest.fixture
def sae(db):
    sae = sae_make()
    finished_run_make(sae)
    for index, words in {1: ("rain", "Weather > Wet"), 2: ("rain", "Weather"), 3: ("wind", "")}.items():
        feature_label_set(feature=sae.features.get(index=index), label=words[0], category=words[1])
    return sae


@pytest.fixture
def admin_in(client_in, owner):
    owner.is_staff = owner.is_superuser = True
    owner.save()
    return client_in


def act(client, sae, action, index, words=""):
    chosen = [sae.features.get(index=index).pk]
    page = client.post(CHANGES, {"action": action, "_selected_action": chosen, "words": words}, follow=True)
    assert page.status_code == 200
    return page.text


def labels(sae):
    return list(sae.features.exclude(label="").values_list("index", "label"))


def test_renaming_one_label_renames_it_in_the_whole_sae(admin_in, sae):
    act(admin_in, sae, "label_rename", 1, "showers")
    assert labels(sae) == [(1, "showers"), (2, "showers"), (3, "wind")]


def test_merging_touches_the_selected_rows_only(admin_in, sae):
    act(admin_in, sae, "labels_merge", 3, "rain")
    assert labels(sae) == [(1, "rain"), (2, "rain"), (3, "rain")]


def test_a_category_is_renamed_with_those_below_it(admin_in, sae):
    act(admin_in, sae, "category_rename", 2, "Sky")
    assert sorted(sae.features.exclude(category="").values_list("category", flat=True)) == ["Sky", "Sky > Wet"]


def test_clearing_takes_the_words(admin_in, sae):
    act(admin_in, sae, "labels_clear", 1)
    assert labels(sae) == [(2, "rain"), (3, "wind")]


def test_empty_new_words_are_refused_in_words(admin_in, sae):
    assert "The new label is empty" in act(admin_in, sae, "label_rename", 1)
    assert labels(sae)[0] == (1, "rain")


def test_the_lists_and_a_feature_open(admin_in, sae):
    assert admin_in.get(CHANGES, {"labelled": "yes"}).status_code == 200
    assert admin_in.get(f"{CHANGES}{sae.features.get(index=1).pk}/change/").status_code == 200
    assert admin_in.get("/admin/features/featurerun/").status_code == 200


def test_a_run_is_deleted_with_its_files_and_words_stay(admin_in, sae):
    run = sae.feature_runs.get()
    values = {"action": "delete_rows", "_selected_action": [run.pk]}
    page = admin_in.post("/admin/features/featurerun/", values, follow=True).text
    assert f"eature run {run.pk} of" in page and "freed" in page
    assert not sae.feature_runs.exists() and not data_path("features", run.pk).exists()
    assert len(labels(sae)) == 3


def test_the_fragment_of_a_run_shows_its_job_then_what_it_found():
    renderers_discover()
    sae = sae_make()
    run, job, _ = run_make(sae)
    assert f'id="job-{job.pk}"' in fragment(run.topic)
    done = finished_run_make(sae_make())
    html = fragment(done.topic)
    assert f'id="feature-run-{done.pk}"' in html and "features fire" in html
    assert fragment("feature-runs/99999") is None
