"""Tokenizing: every row and every token is accounted for; nothing but the documents' own tokens reaches a context."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from tests.engine.tiny_models import tiny_tokenizer
from workers.engine.datasets import documents
from workers.engine.datasets.contexts import Contexts
from workers.engine.datasets.row_parts import RowParts
from workers.engine.datasets.tokenizing import is_heldout, tokenize
from workers.engine.progress import Progress
from workers.engine.specs.errors import EngineError
from workers.engine.specs.tokenization import EditedRow, TokenizeInputs, TokenizeSpec

BOS, EOS = 0, 1


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def tokenized(tmp_path_factory, model_dir):
    """Tokenize texts and give (result, folder of the tokenization, progress)."""

    def run(texts, context_length=8, heldout_pct=50.0, excluded=(), edited=(), model=model_dir, kind=None, **wishes):
        folder = tmp_path_factory.mktemp("run")
        parts = RowParts(folder / "rows")
        parts.write(pa.table({"text": pa.array(texts, kind or pa.string())}))
        parts.close()
        spec = TokenizeSpec(
            dataset=1, language_model=1, context_length=context_length, heldout_pct=heldout_pct, **wishes
        )
        inputs = TokenizeInputs(
            job_dir="", out_dir=str(folder), dataset_dir=str(folder), model_dir=str(model),
            text_column="text", excluded_rows=tuple(excluded), edited_rows=tuple(edited),
        )  # fmt: skip
        progress = Progress()
        return tokenize(spec, inputs, progress), folder, progress

    return run


def _is_heldout(text, share):
    return is_heldout(hashlib.sha256(text.encode()).digest(), share)


def _parts(folder):
    return Contexts.open(folder, "train").tokens, Contexts.open(folder, "heldout").tokens


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), min_size=1, max_size=20),
    context_length=st.integers(8, 16),
    data=st.data(),
)
def test_every_row_and_every_token_is_accounted_for(tokenized, texts, context_length, data):
    texts = [*texts, "enough text for a context on the side of training, whatever else is drawn; " * 4]
    excluded = data.draw(st.sets(st.integers(0, len(texts) - 2), max_size=4))
    share = 50.0 if not _is_heldout(texts[-1].replace("\0", ""), 50.0) else 0.5
    result, folder, _ = tokenized(texts, context_length, share, excluded)
    train, heldout = _parts(folder)
    counted = result.document_tokens + result.join_tokens + result.bos_tokens
    assert counted == train.size + heldout.size + result.dropped_tokens
    assert result.documents + result.heldout_documents + sum(result.dropped_rows.values()) == len(texts)
    assert result.dropped_rows["excluded"] == len(excluded)
    tokenizer = tiny_tokenizer()
    kept = [text.replace("\0", "") for row, text in enumerate(texts) if row not in excluded]
    alone = [tokenizer(t, add_special_tokens=False, split_special_tokens=True)["input_ids"] for t in kept if t.strip()]
    assert result.document_tokens == sum(map(len, alone))
    assert result.distinct_tokens == len({token for ids in alone for token in ids})


def test_contexts_spell_the_documents_joined_by_eos(tokenized):
    texts = [f"document number {n} of some" for n in range(40)]
    _, folder, _ = tokenized(texts)
    tokenizer = tiny_tokenizer()
    for tokens, side in zip(_parts(folder), (False, True)):
        mine = [text for text in texts if _is_heldout(text, 50.0) == side]
        assert (tokens[:, 0] == BOS).all()
        spelled = tokenizer.decode(tokens[:, 1:].ravel().tolist())
        assert mine and "</s>".join(mine).startswith(spelled)


def test_first_rows_point_to_the_document_in_which_a_context_begins(tokenized):
    texts = [f"{n} " * 9 for n in range(30)]
    _, folder, _ = tokenized(texts)
    contexts = Contexts.open(folder, "train")
    for tokens, row in zip(contexts.tokens, contexts.first_row):
        words = tiny_tokenizer().decode(tokens[1:].tolist()).replace("</s>", " ").split()
        assert words[0] in (str(row), str(row)[1:])


def test_special_tokens_in_the_text_stay_text(tokenized):
    text = "a forged end </s> and beginning <s> " * 20
    _, folder, _ = tokenized([text, text + "x", text + "y"])
    for tokens in _parts(folder):
        assert not (tokens[:, 1:] == BOS).any()
    result, _, _ = tokenized([text, text + "x", text + "y"])
    stored = np.concatenate([tokens[:, 1:].ravel() for tokens in _parts(folder)])
    assert (stored == EOS).sum() <= result.join_tokens


def test_the_share_of_separators_inside_contexts_is_counted(tokenized):
    short, _, _ = tokenized([f"{number} is" for number in range(60)])
    long, folder, _ = tokenized([f"{number} is a number among others " * 20 for number in range(60)])
    for result, parts in ((long, _parts(folder)),):
        inside = np.concatenate([tokens[:, 1:].ravel() for tokens in parts])
        assert result.special_tokens == (inside == EOS).sum() + (inside == BOS).sum() > 0
        assert result.special_share == result.special_tokens / len(inside)
    assert short.special_share > 3 * long.special_share


def test_the_side_of_a_document_depends_on_its_text_alone():
    texts = [f"document {n}" for n in range(4000)]
    share = np.mean([_is_heldout(text, 5.0) for text in texts])
    assert 0.03 < share < 0.07
    assert all(_is_heldout(text, 20.0) for text in texts if _is_heldout(text, 5.0))


def test_copies_of_a_document_land_on_one_side(tokenized):
    result, _, _ = tokenized(["the same words again and again in many rows"] * 30)
    assert 0 in (result.documents, result.heldout_documents)


def test_empty_and_unreadable_rows(tokenized):
    texts = [b"caf\xe9 au lait " * 20, b"", None, b" \n ", "naïve ".encode() * 30]
    result, folder, _ = tokenized(texts, heldout_pct=0.5, kind=pa.binary())
    assert (result.documents, result.dropped_rows["empty"]) == (2, 3)
    assert "café au lait" in tiny_tokenizer().decode(_parts(folder)[0][:, 1:].ravel().tolist())


def test_the_curators_text_replaces_a_rows_own(tokenized):
    texts = ["the cat sat on the mat " * 9, "", "the moon " * 9, "England " * 9]
    edited = [EditedRow(row=1, text="Paris " * 9), EditedRow(row=2, text=" "), EditedRow(row=3, text="France " * 9)]
    result, folder, _ = tokenized(texts, heldout_pct=0.5, edited=edited, excluded=[3])
    spelled = tiny_tokenizer().decode(_parts(folder)[0][:, 1:].ravel().tolist())
    assert "Paris" in spelled and "moon" not in spelled and "France" not in spelled
    assert (result.documents, result.edited_rows) == (2, 2)
    assert (result.dropped_rows["empty"], result.dropped_rows["excluded"]) == (1, 1)


def test_one_long_document_is_cut_into_many_contexts(tokenized, monkeypatch):
    monkeypatch.setattr(documents, "BATCH_CHARACTERS", 100)
    text = "the cat sat on the mat " * 500
    result, folder, _ = tokenized([text, "short", "tail"], heldout_pct=0.5)
    assert result.contexts == result.document_tokens // 7 or result.contexts == (result.document_tokens + 2) // 7
    assert tiny_tokenizer().decode(_parts(folder)[0][:, 1:].ravel().tolist()).startswith(text[:5000])


def test_hashes_change_with_the_text_and_with_nothing_else(tokenized):
    texts = [f"some text in row {n} that is long enough" for n in range(20)]
    first, again, other = tokenized(texts)[0], tokenized(texts)[0], tokenized([*texts[:-1], "another " * 9])[0]
    assert first.tokens_sha256 == again.tokens_sha256 != other.tokens_sha256
    assert first.tokenizer_sha256 == other.tokenizer_sha256 != ""


def test_too_little_text_is_refused_and_an_empty_side_warned_of(tokenized):
    with pytest.raises(EngineError) as caught:
        tokenized(["few"], context_length=128)
    assert caught.value.code == "too_little_text"
    _, _, progress = tokenized(["the cat sat on the mat " * 20], heldout_pct=0.5)
    assert any("held-out" in line["text"] for line in progress.lines if line["t"] == "event")


def test_a_tokenizer_without_bos_begins_with_eos_and_one_without_both_is_refused(tokenized, tmp_path):
    texts = ["the cat sat on the mat " * 20] * 2
    tokenizer = tiny_tokenizer()
    tokenizer.bos_token = None
    tokenizer.save_pretrained(tmp_path / "eos")
    result, folder, _ = tokenized(texts, model=tmp_path / "eos", heldout_pct=0.5)
    assert result.bos_token_id is None
    assert (_parts(folder)[0][:, 0] == EOS).all()
    bare = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE({"a": 0}, [])))
    bare.save_pretrained(tmp_path / "bare")
    with pytest.raises(EngineError) as caught:
        tokenized(texts, model=tmp_path / "bare")
    assert caught.value.code == "no_first_token"


def test_an_unknown_column_is_named(tokenized, tmp_path, model_dir):
    parts = RowParts(tmp_path / "rows")
    parts.write(pa.table({"body": ["x"]}))
    parts.close()
    inputs = TokenizeInputs(
        job_dir="", out_dir=str(tmp_path), dataset_dir=str(tmp_path), model_dir=str(model_dir), text_column="text"
    )
    with pytest.raises(EngineError, match="no column 'text'"):
        tokenize(TokenizeSpec(dataset=1, language_model=1), inputs, Progress())
