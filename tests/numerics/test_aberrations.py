"""A(s) against a sum over a fine lattice of the overlap, at shifts where nothing was interpolated from nearby."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from twin.numerics.aberrations import Pupil, aberration, rings
from twin.numerics.fourier import Grid
from twin.numerics.zernike import zernike

GRID = Grid(16, 0.5, 1, 2)  # frequencies to 1 cycle/arcsec
WAVE = 2 * np.pi / 500e-9
PATH = np.array([40, -30, 20, 35, -25, 15, 30, -10]) * 1e-9


def lattice(pupil: Pupil, path: np.ndarray, sx: float, sy: float, n: int = 1200) -> complex:
    axis = (np.arange(n) + 0.5) / n * 2 - 1
    x, y = np.meshgrid(axis, axis)
    inside = np.ones(x.shape, bool)
    for sign in (1, -1):
        r = np.hypot(x + sign * sx / 2, y + sign * sy / 2)
        inside &= (r <= 1) & (r >= pupil.obscuration)
    x, y = x[inside], y[inside]
    ends = [sum(a * zernike(j + 4, x + e * sx / 2, y + e * sy / 2) for j, a in enumerate(path)) for e in (1, -1)]
    return complex(np.exp(1j * pupil.waves[0] * (ends[0] - ends[1])).mean())


def whole(pupil: Pupil, path: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A on the half-plane, real and imaginary part (B, 2 half, half)."""
    one = jnp.ones((len(pupil.radii), GRID.half), jnp.float32)
    even_re, even_im, odd_re, odd_im = aberration(pupil, GRID, jnp.asarray(path, jnp.float32), (one, 0 * one))
    return tuple(np.concatenate([e + o, e - o], 1) for e, o in ((even_re, odd_re), (even_im, odd_im)))


@pytest.mark.parametrize(("obscuration", "tolerance"), [(0.0, 4e-4), (0.5, 1.5e-3)])
def test_against_a_lattice(obscuration: float, tolerance: float) -> None:
    """Both signs of s_y, the axes, the diagonal. The lattice's own steps at the rims make 4e-4; where the rim of one
    pupil touches the hole of the other, A has a weak kink that the rings smooth."""
    pupil = Pupil(obscuration, (1.3,), (WAVE,), 1.2 * float(np.linalg.norm(PATH)), np.inf)
    re, im = (part[0] for part in whole(pupil, PATH))
    for row, column in ((1, 0), (0, 2), (3, 3), (GRID.half + 3, 3), (7, 2), (GRID.half + 2, 9), (10, 1)):
        ours = re[row, column] + 1j * im[row, column]
        theirs = lattice(pupil, PATH, 1.3 * GRID.fx[column], 1.3 * GRID.fy[row])
        assert abs(ours - theirs) < tolerance, (row, column)
    assert abs(im).max() > 0.1


def test_no_aberration_is_one() -> None:
    pupil = Pupil(0.4, (0.5, 0.8), (WAVE, WAVE / 2), 1e-7, 0.3, 0.51)
    re, im = whole(pupil, np.zeros(8))
    assert re.shape == (2, 2 * GRID.half, GRID.half)
    assert np.abs(im).max() < 1e-6
    shift = np.multiply.outer(pupil.radii, np.hypot(GRID.fx[None, :], GRID.fy[:, None]))
    error = np.abs(np.asarray(re) - 1)
    assert error[shift < 0.8 * pupil.seen].max() < 5e-6
    assert error.max() < 2e-4  # interpolation at its ends multiplies rounding, where turbulence hides it


def test_a_turned_pupil_turns_its_otf() -> None:
    """Astigmatism z6 turned by 45 degrees is z5: A(x, y) of one is A of the other at a turned frequency."""
    pupil = Pupil(0.3, (1.0,), (WAVE,), 1e-7, np.inf)
    oblique, vertical = (np.zeros(8, np.float32) for _ in range(2))
    oblique[1] = vertical[2] = 6e-8
    along = whole(pupil, vertical)[0][0]
    across = whole(pupil, oblique)[0][0]
    assert along[0, 6] == pytest.approx(along[6, 0], abs=1e-5)
    assert across[3, 3] == pytest.approx(across[GRID.half + 3, 3], abs=1e-5)
    assert along[3, 3] != pytest.approx(across[3, 3], abs=1e-3)


def test_more_stroke_and_less_turbulence_ask_for_finer_rings() -> None:
    def points(stroke: float, fade: float) -> int:
        return sum(ring.angles * ring.degree**2 for ring in rings(Pupil(0.4, (1.0,), (WAVE,), stroke, fade), 0.6))

    assert points(1e-7, 0.3) < points(3e-7, 0.3)
    assert points(1e-7, 0.2) < points(1e-7, 0.5)
