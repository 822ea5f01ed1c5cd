"""What a library warns of while files are read becomes events; what concerns one call, or other libraries, does not."""

import json
import logging

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.engine.tiny_models import PACKED_WIDTH, tiny_model, tiny_model_folder, tiny_tokenizer
from workers.engine.language_models.importing import language_model_import
from workers.engine.language_models.loading import language_model_load
from workers.engine.library_warnings import library_warnings
from workers.engine.progress import Progress
from workers.engine.specs.language_models import LanguageModelImportInputs, LanguageModelImportSpec

TOKENIZERS = logging.getLogger("transformers.tokenization_utils_tokenizers")


def warnings_of(progress: Progress) -> list[str]:
    return [line["text"] for line in progress.lines if line["t"] == "event" and line["level"] == "warning"]


def warnings_while(source, tmp_path) -> list[str]:
    """Of an import of `source`."""
    progress, out = Progress(), tmp_path / "out"
    out.mkdir()
    inputs = LanguageModelImportInputs(job_dir=str(tmp_path), out_dir=str(out), path=str(source))
    language_model_import(LanguageModelImportSpec(source="folder", path=str(source)), inputs, progress)
    return warnings_of(progress)


def test_a_model_that_reads_without_a_word_has_no_event(tmp_path):
    assert warnings_while(tiny_model_folder(tmp_path), tmp_path) == []


def test_a_wrong_splitting_pattern_is_told(tmp_path):
    source = tmp_path / "source"
    tiny_model(vocab_size=100_100).save_pretrained(source)
    tiny_tokenizer().save_pretrained(source)
    rules = json.loads((source / "tokenizer.json").read_text())
    known = rules["model"]["vocab"]
    known |= {f"w{n}": n for n in range(len(known), 100_100)}  # only large vocabularies are looked at
    (source / "tokenizer.json").write_text(json.dumps(rules))
    config = json.loads((source / "config.json").read_text())
    config |= {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "transformers_version": "4.50.0"}
    (source / "config.json").write_text(json.dumps(config))
    (text,) = warnings_while(source, tmp_path)
    assert "incorrect regex pattern" in text


def test_weights_that_the_model_does_not_use_are_named(tmp_path):
    source = tiny_model_folder(tmp_path)
    weights = load_file(source / "model.safetensors")
    weights |= {f"model.value_head.{n}": torch.zeros(3) for n in range(7)}
    save_file(weights, source / "model.safetensors", metadata={"format": "pt"})
    (text,) = warnings_while(source, tmp_path)
    assert text.startswith("7 weights of the files are not used by LlamaForCausalLM: model.value_head.0, ")
    assert text.endswith("model.value_head.4, ….")


def test_a_tokenizer_that_had_to_be_rebuilt_is_told(tmp_path):
    source = tiny_model_folder(tmp_path, "gpt2")
    rules = json.loads((source / "tokenizer.json").read_text())
    (source / "vocab.json").write_text(json.dumps(rules["model"]["vocab"]))
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in rules["model"]["merges"]]
    (source / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    (source / "tokenizer.json").unlink()
    (source / "tokenizer_config.json").write_text(
        json.dumps(
            {"tokenizer_class": "GPT2Tokenizer", **dict.fromkeys(("bos_token", "eos_token", "unk_token"), "</s>")}
        )
    )
    assert any("no tokenizer.json" in text for text in warnings_while(source, tmp_path))


def test_a_text_is_told_once_and_to_the_outermost_listener_alone():
    outer, inner = Progress(), Progress()
    with library_warnings(outer):
        TOKENIZERS.warning("A pattern\nis  wrong.")
        with library_warnings(inner):
            TOKENIZERS.warning("A pattern is wrong.")
        TOKENIZERS.warning("Another one.")
    TOKENIZERS.warning("Nobody listens.")
    assert warnings_of(outer) == ["Transformers: A pattern is wrong.", "Transformers: Another one."]
    assert warnings_of(inner) == []


@pytest.mark.parametrize(
    ("logger", "text"),
    [
        ("transformers.tokenization_utils_base", "Token indices sequence length is longer than the specified maximum"),
        ("transformers.generation.utils", "Setting `pad_token_id`"),
        ("bitsandbytes.backends.cpu.ops", "Failed to load"),
    ],
)
def test_what_concerns_one_call_is_no_event(logger, text):
    progress = Progress()
    with library_warnings(progress):
        logging.getLogger(logger).warning(text)
    assert progress.lines == []


def test_a_missing_package_of_kernels_is_no_noise(tmp_path, caplog):
    model = language_model_load(tiny_model_folder(tmp_path, width=PACKED_WIDTH), quantization="nf4", device="cpu")
    model(torch.tensor([[1, 2, 3]]))
    assert not [record for record in caplog.records if record.name.startswith("bitsandbytes")]
    assert not logging.getLogger("bitsandbytes.backends.cpu.ops").isEnabledFor(logging.WARNING)


@pytest.mark.parametrize("how", ["disabled", "quiet"])
def test_a_library_that_somebody_silenced_is_heard_and_left_as_it_was(how, monkeypatch):
    library, progress = logging.getLogger("transformers"), Progress()
    monkeypatch.setattr(TOKENIZERS, "disabled", how == "disabled")
    monkeypatch.setattr(library, "level", logging.ERROR if how == "quiet" else library.level)
    before = library.level
    logging.root.manager._clear_cache()
    with library_warnings(progress):
        TOKENIZERS.warning("A pattern is wrong.")
    assert warnings_of(progress) == ["Transformers: A pattern is wrong."]
    assert library.level == before
