"""What the page of one experiment shows; the live fragment shows the same."""

from typing import Any

from apps.core.templatetags.studio import duration, number, percent
from apps.language_models.vocabulary import vocabulary_of
from apps.saes.reading import read_as_of, reading_notes
from apps.steering.comparing import compare
from apps.steering.models import Experiment
from apps.steering.selectors import experiment_spec, generations_of, steered_rows


def result_context(experiment: Experiment) -> dict[str, Any]:
    """The context of steering/result.html: texts as runs, features with raw strengths, measurements."""
    baseline, steered = generations_of(experiment)
    context = {"experiment": experiment, "job": None if experiment.is_ready else experiment.job}
    context |= {"spec": experiment_spec(experiment), "rows": steered_rows(experiment)}
    if baseline is None or steered is None:
        return context
    spelling = vocabulary_of(experiment.sae.language_model_id).spelling
    runs = compare(baseline.tokens, steered.tokens, spelling)
    return {
        **context,
        "spelling": spelling,
        "prompt": {name: experiment.report.get(f"prompt_{name}") for name in ("tokens", "ids")},
        "texts": [("Baseline", runs[0], baseline), ("Steered", runs[1], steered)],
        "metrics": _metrics(experiment),
        "read_as": read_as_of(experiment.report).words,
        "notes": reading_notes(experiment.sae, experiment.report),
    }


def _metrics(experiment: Experiment) -> list[dict[str, Any]]:
    """What was measured while generating, for components/stats.html."""
    report = experiment.report
    of_positions = {"n": report["steered_positions"], "n_unit": "positions"}
    share = experiment.delta_norm / experiment.activation_norm if experiment.activation_norm else None
    return [
        {
            "label": "Added length ‖Δ‖",
            "value": number(experiment.delta_norm),
            "help": "Mean length of what was added to the activation, measured in the model while it generated.",
            "formula": "mean ‖h_steered − h‖",
            **of_positions,
        },
        {
            "label": "Activation norm",
            "value": number(experiment.activation_norm),
            "help": "Mean length of the untouched activation at the same positions.",
            "formula": "mean ‖h‖",
            **of_positions,
        },
        {
            "label": "Relative strength",
            "value": percent(share),
            "help": "Added length in units of the activation it is added to.",
            "formula": "‖Δ‖ / ‖h‖",
            **of_positions,
        },
        {
            "label": "Hook calls",
            "value": number(report["hook_calls"]),
            "help": "Forward passes in which the model was really changed. 0 would mean that nothing was steered.",
        },
        {"label": "Seed", "value": experiment_spec(experiment).seed, "help": "The same for both texts."},
        {"label": "Took", "value": duration(report["seconds"]), "help": "Both generations, without loading the model."},
    ]
