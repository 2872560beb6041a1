"""Recentring and channels against brute force."""

import jax.numpy as jnp
import numpy as np
import pytest

from twin.train.frames import channels, crop_at, find_peak, recentre_crop


def brute_force(frame, valid, band, size, radius):
    """One frame (band, y, x), pixel by pixel."""
    bands, ny, nx = frame.shape
    usable = valid & np.isfinite(frame)
    best, at = -np.inf, (ny // 2, nx // 2)
    for y in range(ny):
        for x in range(nx):
            if not usable[band, y, x] or (y - ny // 2) ** 2 + (x - nx // 2) ** 2 > radius**2:
                continue
            box = [
                frame[band, j, i]
                for j in range(max(y - 1, 0), min(y + 2, ny))
                for i in range(max(x - 1, 0), min(x + 2, nx))
                if usable[band, j, i]
            ]
            if np.mean(box) > best:
                best, at = np.mean(box), (y, x)
    crop, complete = np.zeros((bands, size, size)), True
    for b in range(bands):
        for j in range(size):
            for i in range(size):
                y, x = at[0] + j - size // 2, at[1] + i - size // 2
                if 0 <= y < ny and 0 <= x < nx and usable[b, y, x]:
                    crop[b, j, i] = frame[b, y, x]
                else:
                    complete = False
    return crop, complete, (at[0] - ny // 2, at[1] - nx // 2)


@pytest.mark.parametrize("xp", [np, jnp])
@pytest.mark.parametrize("size", [8, 9])
def test_recentre_crop_is_the_brute_force(rng, xp, size):
    frames = rng.normal(size=(12, 2, 15, 14)).astype(np.float32)
    valid = rng.random(frames.shape) > 0.02
    frames[3, 0, 4, 5] = np.nan
    frames[4, 1, 7, 7] = 1e3  # bright and invalid: no centre
    valid[4, 1, 7, 7] = False
    valid[5] = False
    valid[6:] = True
    crops, complete, shift = recentre_crop(xp.asarray(frames), xp.asarray(valid), 1, size, radius=4)
    for i in range(len(frames)):
        crop, whole, moved = brute_force(frames[i], valid[i], 1, size, 4)
        np.testing.assert_array_equal(np.asarray(crops[i]), crop.astype(np.float32))
        assert bool(complete[i]) is whole
        assert tuple(np.asarray(shift[i])) == moved
    assert complete.any()
    assert not complete.all()


def test_a_star_off_centre_lands_on_the_middle_pixel():
    y, x = np.mgrid[:64, :64]
    star = np.exp(-((y - 38) ** 2 + (x - 27) ** 2) / 8).astype(np.float32)
    far = 5 * np.exp(-((y - 60) ** 2 + (x - 60) ** 2) / 8).astype(np.float32)  # brighter, but beyond the radius
    crops, complete, shift = recentre_crop((star + far)[None, None], None, 0, 40)
    assert np.unravel_index(crops[0, 0].argmax(), (40, 40)) == (20, 20)
    assert complete[0]
    assert tuple(shift[0]) == (6, -5)


def test_the_mean_outvotes_a_hot_pixel():
    frame = np.zeros((1, 1, 21, 21), np.float32)
    frame[0, 0, 9:12, 9:12] = 5.0
    frame[0, 0, 5, 5] = 20.0
    assert tuple(find_peak(frame, frame == frame, 0)[0]) == (10, 10)


def test_crop_keeps_integers():
    array = np.arange(2 * 36, dtype=np.int16).reshape(2, 1, 6, 6)
    crops, inside = crop_at(array, np.array([[3, 3], [0, 5]]), 4)
    assert crops.dtype == np.int16
    np.testing.assert_array_equal(crops[0, 0], array[0, 0, 1:5, 1:5])
    assert inside[0].all()
    np.testing.assert_array_equal(inside[1], np.outer([0, 0, 1, 1], [1, 1, 1, 0]).astype(bool))


def test_channels_do_not_know_the_flux_unit(rng):
    counts = rng.normal(size=(3, 2, 16, 16)).astype(np.float32)
    counts[:, :, 8, 8] += 50
    rms = np.ones((3, 2), np.float32)
    once, again = channels(counts, rms, 1), channels(7 * counts, 7 * rms, 1)
    assert once.shape == (3, 16, 16, 6)
    np.testing.assert_allclose(once, again, rtol=1e-5, atol=1e-6)
    peak = max(counts[0, 1, 7:10, 7:10].mean(), 3.0)
    np.testing.assert_allclose(once[0, 8, 8, 3], counts[0, 1, 8, 8] / peak if counts[0, 1, 8, 8] < 8 * peak else 8)
    np.testing.assert_allclose(once[0, 2, 3, 0], np.arcsinh(counts[0, 0, 2, 3]) / 4, rtol=1e-5)
