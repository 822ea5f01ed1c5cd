"""What a researcher may want to know before starting a run that is allowed but unusual: warnings."""

from apps.core.errors import AppError
from apps.training.origins import Origin
from workers.engine.specs.schedule import schedule_notes
from workers.engine.specs.training import L1_FAMILY, TOPK_FAMILY, TrainSpec

SWEPT = ("sweep_d_sae", "sweep_k", "sweep_coefficient", "sweep_seeds")
MOST_PASSES = 4
K_SHARE = 0.1
USUAL_L1 = (0.05, 20.0)
"""On losses summed over the width, activations of norm √d_in."""
USUAL_L0 = (0.01, 20.0)


def tokens_there(origin: Origin) -> int:
    """Tokens of the training part, repeats not counted; those of a text before sink tokens are left out."""
    if origin.cache:
        return origin.cache.tokens
    return sum(text.contexts * text.context_length for text in origin.tokenizations)


def special_words(spec: TrainSpec, origin: Origin) -> str:
    """How many of the tokens behind the first of a context are separators or otherwise special, and whether they are read; ""
    where nobody counted."""
    reports = [text.report for text in origin.tokenizations if text.report.get("special_share")]
    if not reports:
        return ""
    tokens = sum(report["special_tokens"] for report in reports)
    positions = sum(report["special_tokens"] / report["special_share"] for report in reports)
    is_left_out = origin.cache.report.get("excluded_tokens") if origin.cache else spec.leave_out_special
    said = f"{100 * tokens / positions:.3g} % of the tokens of {'these texts' if len(reports) > 1 else 'the text'}"
    return f"{said}, {'left out' if is_left_out else 'read as any other'}"


def sweep_require_distinct(spec: TrainSpec) -> None:
    """Refuse a new sweep two of whose SAEs would be the same: AppError "spec_invalid". Stored ones stay as they are."""
    for name in SWEPT:
        values = getattr(spec, name)
        if len(set(values)) < len(values):
            words = f"{spec.options()[name].label}: a value stands there twice."
            raise AppError("spec_invalid", words, "Name each once: two alike would train the same SAE.", field=name)


def warnings_of(spec: TrainSpec, origin: Origin) -> list[str]:
    """Sentences about settings that are allowed and seldom meant."""
    found = [*_sparsity_warnings(spec), *_schedule_warnings(spec)]
    there, wanted = tokens_there(origin), spec.steps * spec.batch_size
    if there and wanted > MOST_PASSES * there:
        found.append(
            f"Every token is read {wanted / there:.0f} times: the SAE may learn the text by heart. "
            "More text, or fewer steps, generalise better."
        )
    if spec.source == "text" and origin.tokenizations[0].heldout_contexts == 0:
        found.append("The text holds nothing back: CE cannot be measured and thresholds cannot be calibrated.")
    return found


def _sparsity_warnings(spec: TrainSpec) -> list[str]:
    if spec.architecture in TOPK_FAMILY:
        k, d_sae = max(spec.sweep_k or (spec.k,)), min(spec.sweep_d_sae or (spec.d_sae,))
        too_many = f"k = {k} is more than a tenth of d_sae = {d_sae}: latents that fire so often are seldom readable."
        return [too_many] if k > K_SHARE * d_sae else []
    name, usual = ("L1", USUAL_L1) if spec.architecture in L1_FAMILY else ("L0", USUAL_L0)
    values = spec.sweep_coefficient or (getattr(spec, spec.coefficient_name),)
    return [
        f"An {name} coefficient of {value:g} is outside the usual {usual[0]:g} to {usual[1]:g} of summed losses."
        for value in values
        if not usual[0] <= value <= usual[1]
    ]


def _schedule_warnings(spec: TrainSpec) -> list[str]:
    found = schedule_notes(spec)
    if spec.dead_after_tokens >= spec.steps * spec.batch_size:
        found.append("No latent can be counted dead within this run: “dead after” is longer than all of its tokens.")
    if spec.checkpoint_every > spec.steps:
        found.append("There is no checkpoint before the end: a run that is killed starts over.")
    return found
