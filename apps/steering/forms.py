"""The steering form: the Spec's form with the features chosen in a cart of rows."""

from dataclasses import dataclass
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict

from apps.core.spec_forms import SpecForm, spec_form
from apps.features.models import Feature
from apps.steering.models import Experiment
from workers.engine.specs.steering import SteerSpec

SHORT_NAMES = {"f": "features", "p": "prompt"}
"""Parameters of shared links: /steering/new/?sae=1&f=12:4,77:-2&p=…"""


@dataclass(frozen=True)
class CartRow:
    """One feature in the cart; `strength` as it was typed."""

    index: str
    strength: str
    feature: Feature | None


class ExperimentNameForm(forms.Form):
    """The name under which an experiment is kept."""

    name = forms.CharField(max_length=200, label="Name", help_text="Saved experiments stand first in the list.")


def posted_form(sent: QueryDict) -> SpecForm:
    """The Spec's form with what was sent; rows of the cart (index and strength, repeated) become `features`. A row with
    an empty strength is left out."""
    sent = sent.copy()
    pairs = zip(sent.getlist("index"), sent.getlist("strength"))
    rows = [f"{index.strip()}:{strength.strip()}" for index, strength in pairs if strength.strip()]
    if rows:
        sent["features"] = ", ".join(rows)
    return spec_form(SteerSpec)(sent)


def linked_form(query: QueryDict, initial: dict[str, Any] | None = None) -> SpecForm:
    """An empty form prefilled by `initial` and by a link's parameters."""
    asked = {SHORT_NAMES.get(name, name): value for name, value in query.items()}
    known = {name: value for name, value in asked.items() if name in SteerSpec.options()}
    return spec_form(SteerSpec)(initial={**(initial or {}), **known})


def spec_initial(experiment: Experiment) -> dict[str, Any]:
    """The form's values for an experiment's Spec."""
    spec = {name: value for name, value in experiment.spec.items() if name != "schema"}
    return spec | {"features": ",".join(f"{f['index']}:{f['strength']:g}" for f in spec["features"])}


def cart_rows(form: SpecForm, sae: int | None) -> list[CartRow]:
    """What lies in the form's cart, with the rows' words. Text that is no list of features gives nothing."""
    text = form["features"].value() or ""
    try:
        chosen = form.fields["features"].clean(text)
    except ValidationError:
        return []
    rows = {f.index: f for f in Feature.objects.filter(sae=sae, index__in=[c.index for c in chosen])}
    return [CartRow(str(c.index), f"{c.strength:g}", rows.get(c.index)) for c in chosen]
