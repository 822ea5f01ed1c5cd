"""The four kinds of presets: whose options each holds, and which of them a preset leaves open.

A preset stores only what it decides. What it refers to (an activation cache, an SAE, a text) is chosen in the form.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from apps.core.errors import AppError, NotFound
from apps.core.spec_forms import SpecForm, form_from_json, option_is_idle, spec_form
from apps.presets.models import Preset
from workers.engine.specs.base import Spec
from workers.engine.specs.features import FeatureRunSpec
from workers.engine.specs.presets import LabelingPromptSpec
from workers.engine.specs.steering import SteeredFeature, SteerSpec
from workers.engine.specs.training import TrainSpec


@dataclass(frozen=True)
class PresetKind:
    """One kind: `left_open` are the options that no preset decides, with stand-ins from which the Spec can be built."""

    name: str
    spec_class: type[Spec]
    left_open: Mapping[str, Any]
    form_url: str
    """URL name of the form that a preset is loaded into; "" when there is none."""
    made: str
    """What comes of it, for "used by 3 runs"."""

    @property
    def title(self) -> str:
        return str(Preset.Kind(self.name).label)

    @property
    def option_names(self) -> list[str]:
        """Options that a preset of this kind may decide."""
        return [name for name in self.spec_class.options() if name not in self.left_open]

    def form(self, data: Any = None, *, only: Iterable[str] | None = None, initial: Any = None) -> SpecForm:
        """The Spec's form without what is left open; `only`: with these options alone, the others at their defaults."""
        form_class = spec_form(self.spec_class)
        wanted = set(self.option_names if only is None else only)
        closed = {n: f.initial for n, f in form_class.base_fields.items() if n not in wanted}
        return form_class(data, decided={**closed, **self._reasons(wanted), **self.left_open}, initial=initial)

    def _reasons(self, names: Iterable[str]) -> dict[str, str]:
        """Choices under which the named options have a meaning, for options that are not named themselves: a preset may
        decide an L1 coefficient and leave the architecture open."""
        options, named, found = self.spec_class.options(), set(names), {}
        waiting = [name for name in named if name in options]
        while waiting:
            only_for = options[waiting.pop()].only_for
            if only_for is not None and only_for[0] not in named | set(found):
                found[only_for[0]] = only_for[1][0]
                waiting.append(only_for[0])
        return found

    def options_of(self, form: SpecForm, names: Iterable[str] | None = None) -> dict[str, Any]:
        """What a valid form decides, as JSON: those of `names` that have a meaning beside each other."""
        spec = form.spec()
        wanted = set(self.option_names if names is None else names) - set(self.left_open)
        return {
            name: value
            for name, value in spec.to_json().items()
            if name in wanted and not option_is_idle(spec.options()[name], vars(spec))
        }

    def options_read(self, body: Any) -> dict[str, Any]:
        """Options from a JSON object, checked one by one and with each other. AppError "spec_invalid" with `field`."""
        closed = [name for name in body if name in self.left_open] if isinstance(body, dict) else []
        if closed:
            raise AppError(
                "spec_invalid",
                f"A template does not decide {closed[0]}.",
                "Leave it out: it is chosen in the form.",
                field=closed[0],
            )
        reasons = self._reasons(body) if isinstance(body, dict) else {}
        form = form_from_json(self.spec_class, body, decided={**reasons, **self.left_open})
        return self.options_of(form, body)

    def options_upgrade(self, stored: Mapping[str, Any], schema: int) -> dict[str, Any]:
        """Options that were written under `schema`, in today's names. AppError "preset_too_new" for a later one."""
        if schema > self.spec_class.SCHEMA:
            raise AppError(
                "preset_too_new",
                f"This template comes from a newer version of the studio: its schema is {schema}, "
                f"{self.spec_class.SCHEMA} is known here.",
                "Update the studio.",
            )
        values = {name: value for name, value in stored.items() if name != "schema"}
        return self.spec_class.upgrade(values, schema) if schema < self.spec_class.SCHEMA else values


KINDS: Mapping[str, PresetKind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            PresetKind(
                Preset.Kind.TRAINING.value,
                TrainSpec,
                {
                    "name": "",
                    "source": "cache",
                    "activation_cache": 1,
                    "language_model": None,
                    "tokenization": None,
                    "more_tokenizations": (),
                    "mixing": "interleaved",
                    "mixing_weights": (),
                    "hook_sites": (),
                    "use_cache": True,
                    "buffer_tokens": 65_536,
                    "device": "auto",
                },
                "training:new",
                "training run",
            ),
            PresetKind(
                Preset.Kind.EXTRACTION.value,
                FeatureRunSpec,
                {"sae": 1, "tokenization": 1, "device": "auto"},
                "features:new",
                "feature run",
            ),
            PresetKind(Preset.Kind.LABELING.value, LabelingPromptSpec, {}, "", "labeling run"),
            PresetKind(
                Preset.Kind.STEERING.value,
                SteerSpec,
                {"sae": 1, "features": (SteeredFeature(index=0, strength=1.0),), "device": "auto"},
                "steering:new",
                "experiment",
            ),
        )
    }
)


def kind_get(name: str) -> PresetKind:
    """The kind of that name; NotFound otherwise."""
    if name not in KINDS:
        raise NotFound("kind of template", name)
    return KINDS[name]


def kind_of_job(job_kind: str) -> PresetKind:
    """The kind whose presets are parts of such jobs' Specs; AppError "no_preset_kind" when there is none."""
    for kind in KINDS.values():
        if job_kind == kind.spec_class.KIND:
            return kind
    raise AppError("no_preset_kind", f"No template is made from a job of the kind {job_kind}.", "Choose another job.")
