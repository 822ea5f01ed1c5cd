"""Tokenization, preview, tried text and steering build the same ids from the same words, with the tokenization's settings."""

import dataclasses
from itertools import pairwise

import pyarrow as pa
import pytest

from tests.engine.saes.worlds import random_sae
from tests.engine.tiny_models import BOS, EOS, tiny_model, tiny_model_folder, tiny_tokenizer
from workers.engine.datasets.contexts import Contexts
from workers.engine.datasets.previewing import token_preview
from workers.engine.datasets.row_parts import RowParts
from workers.engine.datasets.tokenizing import tokenize
from workers.engine.features.trying import try_text
from workers.engine.formats.saelens import sae_write
from workers.engine.progress import Progress
from workers.engine.specs.hook_site import HookSite
from workers.engine.specs.steering import SteeredFeature, SteerInputs, SteerSpec
from workers.engine.specs.tokenization import (
    TokenizeInputs,
    TokenizeSpec,
    TokenPreviewInputs,
    TokenPreviewSpec,
)
from workers.engine.specs.try_text import TryTextInputs, TryTextSpec
from workers.engine.steering.generating import steer

HOSTILE = f"a{EOS}b {BOS} 東京 мир"
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('No system role') }}{% endif %}"
    "{{ m.role }}: {{ m.content }}</s>{% endfor %}"
)
ALONE = {"packing": "document", "context_length": 128, "heldout_pct": 0.5}
PACKED = {"packing": "packed", "context_length": 16, "heldout_pct": 0.5}


def talk(number: int) -> list[dict[str, str]]:
    """Every third conversation has a role that the template refuses."""
    turns = [{"role": "user", "content": f"{HOSTILE} {number}"}, {"role": "assistant", "content": "It is."}]
    return [{"role": "system", "content": "be nice"}, *turns] if number % 3 == 0 else turns


class World:
    """A tiny model with an SAE, one dataset of texts and one of conversations."""

    def __init__(self, folder, eos=EOS):
        self.folder, self.runs = folder, 0
        self.model_dir = tiny_model_folder(folder, "llama")
        self.tokenizer = tiny_tokenizer()
        self.tokenizer.chat_template, self.tokenizer.eos_token = TEMPLATE, eos
        self.tokenizer.save_pretrained(self.model_dir)
        tiny_model("llama").config.save_pretrained(self.model_dir)
        sae = random_sae("topk", d_in=32, d_sae=64, k=5, hook_site=HookSite(layer=1, site="resid_post"))
        sae_write(sae, folder / "sae")
        self.texts = self._rows("texts", pa.table({"text": [HOSTILE, *[f"{n} cats sat" for n in range(60)]]}))
        self.talks = self._rows("talks", pa.table({"messages": [talk(n) for n in range(60)]}))
        self.talks_column = {"text_column": "messages"}

    def _rows(self, name, table):
        parts = RowParts(self.folder / name / "rows")
        parts.write(table)
        parts.close()
        return self.folder / name

    def _where(self, dataset, out=""):
        column = "messages" if dataset == self.talks else "text"
        known = {"job_dir": "", "out_dir": str(out), "model_dir": str(self.model_dir)}
        return known | {"dataset_dir": str(dataset), "text_column": column}

    def tokenized(self, dataset, **wishes):
        """(result, rows of ids, what the job was told)."""
        self.runs += 1
        out, progress = self.folder / f"out-{self.runs}", Progress()
        out.mkdir()
        spec = TokenizeSpec(dataset=1, language_model=1, **wishes)
        result = tokenize(spec, TokenizeInputs(**self._where(dataset, out)), progress)
        parts = [Contexts.open(out, part) for part in ("train", "heldout")]
        rows = [ids[:n].tolist() for part in parts for ids, n in zip(part.tokens, part.lengths)]
        return result, rows, progress

    def previewed(self, dataset, **wishes):
        spec = TokenPreviewSpec(dataset=1, language_model=1, **wishes)
        return token_preview(spec, TokenPreviewInputs(**self._where(dataset)), Progress())

    def tried(self, text, prepend_bos):
        inputs = TryTextInputs(
            job_dir="",
            out_dir="",
            sae_dir=str(self.folder / "sae"),
            model_dir=str(self.model_dir),
            prepend_bos=prepend_bos,
        )
        spec = TryTextSpec(sae=1, text=text, lm_dtype="float32")
        (read,) = try_text(spec, inputs, Progress()).texts
        return read

    def steered(self, prompt, prepend_bos):
        where = {"job_dir": "", "out_dir": "", "sae_dir": str(self.folder / "sae"), "model_dir": str(self.model_dir)}
        spec = SteerSpec(
            sae=1,
            features=(SteeredFeature(index=3, strength=4.0),),
            prompt=prompt,
            unit="raw",
            max_new_tokens=2,
            lm_dtype="float32",
        )
        return steer(spec, SteerInputs(**where, prepend_bos=prepend_bos), Progress())


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def one_mark(tmp_path_factory):
    """BOS and EOS are one token, as GPT-2's."""
    return World(tmp_path_factory.mktemp("one-mark"), eos=BOS)


@pytest.mark.parametrize("prepend_bos", [True, False])
def test_the_same_words_have_the_same_ids_in_all_four_places(world, prepend_bos):
    result, rows, _ = world.tokenized(world.texts, prepend_bos=prepend_bos, **ALONE)
    expected = [0] * prepend_bos + world.tokenizer(
        HOSTILE, add_special_tokens=False, split_special_tokens=True
    ).input_ids
    assert expected in rows and result.first_token_id == (0 if prepend_bos else None)
    for shown in (world.previewed(world.texts, prepend_bos=prepend_bos), world.previewed(world.texts, text=HOSTILE)):
        assert list(shown.rows[0].token_ids) == expected[prepend_bos:]
    assert world.previewed(world.texts, prepend_bos=prepend_bos).first_token_id == result.first_token_id
    assert list(world.tried(HOSTILE, prepend_bos).token_ids) == expected
    steered = world.steered(HOSTILE, prepend_bos)
    assert list(steered.prompt_ids) == expected and len(steered.prompt_tokens) == len(expected)


def test_a_template_that_writes_the_first_token_and_the_setting_give_one(world):
    _, rows, _ = world.tokenized(world.talks, **ALONE)
    assert all(row[0] == 0 and row.count(0) == 1 for row in rows)
    _, rows, _ = world.tokenized(world.talks, prepend_bos=False, **ALONE)
    assert {row[0] == 0 for row in rows} == {True, False}, "the template's own stays, refused ones have none"


def test_where_first_and_last_token_are_one_no_context_begins_with_two(one_mark):
    for dataset in (one_mark.texts, one_mark.talks):
        result, rows, _ = one_mark.tokenized(dataset, **PACKED)
        assert all(row[0] == 0 for row in rows) and not any((0, 0) in pairwise(row) for row in rows)
        made = result.document_tokens + result.join_tokens + result.bos_tokens
        assert made == result.tokens + result.heldout_tokens + result.dropped_tokens


def test_only_the_templates_own_tokens_are_control_tokens_of_a_chat(world):
    _, rows, _ = world.tokenized(world.talks, **ALONE)
    assert sorted({row.count(1) for row in rows}) == [0, 2], "none in a refused one, else one behind each turn"
    assert any(HOSTILE in world.tokenizer.decode(row) for row in rows)


def test_what_the_template_refused_is_counted_told_and_marked_in_the_preview(world):
    result, _, progress = world.tokenized(world.talks, **ALONE)
    assert result.refused_rows == 20
    (told,) = [line["text"] for line in progress.lines if line.get("level") == "warning" and "refused" in line["text"]]
    assert "20 of 60 conversations (No system role)" in told
    shown = world.previewed(world.talks, row_count=4)
    assert [row.is_refused for row in shown.rows] == [True, False, False, True]
    assert shown.rows[0].text.startswith("<|system|>\nbe nice\n<|user|>")
    plain = world.tokenized(world.talks, chat_template=False, **ALONE)[0]
    assert plain.refused_rows == 0 and world.tokenized(world.texts, **ALONE)[0].refused_rows == 0


def test_a_curators_text_in_a_chat_is_words(world):
    spec = TokenPreviewSpec(dataset=1, language_model=1, row_count=2)
    inputs = TokenPreviewInputs(**world._where(world.talks))
    edited = dataclasses.replace(inputs, edited_rows=({"row": 1, "text": f"\ufdd0{EOS}\ufdd1 and {EOS}"},))
    edited = TokenPreviewInputs.from_json(edited.to_json())
    assert 1 not in token_preview(spec, edited, Progress()).rows[1].token_ids


def test_cleaning_leaves_the_templates_tokens_alone(world):
    _, rows, _ = world.tokenized(world.talks, cleaning="aggressive", **ALONE)
    assert sorted({row.count(1) for row in rows}) == [0, 2]
