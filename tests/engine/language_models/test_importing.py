"""Importing from folders and GGUF, what the result says, and sources that cannot be meant."""

import hashlib
import json
import weakref

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from gguf import GGUFWriter
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    LlamaModel,
    T5Config,
    T5ForConditionalGeneration,
)

from tests.engine.tiny_models import (
    D_MLP,
    D_MODEL,
    FAMILIES,
    HEADS,
    LAYERS,
    MAX_CONTEXT,
    PACKED_WIDTH,
    VOCAB_SIZE,
    tiny_model,
    tiny_model_folder,
    tiny_tokenizer,
)
from workers.engine.language_models import importing, model_files
from workers.engine.language_models.importing import language_model_import
from workers.engine.language_models.loading import language_model_load
from workers.engine.language_models.sizes import kv_width
from workers.engine.language_models.tokenizer_hash import tokenizer_sha256
from workers.engine.progress import Progress
from workers.engine.specs.errors import BadArtifact, DiskFull, EngineError, SpecInvalid
from workers.engine.specs.hook_site import SITES
from workers.engine.specs.language_models import QUANTIZATIONS, LanguageModelImportInputs, LanguageModelImportSpec


def run(tmp_path, path, source="folder", **options):
    """Import `path`; returns the result and the folder."""
    out = tmp_path / "out"
    out.mkdir()
    inputs = LanguageModelImportInputs(job_dir=str(tmp_path), out_dir=str(out), path=str(path))
    spec = LanguageModelImportSpec(source=source, path=str(path), **options)
    return language_model_import(spec, inputs, Progress()), out


def error_of(tmp_path, path, source="folder"):
    with pytest.raises(EngineError) as caught:
        run(tmp_path, path, source)
    assert caught.value.hint
    assert not caught.value.transient
    return caught.value


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_is_imported_with_its_sizes(tmp_path, family):
    source = tiny_model_folder(tmp_path, family)
    result, out = run(tmp_path, source)
    model = AutoModelForCausalLM.from_pretrained(source)
    assert (result.layers, result.d_model, result.d_mlp, result.heads) == (LAYERS, D_MODEL, D_MLP, HEADS)
    assert (result.vocab_size, result.max_context) == (VOCAB_SIZE, MAX_CONTEXT)
    assert result.architecture == type(model).__name__
    assert result.parameters == model.num_parameters()
    assert result.tied_embeddings == model.config.tie_word_embeddings
    assert result.dtype == "float32"
    assert result.bytes == sum(path.stat().st_size for path in out.iterdir())


@pytest.mark.parametrize("wish", ["auto", *(key for key, _ in QUANTIZATIONS)])
def test_the_import_measures_the_model_as_it_will_be_held(tmp_path, wish):
    result, out = run(tmp_path, tiny_model_folder(tmp_path, width=PACKED_WIDTH), quantization=wish)
    assert result.quantization == ("fp32" if wish == "auto" else wish)
    loaded = language_model_load(out, quantization=result.quantization, device="cpu")
    assert result.footprint_bytes == loaded.get_memory_footprint()
    assert result.dtype == "float32"  # files stay as published
    assert (result.kv_width, result.linear_parameters) == (kv_width(loaded), LAYERS * 9 * PACKED_WIDTH**2)


def test_quantized_weights_are_loaded_after_the_published_ones_are_gone(tmp_path, monkeypatch):
    alive, original, measure = [], importing.complete_model_load, importing.quantized_footprint

    def load(*args):
        model, unused = original(*args)
        alive.append(weakref.ref(model))
        return model, unused

    monkeypatch.setattr(importing, "complete_model_load", load)
    monkeypatch.setattr(importing, "quantized_footprint", lambda *args: (alive[0]() is None) and measure(*args))
    assert run(tmp_path, tiny_model_folder(tmp_path), quantization="int8")[0].footprint_bytes > 0


def test_the_imported_folder_is_a_model_that_computes_the_same(tmp_path):
    source = tiny_model_folder(tmp_path, "gpt2")
    _, out = run(tmp_path, source)
    ids = torch.arange(5)[None]
    with torch.no_grad():
        theirs = AutoModelForCausalLM.from_pretrained(source).eval()(ids).logits
        ours = AutoModelForCausalLM.from_pretrained(out).eval()(ids).logits
    assert torch.equal(ours, theirs)


def test_every_site_of_every_layer_is_listed_with_its_module(tmp_path):
    result, _ = run(tmp_path, tiny_model_folder(tmp_path))
    assert len(result.hook_sites) == LAYERS * len(SITES)
    by_site = {(found.layer, found.site): found.module for found in result.hook_sites}
    assert by_site[2, "resid_post"] == "model.layers.2 out"
    assert by_site[2, "attn_z"] == "model.layers.2.self_attn.o_proj in"


def test_the_module_tree_adds_up_to_all_parameters(tmp_path):
    result, _ = run(tmp_path, tiny_model_folder(tmp_path))
    root, *below = result.modules
    assert (root["path"], root["depth"], root["parameters"]) == ("", 0, result.parameters)
    assert sum(row["parameters"] for row in below if row["depth"] == 1) == result.parameters
    projection = next(row for row in below if row["path"] == "model.layers.0.mlp.down_proj")
    assert (projection["shape"], projection["depth"]) == ([D_MODEL, D_MLP], 5)
    assert not any(row["tied_to"] for row in result.modules)
    json.dumps(result.to_json())


def test_an_output_head_with_the_embeddings_weight_is_tied_to_it(tmp_path):
    result, _ = run(tmp_path, tiny_model_folder(tmp_path, family="gpt2"))
    rows = {row["path"]: row for row in result.modules}
    assert result.tied_embeddings and rows["lm_head"]["tied_to"] == "transformer.wte"
    assert [path for path, row in rows.items() if row["tied_to"]] == ["lm_head"]


def test_the_vocabulary_holds_the_tokenizers_raw_strings(tmp_path):
    _, out = run(tmp_path, tiny_model_folder(tmp_path))
    table = pq.read_table(out / "vocabulary.parquet")
    tokenizer = tiny_tokenizer()
    assert table.column("token_id").to_pylist() == list(range(len(tokenizer)))
    assert table.column("token").to_pylist() == tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    assert "Ġthe" in table.column("token").to_pylist()


def test_hashes_name_weights_and_tokenizer(tmp_path):
    result, out = run(tmp_path, tiny_model_folder(tmp_path))
    assert result.weights_sha256 == hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()
    assert result.tokenizer_sha256 == tokenizer_sha256(AutoTokenizer.from_pretrained(out))


def test_the_chat_template_is_noticed(tmp_path):
    source = tiny_model_folder(tmp_path)
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "{{ messages }}"
    tokenizer.save_pretrained(source)
    assert run(tmp_path, source)[0].has_chat_template


def test_only_files_of_the_model_are_taken(tmp_path):
    source = tiny_model_folder(tmp_path)
    (source / "pytorch_model.bin").write_bytes(b"x")
    (source / "modeling_evil.py").write_text("boom")
    (source / "notes.txt").write_text("notes")
    names = {path.name for path in run(tmp_path, source)[1].iterdir()}
    assert "model.safetensors" in names
    assert not names & {"pytorch_model.bin", "modeling_evil.py", "notes.txt"}


def test_editing_the_source_afterwards_does_not_reach_the_studio(tmp_path):
    source = tiny_model_folder(tmp_path)
    _, out = run(tmp_path, source)
    config = (out / "config.json").read_text()
    with (source / "config.json").open("r+") as file:
        file.write("broken")
    assert (out / "config.json").read_text() == config


# what cannot be meant


def test_a_missing_folder_is_refused(tmp_path):
    assert isinstance(error_of(tmp_path, tmp_path / "nowhere"), BadArtifact)


def test_a_folder_without_a_configuration_is_refused(tmp_path):
    (source := tmp_path / "empty").mkdir()
    assert error_of(tmp_path, source).code == "no_config"


@pytest.mark.parametrize(
    "config",
    ["[" * 100_000, '{"model_type": "llama", "x": ' + "9" * 5000 + "}", '{"model_type": ["llama"]}', "[]", "7"],
)
def test_a_configuration_made_to_harm_is_refused(tmp_path, config):
    source = tiny_model_folder(tmp_path)
    (source / "config.json").write_text(config)
    assert error_of(tmp_path, source).code == "unsupported_architecture"


def test_pickled_weights_are_refused(tmp_path):
    source = tiny_model_folder(tmp_path)
    (source / "model.safetensors").rename(source / "pytorch_model.bin")
    error = error_of(tmp_path, source)
    assert error.code == "pickle_only" and "safetensors" in error.hint


def test_a_folder_without_weights_is_refused(tmp_path):
    source = tiny_model_folder(tmp_path)
    (source / "model.safetensors").unlink()
    assert error_of(tmp_path, source).code == "no_weights"


def small(config_class, **options):
    return config_class(vocab_size=50, num_hidden_layers=1, hidden_size=8, num_attention_heads=2, **options)


@pytest.mark.parametrize(
    "model",
    [
        lambda: BertForMaskedLM(small(BertConfig, intermediate_size=8)),
        lambda: T5ForConditionalGeneration(
            T5Config(vocab_size=50, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
        ),
    ],
)
def test_models_that_do_not_continue_text_are_refused(tmp_path, model):
    source = tmp_path / "other"
    model().save_pretrained(source)
    tiny_tokenizer().save_pretrained(source)
    assert error_of(tmp_path, source).code == "not_decoder_only"


def test_a_base_model_without_its_output_head_is_refused(tmp_path):
    source = tiny_model_folder(tmp_path)
    LlamaModel.from_pretrained(source).save_pretrained(source)
    config = json.loads((source / "config.json").read_text()) | {"architectures": ["LlamaForCausalLM"]}
    (source / "config.json").write_text(json.dumps(config))
    assert "lm_head" in error_of(tmp_path, source).message


def test_an_architecture_that_needs_its_own_code_is_refused(tmp_path):
    source = tiny_model_folder(tmp_path)
    config = json.loads((source / "config.json").read_text()) | {
        "model_type": "evil",
        "auto_map": {"AutoConfig": "configuration_evil.Evil"},
    }
    (source / "config.json").write_text(json.dumps(config))
    assert error_of(tmp_path, source).code == "unsupported_architecture"


def test_truncated_weights_are_refused(tmp_path):
    source = tiny_model_folder(tmp_path)
    weights = source / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    assert isinstance(error_of(tmp_path, source), BadArtifact)


def test_a_text_file_named_safetensors_is_refused(tmp_path):
    source = tiny_model_folder(tmp_path)
    (source / "model.safetensors").write_text("these are no weights, however long this text may be")
    assert isinstance(error_of(tmp_path, source), BadArtifact)


def test_a_model_without_a_tokenizer_is_refused(tmp_path):
    source = tiny_model_folder(tmp_path)
    for path in source.glob("tokenizer*"):
        path.unlink()
    assert "tokenizer" in error_of(tmp_path, source).message


@pytest.mark.parametrize("rows_missing", [0, 1, 200])
def test_a_tokenizer_with_more_ids_than_the_model_embeds_is_refused(tmp_path, rows_missing):
    source = tmp_path / "source"
    tiny_model("llama", vocab_size=len(tiny_tokenizer()) - rows_missing).save_pretrained(source)
    tiny_tokenizer().save_pretrained(source)
    if not rows_missing:
        assert run(tmp_path, source)[0].vocab_size == len(tiny_tokenizer())
        return
    error = error_of(tmp_path, source)
    assert error.code == "tokenizer_mismatch" and f"{len(tiny_tokenizer()) - 1:,}" in error.message


def test_a_full_disk_is_noticed_before_files_are_copied(tmp_path, monkeypatch):
    source = tiny_model_folder(tmp_path)
    monkeypatch.setattr("workers.engine.disk.shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    assert isinstance(error_of(tmp_path, source), DiskFull)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("can_clone", [True, False])
def test_a_later_write_to_the_source_does_not_reach_the_studios_copy(tmp_path, monkeypatch, can_clone):
    if not can_clone:
        monkeypatch.setattr(model_files, "reflink", lambda source, target: False)
    source = tiny_model_folder(tmp_path)
    result, out = run(tmp_path, source)
    before = (out / "model.safetensors").read_bytes()
    with (source / "model.safetensors").open("r+b") as file:
        file.seek(-64, 2)
        file.write(b"\x00" * 64)
    assert (out / "model.safetensors").read_bytes() == before
    assert hashlib.sha256(before).hexdigest() == result.weights_sha256


def test_a_clone_that_the_disk_cannot_make_leaves_nothing(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("not supported")

    (tmp_path / "a").write_bytes(b"weights")
    monkeypatch.setattr(model_files.fcntl, "ioctl", refuse)
    assert not model_files.reflink(tmp_path / "a", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def kept_of(*names, index=""):
    return model_files.files_kept(list(names), "a folder", lambda: index)


def test_of_several_weights_those_are_taken_that_transformers_reads():
    beside = ("onnx/model.safetensors", "model-00001-of-00002.safetensors", "consolidated.safetensors", "a.gguf")
    assert kept_of("config.json", "model.safetensors", *beside) == ["config.json", "model.safetensors"]
    assert kept_of("config.json", "model.safetensors", model_files.INDEX, *beside) == [
        "config.json",
        "model.safetensors",
    ]
    index = '{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00001-of-00002.safetensors"}}'
    assert kept_of("config.json", model_files.INDEX, *beside, index=index) == [
        "config.json",
        model_files.INDEX,
        "model-00001-of-00002.safetensors",
    ]


BAD_INDICES = ("", "[]", "[" * 5000, "{}", *(f'{{"weight_map": {it}}}' for it in ("{}", '{"a": "gone"}', '{"a": 3}')))


@pytest.mark.parametrize("index", BAD_INDICES, ids=range(len(BAD_INDICES)))
def test_an_index_that_names_no_weights_is_a_damaged_folder(index):
    with pytest.raises(BadArtifact):
        kept_of("config.json", model_files.INDEX, "model-00001-of-00002.safetensors", index=index)


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (("config.json", "adapter_model.safetensors"), "adapter_only"),
        (("adapter_config.json", "adapter_model.safetensors"), "adapter_only"),
        (("config.json", "pytorch_model.bin", "adapter_model.safetensors"), "pickle_only"),
        (("config.json", "consolidated.safetensors"), "no_weights"),
        (("model.safetensors",), "no_config"),
    ],
)
def test_what_is_no_whole_model_is_refused_by_its_kind(names, code):
    with pytest.raises(EngineError) as refused:
        kept_of(*names)
    assert refused.value.code == code


# GGUF


@pytest.fixture
def gguf(tmp_path):
    """A tiny Llama with the tiny tokenizer as a GGUF file; returns its path and the model."""
    model, tokenizer = tiny_model("llama", vocab_size=400), tiny_tokenizer()
    path = tmp_path / "tiny.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_license("mit")
    writer.add_block_count(LAYERS)
    writer.add_context_length(MAX_CONTEXT)
    writer.add_embedding_length(D_MODEL)
    writer.add_feed_forward_length(D_MLP)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(2)
    writer.add_rope_freq_base(model.config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(model.config.rms_norm_eps)
    writer.add_vocab_size(400)
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokenizer.convert_ids_to_tokens(list(range(400))))
    writer.add_token_merges([" ".join(pair) for pair in backend["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    for name, tensor in gguf_tensors(model).items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path, model


def gguf_tensors(model) -> dict[str, np.ndarray]:
    """The weights by their GGUF names; q and k rows in llama.cpp's order (halves interleaved)."""

    def interleaved(weight, heads):
        rows = weight.reshape(heads, 2, weight.shape[0] // heads // 2, weight.shape[1])
        return rows.transpose(1, 2).reshape(weight.shape)

    tensors = {
        "token_embd.weight": model.model.embed_tokens.weight,
        "output_norm.weight": model.model.norm.weight,
        "output.weight": model.lm_head.weight,
    }
    for number, block in enumerate(model.model.layers):
        attention, mlp = block.self_attn, block.mlp
        tensors |= {
            f"blk.{number}.{name}.weight": weight
            for name, weight in {
                "attn_norm": block.input_layernorm.weight,
                "ffn_norm": block.post_attention_layernorm.weight,
                "attn_q": interleaved(attention.q_proj.weight, HEADS),
                "attn_k": interleaved(attention.k_proj.weight, 2),
                "attn_v": attention.v_proj.weight,
                "attn_output": attention.o_proj.weight,
                "ffn_gate": mlp.gate_proj.weight,
                "ffn_up": mlp.up_proj.weight,
                "ffn_down": mlp.down_proj.weight,
            }.items()
        }
    return {name: tensor.detach().float().numpy().copy() for name, tensor in tensors.items()}


def test_a_gguf_file_becomes_the_same_model_in_bfloat16(tmp_path, gguf):
    path, model = gguf
    result, out = run(tmp_path, path, "gguf")
    assert (result.dtype, result.licence, result.layers) == ("bfloat16", "mit", LAYERS)
    ids = torch.tensor([[0, 20, 33, 7, 100]])
    with torch.no_grad():
        ours = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)(ids).logits
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16())
        theirs = model(ids).logits
    assert torch.allclose(ours, theirs, atol=1e-4)
    text = "Paris is the capital of France."
    assert AutoTokenizer.from_pretrained(out)(text).input_ids == tiny_tokenizer()(text).input_ids


def test_a_missing_gguf_file_is_refused(tmp_path):
    assert isinstance(error_of(tmp_path, tmp_path / "no.gguf", "gguf"), BadArtifact)


def test_a_text_file_named_gguf_is_refused(tmp_path):
    path = tmp_path / "fake.gguf"
    path.write_text("this is a text")
    assert "no GGUF" in error_of(tmp_path, path, "gguf").message


@pytest.mark.parametrize("kept", [4, 30, 2000, 0.5, 0.99])
def test_a_gguf_file_that_is_cut_short_is_refused(tmp_path, gguf, kept):
    path, _ = gguf
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(len(content) * kept)])
    assert "cut short" in error_of(tmp_path, path, "gguf").message


def test_a_gguf_architecture_that_transformers_cannot_convert_is_refused(tmp_path):
    path = tmp_path / "odd.gguf"
    writer = GGUFWriter(path, "an_odd_one")
    writer.add_tensor("token_embd.weight", np.zeros((4, 4), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    error = error_of(tmp_path, path, "gguf")
    assert error.code == "unsupported_architecture" and "an_odd_one" in error.message


@pytest.mark.parametrize("source", ["folder", "gguf"])
def test_a_model_that_does_not_pack_is_refused_before_its_files_are_copied(tmp_path, gguf, monkeypatch, source):
    path = gguf[0] if source == "gguf" else tiny_model_folder(tmp_path)
    monkeypatch.setattr(importing, "complete_model_load", None)
    with pytest.raises(SpecInvalid, match="cannot be held in 4 bits"):
        run(tmp_path, path, source, quantization="nf4")
    assert not list((tmp_path / "out").iterdir())


def test_the_report_of_an_import_names_a_matrix_that_does_not_pack(tmp_path):
    narrow, _ = run(tmp_path / "narrow", tiny_model_folder(tmp_path / "narrow"))
    assert narrow.nf4_misfit == "model.layers.0.self_attn.q_proj (32 inputs, 32 outputs)"
    wide, _ = run(tmp_path / "wide", tiny_model_folder(tmp_path / "wide", width=PACKED_WIDTH))
    assert wide.nf4_misfit == ""


def test_a_model_that_comes_quantized_is_refused(tmp_path):
    source = tiny_model_folder(tmp_path)
    config = json.loads((source / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4, "group_size": 128}
    (source / "config.json").write_text(json.dumps(config))
    assert error_of(tmp_path, source).code == "already_quantized"
