"""Derivatives of the PSF by what telemetry drives, against central differences in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.observatory.test_against_screens import optics_of, state_of
from twin.observatory.psf import psf_image
from twin.observatory.screens import Setup
from twin.observatory.state import ImagerState

SETUP, NPIX, PIXEL = Setup(), 32, 0.134
REFERENCE, ARCSEC = 500e-9, np.pi / 180 / 3600

# one number of each leaf, around which and by how much it is moved
STEPS = {"z4": 2e-10, "z5": 2e-10, "z7": 2e-10, "z8": 2e-10, "z11": 2e-10, "seeing": 2e-4, "outer scale": 1e-2}
STEPS |= {"jitter xx": 1e-5, "jitter xy": 1e-5, "offset x": 1e-4, "anisotropy 1": 1e-4, "anisotropy 2": 1e-4}


def moved(state: ImagerState, name: str, by: jax.Array) -> ImagerState:
    """The State with one of its causes moved: seeing [arcsec at 500 nm] enters through r0."""
    if name == "seeing":
        seeing = 0.976 * REFERENCE / ARCSEC / SETUP.r0_500
        return replace(state, r0=state.r0 * seeing / (seeing + by))
    if name == "outer scale":
        return replace(state, outer_scale=state.outer_scale + by)
    if name[0] == "z":
        return replace(state, aberration=state.aberration.at[int(name[1:]) - 4].add(by))
    leaf, index = name.split()
    index = {"xx": 0, "xy": 2, "x": 0, "1": 0, "2": 1}[index]
    return replace(state, **{leaf: getattr(state, leaf).at[0, index].add(by)})


@pytest.fixture(scope="module")
def functional() -> Callable[[str], tuple[float, float, float]]:
    """name -> derivative, the same by central differences, and by differences of twice the step."""
    weight = np.random.default_rng(7).standard_normal((NPIX, NPIX))
    x = np.arange(NPIX) - (NPIX - 1) / 2
    weight *= np.exp(-0.5 * (x[:, None] ** 2 + x**2) / 6**2)
    with jax.enable_x64():
        state = jax.tree.map(lambda v: jnp.asarray(np.asarray(v), jnp.float64), state_of(SETUP, (0.03, -0.05)))
        state = replace(state, jitter=state.jitter.at[0, 2].set(2e-3), offset=state.offset + 0.03)

        @jax.jit
        def value(by: jax.Array) -> jax.Array:
            """The functional with each cause moved by its element of `by`."""
            one = state
            for k, name in enumerate(STEPS):
                one = moved(one, name, by[k])
            return (psf_image(optics_of(SETUP, speckle=True), one, NPIX, PIXEL, pixel=SETUP.pixel)[0] * weight).sum()

        still = jnp.zeros(len(STEPS))
        assert value(still).dtype == jnp.float64
        slopes = np.asarray(jax.jit(jax.grad(value))(still))
        steps = np.diag(list(STEPS.values()))

        def central(factor: float) -> np.ndarray:
            return np.array([float(value(factor * s) - value(-factor * s)) / (2 * factor * s.max()) for s in steps])

        near, far = central(1.0), central(2.0)
    return lambda name: tuple(float(v[list(STEPS).index(name)]) for v in (slopes, near, far))


@pytest.mark.parametrize("name", STEPS)
def test_derivative(functional: Callable[[str], tuple[float, float, float]], name: str) -> None:
    """1e-5 relative; what is left is the differences' own error of step^2, which two steps take away."""
    slope, near, far = functional(name)
    assert abs(slope) > 1e-6
    assert near == pytest.approx(slope, rel=1e-5)
    assert (4 * near - far) / 3 == pytest.approx(slope, rel=1e-8)
