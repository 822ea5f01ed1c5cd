"""Every path × method of the requirements and every job kind: what is built must be reachable through all its doors.

`LATER` lists what is not built yet; a row moves out of it when its feature lands, and a test notices when a path that
stands in LATER resolves already.
"""

from pathlib import Path

import pytest
from django.contrib import admin
from django.core.management import get_commands
from django.urls import Resolver404, resolve, reverse

from workers.engine.specs.kinds import SPECS
from workers.engine.specs.priorities import PRIORITIES
from workers.runners.base import Runner
from workers.runners.registry import runner_for

ROOT = Path(__file__).resolve().parents[2]

ENDPOINTS = [
    ("GET", "datasets"),
    ("POST", "datasets"),
    ("POST", "datasets/1/download"),
    ("POST", "datasets/1/tokenize"),
    ("GET", "datasets/1/statistics"),
    ("GET", "datasets/1/samples"),
    ("GET", "datasets/lookups/1"),
    ("GET", "previews/1"),
    ("GET", "tokenizations/1/statistics"),
    ("GET", "tokenizations/1/dropped"),
    ("GET", "models"),
    ("POST", "models"),
    ("POST", "models/1/download"),
    ("GET", "models/1/architecture"),
    ("GET", "models/1/memory"),
    ("GET", "models/lookups/1"),
    ("GET", "trainings"),
    ("POST", "trainings"),
    ("GET", "trainings/1/metrics"),
    ("GET", "trainings/1/checkpoints"),
    ("POST", "trainings/1/stop"),
    ("POST", "trainings/1/retry"),
    ("GET", "features"),
    ("PATCH", "features/1"),
    ("GET", "features/1"),
    ("PATCH", "features"),
    ("POST", "features/extraction"),
    ("GET", "features/extraction"),
    ("DELETE", "features/extraction/1"),
    ("GET", "features/examples"),
    ("GET", "features/1/counterparts"),
    ("POST", "features/1/ablation"),
    ("POST", "features/try"),
    ("POST", "features/maps"),
    ("POST", "features/collections"),
    ("DELETE", "features/nlp-analysis/1"),
    ("GET", "features/1/nlp-analysis"),
    ("POST", "features/1/nlp-analysis"),
    ("POST", "features/nlp-analysis"),
    ("GET", "saes"),
    ("POST", "steering/generate"),
    ("POST", "steering/compare"),
    ("GET", "system/metrics"),
    ("GET", "system/history"),
]
LATER = [
    ("POST", "features/labeling"),
    ("POST", "saes/download-hf"),
    ("POST", "saes/1/convert"),
    ("POST", "steering/sweep"),
    ("POST", "steering/combined"),
    ("POST", "neuronpedia/export"),
    ("GET", "neuronpedia/export/1"),
    ("GET", "neuronpedia/export/1/download"),
]
KINDS = {
    # kind: page to start it from, endpoint, command, admin model
    "dataset_import": (("datasets:new", []), "datasets", "dataset_import", "datasets.Dataset"),
    "dataset_lookup": (("datasets:lookup", []), "datasets/lookups", "dataset_lookup", "datasets.DatasetLookup"),
    "token_preview": (("datasets:preview-start", [1]), "datasets/1/preview", "token_preview", "datasets.TokenPreview"),
    "language_model_lookup": (
        ("language_models:lookup", []),
        "models/lookups",
        "language_model_lookup",
        "language_models.LanguageModelLookup",
    ),
    "language_model_quantize": (
        ("language_models:quantize", [1]),
        "models/1/quantize",
        "language_model_quantize",
        "language_models.LanguageModel",
    ),
    "language_model_check": (
        ("language_models:check", [1]),
        "models/1/check",
        "language_model_check",
        "language_models.LanguageModel",
    ),
    "vocabulary_rebuild": (
        ("language_models:vocabulary-rebuild", [1]),
        "models/1/vocabulary",
        "vocabulary_rebuild",
        "language_models.LanguageModel",
    ),
    "tokenize": (("datasets:tokenize", [1]), "datasets/1/tokenize", "tokenize", "datasets.Tokenization"),
    "language_model_import": (
        ("language_models:new", []),
        "models",
        "language_model_import",
        "language_models.LanguageModel",
    ),
    "activation_cache": (("activations:new", []), "activations", "activation_cache", "activations.ActivationCache"),
    "train": (("training:new", []), "trainings", "train", "training.TrainingRun"),
    "evaluate": (("saes:detail", [1]), "saes/1/evaluate", "evaluate", "saes.Evaluation"),
    "feature_run": (("features:new", []), "features/extraction", "feature_run", "features.FeatureRun"),
    "feature_language": (
        ("features:language", [1, 0]),
        "features/nlp-analysis",
        "feature_language",
        "features.LanguageAnalysis",
    ),
    "feature_map": (("features:map", [1]), "features/maps", "feature_map", "features.FeatureMap"),
    "try_text": (("features:try", []), "features/try", "try_text", "features.TriedText"),
    "ablate": (("features:ablation", [1, 1]), "features/1/ablation", "ablate", "features.Ablation"),
    "steer": (("steering:new", []), "steering/generate", "steer", "steering.Experiment"),
    "export": (("saes:detail", [1]), "exports", "export", "exports.Export"),
}


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_a_built_endpoint_resolves_and_knows_the_method(method, path):
    assert method in resolve(f"/api/v1/{path}").func.api_methods


@pytest.mark.parametrize(("method", "path"), LATER)
def test_an_endpoint_of_later_does_not_pretend_to_exist(method, path):
    with pytest.raises(Resolver404):
        resolve(f"/api/v1/{path}")


@pytest.mark.parametrize("kind", SPECS)
def test_a_job_kind_has_all_its_doors(kind):
    (page, arguments), endpoint, command, model = KINDS[kind]
    assert reverse(page, args=arguments)
    assert "POST" in resolve(f"/api/v1/{endpoint}").func.api_methods
    assert command in get_commands()
    assert model in {f"{m._meta.app_label}.{m._meta.object_name}" for m in admin.site._registry}
    assert f"(`{kind}`)" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("kind", SPECS)
def test_a_job_kind_has_a_runner_a_priority_and_an_engine_function(kind):
    runner = runner_for(kind)
    assert isinstance(runner, Runner)
    assert runner.spec is SPECS[kind]
    assert kind in PRIORITIES
    module, _, function = SPECS[kind].ENGINE.partition(":")
    source = (ROOT / "workers" / "engine" / f"{module.replace('.', '/')}.py").read_text()
    assert f"def {function}(" in source
