"""Job kind → runner. The one list on the Django side; a test compares it with the engine's list of Specs."""

from functools import cache
from importlib import import_module

from workers.engine.specs.kinds import SPECS
from workers.runners.base import Runner

# Modules are named after their kinds; each has a class `<Kind>Runner`, e.g. feature_run.FeatureRunRunner.


@cache
def runner_for(kind: str) -> Runner:
    """The runner of a kind; KeyError for a kind that no Spec declares."""
    SPECS[kind]
    module = import_module(f"workers.runners.{kind}")
    name = "".join(part.capitalize() for part in kind.split("_")) + "Runner"
    return getattr(module, name)()
