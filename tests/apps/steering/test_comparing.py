"""Which tokens of two texts differ."""

from apps.steering.comparing import compare
from tests.apps.prepared import BYTE_LEVEL


def texts(runs):
    return [(run.text, run.differs) for run in runs]


def test_equal_texts_have_no_difference():
    left, right = compare(["Ġa", "Ġb"], ["Ġa", "Ġb"], BYTE_LEVEL)
    assert texts(left) == texts(right) == [(" a b", False)]


def test_an_inserted_token_marks_only_itself():
    left, right = compare(["Ġa", "Ġc"], ["Ġa", "Ġb", "Ġc"], BYTE_LEVEL)
    assert texts(left) == [(" a c", False)]
    assert texts(right) == [(" a", False), (" b", True), (" c", False)]


def test_nothing_in_common_marks_all():
    left, right = compare(["Ġa"], ["Ġb", "Ġc"], BYTE_LEVEL)
    assert texts(left) == [(" a", True)] and texts(right) == [(" b c", True)]


def test_the_runs_joined_are_the_whole_text_whatever_differs():
    baseline, steered = ["Ġthe", "Ġcat", "Ġsat", "."], ["Ġthe", "Ġdog", "Ġsat", "Ġdown", "."]
    left, right = compare(baseline, steered, BYTE_LEVEL)
    assert "".join(run.text for run in left) == " the cat sat."
    assert "".join(run.text for run in right) == " the dog sat down."


def test_an_empty_text_has_no_runs():
    assert compare([], ["Ġa"], BYTE_LEVEL)[0] == []
