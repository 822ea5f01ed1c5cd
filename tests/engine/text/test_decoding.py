"""Bytes of any encoding become text, and invisible characters become visible."""

import pytest

from workers.engine.text.decoding import safe_text, visible


def test_utf8_bytes_and_text_stay_as_they_are():
    assert safe_text("naïve 🙂".encode()) == safe_text("naïve 🙂")
    assert safe_text("<script>alert(1)</script>").text == "<script>alert(1)</script>"


def test_bytes_that_are_not_utf8_are_read_as_latin1_and_marked():
    found = safe_text("café".encode("latin-1"))
    assert (found.text, found.was_latin1) == ("café", True)


def test_nul_is_removed_and_noted():
    found = safe_text("a\0b")
    assert (found.text, found.had_nul) == ("ab", True)


def test_half_of_a_surrogate_pair_does_not_stop_the_import():
    assert safe_text("a\ud83db").text.encode("utf-8").startswith(b"a")


@pytest.mark.parametrize(("value", "text"), [(None, ""), (3, "3"), (bytearray(b"x"), "x"), (memoryview(b"y"), "y")])
def test_other_values_are_written_out(value, text):
    assert safe_text(value).text == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [(" the", "·the"), ("\n\t", "↵⇥"), ("a b ", "a b·"), ("   ", "···"), ("\x00\x1b", "␀␛"), ("", ""), ("é", "é")],
)
def test_whitespace_and_control_characters_get_marks(text, shown):
    assert visible(text) == shown
