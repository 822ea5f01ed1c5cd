"""Environment variables that may be left empty."""

import pytest

from mistudio_site import env

NAME = "MISTUDIO_ACTIVATIONS_MAX_GB"


def test_an_empty_number_is_none_and_a_given_one_is_read_within_its_bounds(monkeypatch):
    monkeypatch.delenv(NAME, raising=False)
    assert env.read_int_or_none(NAME) is None
    monkeypatch.setenv(NAME, " ")
    assert env.read_int_or_none(NAME) is None
    monkeypatch.setenv(NAME, "50")
    assert env.read_int_or_none(NAME) == 50


@pytest.mark.parametrize("text", ["0", "-3", "many", "1.5"])
def test_a_number_that_cannot_be_meant_ends_the_start_with_a_sentence(monkeypatch, text):
    monkeypatch.setenv(NAME, text)
    with pytest.raises(SystemExit, match=NAME):
        env.read_int_or_none(NAME)
