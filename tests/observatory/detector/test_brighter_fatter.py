"""Flats against the covariances that they are to have, stars against electrons that arrive in small steps."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal

from twin.observatory.detector.brighter_fatter import coefficients, convolve, displace, kernel
from twin.observatory.detector.config import BrighterFatter

CONFIG = BrighterFatter(strength=4e-6)
LEVEL, WELL = 30000.0, 1e5


def test_the_kernels_laplacian_is_the_coefficients() -> None:
    a, k = coefficients(CONFIG), kernel(CONFIG)
    laplacian = signal.convolve2d(k, [[0, 1, 0], [1, -4, 1], [0, 1, 0]], "valid")
    margin = (len(laplacian) - len(a)) // 2
    assert laplacian[margin:-margin, margin:-margin] == pytest.approx(a, abs=1e-11)
    assert a.sum() == pytest.approx(0, abs=1e-18)
    assert a[8, 8] == -4e-6
    assert a[8, 10] / a[8, 9] == pytest.approx(1 / 8)
    assert np.abs(k[0]).max() < 1e-3 * k.max()


def test_large_and_small_frames_convolve_alike(rng: np.random.Generator) -> None:
    charge = rng.normal(0, 3000, (1, 300, 270)).astype(np.float32)
    witness = signal.fftconvolve(charge[0].astype(float), kernel(CONFIG), "same")
    large = np.asarray(convolve(jnp.asarray(charge), CONFIG))[0]
    small = np.asarray(convolve(jnp.asarray(charge[:, :80, :90]), CONFIG))[0]
    assert large == pytest.approx(witness, abs=1e-6 * np.abs(witness).max())
    far = 80 - kernel(CONFIG).shape[0]
    assert small[:far, :far] == pytest.approx(witness[:far, :far], abs=1e-6 * np.abs(witness).max())


def test_flats_have_the_covariances_of_the_coefficients(rng: np.random.Generator) -> None:
    """Variance mu + a00 mu^2, covariance a_ij mu^2, and in both mu^3 / 4 (a * a)_ij of charge that moves after charge
    that has moved; a wrong sign, a lost half or the axes exchanged would show."""
    charge = rng.poisson(LEVEL, (40, 256, 256)).astype(np.float32)
    found = jax.jit(lambda q: displace(q, jnp.full(1, LEVEL), jnp.float32(WELL), CONFIG))
    flats = np.concatenate([np.asarray(found(jnp.asarray(q[None]))) for q in charge]).astype(float) - LEVEL
    flats, photons = (v[:, 20:-20, 20:-20] for v in (flats, charge - LEVEL))
    a = coefficients(CONFIG)
    expected = LEVEL**2 * a + LEVEL**3 / 4 * signal.convolve2d(a, a, "same")
    assert expected[8, 8] < -0.1 * LEVEL
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1), (0, 2)):
        pairs = (
            np.mean(v[:, i:, j:] * v[:, : v.shape[1] - i, : v.shape[2] - j], dtype=float) for v in (flats, photons)
        )
        change = float(np.subtract(*pairs))  # of the same photons
        assert change == pytest.approx(expected[8 + i, 8 + j], rel=0.03, abs=0.001 * LEVEL), (i, j)


def star(peak: float, width: float = 1.2, side: int = 33) -> np.ndarray:
    at = np.arange(side) - side // 2
    return peak * np.exp(-0.5 * (at[:, None] ** 2 + at[None, :] ** 2) / width**2)


def second_moment(image: np.ndarray) -> float:
    at = np.arange(len(image)) - len(image) // 2
    near = image[5:-5, 5:-5]
    return float((near * at[5:-5, None] ** 2).sum() / near.sum())


def in_steps(light: np.ndarray, steps: int = 200) -> np.ndarray:
    """Charge that arrives little by little, over borders that lie where all the charge before has pushed them."""
    charge = np.zeros_like(light)
    for _ in range(steps):
        k = signal.fftconvolve(charge, kernel(CONFIG), "same")
        new = light / steps
        for axis in (0, 1):
            shift = np.diff(k, axis=axis)
            low, high = (np.take(light / steps, range(s, light.shape[axis] - 1 + s), axis) for s in (0, 1))
            moved = shift * 0.5 * (low + high)
            zero = np.zeros_like(np.take(moved, [0], axis))
            new = new + np.concatenate([moved, zero], axis) - np.concatenate([zero, moved], axis)
        charge = charge + new
    return charge


def test_stars_grow_as_electrons_one_after_the_other_make_them() -> None:
    light = star(80000.0)
    ours = np.asarray(displace(jnp.asarray(light[None], jnp.float32), jnp.zeros(1), jnp.float32(WELL), CONFIG))[0]
    assert ours.sum() == pytest.approx(light.sum(), rel=1e-6)
    growth = second_moment(ours.astype(float)) / second_moment(light) - 1
    witness = second_moment(in_steps(light)) / second_moment(light) - 1
    assert growth == pytest.approx(witness, rel=0.1)
    assert 0.01 < growth < 0.2
    faint = star(800.0)
    same = np.asarray(displace(jnp.asarray(faint[None], jnp.float32), jnp.zeros(1), jnp.float32(WELL), CONFIG))[0]
    assert second_moment(same.astype(float)) / second_moment(faint) - 1 == pytest.approx(growth / 100, rel=0.1)


def test_charge_beyond_the_well_repels_no_more() -> None:
    both = [
        np.asarray(displace(jnp.asarray(star(p)[None], jnp.float32), jnp.zeros(1), jnp.float32(WELL), CONFIG))[0]
        for p in (1e7, 1e8)
    ]
    assert all(np.all(found >= 0) for found in both)
