"""Rules between the options of a training."""

import pytest

from workers.engine.specs.errors import SpecInvalid
from workers.engine.specs.training import TrainSpec


@pytest.mark.parametrize(
    ("name", "values", "more"),
    [
        ("sweep_d_sae", (64, 128, 64), {}),
        ("sweep_k", (4, 4), {}),
        ("sweep_coefficient", (0.5, 1.0, 0.5), {"architecture": "standard"}),
        ("sweep_seeds", (0, 0), {}),
    ],
)
def test_a_sweep_names_no_value_twice(name, values, more):
    TrainSpec(activation_cache=1, k=4, **more, **{name: tuple(dict.fromkeys(values))})
    with pytest.raises(SpecInvalid, match="stands there twice") as refused:
        TrainSpec(activation_cache=1, k=4, **more, **{name: values})
    assert refused.value.field == name
