"""From a simulator's fine cells to an instrument's pixels: one variable-width convolution in angstrom, pixel included.

    pixel p = 1 / D_p  sum_j h_j f_j [F((e_(p+1) - l_j) / s_j) - F((e_p - l_j) / s_j)],

f_j the flux density at the centre l_j of a cell h_j wide, e the pixels' true edges (the pipeline's less its wavelength
error), D their width, F and s the line-spread function's integral and width at l_j. The weights are computed at knots
every `_BLOCK` pixels, where they are exact, and linearly between them: as widths change by 1 to 2 % from knot to knot,
the error is 1e-4 of a line's peak. It is a banded matrix product of which no matrix is made.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.observatory.spectrograph.grid import Cells, Grid
from twin.observatory.spectrograph.lsf import integral, series
from twin.observatory.spectrograph.state import SpectrographState

_BLOCK = 64  # pixels between two knots, at most


class Blur:
    """Convolution of fine cells with the line-spread function into pixels.

    pixels  the instrument's;  grid  the cells that `__call__` takes
    reach   pixels to either side that a line's light is followed; what would fall beyond is put within
    span    wavelengths of u = -1 and 1 [AA] in the State's series; None = the ends of the pixels
    means   whether a cell holds the mean over it (as a rebinned spectrum does) or the value at its centre: a mean has
            been blurred by the cell already, which is taken off the width
    A grid that divides the pixels into whole numbers of cells (`Grid.finer`) is used as it is; others are first
    rebinned to `oversample` cells a pixel, which costs four products for each of their cells.
    """

    def __init__(
        self,
        pixels: Grid,
        grid: Grid | Cells,
        reach: int,
        span: tuple[float, float] | None = None,
        means: bool = False,
        oversample: int = 4,
    ) -> None:
        """Raises ValueError where the grid does not reach `reach` pixels beyond the pixels."""
        self.pixels, self.grid, self.reach = pixels, grid, reach
        aligned = _aligned(pixels, grid)
        self.oversample = q = aligned[0] if aligned else oversample
        fine = pixels.finer(q, reach)
        low, high = grid.edges[[0, -1]]
        if low > fine.edges[0] * (1 + 1e-9) or high < fine.edges[-1] * (1 - 1e-9):
            raise ValueError(
                f"the fine grid covers {low:.2f} to {high:.2f} AA; the pixels and their reach need "
                f"{fine.edges[0]:.2f} to {fine.edges[-1]:.2f} AA"
            )
        self._first = aligned[1] - reach * q if aligned else None
        if aligned is None:
            self._take, self._weight = rebinning(grid, fine)
        self.blocks = max(1, -(-pixels.count // _BLOCK))
        self.block = -(-pixels.count // self.blocks)
        # knots lie on the edges between blocks, each with the weights of a pixel centred there
        knots = np.arange(self.blocks + 1)[:, None] * float(self.block)
        taps = np.arange((2 * reach + 1) * q)
        cells = knots + (taps + 0.5) / q - reach - 0.5
        low_edge, high_edge = pixels.at(knots - 0.5), pixels.at(knots + 0.5)
        source = pixels.at(cells)
        width = pixels.at(cells + 0.5 / q) - pixels.at(cells - 0.5 / q)
        first, last = span or pixels.edges[[0, -1]]
        self._to_u = (2 / (last - first), -(first + last) / (last - first))

        def u(wavelength: np.ndarray) -> np.ndarray:
            return wavelength * self._to_u[0] + self._to_u[1]

        step = width if aligned else np.interp(source, grid.centres, np.diff(grid.edges))
        excess = step**2 / 12 if means else np.zeros_like(width)
        single = np.float32
        self._low, self._high = (low_edge - source).astype(single), (high_edge - source).astype(single)
        self._u, self._u_knot = u(source).astype(single), u(pixels.at(knots)).astype(single)
        self._excess = excess.astype(single)
        self._share = (width / (high_edge - low_edge)).astype(single)
        self._within = (np.arange(self.block, dtype=single) + 0.5) / self.block

    def weights(self, state: SpectrographState) -> Array:
        """(knots, taps) weights of fine cells in a pixel centred at each knot."""
        width = jnp.sqrt(jnp.maximum(series(state.lsf_sigma, self._u) ** 2 + state.lsf_blur - self._excess, 1e-12))
        error = series(state.wavelength_error, self._u_knot)
        low, high = (self._low - error) / width, (self._high - error) / width
        share = self._share * (integral(high, state) - integral(low, state))
        return share / share.sum(-1, keepdims=True)

    def phases(self, flux: Array) -> Array:
        """Flux density (N,) on the fine grid as (oversample, pixels with the reach of all blocks)."""
        q, need = self.oversample, self.blocks * self.block + 2 * self.reach
        if self._first is not None:
            flux = flux[self._first : self._first + (self.pixels.count + 2 * self.reach) * q]
        else:
            flux = jnp.sum(flux[self._take] * self._weight, 0)
        return jnp.pad(flux, (0, need * q - flux.shape[0])).reshape(need, q).T

    def apply(self, weights: Array, flux: Array) -> Array:
        """Pixels (P,) of flux (N,) with the weights of its State."""
        taps, length = (2 * self.reach + 1) * self.oversample, self.block + 2 * self.reach
        phases = self.phases(flux)

        def block(number: Array, out: Array) -> Array:
            first = number * self.block
            cells = jax.lax.dynamic_slice_in_dim(phases, first, length, 1)
            here, there = weights[number], weights[number + 1]
            left = right = jnp.zeros(self.block, jnp.float32)
            for k in range(taps):
                part = cells[k % self.oversample, k // self.oversample : k // self.oversample + self.block]
                left, right = left + here[k] * part, right + there[k] * part
            return jax.lax.dynamic_update_slice(out, left + self._within * (right - left), (first,))

        # a loop over blocks: XLA vectorises its body, and makes scalars of the same sums over all blocks at once; into
        # one array, as stacked blocks of a batch would lie across it for all that follows
        out = jax.lax.fori_loop(0, self.blocks, block, jnp.zeros(self.blocks * self.block, jnp.float32))
        return out[: self.pixels.count]

    def __call__(self, flux: Array, state: SpectrographState) -> Array:
        """Flux density (P,) in pixels of flux density (N,) on the fine grid; any flux unit. Pure JAX; vmap for more."""
        return self.apply(self.weights(state), flux)


def _aligned(pixels: Grid, grid: Grid | Cells) -> tuple[int, int] | None:
    """(cells a pixel, index of the first pixel's first cell) where cells divide pixels exactly."""
    if isinstance(grid, Cells) or (pixels.law, pixels.air) != (grid.law, grid.air):
        return None
    ratio, lag = pixels.step / grid.step, (pixels.start - grid.start) / grid.step
    drift = abs(ratio / max(round(ratio), 1) - 1) * pixels.count * ratio
    if round(ratio) < 1 or drift > 1e-3 or abs(lag - round(lag)) > 1e-3:
        return None
    return round(ratio), round(lag)


def rebinning(grid: Grid | Cells, fine: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Indices and weights (m, n): density in each fine cell = sum over m of weight x flux of the grid's cells.

    A cell's light is shared by the four cells around its centre with Lagrange's weights, which keep the sum and the
    first three moments of any line: no width is added, and no shift that beats between the two grids.
    """
    at = np.interp(grid.centres, fine.centres, np.arange(fine.count), -9.0, fine.count + 9.0)
    first = np.floor(at).astype(int) - 1
    t = at - first
    nodes = range(4)
    shares = [np.prod([(t - n) / (k - n) for n in nodes if n != k], axis=0) for k in nodes]
    target = (first + np.arange(4)[:, None]).ravel()
    source, share = np.tile(np.arange(grid.count), 4), np.concatenate(shares) * np.tile(np.diff(grid.edges), 4)
    inside = (target >= 0) & (target < fine.count)
    order = np.argsort(target[inside], kind="stable")
    target, source, share = (values[inside][order] for values in (target, source, share))
    most = np.bincount(target, minlength=fine.count)
    row = np.arange(len(target)) - np.repeat(np.cumsum(most) - most, most)
    take, weight = (np.zeros((int(most.max()), fine.count)) for _ in range(2))
    take[row, target], weight[row, target] = source, share / np.diff(fine.edges)[target]
    return take.astype(np.int32), weight.astype(np.float32)
