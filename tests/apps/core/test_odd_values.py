"""Every option of every Spec is given odd values through page, JSON and command: taken, or refused in words that name it."""

import argparse
from contextlib import redirect_stderr
from io import StringIO

import pytest
from django.http import QueryDict

from apps.core.asking import json_read
from apps.core.errors import AppError
from apps.core.preferences import Preferences
from apps.core.spec_arguments import add_spec_arguments, spec_from_arguments
from apps.core.spec_forms import spec_form, spec_from_json
from workers.engine.specs.kinds import SPECS
from workers.engine.specs.presets import LabelingPromptSpec

TEXTS = (
    "", " ", "0", "-1", "1", "7", "3.5", "1e5", "1e-38", "1e308", "1e999", "-1e999", "nan", "Infinity", "٣", "½", "0x10",
    str(2**31), str(2**63 - 1), str(2**63), str(10**20), "9" * 5000, "50%", "%s %(value)s %", "{0} {x}", "(?s)[", "\\", "a\0b",
    "<b>&amp;</b>", "ü€😀", "x" * 10_000, "line\nline", "1,2", "1:2", "1:nan", f"1:{10**400}", "0.resid_post", ",,", "auto",
)  # fmt: skip
JSON_VALUES = (
    None, True, False, 0, -1, 3.5, 1e308, 2**63 - 1, -(2**63), [], {}, [[]], [{}], [None], [True], ["1", 2], [1.5],
    [-1], [2**62], [2**31, 1], {"a": 1}, [{"index": 1, "strength": 2}], [{"index": 1.5, "strength": "x"}],
    [{"index": True, "strength": []}],
)  # fmt: skip
UNREADABLE = ("NaN", "Infinity", "-Infinity", "1e999", str(2**63), str(10**400), "9" * 5000, '"\\ud800"', '"a\\u0000"')
ALL = [*SPECS.values(), Preferences, LabelingPromptSpec]
OPTIONS = [(spec, name) for spec in ALL for name in spec.options()]

pytestmark = pytest.mark.django_db


def enabling(spec_class, name):
    """The other options under which this one matters."""
    other = spec_class.options()[name].only_for
    if other is None:
        return {}
    return {other[0]: other[1][0], **enabling(spec_class, other[0])}


def is_in_words(words):
    return bool(words.strip()) and "Traceback" not in words and "%(" not in words.replace("%(value)s %", "")


@pytest.mark.parametrize("spec_class", ALL)
def test_odd_values_are_taken_or_refused_in_words_by_page_json_and_command(spec_class):
    parser = argparse.ArgumentParser()
    add_spec_arguments(parser, spec_class)
    for name in spec_class.options():
        others = enabling(spec_class, name)
        for text in TEXTS:
            by_page(spec_class, name, text, others)
            by_command(parser, spec_class, name, text, others)
        for value in JSON_VALUES:
            by_json(spec_class, name, value, others)


def by_page(spec_class, name, text, others):
    query = QueryDict(mutable=True)
    query.update({**others, name: text})
    form = spec_form(spec_class)(query)
    if not form.is_valid():
        assert set(form.errors) <= {*spec_class.options(), "__all__"}
        assert all(is_in_words(words) for errors in form.errors.values() for words in errors), (name, text, form.errors)


def by_json(spec_class, name, value, others):
    try:
        spec_from_json(spec_class, {**others, name: value})
    except AppError as error:
        assert error.code == "spec_invalid"
        assert error.field in {*spec_class.options(), ""}
        assert is_in_words(error.message), (name, value, error.message)


def by_command(parser, spec_class, name, text, others):
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in {**others, name: text}.items()]
    try:
        with redirect_stderr(StringIO()) as said:
            given = vars(parser.parse_args(flags))
    except SystemExit:  # argparse's own refusal: a switch takes no value
        assert "Traceback" not in said.getvalue()
        return
    try:
        spec_from_arguments(spec_class, given)
    except AppError as error:
        assert error.code == "spec_invalid" and is_in_words(error.message), (name, text, error.message)


@pytest.mark.parametrize("text", UNREADABLE)
def test_json_that_no_row_can_hold_is_refused_before_any_option_is_looked_at(text):
    with pytest.raises(AppError) as refused:
        json_read(f'{{"k": [{text}]}}')
    assert refused.value.code in ("bad_json", "bad_text")


def test_limits_in_per_cent_are_said():
    with pytest.raises(AppError, match="The most allowed is 50 %"):
        spec_from_json(SPECS["tokenize"], {"heldout_pct": 99})
    with pytest.raises(AppError, match="%"):
        spec_from_json(SPECS["train"], {"lr_decay_pct": 101})


def test_characters_to_remove_may_be_any():
    query = QueryDict(mutable=True)
    query.update({"custom_characters": "(?s)[\\", "cleaning": "custom"})
    form = spec_form(SPECS["tokenize"])(query)
    form.is_valid()
    assert "custom_characters" not in form.errors
