"""The demo: the whole way from text to a steered model, as ordinary jobs, with a report made from the rows they wrote."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from apps.activations.models import ActivationCache
from apps.activations.services import activation_cache_create
from apps.core.errors import AppError
from apps.datasets.models import Dataset, Tokenization
from apps.datasets.services import dataset_import
from apps.datasets.tokenization_services import tokenization_create
from apps.exports.models import Export
from apps.exports.services import export_create
from apps.features.models import Feature, FeatureRun
from apps.features.selectors import snippets_of
from apps.features.services import feature_run_start
from apps.home.demo_sources import hub_answers, model_source, text_source
from apps.jobs.models import Job
from apps.jobs.states import State
from apps.language_models.models import LanguageModel
from apps.language_models.services import language_model_import
from apps.saes.models import Evaluation, Sae
from apps.steering.models import Experiment, Generation
from apps.steering.services import experiment_start
from apps.training.models import TrainingRun
from apps.training.services import training_start
from workers.engine.specs.activations import ActivationCacheSpec
from workers.engine.specs.exports import ExportSpec
from workers.engine.specs.features import FeatureRunSpec
from workers.engine.specs.steering import USUAL_STRENGTH, SteeredFeature, SteerSpec
from workers.engine.specs.tokenization import TokenizeSpec
from workers.engine.specs.training import TrainSpec

CONTEXT_LENGTH = 128
D_SAE = 4608
K = 32
LEAST_STEPS = 300
MOST_STEPS = 1000
PASSES = 10
"""Passes over the cached activations: later ones still lower FVU on held-out text, more slowly each time."""
PROMPT = "The weather this morning was"
EXAMPLE_TOKENS = 10
"""Tokens on each side of a peak that the report prints."""
MOST_FEATURE_TOKENS = 100_000
"""Enough to read features; the pass through the model is the demo's longest part on a slow processor."""


@dataclass
class Demo:
    """One walk through the pipeline. `wait` sees a job to its end; `say` prints a line."""

    tokens: int
    wait: Callable[[Job], Job]
    say: Callable[[str], None]
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self) -> dict[str, Any]:
        """Every stage in order; returns the report. AppError when a job fails."""
        model, text = self._sources()
        tokenization = self._tokenize(model, text)
        cache = self._cache(tokenization)
        run = self._train(cache)
        sae = run.saes.get()
        evaluation = self._evaluate(sae)
        feature_run = self._find_features(sae, tokenization)
        experiment = self._steer(sae)
        export = self._export(sae)
        return report(run, evaluation, feature_run, experiment, export, self.seconds)

    def _stage(self, name: str, job: Job | None) -> None:
        """Wait for a stage's job and keep its seconds; nothing to do when an earlier demo made the result."""
        if job is None or job.state == State.SUCCEEDED:
            self.seconds.setdefault(name, 0.0)
            return
        began = time.monotonic()
        job = self.wait(job)
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - began, 1)
        if job.state != State.SUCCEEDED:
            raise AppError(
                "demo_failed",
                f"{job.title} ended as {job.state}: {job.error_message}",
                job.error_hint or job.get_absolute_url(),
            )

    def _sources(self) -> tuple[LanguageModel, Dataset]:
        from_hub = hub_answers()
        began = time.monotonic()
        model_spec, model_words = model_source(from_hub)
        text_spec, text_words = text_source(from_hub)
        self.seconds["fetch"] = round(time.monotonic() - began, 1)
        self.say(f"Language model: {model_words}.")
        self.say(f"Text: {text_words}.")
        model = LanguageModel.objects.filter(name=model_spec.name, ready_at__isnull=False).first()
        text = Dataset.objects.filter(name=text_spec.name, ready_at__isnull=False).first()
        model = model or language_model_import(spec=model_spec)
        text = text or dataset_import(spec=text_spec)
        self._stage("language_model", model.job)
        self._stage("dataset", text.job)
        model.refresh_from_db()
        text.refresh_from_db()
        return model, text

    def _tokenize(self, model: LanguageModel, text: Dataset) -> Tokenization:
        ready = Tokenization.objects.filter(
            dataset=text, language_model=model, context_length=CONTEXT_LENGTH, ready_at__isnull=False
        )
        tokenization = ready.first() or tokenization_create(
            spec=TokenizeSpec(dataset=text.pk, language_model=model.pk, context_length=CONTEXT_LENGTH)
        )
        self._stage("tokenize", tokenization.job)
        tokenization.refresh_from_db()
        return tokenization

    def _cache(self, tokenization: Tokenization) -> ActivationCache:
        model = tokenization.language_model
        cache = activation_cache_create(
            spec=ActivationCacheSpec(
                tokenization=tokenization.pk,
                language_model=model.pk,
                layer=model.layers // 2,
                max_tokens=self.tokens,
            )
        )
        self._stage("activations", cache.job)
        cache.refresh_from_db()
        return cache

    def _train(self, cache: ActivationCache) -> TrainingRun:
        batch_size = 4096 if self.tokens >= 100_000 else 1024
        steps = min(MOST_STEPS, max(LEAST_STEPS, PASSES * cache.tokens // batch_size))
        run = training_start(
            spec=TrainSpec(
                activation_cache=cache.pk,
                architecture="topk",
                d_sae=D_SAE,
                k=K,
                steps=steps,
                batch_size=batch_size,
                learning_rate=1e-3,
                lr_warmup_steps=steps // 20,
                dead_after_tokens=min(1_000_000, steps * batch_size // 5),
                checkpoint_every=max(100, steps // 5),
            )
        )
        self._stage("train", run.job)
        run.refresh_from_db()
        return run

    def _evaluate(self, sae: Sae) -> Evaluation:
        """Training starts an evaluation by itself; the demo waits for that one."""
        evaluation = sae.evaluations.first()
        self._stage("evaluate", evaluation.job)
        evaluation.refresh_from_db()
        return evaluation

    def _find_features(self, sae: Sae, tokenization: Tokenization) -> FeatureRun:
        feature_run = feature_run_start(
            spec=FeatureRunSpec(
                sae=sae.pk, tokenization=tokenization.pk, max_tokens=min(MOST_FEATURE_TOKENS, max(self.tokens, 1_000))
            )
        )
        self._stage("features", feature_run.job)
        feature_run.refresh_from_db()
        return feature_run

    def _steer(self, sae: Sae) -> Experiment:
        feature = demo_features(sae)[0]
        experiment = experiment_start(
            spec=SteerSpec(
                sae=sae.pk,
                features=(SteeredFeature(index=feature.index, strength=USUAL_STRENGTH),),
                prompt=PROMPT,
                max_new_tokens=40,
            )
        )
        self._stage("steer", experiment.job)
        experiment.refresh_from_db()
        return experiment

    def _export(self, sae: Sae) -> Export:
        export = export_create(spec=ExportSpec(sae=sae.pk))
        self._stage("export", export.job)
        export.refresh_from_db()
        return export


def demo_features(sae: Sae, most: int = 5) -> list[Feature]:
    """The features that a person could name soonest; the first is steered with."""
    return list(sae.features.filter(density__gt=0).order_by("-interest", "index")[:most])


def report(
    run: TrainingRun,
    evaluation: Evaluation,
    feature_run: FeatureRun,
    experiment: Experiment,
    export: Export,
    seconds: dict[str, float],
) -> dict[str, Any]:
    """The demo's figures, read from the rows that pages and API show too."""
    sae = evaluation.sae
    return {
        "tokens": run.activation_cache.report["tokens_run"],
        "fvu": evaluation.fvu,
        "l0": evaluation.l0,
        "ce_recovered": evaluation.ce_recovered,
        "features_alive": feature_run.alive,
        "steered_differs": experiment.differs,
        "seconds": {**seconds, "total": round(sum(seconds.values()), 1)},
        "urls": {
            "training": run.get_absolute_url(),
            "sae": sae.get_absolute_url(),
            "features": feature_run.get_absolute_url(),
            "steering": experiment.get_absolute_url(),
            "export": export.get_absolute_url(),
        },
    }


def _with_examples(features: list[Feature]) -> list[tuple[Feature, str]]:
    """Each feature with its strongest example in one line, or nothing."""
    snippets = snippets_of(features)
    shown = {pk: example.cropped(EXAMPLE_TOKENS) for pk, example in snippets.items()}
    texts = {pk: "".join(example.texts) for pk, example in shown.items()}
    return [(feature, " ".join(texts.get(feature.pk, "").split())) for feature in features]


def report_lines(figures: dict[str, Any], experiment: Experiment, sae: Sae) -> list[str]:
    """The report in words."""
    texts = {g.condition: " ".join(g.text.split()) for g in experiment.generations.all()}
    steered = experiment.spec["features"][0]
    feature = sae.features.get(index=steered["index"])
    lines = [
        "",
        f"{sae.name}: trained on {figures['tokens']:,} tokens of text, measured on held-out documents",
        f"  FVU {figures['fvu']:.3f}   L0 {figures['l0']:.1f}   CE recovered {figures['ce_recovered']:.3f}",
        f"  {figures['features_alive']:,} of {sae.d_sae:,} features fire. The most interesting:",
    ]
    for shown, example in _with_examples(demo_features(sae)):
        lines.append(f"    {shown.index:>6}  {shown.gloss[:110]}")
        lines += [f"            {example}"] if example else []
    lines += [
        f"  Steering with feature {feature.index} ({feature.name[:40]}) × {steered['strength']:g}:",
        f"    baseline  {experiment.prompt}{' ' if texts else ''}{texts.get(Generation.Condition.BASELINE, '')[:120]}",
        f"    steered   {experiment.prompt}{' ' if texts else ''}{texts.get(Generation.Condition.STEERED, '')[:120]}",
        "  Seconds: " + ", ".join(f"{stage} {spent:g}" for stage, spent in figures["seconds"].items()),
    ]
    return lines
