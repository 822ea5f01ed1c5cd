"""Commands of training runs, SAEs and exports: the same services, words for people and JSON for scripts."""

import json
import shlex

import pytest
from django.core.management import CommandError, call_command

from apps.exports.models import Export
from apps.jobs.states import State
from apps.saes.models import Sae
from apps.training.comparison import command_of
from apps.training.models import TrainingRun
from apps.training.services import training_start
from tests.apps.training.worlds import (
    cache_make,
    evaluation_finish,
    point,
    run_finish,
    run_make,
    state_set,
    text_spec_make,
)
from workers.runners.train import TrainRunner

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_data_dir")]


def output(capsys, *arguments: object) -> object:
    """What the command printed, as JSON."""
    call_command(*[str(a) for a in arguments], "--json")
    return json.loads(capsys.readouterr().out)


def test_train_queues_a_run_with_the_options_given(capsys):
    cache = cache_make()
    job = output(capsys, "train", "--activation-cache", cache.pk, "--batch-size", 100, "--k", 4, "--d-sae", 64)
    run = TrainingRun.objects.get()
    assert job["state"] == "queued" and job["result_url"] == f"/training/{run.pk}/" and run.spec["k"] == 4


def test_the_command_on_a_runs_page_starts_the_same_run():
    cache = cache_make()
    changed = {
        "sweep_k": (2, 4),
        "lr_decay_pct": 30.0,
        "normalize_decoder": True,
        "clip_grad_norm": None,
        "learning_rate": 1e-5,
    }
    run = training_start(spec=text_spec_make(cache, hook_sites=("3.resid_post", "2.resid_post"), **changed))
    program, command, *arguments = shlex.split(command_of(run))
    assert (program, command) == ("manage.py", "train") and "--no-use-cache" in arguments
    assert "30" in arguments and "30.0" not in arguments
    call_command(command, *arguments)
    again = TrainingRun.objects.exclude(pk=run.pk).get()
    assert again.spec == run.spec


def test_a_refusal_ends_the_command_with_its_words():
    with pytest.raises(CommandError, match="nothing ready with the id 7"):
        call_command("train", "--activation-cache", "7")
    with pytest.raises(CommandError, match="no training run 9"):
        call_command("training_pause", "9")


@pytest.mark.parametrize(
    ("command", "before", "after"),
    [
        ("training_stop", State.QUEUED, State.CANCELLED),
        ("training_pause", State.RUNNING, State.STOPPING),
        ("training_resume", State.PAUSED, State.QUEUED),
        ("training_finish", State.RUNNING, State.STOPPING),
        ("training_checkpoint", State.RUNNING, State.RUNNING),
        ("training_retry", State.FAILED, State.QUEUED),
    ],
)
def test_a_run_can_be_asked_things_by_its_id(capsys, command, before, after):
    run = run_make()
    state_set(run.job, before)
    assert output(capsys, command, run.pk)["state"] == after


def test_a_retry_with_changed_settings_is_a_new_run(capsys):
    run = run_make()
    job = output(capsys, "training_retry", run.pk, "--set", "k=3", "--set", "normalize-decoder=true")
    again = TrainingRun.objects.get(pk=job["subject"]["id"])
    assert again != run and (again.spec["k"], again.spec["normalize_decoder"]) == (3, True)
    with pytest.raises(CommandError, match="k = 99 exceeds"):
        call_command("training_retry", str(run.pk), "--set", "k=99")
    with pytest.raises(CommandError, match="no option kk"):
        call_command("training_retry", str(run.pk), "--set", "kk=9")
    with pytest.raises(CommandError, match="Write --set k=16"):
        call_command("training_retry", str(run.pk), "--set", "k")
    with pytest.raises(CommandError, match="Only failed and cancelled"):
        call_command("training_retry", str(run.pk))


def test_a_run_is_shown_renamed_and_compared(capsys):
    cache = cache_make()
    first, second = run_make(cache, name="a"), run_make(cache, k=2)
    assert output(capsys, "training_rename", second.pk, "b")["name"] == "b"
    assert output(capsys, "training_show", second.pk)["members"][0]["sparsity"] == 2.0
    assert output(capsys, "training_compare", first.pk, second.pk)["differences"] == {"k": [4, 2]}
    call_command("training_compare", str(first.pk), str(second.pk))
    assert f"b ({second.pk}) differs from a ({first.pk}) only in k (4 → 2)" in capsys.readouterr().out


def test_several_runs_are_deleted_by_one_command(capsys):
    cache = cache_make()
    failed, queued = run_make(cache), run_make(cache)
    state_set(failed.job, State.FAILED)
    with pytest.raises(CommandError, match=f"^{queued.pk} stays: Job"):
        call_command("training_delete", str(failed.pk), str(queued.pk))
    assert "1 deleted" in capsys.readouterr().out and TrainingRun.objects.get() == queued


def test_lists_and_deletions(capsys):
    run = run_make()
    sae = run_finish(run)
    assert [(row["id"], row["state"]) for row in output(capsys, "training_list")] == [(run.pk, "succeeded")]
    assert output(capsys, "sae_list")[0]["name"] == sae.name
    call_command("sae_list")
    assert "3.resid_post" in capsys.readouterr().out
    with pytest.raises(CommandError, match="still used by"):
        call_command("training_delete", str(run.pk))
    evaluation_finish(sae.evaluations.get())
    output(capsys, "sae_delete", sae.pk)
    output(capsys, "training_delete", run.pk)
    assert not Sae.objects.exists() and not TrainingRun.objects.exists()


def test_the_list_is_narrowed_and_its_numbers_are_short(capsys):
    cache = cache_make()
    topk, jumprelu = run_make(cache), run_make(cache, architecture="jumprelu")
    state_set(topk.job, State.FAILED)
    TrainingRun.objects.filter(pk=topk.pk).update(fvu=0.4283676450018)
    assert [row["id"] for row in output(capsys, "training_list", "--architecture=jumprelu")] == [jumprelu.pk]
    assert [row["id"] for row in output(capsys, "training_list", "--state=failed")] == [topk.pk]
    call_command("training_list")
    shown = capsys.readouterr().out
    assert "0.428" in shown and "0.4283" not in shown and "None" not in shown
    assert output(capsys, "training_list", "--state=failed")[0]["fvu"] == 0.4283676450018


def test_points_are_printed_as_a_table(capsys):
    run = run_make()
    TrainRunner().metrics(run.job, [point(10), point(20)])
    call_command("training_points", str(run.pk))
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.startswith("member,hook_site,d_sae,sparsity,seed,step,tokens,time_s,loss,mse") and len(rows) == 2
    assert rows[1].startswith("0,3.resid_post,64,4.0,0,20,2000,2.0,5.0")
    with pytest.raises(CommandError, match="no member"):
        call_command("training_points", str(run.pk), "--member=3")


def test_evaluate_and_export_queue_their_jobs(capsys):
    sae = run_finish(run_make())
    job = output(capsys, "evaluate", "--sae", sae.pk, "--tokenization", sae.tokenization_id)
    assert job["kind"] == "evaluate" and sae.evaluations.count() == 2
    assert output(capsys, "export", "--sae", sae.pk)["kind"] == "export"
    assert output(capsys, "export_list")[0]["file_name"] == Export.objects.get().file_name
