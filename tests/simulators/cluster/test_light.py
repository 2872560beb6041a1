"""Galaxies on cells held to GalSim, through a PSF, and to their own flux."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.numerics.fourier import Grid, image, spectrum
from twin.simulators.cluster import light
from twin.simulators.cluster.simulator import _OUTSIDE

draw = jax.jit(light.draw, static_argnums=(2, 3))

SIDE, CELL, FWHM = 64, 0.262, 1.2
GALAXIES = [
    # x, y, radius, n, q, angle, flux
    (0.3, -0.4, 0.9, 4.0, 0.6, 0.7, 1000.0),
    (-3.01, 2.2, 0.25, 5.5, 0.9, 2.0, 300.0),
    (4.0, 3.0, 0.35, 1.0, 0.3, 1.2, 400.0),
    (-4.0, -5.0, 0.08, 2.5, 0.7, 0.2, 200.0),  # much smaller than a pixel
    (7.6, 0.0, 0.6, 3.0, 0.8, 3.0, 100.0),  # at the frame's edge
    (9.5, -9.0, 0.6, 3.0, 0.8, 3.0, 100.0),  # outside
]


def drawn(galaxies: np.ndarray, cells: int = 1) -> np.ndarray:
    """Counts (SIDE, SIDE) through a Gaussian PSF."""
    grid = Grid(SIDE, CELL, cells, 2, graded=True)
    columns = [jnp.asarray(c, jnp.float32) for c in galaxies.T]

    def make() -> jax.Array:
        side = (SIDE + 2 * _OUTSIDE) * cells  # as the simulator does it
        planes = light.draw(light.rows(*columns[:6]), columns[6][None], side, CELL / cells)
        blur = np.exp(-2 * (np.pi * FWHM / 2.3548) ** 2 * (grid.fx**2 + grid.fy[:, None] ** 2)).astype(np.float32)
        window = grid.cell(cells) if cells > 1 else np.float32(1)
        re, im = spectrum(grid, planes)
        return image(grid, (re * blur * window, im * blur * window))[0]

    return np.asarray(jax.jit(make)(), float)


@pytest.mark.parametrize("cells", [1, 2])
def test_frame_is_galsims(cells: int) -> None:
    galsim = pytest.importorskip("galsim")
    fine = galsim.GSParams(maxk_threshold=1e-5, kvalue_accuracy=1e-7, maximum_fft_size=16384)
    table = np.array(GALAXIES)
    expected = np.zeros((SIDE, SIDE))
    for x, y, radius, n, q, angle, flux in GALAXIES:
        one = galsim.Sersic(n, half_light_radius=radius, flux=flux, gsparams=fine)
        one = one.shear(q=q, beta=angle * galsim.radians).shift(x, y)
        seen = galsim.Convolve([one, galsim.Gaussian(fwhm=FWHM, gsparams=fine)], gsparams=fine)
        expected += seen.drawImage(nx=SIDE, ny=SIDE, scale=CELL, dtype=float).array
    # the edges too, into which the galaxy outside is blurred
    assert np.max(np.abs(drawn(table, cells) - expected)) < 1e-3 * expected.max()


def test_centres_need_their_boxes() -> None:
    """Without the nested boxes a cusp on a cell's middle is wrong by far more than the tolerance."""
    row = light.rows(*(jnp.asarray([v], jnp.float32) for v in (0.0, 0.0, 0.5, 4.0, 0.8, 0.0)))
    middle = ((np.arange(SIDE + 1) - SIDE / 2) * CELL).astype(np.float32)
    coarse = light.brightness(row[0], light.radius2(row[0], middle[None, :], middle[:, None])) * CELL**2
    whole = draw(row, jnp.ones((1, 1)), SIDE + 1, CELL)[0]
    assert float(whole.sum()) == pytest.approx(1.0, abs=0.02)  # a twentieth of a de Vaucouleurs lies far out
    assert float(coarse.sum()) > 1.5


def test_absent_galaxies_cost_and_shine_nothing() -> None:
    rows = light.rows(*(jnp.asarray(c, jnp.float32) for c in np.array(GALAXIES).T[:6]))
    flux = jnp.asarray([[0.0, 300.0, 0.0, 0.0, 0.0, 0.0]])
    alone = draw(rows[1:2], flux[:, 1:2], SIDE, CELL)
    assert np.allclose(draw(rows, flux, SIDE, CELL), alone, rtol=1e-5, atol=1e-6)
    assert not np.any(draw(rows, 0 * flux, SIDE, CELL))
