"""CE and KL recovered while training: the numbers of a whole evaluation, with fewer passes through the model."""

import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from tests.engine.saes.worlds import random_sae
from tests.engine.tiny_models import D_MODEL, LAYERS, tiny_model_folder
from tests.engine.training.worlds import random_cache, text_inputs, text_spec, text_write
from workers.engine.activations.context_order import ContextOrder
from workers.engine.activations.sinks import SAMPLE_SEED
from workers.engine.datasets.contexts import Contexts
from workers.engine.progress import Progress
from workers.engine.saes.evaluating import Predictions
from workers.engine.saes.splicing import sites_read
from workers.engine.specs.hook_site import HookSite
from workers.engine.training import splice_check
from workers.engine.training.sources import source_open
from workers.engine.training.splice_check import SpliceCheck

SITE = HookSite(layer=1, site="resid_post")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model_folder(tmp_path_factory.mktemp("model"), "llama")


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return text_write(tmp_path_factory.mktemp("text"))


def opened(tmp_path, model, text, **options):
    spec, inputs = text_spec(ce_contexts=5, batch_contexts=3, **options), text_inputs(tmp_path, model, text)
    return SpliceCheck.open(spec, inputs, source_open(spec, inputs, Progress()))


def oracle(model, text, sae):
    """The evaluation's own pass over five held-out contexts, all at once."""
    contexts = Contexts.open(text, "heldout")
    drawn = ContextOrder((len(contexts),), seed=SAMPLE_SEED).round(0)[:5, 1]
    contexts = Contexts(contexts.tokens[drawn], contexts.first_row[drawn], contexts.lengths[drawn])
    ids_BT, is_token_BT = torch.from_numpy(contexts.tokens.astype("int64")), torch.from_numpy(contexts.is_token)
    language_model = AutoModelForCausalLM.from_pretrained(model)
    with torch.no_grad():
        predicted = Predictions(sae, language_model)
        predicted.add((ids_BT, is_token_BT), sites_read(language_model, ids_BT, sae.encode_spec))
    return predicted.means()


@pytest.mark.parametrize("kept_bytes", [2**30, 0])
def test_it_measures_what_an_evaluation_measures(tmp_path, model, text, monkeypatch, kept_bytes):
    monkeypatch.setattr(splice_check, "KEPT_BYTES", kept_bytes)
    check = opened(tmp_path, model, text)
    for seed in (0, 1):
        sae = random_sae(d_in=D_MODEL, d_sae=64, hook_site=SITE, seed=seed)
        expected, found = oracle(model, text, sae), check.measure(sae)
        assert found["ce_recovered"] == pytest.approx(expected.ce_recovered, rel=1e-3)
        assert found["kl_recovered"] == pytest.approx(expected.kl_recovered, rel=1e-3)
    assert check.measure(sae) == found


def test_the_clean_pass_the_zeros_and_the_blocks_below_the_site_run_once(tmp_path, model, text, monkeypatch):
    check, passes, forward = opened(tmp_path, model, text), [], LlamaDecoderLayer.forward

    def counting(self, *args, **known):
        passes.append(1)
        return forward(self, *args, **known)

    monkeypatch.setattr(LlamaDecoderLayer, "forward", counting)
    for seed in range(3):
        check.measure(random_sae(d_in=D_MODEL, d_sae=64, hook_site=SITE, seed=seed))
    below, above = SITE.layer + 1, LAYERS - SITE.layer - 1
    whole = below + above
    assert len(passes) == 2 * (whole + below + above + 3 * above)  # two batches: clean, below, zeros, three SAEs


def test_there_is_none_where_nothing_can_be_measured(tmp_path, model, text):
    spec, inputs = text_spec(ce_contexts=0), text_inputs(tmp_path, model, text)
    assert SpliceCheck.open(spec, inputs, source_open(spec, inputs, Progress())) is None
    cached = text_inputs(tmp_path, "", text, cache_dir=str(random_cache(tmp_path / "cache")), hook_site=str(SITE))
    spec = text_spec(ce_contexts=4)
    assert SpliceCheck.open(spec, cached, source_open(spec, cached, Progress())) is None


def test_a_run_on_a_cache_measures_with_the_language_model_it_is_given(tmp_path, model, text):
    spec = text_spec(ce_contexts=5)
    inputs = text_inputs(tmp_path, model, text, cache_dir=str(random_cache(tmp_path / "cache")), hook_site=str(SITE))
    source = source_open(spec, inputs, Progress())
    assert source.model is None
    sae = random_sae(d_in=D_MODEL, d_sae=64, hook_site=SITE)
    found = SpliceCheck.open(spec, inputs, source).measure(sae)
    assert found["ce_recovered"] == pytest.approx(oracle(model, text, sae).ce_recovered, rel=1e-3)
