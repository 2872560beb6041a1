"""Selection by rendered signal: which draws of a class become samples, and how many tries that took.

A draw is judged by what its simulator has rendered: the noise-free light of what the class is about (the lensed source,
the object) and its size, `Rendered.parts["signal"]` and `["size"]`. A draw that fails is drawn anew, at the same
exposure, up to a fixed number of tries.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from pydantic import BaseModel, ConfigDict, Field

from twin.numerics.fourier import Grid, Spectrum
from twin.observatory import detector
from twin.observatory.state import ImagerState
from twin.schema import Node, suggest
from twin.simulators.base import Canvas, Rendered


class Criteria(BaseModel):
    """What a draw must have.

    detectable  least signal-to-noise ratio, in the band where it is highest
    resolved    least size, of the PSF's FWHM in the sharpest band
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    detectable: float | None = Field(None, gt=0, allow_inf_nan=False)
    resolved: float | None = Field(None, gt=0, allow_inf_nan=False)

    @property
    def empty(self) -> bool:
        return self.detectable is None and self.resolved is None


class Selection(Criteria):
    """A recipe's `selection:` section.

    tries    draws of a sample before the last one is kept as it is, never accepted
    classes  criteria of single classes in place of those of all; {} = every draw is accepted
    """

    tries: int = Field(16, ge=1, le=255)
    classes: dict[str, Criteria] = {}

    def of(self, cls: str) -> Criteria:
        """Criteria of a class."""
        return self.classes.get(cls, self)


def check_selection(node: Node, selection: Selection, classes: tuple[str, ...]) -> None:
    """Raises UserError for criteria of a class that the simulator lacks, or where there are no criteria at all."""
    for name in selection.classes:
        if name not in classes:
            raise node.error("unknown class", ("selection", "classes", name), suggest(name, classes))
    if all(selection.of(cls).empty for cls in classes):
        raise node.error("needs detectable, resolved or classes", ("selection",))


def signal_to_noise(
    signal: Array, expected: Array, state: ImagerState, stacked: bool, effects: detector.DetectorConfig | None
) -> Array:
    """Signal-to-noise ratio (B,) of noise-free counts `signal` (B, y, x) in a frame of `expected` ones, were its shape
    known: sqrt(sum signal^2 / variance), noise of the empty pixel and photons of all the light, pixels independent."""
    variance = detector.noise_rms(state, stacked, effects)[:, None, None] ** 2
    variance = variance + jnp.maximum(expected, 0.0) / state.gain[:, None, None]
    return jnp.sqrt(jnp.sum(signal * signal / variance, (1, 2)))


def psf_fwhm(grid: Grid, transfer: Spectrum) -> Array:
    """FWHM (B,) [arcsec] of the PSF with the pixel, mean of its profiles along x and y, asymmetries straightened."""
    twice = np.where(np.arange(grid.half) == 0, 1.0, 2.0)  # kx and -kx are one column
    once = np.where(np.arange(2 * grid.half) == grid.half, 0.0, 1.0)  # the row ky = 0 stands twice
    rows = once * np.concatenate([grid.weight, grid.weight])
    area = (rows[:, None] * (twice * grid.weight)[None, :] * grid.step**2).astype(np.float32)
    height = jnp.sqrt(transfer[0] ** 2 + transfer[1] ** 2) * (grid.pixel * area)
    along_x, along_y = jnp.sum(height, 1), jnp.sum(height, 2)
    peak = jnp.sum(along_x, 1)
    # a Gaussian as high has this FWHM; wings only make it more than that of the PSF
    bound = 2 * jnp.sqrt(np.float32(np.log(2) / np.pi) / peak)
    r = bound[:, None] * np.linspace(0.1, 0.6, 26, dtype=np.float32)
    profile = 0.5 * (
        jnp.einsum("bk,brk->br", along_x, jnp.cos(2 * np.pi * r[:, :, None] * grid.fx))
        + jnp.einsum("bk,brk->br", along_y, jnp.cos(2 * np.pi * r[:, :, None] * grid.fy))
    )
    return 2 * jax.vmap(lambda p, r: jnp.interp(-0.5, -p, r))(profile / peak[:, None], r)


def accepted(
    criteria: Criteria,
    rendered: Rendered,
    state: ImagerState,
    canvas: Canvas,
    stacked: bool,
    effects: detector.DetectorConfig | None,
) -> Array:
    """Whether a draw fulfils the criteria. A size of NaN (a star has none) is resolved.

    Raises KeyError where the simulator tells no signal or size.
    """
    passes = jnp.asarray(True)
    if criteria.detectable is not None:
        ratio = signal_to_noise(rendered.parts["signal"], rendered.expected, state, stacked, effects)
        passes = passes & (jnp.max(ratio) >= criteria.detectable)
    if criteria.resolved is not None:
        size = rendered.parts["size"]
        least = criteria.resolved * jnp.min(psf_fwhm(canvas.grid, canvas.transfer(state)))
        passes = passes & (jnp.isnan(size) | (size >= least))
    return passes
