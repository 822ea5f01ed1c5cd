"""Holding a model otherwise: what is measured, and models that do not survive it."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.engine.tiny_models import FAMILIES, PACKED_WIDTH, tiny_model_folder
from workers.engine.language_models.loading import language_model_load
from workers.engine.language_models.quantizing import language_model_quantize
from workers.engine.progress import Progress
from workers.engine.specs.errors import EngineError, SpecInvalid
from workers.engine.specs.language_models import LanguageModelQuantizeInputs, LanguageModelQuantizeSpec


def run(tmp_path, folder, quantization):
    spec = LanguageModelQuantizeSpec(language_model=1, quantization=quantization)
    inputs = LanguageModelQuantizeInputs(job_dir=str(tmp_path), out_dir=str(tmp_path), model_dir=str(folder))
    return language_model_quantize(spec, inputs, Progress())


@pytest.mark.parametrize("quantization", ["fp32", "bf16", "int8", "nf4"])
def test_the_footprint_is_that_of_the_loaded_model_and_no_file_changes(tmp_path, quantization):
    folder = tiny_model_folder(tmp_path, width=PACKED_WIDTH)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    result = run(tmp_path, folder, quantization)
    loaded = language_model_load(folder, quantization=quantization, device="cpu")
    assert (result.quantization, result.footprint_bytes) == (quantization, loaded.get_memory_footprint())
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_fewer_bits_take_less_memory_and_as_published_is_resolved(tmp_path):
    folder = tiny_model_folder(tmp_path, width=PACKED_WIDTH)
    published = run(tmp_path, folder, "auto")
    assert published.quantization == "fp32"
    sizes = [published.footprint_bytes, *(run(tmp_path, folder, wish).footprint_bytes for wish in ("int8", "nf4"))]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 3


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_whose_widths_do_not_pack_is_refused_before_its_weights_are_read(tmp_path, family):
    folder = tiny_model_folder(tmp_path, family)
    for path in folder.glob("*.safetensors"):
        path.unlink()
    with pytest.raises(SpecInvalid, match=r"cannot be held in 4 bits: the widths of \S+\.0\.\S+ \(32 inputs"):
        run(tmp_path, folder, "nf4")


def test_a_model_that_computes_nonsense_is_refused(tmp_path):
    folder = tiny_model_folder(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.lm_head.weight.mul_(1e38)
    model.save_pretrained(folder)
    with pytest.raises(EngineError) as caught:
        run(tmp_path, folder, "fp16")  # float16 ends at 65,504
    assert caught.value.code == "not_finite"
