"""The pipeline at a glance: what is there at each stop, and the one action that is missing."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils.http import urlencode

from apps.activations.models import ActivationCache
from apps.datasets.models import Dataset, Tokenization
from apps.features.artifacts import Example
from apps.features.models import Feature, FeatureRun
from apps.features.selectors import feature_list, snippets_of
from apps.jobs.models import Job, Subject
from apps.jobs.states import ACTIVE
from apps.language_models.models import LanguageModel
from apps.saes.models import Sae
from apps.steering.models import Experiment
from apps.training.models import TrainingRun
from workers.engine.specs.steering import USUAL_STRENGTH


@dataclass(frozen=True)
class Stop:
    """One stop of the pipeline: how many are ready there and how many are being made."""

    name: str
    icon: str
    url: str
    ready: int
    waiting: int = 0

    @property
    def state(self) -> str:
        """done, busy or empty."""
        return "done" if self.ready else "busy" if self.waiting else "empty"


@dataclass(frozen=True)
class NextStep:
    """The action that the pipeline waits for."""

    words: str
    action: str
    url: str


def pipeline() -> list[Stop]:
    """All stops in order, one query for each."""
    return [
        _stop(Dataset, "Datasets", "database", reverse("datasets:list")),
        _stop(LanguageModel, "Language models", "brain", reverse("language_models:list")),
        _stop(Tokenization, "Tokenizations", "scissors", reverse("datasets:list")),
        _stop(ActivationCache, "Activations", "layers", reverse("activations:list")),
        _stop(TrainingRun, "Training runs", "chart-spline", reverse("training:list")),
        Stop("SAEs", "hexagon", reverse("saes:list"), Sae.objects.count()),
        _features_stop(),
        _stop(Experiment, "Steering", "sliders-horizontal", reverse("steering:list")),
    ]


def _stop(model: type[Subject], name: str, icon: str, url: str) -> Stop:
    rows = model._default_manager.all()
    ready = rows.filter(ready_at__isnull=False).count()
    coming = rows.filter(ready_at__isnull=True, pk__in=_under_way(model)).count()
    return Stop(name, icon, url, ready, coming)


def _features_stop() -> Stop:
    """Features that fire, and the feature runs that are under way."""
    waiting = FeatureRun.objects.filter(pk__in=_under_way(FeatureRun)).count()
    return Stop(
        "Features", "sparkles", reverse("features:index"), Feature.objects.filter(density__gt=0).count(), waiting
    )


def _under_way(model: type[Subject]) -> QuerySet:
    """Ids of the rows whose job has not ended: what failed or was cancelled does not come."""
    return Job.objects.filter(subject_entity=model.ENTITY, state__in=ACTIVE).values("subject_id")


def next_step(stops: list[Stop]) -> NextStep | None:
    """What to do now: fill the first empty stop, from the newest thing before it. None while that stop is being filled."""
    first = next((stop for stop in stops if not stop.ready), None)
    if first is None:
        return _next_of_full()
    return None if first.waiting else STEPS[first.name]()


def _next_of_full() -> NextStep:
    """With something at every stop: features for an SAE that has none, or another training run."""
    under_way = FeatureRun.objects.filter(pk__in=_under_way(FeatureRun)).values("sae")
    bare = Sae.objects.exclude(pk__in=Feature.objects.values("sae")).exclude(pk__in=under_way).first()
    if bare is not None:
        return _features_step(bare)
    cache = _newest(ActivationCache)
    return NextStep(
        "Your pipeline is complete. Train another SAE to compare settings.",
        "Train another SAE",
        _url("training:new", activation_cache=cache.pk),
    )


def _newest(model: type[Subject]) -> Any:
    return model._default_manager.filter(ready_at__isnull=False).order_by("-id").first()


def _url(name: str, *args: object, **query: object) -> str:
    known = {key: value for key, value in query.items() if value is not None}
    return reverse(name, args=args) + (f"?{urlencode(known)}" if known else "")


def _tokenization_step() -> NextStep:
    dataset, model = _newest(Dataset), _newest(LanguageModel)
    words = f"{dataset} is text, {model} reads tokens: cut one for the other."
    return NextStep(words, "Tokenize", _url("datasets:tokenize", dataset.pk, language_model=model.pk))


def _activations_step() -> NextStep:
    tokenization = _newest(Tokenization)
    return NextStep(
        f"Run {tokenization.language_model} over {tokenization.dataset} and keep its activations at one hook site.",
        "Cache activations",
        _url("activations:new", tokenization=tokenization.pk, language_model=tokenization.language_model_id),
    )


def _training_step() -> NextStep:
    cache = _newest(ActivationCache)
    words = f"The activations of {cache} wait for an SAE."
    return NextStep(words, "Train an SAE", _url("training:new", activation_cache=cache.pk))


def _sae_step() -> NextStep:
    return NextStep("No training run has left an SAE yet.", "Look at the runs", reverse("training:list"))


def _features_step(sae: Sae | None = None) -> NextStep:
    sae = sae or Sae.objects.first()
    words = f"Nobody knows yet what the {sae.d_sae:,} latents of {sae} stand for."
    return NextStep(words, "Find features", _url("features:new", sae=sae.pk, tokenization=sae.tokenization_id))


def _steering_step() -> NextStep:
    feature = Feature.objects.filter(density__gt=0).order_by("-is_starred", "-interest").first()
    words = f"See what the model says with “{feature.name or feature}” of {feature.sae} turned up."
    return NextStep(words, "Steer", _url("steering:new", sae=feature.sae_id, f=f"{feature.index}:{USUAL_STRENGTH:g}"))


STEPS = {
    "Datasets": lambda: NextStep("Everything begins with text.", "Import a dataset", reverse("datasets:new")),
    "Language models": lambda: NextStep(
        "Choose the transformer to look into.", "Import a language model", reverse("language_models:new")
    ),
    "Tokenizations": _tokenization_step,
    "Activations": _activations_step,
    "Training runs": _training_step,
    "SAEs": _sae_step,
    "Features": _features_step,
    "Steering": _steering_step,
}
"""Stop → what fills it."""


def interesting_features(most: int = 6) -> list[tuple[Feature, Example | None]]:
    """The most interesting features of the newest SAE that has any, each with its strongest example."""
    newest = Feature.objects.filter(interest__gt=0).order_by("-sae").values_list("sae", flat=True).first()
    found = list(feature_list(sae=newest, sort="interest", peculiarity="none")[:most]) if newest else []
    snippets = snippets_of(found)
    return [(feature, snippets.get(feature.pk)) for feature in found]


def starred_features(most: int = 8) -> list[Feature]:
    """Starred features, those changed last first; labelled ones where nothing has a star."""
    words = Feature.objects.select_related("sae").order_by("-changed_at", "-id")
    starred = list(words.filter(is_starred=True)[:most])
    return starred or list(words.exclude(Q(label="") & Q(category=""))[:most])
