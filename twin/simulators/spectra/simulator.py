"""Spectra of stars about H alpha on a fine grid, in units of the continuum at H alpha, before any instrument."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.simulators.spectra.bands import CAH, TIO, depth, titanium_oxide
from twin.simulators.spectra.disc import disc_profile
from twin.simulators.spectra.hydrogen import H_ALPHA
from twin.simulators.spectra.photosphere import LIGHT, photosphere
from twin.simulators.spectra.wind import wind_profile

# vacuum wavelengths [Angstrom] (NIST) and [N II] 6583 / 6548 (Storey & Zeippen 2000, MNRAS 312, 813)
NITROGEN, NITROGEN_RATIO = (6585.27, 6549.85), 3.01
SULPHUR = (6718.29, 6732.67)
_QUIET = 5200.0  # K, above which a chromosphere leaves H alpha as it is
_QUIET_SIGMA = 25.0  # km/s
_REACH = 1600.0  # km/s: no disc turns faster, its star's own velocity included


@dataclass(frozen=True)
class Rendered:
    """flux (L,) and the star without what shines or absorbs around it (L,), over the continuum at H alpha."""

    flux: Array
    star: Array


class StarSpectra:
    """The simulator on a grid of equal steps in log10 wavelength from `low` to `high` [Angstrom].

    wavelength (L,) [Angstrom, vacuum];  velocity (L,) [km/s] of each from H alpha;  dv: of a step
    """

    def __init__(self, low: float, high: float, step: float, components: int = 48) -> None:
        self.table = photosphere(low, high, step, components)
        self.wavelength = self.table.wavelength
        self.dv = LIGHT * np.log(10) * step
        self.velocity = (LIGHT * np.log(self.wavelength / H_ALPHA)).astype(np.float32)
        inside = np.flatnonzero(np.abs(self.velocity) < _REACH)
        self.near = slice(int(inside[0]), int(inside[-1]) + 1)  # where a disc shines
        self._bands = [depth(bands, self.wavelength).astype(np.float32) for bands in (TIO, CAH)]
        knots = np.linspace(2900.0, 4500.0, 65)
        self._tio = knots.astype(np.float32), titanium_oxide(knots).astype(np.float32)

    def star(self, truth: Mapping[str, Array]) -> Array:
        """A photosphere (L,) at rest, with bands and a quiet chromosphere where the star is cool."""
        teff, logg, metallicity = truth["teff"], truth["logg"], truth["metallicity"]
        flux = self.table(teff, logg, metallicity, truth["vsini"])
        strength = jnp.interp(teff, *map(jnp.asarray, self._tio)) * 10 ** (0.5 * metallicity) * truth["bands"]
        # hydrides need pressure: CaH tells dwarfs from giants (Mould 1976, ApJ 207, 535)
        hydride = strength * truth["hydride"] * 10 ** (0.4 * (logg - 4.8) - 0.3 * metallicity)
        flux = flux * jnp.exp(-strength * self._bands[0] - hydride * self._bands[1])
        quiet = truth["chromosphere"] * jnp.clip((_QUIET - teff) / 400, 0, 1)
        return flux * (1 - jnp.minimum(quiet * self._line(0.0, _QUIET_SIGMA), 0.9))

    def _line(self, velocity: Array | float, sigma: Array | float, at: float = H_ALPHA) -> Array:
        """Gaussian (L,) of unit area over wavelength [1/Angstrom]; velocity and sigma in km/s, of a line at `at`."""
        offset = float(LIGHT * np.log(at / H_ALPHA))
        x = (self.velocity - offset - velocity) / sigma
        return jnp.exp(-0.5 * x**2) * (LIGHT / (at * float(np.sqrt(2 * np.pi)) * sigma))

    def shifted(self, flux: Array, velocity: Array) -> Array:
        """flux (L,) moved by velocity [km/s], cubic between samples; beyond the ends lies what lies on them."""
        reach = int(np.ceil(1000.0 / self.dv)) + 2
        move = jnp.clip(-velocity / self.dv, -reach + 2, reach - 2)
        whole = jnp.floor(move)
        t = move - whole
        padded = jnp.pad(flux, reach, mode="edge")
        window = jax.lax.dynamic_slice(padded, (reach - 1 + whole.astype(jnp.int32),), (flux.shape[0] + 3,))
        n = flux.shape[0]
        weights = (
            ((2 - t) * t - 1) * t / 2, ((3 * t - 5) * t * t + 2) / 2, ((4 - 3 * t) * t + 1) * t / 2, (t - 1) * t * t / 2
        )  # fmt: skip
        moved: Array = sum(w * window[k : k + n] for k, w in enumerate(weights))  # type: ignore[assignment]
        return moved

    def render(self, kind: str, truth: Mapping[str, Array]) -> Rendered:
        """The spectrum of a star of a kind. Pure; vmap over truths."""
        still = jax.lax.optimization_barrier(self.star(truth))  # XLA would work it out again for each of four taps
        star = jax.lax.optimization_barrier(self.shifted(still, truth["velocity"]))
        return Rendered(jax.lax.optimization_barrier(_AROUND[kind](self, star, truth)), star)


def _alone(simulator: StarSpectra, star: Array, truth: Mapping[str, Array]) -> Array:
    return star


def _disc(simulator: StarSpectra, star: Array, truth: Mapping[str, Array]) -> Array:
    """Light of the disc, which a shell takes from that of the star where the disc hides it.

    The emission seen falls with the disc's projected area, |cos i| and a rim of 0.15.
    """
    inclination = jnp.deg2rad(truth["inclination"])
    cosine, sine = jnp.cos(inclination), jnp.sin(inclination)
    near = simulator.near
    velocity = jnp.asarray(simulator.velocity[near]) - truth["velocity"]
    shear = 2 * truth["disc_thickness"] * jnp.minimum(sine * sine / jnp.maximum(cosine, 0.05), 10.0)
    shape = disc_profile(
        velocity, truth["disc_speed"], truth["disc_radius"], truth["disc_slope"], shear, truth["turbulence"],
        truth["arm"],
    )  # fmt: skip
    emission = truth["be_width"] * (cosine + 0.15) * shape * (LIGHT / H_ALPHA)
    hidden = jnp.clip((truth["shell_angle"] - jnp.rad2deg(jnp.arcsin(jnp.clip(cosine, 0, 1)))) / 5 + 0.5, 0, 1)
    shell = hidden * truth["shell_depth"] * jnp.exp(-0.5 * (velocity / truth["shell_width"]) ** 2)
    return star.at[near].set((star[near] + emission) * jnp.exp(-shell))


def _nebula(simulator: StarSpectra, star: Array, truth: Mapping[str, Array]) -> Array:
    velocity, sigma, width = truth["velocity"] + truth["nebula_velocity"], truth["nebula_sigma"], truth["nebula_width"]
    strong, weak = (simulator._line(velocity, sigma, at) for at in NITROGEN)
    first, second = (simulator._line(velocity, sigma, at) for at in SULPHUR)
    ratio = truth["sulphur_ratio"]
    lines = simulator._line(velocity, sigma) + truth["nitrogen"] * (strong + weak / NITROGEN_RATIO)
    return star + width * (lines + truth["sulphur"] * (ratio * first + second) / (1 + ratio))


def _active(simulator: StarSpectra, star: Array, truth: Mapping[str, Array]) -> Array:
    sigma, taken = truth["active_sigma"], truth["reversal"]
    shape = simulator._line(truth["velocity"], sigma) - taken * simulator._line(truth["velocity"], 0.4 * sigma)
    return star + truth["active_width"] * shape / (1 - taken)


def _wind(simulator: StarSpectra, star: Array, truth: Mapping[str, Array]) -> Array:
    velocity = jnp.asarray(simulator.velocity) - truth["velocity"]
    lost, gained = wind_profile(velocity, truth["terminal"], truth["wind_depth"], truth["wind_beta"])
    return star * (1 - lost) + (1 + truth["wind_excess"]) * gained


_AROUND: dict[str, Callable[[StarSpectra, Array, Mapping[str, Array]], Array]] = {
    "star": _alone, "be": _disc, "nebular": _nebula, "mdwarf": _active, "pcygni": _wind,
}  # fmt: skip
