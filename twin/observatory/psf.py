"""Long-exposure PSF of an imager from its State, as an optical transfer function on the frame's own frequencies.

OTF(f) = sum_e w_e exp(-D_e(lambda f) / 2)   von Karman atmosphere, epochs e of a stack (Tokovinin 2002, PASP 114, 1156)
         x T(lambda f) A(lambda f)           diffraction of the annular pupil (O'Neill 1956, JOSA 46, 285), aberrations
         x exp(-2 pi^2 f' S f)               image motion with covariance S

T is closed form; A, the mean of exp(i [phi(u + s/2) - phi(u - s/2)]) over the overlap of the pupil with its shifted
self, comes from a few shifts s (`twin.numerics.aberrations`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.numerics.aberrations import Pupil, aberration
from twin.numerics.fourier import Grid, Spectrum, image, phasors, product, settled
from twin.numerics.pupil import annular_otf
from twin.numerics.turbulence import half_structure, structure_function
from twin.observatory.resampling import edge
from twin.observatory.state import ImagerState

ARCSEC = np.pi / 180 / 3600
_LEFT_OUT = 1e-4
_CAUTION = 1.5  # the design of `rings` is for exposures most of which have worse seeing than the best
_SIGNS = np.array([1, -1], np.float32)[:, None, None]  # of f_y in the two halves of a half-plane


@dataclass(frozen=True)
class Optics:
    """What of the telescope does not change, and how bad or good it gets.

    diameter, wavelengths of the bands [m]; obscuration of the diameter, linear and central
    min_outer_scale  [m] smaller ones are taken for it
    stroke           rms of the aberrations' optical path [m] up to which the PSF is exact to 1e-4 of its peak
    max_r0           largest Fried parameter [m] for which it is
    min_jitter       least standard deviation of image motion, an axis [arcsec], for which it is
    reach            shift [m] between two points of the pupil beyond which turbulence hides aberrations; None works it
                     out for `max_r0`, smaller is faster where most exposures are far from that
    speckle          whether exposures are finite: the State's anisotropy counts
    stack_pixel      [arcsec] pixel of a stack that was resampled isotropically (`resampling.edge`); 0 = none
    """

    diameter: float
    obscuration: float
    wavelengths: tuple[float, ...]
    atmosphere: bool = True
    min_outer_scale: float = 5.0
    stroke: float = 1e-7
    max_r0: float = 0.3
    min_jitter: float = 0.0
    reach: float | None = None
    speckle: bool = False
    stack_pixel: float = 0.0

    def limit(self, pixel: float = 0.0) -> float:
        """Frequency [cycle/arcsec] along an axis beyond which amplitudes add up to less than _LEFT_OUT of the PSF's
        peak, for detector pixels of a side of `pixel` arcsec."""
        return max(
            r / wavelength * ARCSEC for r, wavelength in zip(_limits(self, pixel), self.wavelengths, strict=True)
        )

    def pupil(self) -> Pupil:
        """What `twin.numerics.aberrations` needs to know."""
        radius, wavelengths = self.diameter / 2, np.array(self.wavelengths)
        if self.reach is not None:
            reach = self.reach
        else:
            reach = max(_limits(self, 0.0)) if self.atmosphere else self.diameter
        return Pupil(
            self.obscuration,
            tuple((wavelengths / ARCSEC / radius).tolist()),
            tuple((2 * np.pi / wavelengths).tolist()),
            self.stroke,
            _CAUTION * self.max_r0 / radius if self.atmosphere else np.inf,
            reach / radius,
        )


@lru_cache(maxsize=64)
def _limits(optics: Optics, pixel: float) -> list[float]:
    """Shift [m] that belongs to the limit of each band."""
    steps = 500
    r = np.arange(1, int(1.42 * steps) + 1) / steps * optics.diameter
    found = []
    for wavelength in optics.wavelengths:
        frequency = r / wavelength * ARCSEC
        left = annular_otf(r / optics.diameter, optics.obscuration)
        left = left * np.exp(-2 * (np.pi * frequency * optics.min_jitter) ** 2)
        if optics.atmosphere:
            r0 = optics.max_r0 * (wavelength / max(optics.wavelengths)) ** 1.2
            with jax.ensure_compile_time_eval():
                phase = structure_function(jnp.asarray(r), jnp.asarray(r0), jnp.asarray(optics.min_outer_scale))
            left = left * np.exp(-0.5 * np.asarray(phase, float))
        if pixel:  # what lies outside a square of frequencies, as a frame's grid cuts them
            square = np.interp(np.hypot(r[:steps, None], r[:steps]), r, left)
            through = np.abs(np.sinc(frequency[:steps] * pixel)).clip(0.01)
            square = np.tril(square * through[:, None] * through)
            shells = 2 * square.sum(1) - np.diag(square)
        else:
            shells = (r * left)[:steps]
        beyond = np.cumsum(shells[::-1])[::-1] / shells.sum()
        found.append(float(r[max(int(np.count_nonzero(beyond > _LEFT_OUT)) - 1, 0)]))
    return found


def otf(optics: Optics, state: ImagerState, grid: Grid) -> Spectrum:
    """Optical transfer function of every band, without the pixel: (B, 2 half, half) real and imaginary parts.

    `state` is one exposure (no batch axes); vmap over it for many.
    """
    h, fx = grid.half, grid.fx
    wavelengths = np.array(optics.wavelengths)[:, None, None]
    radius = np.hypot(fx[None, :], fx[:, None]) * wavelengths / ARCSEC  # lambda |f| on one quadrant [m]
    aperture = annular_otf(radius / optics.diameter, optics.obscuration)
    if optics.stack_pixel:
        aperture = aperture * edge(np.hypot(fx[None, :], fx[:, None]) * optics.stack_pixel)
    quadrant = jnp.asarray(aperture, jnp.float32)
    if optics.atmosphere:
        max_x = float(2 * np.pi * radius.max() / optics.min_outer_scale)
        r, r53 = jnp.asarray(radius, jnp.float32), jnp.asarray(radius ** (5 / 3), jnp.float32)
        outer = jnp.maximum(state.outer_scale, optics.min_outer_scale)[..., None, None]
        r0, weight = state.r0[..., None, None], state.weight[..., None, None]
        epochs = range(state.weight.shape[-1])
        phase = [half_structure(r, r53, r0[:, e], outer[:, e], max_x) for e in epochs]
        if optics.speckle:
            turned, quadrant, weight = _turned(state, grid), quadrant[:, None], weight[..., None]
            phase = [half[:, None] * turned for half in phase]
        air = [weight[:, e] * jnp.exp(-half) for e, half in enumerate(phase)]
        quadrant = quadrant * sum(air[1:], air[0])
    blur = state.resampling * grid.pixel_scale
    sxx, syy, sxy = state.jitter[:, 0] + blur**2, state.jitter[:, 1] + blur**2, state.jitter[:, 2]
    # limited: inf times 0 is no PSF where a strong jitter has killed the frequency anyway
    slope = -4 * np.pi**2 * sxy[:, None, None, None] * (_SIGNS * fx[:, None] * fx[None, :])
    cross = jnp.exp(jnp.clip(slope, -80, 80))
    whole = (quadrant if quadrant.ndim == 4 else quadrant[:, None]) * cross  # (B, 2, half, half)
    cx, sx, cy, sy = phasors(grid, state.offset[:, 0], state.offset[:, 1])
    gx = jnp.exp(-2 * np.pi**2 * sxx[:, None] * fx**2)
    gy = jnp.exp(-2 * np.pi**2 * syy[:, None] * fx**2)
    along_x = cx * gx, sx * gx
    row_re, row_im = settled(cy[:, :h] * gy)[:, None, :, None], settled(sy[:, :h] * gy)[:, None, :, None]
    if state.aberration.shape[-1]:
        even_re, even_im, odd_re, odd_im = (
            v[:, None] for v in aberration(optics.pupil(), grid, state.aberration, along_x)
        )
        column = even_re + _SIGNS * odd_re, even_im + _SIGNS * odd_im
    else:
        column = settled(along_x[0])[:, None, None], settled(along_x[1])[:, None, None]
    re, im = product(column, (row_re, row_im * _SIGNS))
    return (whole * re).reshape(-1, 2 * h, h), (whole * im).reshape(-1, 2 * h, h)


def _turned(state: ImagerState, grid: Grid) -> Array:
    """What a finite exposure makes of the structure function: a factor (B, 2, half, half), f_y > 0 and below."""
    fx, fy = grid.fx[None, :].astype(float), grid.fx[:, None].astype(float)
    square = np.maximum(fx**2 + fy**2, 1e-30)
    cos, sin = ((fx**2 - fy**2) / square).astype(np.float32), (2 * fx * fy / square).astype(np.float32)
    a = state.anisotropy[:, :, None, None, None]
    return 1 + a[:, 0] * cos + a[:, 1] * (_SIGNS * sin)


def psf_image(
    optics: Optics,
    state: ImagerState,
    npix: int,
    pixel_scale: float,
    factor: int = 1,
    pad: int = 2,
    pixel: float | None = None,
) -> Array:
    """PSF stamps (B, npix, npix) that sum to the flux inside the stamp, pixel integrated, centred on the stamp.

    pixel_scale  [arcsec] of a sample;  pixel  side of the detector's pixel [arcsec], where samples are finer than it
    factor, pad  see Grid: for all of the PSF's frequencies, to optics.limit(pixel), and against wings that come round
    """
    side = pixel_scale if pixel is None else pixel
    grid = Grid(npix, pixel_scale, factor, pad, limit=optics.limit(side))
    box = jnp.asarray(np.sinc(grid.fy * side)[:, None] * np.sinc(grid.fx * side)[None, :], jnp.float32)
    re, im = otf(optics, state, grid)
    return image(grid, (re * box, im * box))
