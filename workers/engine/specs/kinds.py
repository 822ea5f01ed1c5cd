"""Every job kind and its Spec: the one list that supervisor, child, forms and pages share."""

from workers.engine.specs.ablation import AblateInputs, AblateSpec
from workers.engine.specs.activations import ActivationCacheInputs, ActivationCacheSpec
from workers.engine.specs.base import Inputs, Spec
from workers.engine.specs.datasets import DatasetImportInputs, DatasetImportSpec, DatasetLookupInputs, DatasetLookupSpec
from workers.engine.specs.exports import ExportInputs, ExportSpec
from workers.engine.specs.feature_language import FeatureLanguageInputs, FeatureLanguageSpec
from workers.engine.specs.feature_map import FeatureMapInputs, FeatureMapSpec
from workers.engine.specs.features import FeatureRunInputs, FeatureRunSpec
from workers.engine.specs.language_models import (
    LanguageModelCheckInputs,
    LanguageModelCheckSpec,
    LanguageModelImportInputs,
    LanguageModelImportSpec,
    LanguageModelLookupInputs,
    LanguageModelLookupSpec,
    LanguageModelQuantizeInputs,
    LanguageModelQuantizeSpec,
    VocabularyRebuildInputs,
    VocabularyRebuildSpec,
)
from workers.engine.specs.saes import EvaluateInputs, EvaluateSpec
from workers.engine.specs.steering import SteerInputs, SteerSpec
from workers.engine.specs.tokenization import TokenizeInputs, TokenizeSpec, TokenPreviewInputs, TokenPreviewSpec
from workers.engine.specs.training import TrainInputs, TrainSpec
from workers.engine.specs.try_text import TryTextInputs, TryTextSpec

_PAIRS: tuple[tuple[type[Spec], type[Inputs]], ...] = (
    (DatasetLookupSpec, DatasetLookupInputs),
    (DatasetImportSpec, DatasetImportInputs),
    (LanguageModelLookupSpec, LanguageModelLookupInputs),
    (LanguageModelImportSpec, LanguageModelImportInputs),
    (LanguageModelQuantizeSpec, LanguageModelQuantizeInputs),
    (VocabularyRebuildSpec, VocabularyRebuildInputs),
    (LanguageModelCheckSpec, LanguageModelCheckInputs),
    (TokenPreviewSpec, TokenPreviewInputs),
    (TokenizeSpec, TokenizeInputs),
    (ActivationCacheSpec, ActivationCacheInputs),
    (TrainSpec, TrainInputs),
    (EvaluateSpec, EvaluateInputs),
    (FeatureRunSpec, FeatureRunInputs),
    (FeatureLanguageSpec, FeatureLanguageInputs),
    (FeatureMapSpec, FeatureMapInputs),
    (TryTextSpec, TryTextInputs),
    (AblateSpec, AblateInputs),
    (SteerSpec, SteerInputs),
    (ExportSpec, ExportInputs),
)

SPECS: dict[str, type[Spec]] = {spec.KIND: spec for spec, _ in _PAIRS}
INPUTS: dict[str, type[Inputs]] = {spec.KIND: inputs for spec, inputs in _PAIRS}
PASSING_KINDS: tuple[str, ...] = tuple(kind for kind, spec in SPECS.items() if spec.PASSING)
QUEUES: tuple[str, ...] = ("gpu", "cpu", "io", "steer")
