"""Reading a run's files: windows, groups, merged repeats, unreadable folders."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from apps.core.errors import AppError
from apps.features import artifacts
from tests.apps.features.worlds import files_write
from tests.apps.prepared import BYTE_LEVEL
from workers.engine.specs.features import ZERO_GROUP
from workers.engine.text.spelling import SPELLING_KEY


@pytest.fixture
def run_id(data_dir):
    files_write(artifacts.run_folder(901))
    return 901


def test_places_beyond_the_contexts_edge_are_left_out_and_the_peak_moves_with_them(run_id):
    edge = artifacts.examples_read(run_id, 5)[2]
    assert edge.tokens == ("Ġwind", ".", ".") and edge.peak == 0
    assert edge.activations[edge.peak] == pytest.approx(4.5, abs=0.01) and edge.peak_value == pytest.approx(
        4.5, abs=0.01
    )


def test_the_deviation_is_that_of_the_firings(run_id):
    values = np.array([1.0, 3.0, 8.0])
    found = artifacts.statistics_read(run_id, 5)
    assert found.second_moment == 25
    made = replace(found, density=0.3, mean=values.mean(), second_moment=(values**2).sum() / 10)
    assert made.deviation == pytest.approx(values.std())
    assert replace(made, density=0.0).deviation == 0


def test_a_crop_keeps_the_peak_and_its_value():
    example = artifacts.Example(("a", "b", "c", "d", "e"), (0, 1, 5, 2, 0), 2, 5.0, 0, 0, BYTE_LEVEL)
    cropped = example.cropped(1)
    assert cropped.tokens == ("b", "c", "d") and cropped.activations[cropped.peak] == 5
    assert example.cropped(9).tokens == example.tokens


def test_a_cropped_example_keeps_whole_words_when_asked():
    example = artifacts.Example(("Ġa", "Ġun", "real", "istic", "Ġb"), (0, 0, 5, 2, 0), 2, 5.0, 0, 0, BYTE_LEVEL)
    cropped = example.cropped(0, whole_words=True)
    assert cropped.tokens == ("Ġun", "real", "istic") and cropped.activations[cropped.peak] == 5
    assert example.cropped(0).tokens == ("real",)


def test_empty_slots_give_no_examples(run_id):
    assert [example.group for example in artifacts.examples_read(run_id, 0)] == [ZERO_GROUP]
    assert set(artifacts.best_examples(run_id, [0, 1, 5])) == {1, 5}


def test_groups_split_the_range_into_equal_intervals_from_strong_to_weak(run_id):
    groups = artifacts.examples_grouped(artifacts.examples_read(run_id, 4), 4.0)
    assert [(g.group, g.low, g.high) for g in groups] == [(0, 0, 4), (-2, 0, 4), (1, 2, 4), (2, 0, 2), (-1, 0, 4)]


def test_only_windows_that_are_equal_in_tokens_and_peak_are_merged():
    same = artifacts.Example(("a", "b"), (0, 1), 1, 1.0, 0, 0, BYTE_LEVEL)
    other_peak = artifacts.Example(("a", "b"), (1, 0), 0, 1.0, 1, 0, BYTE_LEVEL)
    (group,) = artifacts.examples_grouped([same, other_peak, same], 1.0)
    assert [example.repeats for example in group.examples] == [2, 1]


def test_a_vocabulary_with_gaps_shows_missing_ids_as_numbers(tmp_path):
    table = pa.table({"token_id": pa.array([5, 1], pa.int32()), "token": ["Ġfive", "Ġone"]})
    table = table.replace_schema_metadata({SPELLING_KEY: BYTE_LEVEL.dump()})
    pq.write_table(table, tmp_path / "vocabulary.parquet")
    vocabulary = artifacts.vocabulary_open(tmp_path)
    assert vocabulary.raw([1, 5, 3, 99]) == ["Ġone", "Ġfive", "<3>", "<99>"]
    assert vocabulary.text(5) == " five"


def test_missing_and_cut_files_are_one_clear_error(run_id):
    path = artifacts.run_folder(run_id) / "statistics.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    for read in (lambda: artifacts.statistics_read(run_id, 1), lambda: artifacts.statistics_read(902, 1)):
        with pytest.raises(AppError) as error:
            read()
        assert error.value.code == "examples_unreadable"


def test_logit_lists_keep_their_order_and_signs(run_id):
    lists = artifacts.logits_read(run_id, 2)
    assert [(t.text, t.value) for t in lists.promoted] == [(" wind", 2.0), ("<b>", 1.0)]
    assert [t.value for t in lists.suppressed] == [-2.0, -1.0]


def test_statistics_are_those_of_the_file(run_id):
    found = artifacts.statistics_read(run_id, 3)
    assert (found.maximum, found.mean, found.firings) == (3.0, 1.5, 30)
    assert np.isclose(found.density, 0.003) and len(found.histogram) == 50
