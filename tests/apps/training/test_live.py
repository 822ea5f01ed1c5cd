"""What a run's page says while it learns and when it stops: why, what is left, and what would help."""

import pytest

from apps.core.live.rendering import fragment, renderers_discover
from apps.jobs.states import State
from apps.training.estimates import micro_batch_that_fits
from apps.training.live import way_out, why_stopped
from apps.training.models import TrainingRun
from apps.training.origins import origin_of
from tests.apps.training.worlds import cache_make, checkpoint_write, point, run_finish, run_make, spec_make, state_set
from workers.engine.monitor.devices import Device
from workers.engine.specs.training_memory import training_memory
from workers.runners.train import TrainRunner

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_data_dir")]
OOM = {"error_code": "out_of_memory", "error_message": "cpu ran out.", "error_hint": "Choose fewer latents."}


@pytest.fixture
def room(monkeypatch):
    """Gives the machine so many free bytes."""

    def set_free(size: int) -> None:
        monkeypatch.setattr("apps.training.estimates.devices", lambda: (Device("cpu", size, size),))

    return set_free


def test_every_end_but_success_is_explained():
    run = run_make()
    words = {}
    for state in State.values:
        state_set(run.job, state, error_message="No room.")
        words[state] = why_stopped(run.job)
    told = {state for state, text in words.items() if text}
    assert told == {State.FAILED, State.CANCELLED, State.PAUSED, State.INTERRUPTED}
    assert words[State.FAILED] == "Stopped by an error: No room."


def test_a_failed_run_offers_another_try_other_settings_and_says_what_is_kept(client_in):
    run = run_make()
    TrainRunner().checkpoint(run.job, checkpoint_write(run.job, 20))
    state_set(run.job, State.FAILED, error_code="x", error_message="No room.", error_hint="Make some.")
    page = client_in.get(f"/training/{run.pk}/").content.decode()
    assert "Why it stopped" in page and "Stopped by an error: No room. Its checkpoint of step" in page
    assert f'href="/training/new/?run={run.pk}"' in page and "Edit the settings and start again" in page
    assert "Try again" in page


def test_a_run_out_of_memory_starts_again_in_the_largest_pieces_that_fit(client_in, room):
    run = run_make(batch_size=1024, steps=2)
    state_set(run.job, State.FAILED, **OOM)
    spec, origin = spec_make(run.activation_cache, batch_size=1024, steps=2), origin_of(run.job.loaded_spec)
    half, quarter = (
        training_memory(
            spec_make(run.activation_cache, batch_size=1024, micro_batch_size=size), origin.widths
        ).total_bytes
        for size in (512, 256)
    )
    assert quarter < half
    room(half - 1)
    assert micro_batch_that_fits(spec=spec, origin=origin) == 256
    page = client_in.get(f"/training/{run.pk}/").content.decode()
    assert 'name="micro_batch_size" value="256"' in page
    answer = client_in.post(f"/training/{run.pk}/again", {"micro_batch_size": "256", "csrfmiddlewaretoken": "x"})
    again = TrainingRun.objects.exclude(pk=run.pk).get()
    assert answer.url == f"/training/{again.pk}/" and again.job.state == State.QUEUED
    assert again.spec == {**run.spec, "micro_batch_size": 256}


def test_without_room_for_any_piece_the_largest_dictionary_is_offered(client_in, room):
    run = run_make(batch_size=1024, steps=2)
    state_set(run.job, State.FAILED, **OOM)
    spec, origin = run.job.loaded_spec, origin_of(run.job.loaded_spec)
    smallest = spec_make(run.activation_cache, batch_size=1024, micro_batch_size=8)
    room(training_memory(smallest, origin.widths).total_bytes - 1)
    assert micro_batch_that_fits(spec=spec, origin=origin) is None
    out = way_out(run, run.job)
    assert out.micro_batch_size is None and 0 <= out.largest_d_sae < 64


def test_only_runs_out_of_memory_have_such_a_way_out():
    run = run_make()
    state_set(run.job, State.FAILED, error_code="loss_not_finite")
    assert way_out(run, run.job) is None
    state_set(run.job, State.FAILED, **OOM)
    type(run.activation_cache).objects.update(ready_at=None)
    assert way_out(run, run.job) is None, "its activations are gone"


def test_the_fragment_of_a_sweep_has_a_row_for_each_sae():
    renderers_discover()
    run = run_make(sweep_k=(2, 4))
    TrainRunner().metrics(run.job, [point(10, 0, fvu=0.5), point(10, 1, fvu=0.31)])
    html = fragment(run.topic)
    assert f'id="training-{run.pk}-members"' in html and "0.31" in html
    assert html.count("Charts of SAE") == 2


def test_a_finished_run_stops_explaining_and_names_its_sae():
    renderers_discover()
    run = run_make(cache_make())
    sae = run_finish(run)
    html = fragment(run.topic)
    assert "Why it stopped" not in html and f"(SAE {sae.pk})" in html
