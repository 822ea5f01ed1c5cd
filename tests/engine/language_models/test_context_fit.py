"""What tokens and contexts a model can read, by architecture."""

import pytest
from transformers import BloomConfig, Gemma3Config, GPT2Config, LlamaConfig, MptConfig

from tests.engine.tiny_models import FAMILIES, MAX_CONTEXT, VOCAB_SIZE, tiny_model
from workers.engine.language_models.context_fit import contexts_check, longest_context
from workers.engine.specs.errors import EngineError


@pytest.mark.parametrize(
    ("config", "longest"),
    [
        (LlamaConfig(max_position_embeddings=77), 77),
        (GPT2Config(n_positions=77), 77),
        (MptConfig(max_seq_len=77), 77),
        (Gemma3Config(text_config={"max_position_embeddings": 77}), 77),
        (BloomConfig(), None),
    ],
    ids=lambda value: getattr(value, "model_type", str(value)),
)
def test_the_longest_context_is_found_whatever_the_architecture_calls_it(config, longest):
    assert longest_context(config) == longest


@pytest.mark.parametrize("family", FAMILIES)
def test_a_token_or_a_context_beyond_the_model_is_refused(family):
    model = tiny_model(family)
    contexts_check(model, largest_id=VOCAB_SIZE - 1, context_length=MAX_CONTEXT)
    for values, code in (
        ({"largest_id": VOCAB_SIZE, "context_length": 8}, "tokenizer_mismatch"),
        ({"largest_id": 0, "context_length": MAX_CONTEXT + 1}, "context_too_long"),
    ):
        with pytest.raises(EngineError) as refused:
            contexts_check(model, **values)
        assert refused.value.code == code and refused.value.hint
