"""Frames decoded as the contract says, whatever of scale, sky and mask a dataset has."""

from __future__ import annotations

import numpy as np
import pytest

from twin.io.layout import FRAME_ARRAYS, decode


def test_a_stack_marks_the_invalid_value() -> None:
    frame = np.array([[[[4, -32768]]]], np.int16)
    counts, valid = decode({"frame": frame, "noise/scale": np.float32([[0.5]])})
    assert counts.dtype == np.float32
    np.testing.assert_array_equal(counts, [[[[2.0, 0.0]]]])
    np.testing.assert_array_equal(valid, [[[[True, False]]]])


def test_raw_counts_are_given_above_their_sky() -> None:
    frame = np.array([[[[65535, 0]], [[32768, 7]]]], np.uint16)
    counts, valid = decode({"frame": frame, "noise/scale": np.ones((1, 2)), "noise/sky": np.float32([[35.5, 7]])})
    np.testing.assert_array_equal(counts, [[[[65499.5, -35.5]], [[32761.0, 0.0]]]])
    assert valid.all()


@pytest.mark.parametrize("bands", [False, True], ids=["a mask for all bands", "a mask a band"])
def test_both_shapes_of_a_mask(rng: np.random.Generator, bands: bool) -> None:
    frame = rng.integers(1, 9, (5, 2, 4, 4)).astype(np.int16)
    mask = rng.integers(0, 2, (5, 2, 4, 4) if bands else (5, 4, 4)).astype(np.uint8)
    counts, valid = decode({"frame": frame, "valid": mask})
    expected = mask if bands else np.stack([mask, mask], axis=1)
    np.testing.assert_array_equal(valid, expected)
    np.testing.assert_array_equal(counts, frame * expected)


def test_it_takes_all_arrays_that_it_is_given() -> None:
    """A reader asks for FRAME_ARRAYS: each of them must change what comes out."""
    ones = np.ones((1, 1), np.float32)
    whole = {"frame": np.full((1, 1, 1, 2), 8, np.int16), "noise/scale": 2 * ones, "noise/sky": 3 * ones}
    whole["valid"] = np.array([[[1, 0]]], np.uint8)
    assert tuple(whole) == FRAME_ARRAYS
    found = [decode({k: v for k, v in whole.items() if k != name})[0].tolist() for name in FRAME_ARRAYS[1:]]
    assert decode(whole)[0].tolist() == [[[[13.0, 0.0]]]]
    assert found == [[[[[5.0, 0.0]]]], [[[[16.0, 0.0]]]], [[[[13.0, 13.0]]]]]
