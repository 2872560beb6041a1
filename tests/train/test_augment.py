"""Facts of the augmentation: what it may not change, and exact noise bookkeeping."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.train.augment import add_noise, all_dihedrals, augment, dihedral, random_crop
from twin.train.config import Augment


def pair(separation, angle, size=24):
    """A frame with two blobs `separation` pixels apart."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    dy, dx = separation / 2 * np.sin(angle), separation / 2 * np.cos(angle)
    blobs = [np.exp(-((y - s * dy) ** 2 + (x - s * dx) ** 2) / 3) for s in (1, -1)]
    return np.stack([blobs[0] + 0.5 * blobs[1]] * 2).astype(np.float32)


def measured_separation(plane):
    """Twice the root of the excess of the larger second moment over the smaller: free of position and angle."""
    y, x = np.mgrid[: plane.shape[0], : plane.shape[1]]
    flux = plane.sum()
    cy, cx = (plane * y).sum() / flux, (plane * x).sum() / flux
    yy, xx, xy = ((plane * a).sum() / flux for a in ((y - cy) ** 2, (x - cx) ** 2, (y - cy) * (x - cx)))
    low, high = np.linalg.eigvalsh([[yy, xy], [xy, xx]])
    return np.sqrt((high - low) / (1 / 3 * 2 / 3))


def test_flips_and_turns_keep_the_separation(key):
    frame = pair(7.0, 0.4)
    versions = np.asarray(all_dihedrals(jnp.asarray(frame)[None])[:, 0])
    assert len({v.tobytes() for v in versions}) == 8
    np.testing.assert_array_equal(versions[0], frame)
    for version in versions:
        assert measured_separation(version[0]) == pytest.approx(7.0, rel=1e-3)
        np.testing.assert_array_equal(np.sort(version.ravel()), np.sort(frame.ravel()))


def test_dihedral_is_the_numpy_flip():
    frame = np.random.default_rng(0).normal(size=(3, 2, 6, 6)).astype(np.float32)
    bits = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], bool)
    out = np.asarray(dihedral(jnp.asarray(frame), jnp.asarray(bits)))
    np.testing.assert_array_equal(out[0], frame[0][:, ::-1])
    np.testing.assert_array_equal(out[1], frame[1][:, :, ::-1])
    np.testing.assert_array_equal(out[2], frame[2].swapaxes(1, 2))


def test_crops_lie_evenly_around_the_middle(key):
    n, size, wide = 900, 8, 12
    frame = jnp.broadcast_to(jnp.arange(wide * wide, dtype=jnp.float32).reshape(1, 1, wide, wide), (n, 1, wide, wide))
    crops = np.asarray(random_crop(key, frame, size, 1))
    start = np.stack(np.divmod(crops[:, 0, 0, 0].astype(int), wide), axis=1)
    offsets, count = np.unique(start - (wide - size) // 2, axis=0, return_counts=True)
    assert offsets.min() == -1
    assert offsets.max() == 1
    assert len(offsets) == 9
    assert count.min() > 60  # 100 expected, four sigma
    np.testing.assert_array_equal(crops[0, 0], np.asarray(frame[0, 0])[start[0, 0] :, start[0, 1] :][:size, :size])


def test_added_noise_is_what_the_rms_says(key):
    n = 400
    rms = jnp.broadcast_to(jnp.array([1.0, 3.0]), (n, 2))
    sky = rms[:, :, None, None] * jax.random.normal(jax.random.fold_in(key, 1), (n, 2, 24, 24))
    counts, after = add_noise(key, sky, rms, 2.0, 0.5)
    counts, after = np.asarray(counts), np.asarray(after)
    k = after / np.asarray(rms)
    np.testing.assert_allclose(k[:, 0], k[:, 1], rtol=1e-6)
    untouched = k[:, 0] == 1.0
    assert 0.4 < untouched.mean() < 0.6
    np.testing.assert_array_equal(counts[untouched], np.asarray(sky)[untouched])
    assert k.max() <= 2.0
    assert np.log(k[~untouched, 0]).mean() == pytest.approx(np.log(2) / 2, rel=0.1)
    measured = counts.std(axis=(2, 3)) / after
    assert measured.mean() == pytest.approx(1.0, abs=0.004)  # 460,800 independent pixels: 0.001
    assert np.abs(measured[~untouched] - 1).max() < 0.15


def test_gain_moves_counts_and_noise_together(key):
    rms = jnp.broadcast_to(jnp.array([1.0, 3.0]), (50, 2))
    counts = jnp.ones((50, 2, 8, 8)) * 5
    config = Augment(flip=False, shift=0, gain=0.03, noise=1.0)
    new, noise = augment(key, counts, rms, 8, config)
    factor = np.asarray(noise / rms)
    np.testing.assert_allclose(np.asarray(new), 5 * factor[:, :, None, None] * np.ones((1, 1, 8, 8)), rtol=1e-6)
    assert np.log(factor).std() == pytest.approx(0.03, rel=0.2)
    assert abs(np.corrcoef(np.log(factor).T)[0, 1]) < 0.4  # every band its own


def test_nothing_asked_is_the_middle_crop(key):
    counts = jax.random.normal(key, (4, 2, 10, 10))
    rms = jnp.ones((4, 2))
    config = Augment(flip=False, shift=0, gain=0.0, noise=1.0)
    new, noise = augment(key, counts, rms, 8, config)
    np.testing.assert_array_equal(new, counts[:, :, 1:9, 1:9])
    np.testing.assert_array_equal(noise, rms)
