"""Numbers, ids, choices, filters and JSON as callers send them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core import asking
from apps.core.errors import AppError


def refused(read, *given, **more):
    with pytest.raises(AppError) as error:
        read(*given, **more)
    assert error.value.status == 400 and error.value.message
    return error.value


@pytest.mark.parametrize(("sent", "number"), [
    ("12", 12), (" 12 ", 12), (12, 12), ("0", 0), (str(2**63 - 1), 2**63 - 1),
    (None, None), ("", None), ("x", None), ("-1", None), (-1, None), ("1.0", None), (1.0, None), (True, None), ("1_0", None),
    ("٣", None), ("²", None), (str(2**63), None), (2**63, None), ("9" * 5000, None), (10**400, None), ([1], None),
])  # fmt: skip
def test_whole_numbers_are_those_that_a_row_can_hold(sent, number):
    assert asking.whole_or_none(sent) == number


@pytest.mark.parametrize(("sent", "number"), [
    ("0.5", 0.5), ("1e5", 1e5), (3, 3.0),
    ("nan", None), ("inf", None), ("1e999", None), ("", None), (None, None), (10**400, None), ([], None),
])  # fmt: skip
def test_numbers_are_finite(sent, number):
    assert asking.number_or_none(sent) == number


def test_a_refused_number_names_its_field_and_range_and_is_shown_short():
    error = refused(asking.whole_asked, {"page": "9" * 5000}, "page", default=1, least=1, most=100)
    assert (error.code, error.field) == ("bad_number", "page")
    assert "from 1 to 100" in error.message and len(error.message) < 200
    assert asking.whole_asked({}, "page", default=7) == 7
    assert refused(asking.whole_asked, {}, "sae").field == "sae"
    assert refused(asking.whole_asked, {"page": ""}, "page", default=7).field == "page"


def test_ids_come_from_an_address_or_from_json():
    assert asking.ids_asked({"ids": "3,7"}, "ids") == asking.ids_asked({"ids": [3, 7]}, "ids") == [3, 7]
    for bad in ("", "3,", "3,x", [], [True], [1.5], [2**63], {"a": 1}, None):
        assert refused(asking.ids_asked, {"ids": bad}, "ids").code == "bad_ids"
    assert asking.id_asked({"sae": ""}, "sae") is None
    assert refused(asking.id_asked, {"sae": "x"}, "sae").field == "sae"


def test_an_unknown_choice_or_filter_is_refused_with_the_allowed_ones():
    assert asking.choice_asked({}, "sort", ("newest", "name"), default="newest") == "newest"
    error = refused(asking.choice_asked, {"sort": "bogus"}, "sort", ("newest", "name"), default="newest")
    assert error.field == "sort" and "newest, name" in error.hint
    error = refused(asking.names_require, {"stat": "x"}, ("state", "page"))
    assert error.field == "stat" and "state, page" in error.hint


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(-1e300, 1e300)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(JSON)
def test_what_a_row_can_hold_is_read_as_it_was_sent(value):
    assert asking.json_read(json.dumps(value)) == value


@pytest.mark.parametrize("text", [
    "", "{", b"\xff", "NaN", "[Infinity]", "1e999", "9" * 5000, str(2**63), '"\\ud800"', '{"\\udfff": 1}', '"\\u0000"',
    "[" * 40 + "]" * 40, "[" * 2000 + "]" * 2000, "[" * 200_000, '{"a":' * 40 + "1" + "}" * 40,
])  # fmt: skip
def test_json_that_no_row_can_hold_is_refused(text):
    assert refused(asking.json_read, text).code in ("bad_json", "bad_text")


def test_a_pair_of_surrogates_is_one_sign():
    assert asking.json_read('"\\ud83d\\ude00"') == "😀"
