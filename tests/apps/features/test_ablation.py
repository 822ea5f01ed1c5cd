"""The page, endpoint, command, admin action and runner of an ablation."""

import json

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from apps.core.errors import AppError
from apps.core.live.rendering import fragment, renderers_discover
from apps.features.ablation.selectors import ablation_of, delta_strip, effect_words, verdict
from apps.features.ablation.services import ablation_delete, ablation_start
from apps.features.models import Ablation
from apps.features.services import feature_run_delete
from apps.jobs.models import Job
from tests.apps.features.ablation_worlds import ablate_result_make, ablation_make, context_make
from tests.apps.features.worlds import finished_run_make, sae_make
from tests.apps.prepared import BYTE_LEVEL
from workers.engine.specs.ablation import AblateSpec, AblationEffect
from workers.runners.ablate import AblateRunner

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def sae(db):
    sae = sae_make()
    finished_run_make(sae)
    return sae


def page(client, sae, index=5):
    return client.get(reverse("features:detail", args=[sae.pk, index])).text


def measure(client, sae, index=5, htmx=True, **options):
    url = reverse("features:ablation", args=[sae.pk, index])
    return client.post(url, options, headers=HTMX if htmx else {})


def test_the_page_offers_to_measure_and_a_dead_feature_has_nothing_to_take_out(client_in, sae):
    assert "Take it out and measure" in page(client_in, sae)
    assert "Take it out and measure" not in page(client_in, sae, 0)


def test_the_button_starts_the_job_and_the_part_follows_it(client_in, sae):
    text = measure(client_in, sae, top_contexts=4).text
    ablation = Ablation.objects.get()
    job = ablation.job
    assert (job.kind, job.queue, job.spec["top_contexts"], job.spec["random_contexts"]) == ("ablate", "steer", 4, 32)
    assert f'data-live-topics="{ablation.topic}"' in text and 'data-state="queued"' in text
    assert (job.spec["sae"], job.spec["index"]) == (sae.pk, 5)


def test_without_htmx_the_button_leads_back_to_the_part_and_a_refusal_is_said(client_in, sae):
    answer = measure(client_in, sae, htmx=False)
    assert answer.status_code == 302 and answer.url.endswith("/5/#ablation")
    assert measure(client_in, sae, htmx=False, top_contexts=0).status_code == 422


def test_what_was_sent_cannot_name_another_feature(client_in, sae):
    client_in.post(reverse("features:ablation", args=[sae.pk, 5]), {"sae": 99, "index": 1}, headers=HTMX)
    assert Ablation.objects.get().feature.index == 5


def test_bad_options_and_a_second_start_are_refused_in_words(client_in, sae):
    assert "The least allowed is 1." in measure(client_in, sae, top_contexts=0).text
    measure(client_in, sae)
    assert "already under way" in measure(client_in, sae).text


def test_the_page_shows_what_was_measured_with_its_error_n_and_method(client_in, sae):
    ablation_make(sae, is_ready=True)
    text = page(client_in, sae)
    assert "+800 ± 50" in text and "harder to predict without it" in text
    assert "−200 ± 20" in text and "easier to predict without it" in text
    assert "no effect beyond the noise of 8 contexts" in text and "tokens, 4 contexts" in text
    assert "Measure again" in text and "1 more context<" in text
    assert 'data-tone="positive" style="--a:1.000" data-tip=". · Δ +800 millinats"' in text


def test_the_old_numbers_stay_while_it_is_measured_again_and_after_it_failed(client_in, sae):
    first = ablation_make(sae, is_ready=True)
    again = ablation_start(spec=AblateSpec(sae=sae.pk, index=5))
    assert again == first
    renderers_discover()
    assert "+800 ± 50" in page(client_in, sae) and 'data-state="queued"' in fragment(first.topic)
    Job.objects.filter(pk=again.job.pk).update(state="failed", error_message="The disk is full.")
    assert "The disk is full." in fragment(first.topic) and "+800 ± 50" in fragment(first.topic)
    assert fragment("ablations/999") is None


def test_the_numbers_belong_to_the_run_whose_contexts_were_read(sae):
    ablation = ablation_make(sae, is_ready=True)
    feature = ablation.feature
    assert ablation_of(feature) == ablation
    finished_run_make(sae)
    feature.refresh_from_db()
    assert ablation_of(feature) is None
    feature_run_delete(run=ablation.run)
    assert not Ablation.objects.exists()


def test_a_run_whose_contexts_are_being_read_is_not_deleted(sae):
    ablation = ablation_make(sae)
    with pytest.raises(AppError, match="still works on ablation"):
        feature_run_delete(run=ablation.run)
    assert Ablation.objects.get() == ablation


@pytest.mark.parametrize(
    ("index", "code"), [(0, "feature_dead"), (99, "not_found")], ids=["it never fired", "there is no such feature"]
)
def test_what_cannot_be_measured_is_refused(sae, index, code):
    with pytest.raises(AppError) as refused:
        ablation_start(spec=AblateSpec(sae=sae.pk, index=index))
    assert refused.value.code == code


def test_without_a_run_nothing_can_be_measured(sae):
    sae.features.update(run=None)
    for pk in (sae.pk, sae_make().pk):
        with pytest.raises(AppError) as refused:
            ablation_start(spec=AblateSpec(sae=pk, index=5))
        assert refused.value.code == "no_feature_run"


def test_the_endpoint_starts_shows_and_forgets(client_in, sae):
    feature = sae.features.get(index=5)
    url = f"/api/v1/features/{feature.pk}/ablation"
    assert client_in.get(url).status_code == 404
    started = client_in.post(url, json.dumps({"random_contexts": 8, "index": 1}), content_type="application/json")
    ablation = Ablation.objects.get()
    assert started.status_code == 202 and started.json()["url"] == url and ablation.feature == feature
    assert client_in.get(url).json()["result"] is None
    assert client_in.delete(url).status_code == 409
    AblateRunner().finish(ablation.job, ablation.job.loaded_spec, ablate_result_make(), "")
    Job.objects.filter(pk=ablation.job.pk).update(state="succeeded")
    answer = client_in.get(url).json()
    assert answer["ready"] and answer["result"]["at_peak"]["mean"] == 0.8
    assert client_in.delete(url).json() == {"deleted": ablation.pk, "freed_bytes": 0}
    assert client_in.get(url).status_code == 404


def test_the_command_prints_the_means_and_the_contexts(sae, capsys, monkeypatch):
    from apps.features.management.commands import ablate as command

    def finished(job, **_):
        AblateRunner().finish(job, job.loaded_spec, ablate_result_make(), "")
        job.state = "succeeded"
        return job

    monkeypatch.setattr(command.SpecCommand, "follow", lambda self, job, **known: finished(job))
    call_command("ablate", sae=sae.pk, index=5, wait=True)
    printed = capsys.readouterr().out
    assert "At the peak      +800 ± 50 millinats, 4 tokens in 4 contexts: harder" in printed
    assert "+800  <|end|> the·wind.↵" in printed
    with pytest.raises(CommandError, match="fired nowhere"):
        call_command("ablate", sae=sae.pk, index=0)


def test_the_admin_action_measures_each_selected_feature_and_says_what_it_refused(client_in, owner, sae):
    owner.is_staff = owner.is_superuser = True
    owner.save()
    chosen = list(sae.features.filter(index__in=[0, 4, 5]).values_list("pk", flat=True))
    body = {"action": "ablate", "_selected_action": chosen, "words": ""}
    text = client_in.post("/admin/features/feature/", body, follow=True).text
    assert Ablation.objects.count() == 2 and "fired nowhere" in text and "measures it" in text
    Job.objects.update(state="succeeded")
    body = {"action": "delete_rows", "_selected_action": [Ablation.objects.first().pk]}
    client_in.post("/admin/features/ablation/", body, follow=True)
    assert Ablation.objects.count() == 1


def test_a_measurement_under_way_is_not_deleted(sae):
    with pytest.raises(AppError):
        ablation_delete(ablation=ablation_make(sae))


def test_prepare_names_the_run_and_the_text_it_read(sae):
    ablation = ablation_make(sae)
    where = {"job_dir": "j", "out_dir": "o", "device": "cpu"}
    inputs = AblateRunner().prepare(ablation.job, ablation.job.loaded_spec, where)
    assert inputs.run_dir.endswith(f"features/{ablation.run_id}")
    assert inputs.tokenization_dir.endswith(f"tokenizations/{sae.tokenization_id}")
    assert AblateRunner().memory_bytes(ablation.job.loaded_spec) > 0


def test_tokens_that_hardly_change_share_a_span_and_those_that_fire_are_marked():
    strip = delta_strip(context_make(0), BYTE_LEVEL, 0.8)
    assert [span.text for span in strip.spans] == ["<|end|> the", "·wind", ".", "↵"]
    assert [span.tone for span in strip.spans] == ["", "", "positive", "negative"]
    assert [span.share for span in strip.spans] == ["", "", "1.000", "0.250"]
    assert [(span.fires, span.is_peak) for span in strip.spans][1] == (True, True)
    assert strip.at_peak == 0.8 and "fires 4" in strip.spans[1].tip


@pytest.mark.parametrize(
    ("mean", "stderr", "words", "said"),
    [
        (None, None, "–", "nothing to predict"),
        (0.0, 0.0, "0", "exactly no effect"),
        (0.5, None, "+500", "of one context, without an error"),
        (0.5, 0.3, "+500 ± 300", "no effect beyond the noise of 3 contexts"),
        (3.42e-05, 3e-05, "+0.034 ± 0.030", "no effect beyond the noise of 3 contexts"),
        (0.01234, 0.0021, "+12.3 ± 2.1", "harder to predict without it"),
        (-0.5, 0.1, "−500 ± 100", "easier to predict without it"),
    ],
)
def test_a_mean_is_put_in_words(mean, stderr, words, said):
    effect = AblationEffect(mean=mean, stderr=stderr, predictions=9, contexts=3)
    assert (effect_words(effect), verdict(effect)) == (words, said)
