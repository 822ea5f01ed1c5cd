"""Topic names: `{entity_type}/{id}` and `system/…`. The one list; a test follows each from the worker to the browser."""

JOBS = "jobs"
DATASETS = "datasets"
DATASET_LOOKUPS = "dataset-lookups"
TOKEN_PREVIEWS = "token-previews"
TOKENIZATIONS = "tokenizations"
LANGUAGE_MODELS = "language-models"
LANGUAGE_MODEL_LOOKUPS = "language-model-lookups"
ACTIVATIONS = "activations"
TRAININGS = "trainings"
SAES = "saes"
EVALUATIONS = "evaluations"
FEATURE_RUNS = "feature-runs"
LANGUAGE_ANALYSES = "language-analyses"
TRIED_TEXTS = "tried-texts"
ABLATIONS = "ablations"
FEATURE_MAPS = "feature-maps"
EXPERIMENTS = "experiments"
EXPORTS = "exports"
SYSTEM = "system"

ENTITIES = (
    JOBS,
    DATASETS,
    DATASET_LOOKUPS,
    TOKEN_PREVIEWS,
    TOKENIZATIONS,
    LANGUAGE_MODELS,
    LANGUAGE_MODEL_LOOKUPS,
    ACTIVATIONS,
    TRAININGS,
    SAES,
    EVALUATIONS,
    FEATURE_RUNS,
    LANGUAGE_ANALYSES,
    TRIED_TEXTS,
    ABLATIONS,
    FEATURE_MAPS,
    EXPERIMENTS,
    EXPORTS,
)
SYSTEM_PARTS = ("cpu", "memory", "disk", "network")
ALL_JOBS = "jobs/all"
"""Changes whenever any job changes state: for lists and the header's counter."""


def topic(entity: str, pk: int | str) -> str:
    """The topic of one row: topic(TRAININGS, 7) is "trainings/7"."""
    if entity not in ENTITIES and entity != SYSTEM:
        raise ValueError(f"no such entity: {entity}")
    return f"{entity}/{pk}"


def gpu_topic(index: int) -> str:
    """The topic of one GPU's samples."""
    return f"{SYSTEM}/gpu/{index}"
