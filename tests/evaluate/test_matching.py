import numpy as np
import pytest

from twin.evaluate import config as benchmarks
from twin.evaluate.matching import greedy_pairs, locate_pairs, read_pairs
from twin.schema import UserError


def test_pairs_are_within_tolerance_and_use_each_object_once():
    rng = np.random.default_rng(0)
    lens, other = rng.normal(18, 1, 100), rng.normal(19, 1, 150)
    pairs = greedy_pairs(lens, other, 0.25, seed=0)
    assert len(pairs) > 50
    assert np.abs(lens[pairs[:, 0]] - other[pairs[:, 1]]).max() <= 0.25
    assert len(set(pairs[:, 0])) == len(set(pairs[:, 1])) == len(pairs)


def test_greedy_leaves_no_pair_that_could_still_be_made():
    rng = np.random.default_rng(1)
    lens, other = rng.normal(18, 1, 60), rng.normal(18.5, 1, 60)
    pairs = greedy_pairs(lens, other, 0.1)
    left = np.setdiff1d(np.arange(60), pairs[:, 0])[:, None], np.setdiff1d(np.arange(60), pairs[:, 1])
    assert np.abs(lens[left[0]] - other[left[1]]).min() > 0.1


def test_each_lens_takes_the_nearest_that_is_free():
    pairs = greedy_pairs(np.array([18.0]), np.array([18.2, 17.95, 18.1]), 0.25)
    assert pairs.tolist() == [[0, 1]]


def test_pairs_repeat_with_the_seed_and_change_with_it():
    rng = np.random.default_rng(2)
    lens, other = rng.normal(18, 0.3, 50), rng.normal(18, 0.3, 50)
    np.testing.assert_array_equal(greedy_pairs(lens, other, 0.25, 0), greedy_pairs(lens, other, 0.25, 0))
    assert greedy_pairs(lens, other, 0.25, 0).tolist() != greedy_pairs(lens, other, 0.25, 1).tolist()


def test_objects_without_magnitude_and_an_empty_side_give_no_pairs():
    assert greedy_pairs(np.array([np.nan, 18]), np.array([np.nan]), 9).shape == (0, 2)
    assert greedy_pairs(np.array([18.0]), np.array([]), 9).shape == (0, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lens,neighbour\nA,b\n", r"pairs.csv:1: the header must be lens,other"),
        ("# made by the rule\nlens,other\nA,b,c\n", r"pairs.csv:3: 3 fields instead of 2"),
        ("lens,other\nA,b\nC,b\n", r'pairs.csv:3: "b" stands in two pairs'),
        ("lens,other\n", "the pair list is empty"),
    ],
)
def test_a_wrong_pair_list_is_named_with_its_line(tmp_path, text, message):
    path = tmp_path / "pairs.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_pairs(path)


def test_a_pair_list_that_names_an_unknown_object_is_refused(tmp_path):
    with pytest.raises(UserError, match='"b" of the pair list is not in the dataset'):
        locate_pairs([("A", "b")], np.array(["A"]), np.array(["c"]), tmp_path)
    with pytest.raises(UserError, match="no such pair list"):
        read_pairs(tmp_path / "none.csv")


def test_the_shipped_pair_list_is_whole():
    config = benchmarks.load("ps1-lenses")
    pairs = read_pairs(benchmarks.folder() / config.matching.pairs)
    assert len(pairs) > 50
    assert all(other.startswith(("neighbour-", "field-")) for _, other in pairs)
