"""A studio with one SAE of six latents, and a feature run's files written by hand.

Latent 0 is dead. Latent i > 0 peaks on the token number i with the value i. Vocabulary: byte-level tokens.
Shapes: F latents, S slots (3 top, 2 groups of 1, 1 silent, 1 near miss), W = 5 tokens of a window.
"""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
from django.utils import timezone
from safetensors.numpy import save_file

from apps.core.storage import data_path
from apps.datasets.models import Dataset, Tokenization
from apps.features.language.services import language_analysis_start
from apps.features.models import FeatureRun, LanguageAnalysis, TriedText
from apps.features.trying.services import text_try
from apps.jobs.models import Job
from apps.jobs.services import job_enqueue
from apps.language_models.models import LanguageModel
from apps.saes.models import Sae
from tests.apps.prepared import BYTE_LEVEL, vocabulary_write
from workers.engine.specs.feature_language import (
    FeatureLanguage,
    FeatureLanguageResult,
    FeatureLanguageSpec,
    LemmaGroup,
)
from workers.engine.specs.features import (
    HISTOGRAM_BINS,
    LOG_BINS,
    NAMES,
    NEAR_GROUP,
    DescribedSae,
    FeatureRunResult,
    FeatureRunSpec,
    Peculiarity,
)
from workers.engine.specs.try_text import TokenFeatures, TriedFeature, TryTextResult, TryTextSpec
from workers.engine.specs.try_text import TriedText as ReadText
from workers.engine.text.tokens import token_texts

VOCABULARY = ["<|end|>", "Ġrain", "Ġsun", "<b>", "Ċ", "Ġwind", "Ġthe", "."]
SPELLING = BYTE_LEVEL
D_SAE = 6
WINDOW = 5
GROUPS = np.array([0, 0, 0, 1, 2, -1, NEAR_GROUP], dtype=np.int8)
TOKENS = 10_000


def language_model_make(name: str = "Tiny LM", tokenizer: str = "t1") -> LanguageModel:
    model = LanguageModel.objects.create(
        name=name,
        source="folder",
        origin="here",
        layers=2,
        d_model=4,
        tokenizer_sha256=tokenizer,
        ready_at=timezone.now(),
    )
    vocabulary_write(data_path("models", model.pk), VOCABULARY, SPELLING)
    return model


def tokenization_make(model: LanguageModel) -> Tokenization:
    dataset, _ = Dataset.objects.get_or_create(name="Stories", source="file", origin="here", ready_at=timezone.now())
    return Tokenization.objects.create(
        dataset=dataset,
        language_model=model,
        context_length=16,
        contexts=100,
        tokenizer_sha256=model.tokenizer_sha256,
        ready_at=timezone.now(),
    )


def sae_make(d_sae: int = D_SAE) -> Sae:
    """An SAE with its language model and tokenization."""
    model = language_model_make()
    return Sae.objects.create(
        name="Tiny SAE",
        source=Sae.Source.TRAINED,
        language_model=model,
        tokenization=tokenization_make(model),
        layer=1,
        site="resid_post",
        architecture="topk",
        d_in=4,
        d_sae=d_sae,
        encode={},
    )


def run_make(sae: Sae) -> tuple[FeatureRun, Job, FeatureRunSpec]:
    """A feature run with its queued job."""
    spec = FeatureRunSpec(sae=sae.pk, tokenization=sae.tokenization_id)
    run = FeatureRun.objects.create(sae=sae, tokenization=sae.tokenization)
    return run, job_enqueue(spec=spec, subject=run), spec


def result_make(*described: DescribedSae) -> FeatureRunResult:
    """What the engine returns for these SAEs."""
    return FeatureRunResult(saes=described, contexts=100, tokens_read=TOKENS, tokens_per_s=1.0, batch_contexts=16)


def files_write(folder: Path, *, d_sae: int = D_SAE, scale: float = 1.0) -> DescribedSae:
    """The files of one SAE; every activation is multiplied by `scale`."""
    folder.mkdir(parents=True, exist_ok=True)
    strength_F = np.arange(d_sae, dtype=np.float32) * scale
    alive_F = strength_F > 0
    density_F = np.where(alive_F, 0.001 * np.arange(d_sae), 0).astype(np.float32)
    histogram_FB = np.zeros((d_sae, HISTOGRAM_BINS), dtype=np.int32)
    histogram_FB[alive_F, -1] = 7
    save_file(
        {
            "density": density_F,
            "mean": strength_F / 2,
            "maximum": strength_F,
            "second_moment": strength_F**2,
            "count": (density_F * TOKENS).round().astype(np.int64),
            "histogram": histogram_FB,
            "log_histogram": np.repeat(histogram_FB[:, -1:], LOG_BINS, axis=1),
            "consistency": np.full(d_sae, 0.25, np.float32) * alive_F,
            "concentration": np.full(d_sae, 0.75, np.float32) * alive_F,
            "agreement": np.linspace(0, 1, d_sae, dtype=np.float32),
            "score": np.linspace(0, 1, d_sae, dtype=np.float32) / 2 + np.float32(0.25) * alive_F,
            "interest": np.where(alive_F, d_sae - np.arange(d_sae), 0).astype(np.float32),
            "peculiarity": np.where(alive_F, Peculiarity.NONE, Peculiarity.DEAD).astype(np.int8),
        },
        folder / "statistics.safetensors",
    )
    names_write(folder, alive_F)
    save_file(_examples(strength_F), folder / "examples.safetensors")
    save_file(_top_tokens(strength_F), folder / "tokens.safetensors")
    save_file(_neighbours(d_sae), folder / "neighbours.safetensors")
    ids_FL = np.tile(np.array([5, 3], dtype=np.int32), (d_sae, 1))
    values_FL = np.tile(np.array([2.0, 1.0], dtype=np.float32), (d_sae, 1))
    save_file(
        {
            "promoted_ids": ids_FL,
            "promoted_values": values_FL,
            "suppressed_ids": ids_FL[:, ::-1].copy(),
            "suppressed_values": -values_FL,
            "histogram": np.tile(np.arange(HISTOGRAM_BINS, dtype=np.int32), (d_sae, 1)),
            "lowest": np.full(d_sae, -2, np.float32),
            "highest": np.full(d_sae, 2, np.float32),
        },
        folder / "logits.safetensors",
    )
    vocabulary_write(folder, VOCABULARY, SPELLING)
    return DescribedSae(
        folder=folder.name,
        tokens=TOKENS,
        d_sae=d_sae,
        alive=int(alive_F.sum()),
        bytes=1,
        readable=2,
        mean_density=0.003,
        mean_score=0.5,
    )


def names_write(folder: Path, alive_F: np.ndarray) -> None:
    """Latent i is named by its own token alone; the dead ones by none."""
    words = [token_texts([VOCABULARY[i % len(VOCABULARY)]], SPELLING)[0] for i in range(len(alive_F))]
    words = [word.strip() or word for word in words]
    peak_words = [[{"word": word, "share": 1.0}] if is_alive else [] for word, is_alive in zip(words, alive_F)]
    gloss = [f"Peaks on “{word}” (100 %)." if is_alive else "Never fired." for word, is_alive in zip(words, alive_F)]
    table = pa.table({"peak_words": peak_words, "gloss": gloss})
    with pa.ipc.new_file(folder / NAMES, table.schema) as file:
        file.write_table(table)


def _top_tokens(strength_F: np.ndarray) -> dict[str, np.ndarray]:
    """Latent i fires 9 times at its own token and once at "."; the dead one at none."""
    d_sae = len(strength_F)
    own_F = np.arange(d_sae, dtype=np.int32) % len(VOCABULARY)
    ids = np.stack([own_F, np.full(d_sae, 7, np.int32), np.full(d_sae, -1, np.int32)], axis=1)
    ids[strength_F == 0] = -1
    counts = np.where(ids >= 0, np.array([9, 1, 0], np.int32), 0).astype(np.int32)
    maxima = np.where(ids >= 0, strength_F[:, None], 0).astype(np.float32)
    return {"ids": ids, "counts": counts, "means": maxima / 2, "maxima": maxima}


def _neighbours(d_sae: int) -> dict[str, np.ndarray]:
    """The next latent is nearest by direction; nothing fires together but 1 and 2."""
    next_F = ((np.arange(d_sae) + 1) % d_sae).astype(np.int32)[:, None]
    beside = np.full((d_sae, 1), -1, np.int32)
    beside[1], beside[2] = 2, 1
    values = (beside >= 0).astype(np.float32)
    return {
        "similar_ids": next_F,
        "similar_cosines": np.full((d_sae, 1), 0.5, np.float32),
        "coactive_ids": beside,
        "coactive_cosines": values * np.float32(0.4),
        "coactive_shares": values * np.float32(0.3),
    }


def _examples(strength_F: np.ndarray) -> dict[str, np.ndarray]:
    """Windows "the the X . ." with the peak on X; the first two top slots are equal, the third lies at an edge."""
    slots, d_sae = len(GROUPS), len(strength_F)
    token_F = np.arange(d_sae) % len(VOCABULARY)
    ids_FSW = np.full((d_sae, slots, WINDOW), 6, dtype=np.int32)
    ids_FSW[:, :, 3:] = 7
    ids_FSW[:, :, 2] = token_F[:, None]
    ids_FSW[:, 2, :2] = -1
    values_FSW = np.zeros((d_sae, slots, WINDOW), dtype=np.float16)
    values_FSW[:, :, 2] = strength_F[:, None] * np.array([1, 1, 0.9, 0.8, 0.3, 0, 0])
    context_FS = np.tile(np.arange(slots, dtype=np.int32), (d_sae, 1))
    context_FS[strength_F == 0] = -1
    context_FS[strength_F == 0, GROUPS == -1] = 5
    return {
        "token_ids": ids_FSW,
        "activations": values_FSW,
        "peak": np.full((d_sae, slots), 2, dtype=np.int16),
        "peak_value": values_FSW[:, :, 2].astype(np.float32),
        "context": context_FS,
        "group": GROUPS,
    }


def finished_run_make(sae: Sae) -> FeatureRun:
    """A feature run that has been through its runner's finish."""
    from workers.runners.feature_run import FeatureRunRunner

    run, job, spec = run_make(sae)
    draft = data_path("tmp", f"job-{job.pk}")
    result = result_make(files_write(draft / "sae-00", d_sae=sae.d_sae))
    FeatureRunRunner().finish(job, spec, result, str(draft))
    Job.objects.filter(pk=job.pk).update(state="succeeded")
    run.refresh_from_db()
    return run


def language_make(sae: Sae, index: int | None = None) -> LanguageAnalysis:
    """An analysis of one feature, or of all, with its queued job; of a run that is made for it unless there is one."""
    run = sae.feature_runs.filter(ready_at__isnull=False).first() or finished_run_make(sae)
    return language_analysis_start(spec=FeatureLanguageSpec(run=run.pk, feature=index))


def language_finish(analysis: LanguageAnalysis, *, word: str = "wind") -> LanguageAnalysis:
    """The job's end: what the engine would have found, through the runner. The dead latent has no analysis."""
    from workers.runners.feature_language import FeatureLanguageRunner

    job = analysis.job
    draft = data_path("tmp", f"job-{job.pk}")
    draft.mkdir(parents=True)
    found = None if analysis.index == 0 else language_found(word)
    if analysis.index is None:
        found, each = None, json.dumps(language_found(word).to_json())
        schema = pa.schema({"analysis": pa.string()})
        with pa.ipc.new_file(draft / "features.arrow", schema) as file:
            file.write_batch(pa.record_batch([pa.array([None, *[each] * (analysis.run.sae.d_sae - 1)])], schema=schema))
    (draft / "parsed.arrow").write_bytes(b"contexts")
    result = FeatureLanguageResult(features=1, contexts=7, parsed=7, parser="en 1.0", seconds=1.0, analysis=found)
    FeatureLanguageRunner().finish(job, job.loaded_spec, result, str(draft))
    Job.objects.filter(pk=job.pk).update(state="succeeded")
    analysis.refresh_from_db()
    return analysis


def language_found(word: str) -> FeatureLanguage:
    """Peaks on "the wind" in 9 of 10 examples, one on white space."""
    return FeatureLanguage(
        examples=10, at_words=9, tokens=((f"Ġ{word}", 9), ("Ċ", 1)), words=((word, 9),), parts_of_words=2,
        pos=(("NOUN", 9),), lemmas=((word, 9),), entities=(("GPE", 3),), morphology=(("Number=Sing", 9),),
        before=(("the", 9),), before_2=(("in the", 4),), before_3=(), after=((".", 5),), after_2=(), after_3=(),
        relations=(("pobj", 9),), heads=(("pobj", "in", 4),),
        groups=(LemmaGroup(name="NOUN", count=6, lemmas=(word, "<b>storm")), LemmaGroup(name="GPE", count=3, lemmas=("oslo",))),
        distinct={"words": 3},
        explained={"NOUN": "noun", "GPE": "Countries, cities, states", "pobj": "object of preposition"},
        summary=f"Peaks mostly on “{word}” (9 of 10 examples).",
    )  # fmt: skip


def described_sae_make() -> Sae:
    """An SAE whose feature run is done."""
    sae = sae_make()
    finished_run_make(sae)
    return sae


def tried_make(sae: Sae, *, other: str = "", is_ready: bool = False) -> TriedText:
    """A text that is tried, with its job; the answer: feature 5 fires on "wind", and on the second text not at all."""
    tried = text_try(spec=TryTextSpec(sae=sae.pk, text="The wind", other=other))
    if is_ready:
        Job.objects.filter(pk=tried.job.pk).update(state="succeeded")
        tried.report = try_result_make(compared=bool(other)).to_json()
        tried.ready_at = timezone.now()
        tried.save()
    return tried


def try_result_make(*, compared: bool = False) -> TryTextResult:
    """What the engine answers: two tokens behind the first, feature 5 on the second of them."""
    silent, fires = TokenFeatures(indices=(), values=()), TokenFeatures(indices=(5, 2), values=(4.0, 1.0))
    windy = _read(("<|end|>", "Ġthe", "Ġwind"), (silent, silent, fires), 2)
    calm = _read(("<|end|>", "Ġthe", "Ġsun"), (silent, silent, TokenFeatures(indices=(2,), values=(2.0,))), 1)
    first, second = {5: (0.0, 0.0, 4.0), 2: (0.0, 0.0, 1.0)}, {5: (0.0, 0.0, 0.0), 2: (0.0, 0.0, 2.0)}
    features = tuple(
        TriedFeature(index=index, values=(first[index], second[index]) if compared else (first[index],))
        for index in (5, 2)
    )
    return TryTextResult(texts=(windy, calm) if compared else (windy,), features=features, seconds=0.25)


def _read(tokens: tuple[str, ...], strongest: tuple[TokenFeatures, ...], firing: int) -> ReadText:
    return ReadText(tokens=tokens, is_included=(False, True, True), strongest=strongest, firing=firing)
