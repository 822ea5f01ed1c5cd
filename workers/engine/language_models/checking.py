"""Are a language model's weights still those that were imported? Everything made with it rests on that."""

from workers.engine.language_models.hashing import weights_sha256
from workers.engine.progress import Progress
from workers.engine.specs.errors import BadArtifact
from workers.engine.specs.language_models import (
    LanguageModelCheckInputs,
    LanguageModelCheckResult,
    LanguageModelCheckSpec,
)


def language_model_check(
    spec: LanguageModelCheckSpec, inputs: LanguageModelCheckInputs, progress: Progress
) -> LanguageModelCheckResult:
    """Hash the weights. Raises BadArtifact when they are not the imported ones, or not to be read."""
    try:
        found = weights_sha256(inputs.model_dir, progress)
    except OSError as error:
        raise BadArtifact(f"The weights cannot be read: {error}", "Import the model again.") from error
    if found != inputs.weights_sha256:
        raise BadArtifact(
            f"The weights are no longer those that were imported: their SHA-256 is {found}, the import's was "
            f"{inputs.weights_sha256}.",
            "Import the model again under another name; what was made since the change rests on other weights.",
        )
    return LanguageModelCheckResult(weights_sha256=found)
