"""Live fragment of experiments: the job while it runs, then both texts."""

from django.template.loader import render_to_string

from apps.core.asking import row_or_none
from apps.core.live.rendering import renders
from apps.core.live.topics import EXPERIMENTS
from apps.steering.pages import result_context
from apps.steering.selectors import experiment_list


@renders(EXPERIMENTS)
def render(pk: str) -> str | None:
    """experiments/<id>: the result as its page shows it, and the state in the list."""
    experiment = row_or_none(experiment_list(), pk)
    if experiment is None:
        return None
    context = result_context(experiment)
    return render_to_string("steering/result.html", context) + render_to_string("steering/state.html", context)
