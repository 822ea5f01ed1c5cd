"""Models driven out of their range say so before a token is made of what they write."""

import pytest
import torch

from tests.engine.tiny_models import tiny_model
from workers.engine.language_models.finite_output import finite_check, finite_output
from workers.engine.specs.errors import EngineError


@pytest.mark.parametrize(("value", "is_refused"), [(float("nan"), True), (float("inf"), True), (float("-inf"), False)])
def test_nan_and_infinity_are_no_output_and_a_forbidden_token_is(value, is_refused):
    logits = torch.tensor([[0.0, value, 3.0]])
    if not is_refused:
        assert finite_check(logits) is logits
        return
    with pytest.raises(EngineError, match="output was not a number") as refused:
        finite_check(logits)
    assert refused.value.code == "output_not_finite"


def test_every_pass_is_looked_at_while_it_is_open_and_none_after():
    model = tiny_model()
    with torch.no_grad():
        model.lm_head.weight[3] = float("nan")
    with finite_output(model), pytest.raises(EngineError, match="not a number"):
        model(torch.tensor([[1, 2, 3]]))
    assert model(torch.tensor([[1, 2, 3]])).logits.isnan().any()
