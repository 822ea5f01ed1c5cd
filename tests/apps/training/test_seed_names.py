"""What rows say about a body in the seed's names: the width and the hook site of its activations."""

import pytest

from apps.core.errors import AppError
from apps.core.spec_forms import spec_from_json
from apps.training.seed_names import from_seed_names
from tests.apps.prepared import make_cache, make_language_model
from workers.engine.specs.training import TrainSpec

pytestmark = pytest.mark.django_db


def refusal(body) -> AppError:
    with pytest.raises(AppError) as refused:
        from_seed_names(body)
    return refused.value


def test_the_width_of_the_cache_is_what_hidden_dim_must_say():
    cache = make_cache()
    body = {"activation_cache": cache.pk, "hidden_dim": 32, "latent_dim": 64, "num_steps": 5, "top_k_sparsity": 10}
    spec = spec_from_json(TrainSpec, from_seed_names(body))
    assert (spec.d_sae, spec.steps, spec.k) == (64, 5, 6)
    error = refusal({**body, "hidden_dim": 768})
    assert (error.code, error.field) == ("width_differs", "hidden_dim")
    assert "1.resid_post have width 32" in error.message


def test_the_width_of_the_language_model_at_every_site_is_checked_too():
    model = make_language_model()
    body = {"language_model": model.pk, "training_layers": [0, 1], "hook_types": ["residual", "mlp"], "hidden_dim": 32}
    assert from_seed_names(body)["hook_sites"] == ["0.resid_post", "0.mlp_out", "1.resid_post", "1.mlp_out"]
    assert refusal({**body, "hidden_dim": 16}).code == "width_differs"
    assert refusal({**body, "training_layers": [7]}).code == "no_such_hook_site"


def test_layers_and_types_must_be_those_of_the_cache():
    cache = make_cache()
    assert from_seed_names({"activation_cache": cache.pk, "training_layers": [1]})["hook_sites"] == ["1.resid_post"]
    error = refusal({"activation_cache": cache.pk, "training_layers": [0]})
    assert (error.code, error.field) == ("hook_site_differs", "training_layers")


@pytest.mark.parametrize("body", [{"activation_cache": 99}, {"language_model": "x", "hook_sites": ["1.mlp_out"]}, {}])
def test_without_rows_the_width_is_left_to_the_checks_of_the_spec(body):
    assert from_seed_names({**body, "hidden_dim": 768}) == body


@pytest.mark.parametrize("body", [None, [], "text", 3])
def test_what_is_no_object_is_left_to_the_checks_of_the_spec(body):
    assert from_seed_names(body) == body
