"""A field before a lobster eye: drawn sky and telemetry into an exposure, with what a network is to say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.observatory.lobster.psf import Profile
from twin.observatory.lobster.state import LobsterState
from twin.observatory.lobster.telescope import Lobster
from twin.observatory.xray import BackgroundConfig, particle_factor
from twin.priors.sites import Site
from twin.priors.xray import CRAB, from_mcrab
from twin.priors.xray.config import KINDS
from twin.priors.xray.field import FieldPrior, latitude, rates, swings
from twin.simulators.lobster.energies import EACH, FAMILIES, NODES, Channels, shapes
from twin.simulators.lobster.exposure import PARTS, Background, Frame, Photons, Scene, curve_quantiles, expose
from twin.simulators.lobster.optics import Optic, boundless_area, optic, psf_image, seen

# What an exposure's telemetry says. Those of the optics are fields of LobsterState and shared by a pointing.
OPTICS: dict[str, Site] = {
    "roll": Site("angle from the detector's x axis to the pores' x axis", "deg", -20, 20),
    "tilt": Site("standard deviation of the pores' tilt, an axis", "arcmin", 0.02, 10),
    "pore_ratio": Site("length of a pore over its side", "", 20, 200),
    "ratio_spread": Site("relative standard deviation of that from plate to plate", "", 0, 0.3),
    "efficiency": Site("share of ideal reflectivity that a bounce keeps", "", 0.05, 1),
    "scatter": Site("share of photons that a bounce scatters into the wing", "", 0, 0.9),
    "scatter_width": Site("scale of the wing", "arcmin", 0.1, 600),
    "second_order": Site("what broadens arms of two and more bounces", "arcmin", 0, 60),
    "throughput": Site("share of photons kept besides, at all energies", "", 0.01, 1),
}
CONDITIONS: dict[str, Site] = {
    "exposure": Site("live time", "s", 1, 1e5),
    "latitude": Site("geomagnetic latitude", "deg", -65, 65),
    "diffuse": Site("diffuse X-rays, in units of the background's", "", 0, 50),
    "particles": Site("particles, in units of the background's at that latitude", "", 0, 200),
    "drift": Site("relative change of the background's rate over the exposure", "", -1, 1),
    "leak": Site("events of leaked light, mean over the detector", "ct.s-1.cm-2", 0, 10),
    "flicker": Site("events of a flickering pixel left after cleaning", "ct.s-1", 0, 10),
    "column": Site("events of the flickering column left after cleaning", "ct.s-1", 0, 10),
}
POINTING: dict[str, Site] = {
    "ra": Site("right ascension of the detector's middle", "deg", 0, 360),
    "dec": Site("declination of it", "deg", -90, 90),
    "position_angle": Site("of the detector's y axis, from north through east", "deg", -360, 360),
}
CHANNELS = (*OPTICS, *CONDITIONS, *POINTING)

FIELDS = ("x", "y", "counts", "focus", "flux", "mcrab", "hardness", "variability", "nh", "family", "shape")
FIELD_UNITS = ("pixel", "pixel", "ct", "ct", "erg.s-1.cm-2", "mCrab", "", "", "1e22 cm-2", "", "")
TRUTH = ("bright_x", "bright_y", "bright_mcrab", "bright_nh", "bright_shape", "galactic_latitude", "extragalactic",
         "galactic", "transients")  # fmt: skip
TRUTH_UNITS = ("arcmin", "arcmin", "mCrab", "1e22 cm-2", "", "deg", "", "", "")


@dataclass(frozen=True)
class Listing:
    """Which sources a label holds: `room` at the most, of `faintest` [mCrab] mean flux at the least."""

    room: int
    faintest: float


class LobsterField:
    """The simulator of one instrument and recipe.

    pixels  of flickering ones a frame;  psf  bins a side of the PSF image
    """

    def __init__(
        self, telescope: Lobster, prior: FieldPrior, background: BackgroundConfig, channels: Channels, frame: Frame,
        listing: Listing, psf: int, pixels: int,
    ) -> None:  # fmt: skip
        self.telescope, self.prior, self.channels, self.frame = telescope, prior, channels, frame
        self.listing, self.psf_bins, self.pixels = listing, psf, pixels
        self.base = telescope.state()
        self.edges = tuple(jnp.asarray(e, jnp.float32) for e in frame.edges)
        self.middle = np.array([float(e[0] + e[-1]) / 2 for e in frame.edges], np.float32)
        ends = np.array([[e[0] - 130.0, e[-1] + 130.0] for e in frame.edges])
        reach = frame.side * 0.1
        self._ends = jnp.asarray(ends + np.array([-reach, reach]), jnp.float32)
        self._far = float(frame.side + 130.0) * 1.05
        family = np.array([0, FAMILIES.index(CRAB.kind)])
        index, nh = np.array([[background.index, CRAB.shape], [0.0, CRAB.nh]], np.float32)
        photons = jax.jit(lambda *a: shapes(*a)[0])(family, index, nh)
        area = jax.jit(lambda state: boundless_area(state, telescope.coating))(self.base)
        self.background = Background(background, channels, np.asarray(photons[0] * area), telescope.config.energies)
        sensor = telescope.config.detector
        self.area = (sensor.npix * sensor.pixel * 1e-4) ** 2  # [cm2] of silicon
        self.reference = np.asarray(photons[1])
        self.mcrab = from_mcrab(1.0)

    def state(self, row: Array) -> LobsterState:
        """State of an exposure, a telemetry row (CHANNELS,)."""
        return replace(self.base, **{name: row[k] for k, name in enumerate(OPTICS)})

    def optic(self, state: LobsterState) -> Optic:
        """What frames with this State share."""
        return optic(state, self.telescope.coating, self._ends, self._far)

    def psf(
        self,
        state: LobsterState,
        profiles: Profile,
        place: Array | None = None,
        photons: Array | None = None,
        fine: int = 1,
    ) -> Array:
        """(psf_bins, psf_bins) light of a source at `place` (x, y) [bin] of the frame, its middle where None, in bins
        of the frame about it: 1 over a boundless detector behind a boundless optic. All bands together.

        fine  bins of the image a bin of the frame, (fine (psf_bins - 1) + 1) of them a side
        profiles  of the State's `optic`;  photons  (FINE,) photons/cm2/s of its spectrum; the Crab's where None
        """
        spectrum = jnp.asarray(self.reference) if photons is None else photons
        area = boundless_area(state, self.telescope.coating)
        share = (spectrum * area * self.channels.in_band.sum(1)).reshape(NODES, EACH).sum(1)
        width = self.frame.side / self.frame.bins
        at = jnp.asarray(self.middle)
        if place is not None:
            at = jnp.stack([e[0] for e in self.edges]) + (jnp.asarray(place) + 0.5) * width
        bins = fine * (self.psf_bins - 1) + 1
        return psf_image(state, self.telescope.coating, profiles, share / share.sum(), at, bins, width / fine)

    def sample(
        self, key: Array, field: Mapping[str, Array], row: Array, o: Optic, room: int = 0
    ) -> tuple[dict[str, Array], Photons | None]:
        """Arrays of one exposure of a drawn field (`FieldPrior.program`), and its events where there is `room`."""
        state = self.state(row)
        values = {name: row[len(OPTICS) + k] for k, name in enumerate(CONDITIONS)}
        exposure = values["exposure"]
        there = field["kind"] > 0
        place = jnp.stack([field["x"], field["y"]], 1) + jnp.asarray(self.middle)
        mean_rate, variability = swings(field, self.prior, exposure)
        mcrab = jnp.where(there, field["flux"] * mean_rate, 0.0)
        photons, _ = shapes(field["family"], field["shape"], field["nh"])
        mean = photons * (self.mcrab * mcrab * exposure)[:, None] * o.area
        spot_key, draw_key = jax.random.split(key)
        u = jax.random.uniform(spot_key, (3, self.pixels + 1))
        timed = room > 0 or self.frame.times > 0
        curves = curve_quantiles(rates(field, self.prior, exposure)) if timed else jnp.zeros((0, 0))
        scene = Scene(place, mean, curves, self._background_counts(values, u[2, :-1]), u[:2], values["drift"])
        image, cube, kept, needed = expose(draw_key, o, state, scene, self.frame, self.background, self.channels, room)
        out = {"frame": jnp.minimum(image, 65535).astype(jnp.uint16), "needed": needed}
        if cube.shape[0]:
            out["input/times"] = jnp.minimum(cube, 65535).astype(jnp.uint16)
        out |= self._noise(scene.counts)
        out |= self._labels(field, place, mean, mcrab, variability, o, state)
        return out | {"truth": _truth(field, mcrab, row)}, kept

    def _background_counts(self, values: Mapping[str, Array], flicker: Array) -> Array:
        config, exposure = self.background.config, values["exposure"]
        diffuse = 0.5 * config.diffuse * values["diffuse"] * self.area * exposure
        particles = config.particles * values["particles"] * particle_factor(values["latitude"], config)
        spots = -jnp.log1p(-0.9999 * flicker) * values["flicker"] * exposure  # exponential about the mean
        parts = [diffuse, diffuse, particles * self.area * exposure, values["leak"] * self.area * exposure,
                 values["column"] * exposure]  # fmt: skip
        assert len(parts) == len(PARTS)
        return jnp.concatenate([jnp.stack(parts), spots])

    def _noise(self, counts: Array) -> dict[str, Array]:
        """Mean background a bin, without its single pixels and column, and its standard deviation."""
        smooth = jnp.stack([counts[0] + counts[1], counts[2], counts[3]])
        sky = smooth @ jnp.asarray(self.background.in_band[:3], jnp.float32) / self.frame.bins**2
        if self.frame.sliced:
            sky = jnp.full(self.frame.times, sky.sum() / self.frame.times)
        rms = jnp.sqrt(self.background.config.dispersion * sky)
        one = jnp.ones_like(sky)
        return {"noise/sky": sky, "noise/rms": rms, "noise/scale": one, "noise/gain": one}

    def _labels(
        self, field: Mapping[str, Array], place: Array, mean: Array, mcrab: Array, variability: Array, o: Optic,
        state: LobsterState,
    ) -> dict[str, Array]:  # fmt: skip
        bins, width = self.frame.bins, self.frame.side / self.frame.bins
        x, y = ((place[:, k] - self.edges[k][0]) / width - 0.5 for k in range(2))
        on = (x >= -0.5) & (x < bins - 0.5) & (y >= -0.5) & (y < bins - 0.5)
        wanted = on & (field["kind"] > 0) & (mcrab >= self.listing.faintest)
        room = min(self.listing.room, self.prior.total)
        _, chosen = jax.lax.top_k(jnp.where(wanted, mean.sum(1), -1.0), room)
        listed = wanted[chosen]
        shares, focus = seen(o, state, place[chosen], *self.edges)
        in_band = jnp.asarray(self.channels.in_band)
        by_node = (mean[chosen][:, :, None] * in_band).reshape(room, NODES, EACH, -1).sum(2)
        bands = (by_node * shares[:, :, None]).sum(1)
        counts = bands.sum(1)
        values = {
            "x": x[chosen],
            "y": y[chosen],
            "counts": counts,
            "focus": (by_node.sum(2) * focus).sum(1),
            "flux": mcrab[chosen] * self.mcrab,
            "mcrab": mcrab[chosen],
            "hardness": bands[:, -1] / jnp.maximum(counts, 1e-30),
            "variability": variability[chosen],
            **{name: field[name][chosen] for name in ("nh", "family", "shape")},
        }
        table = jnp.stack([values[name].astype(jnp.float32) for name in FIELDS], 1)
        table = jnp.where(listed[:, None], table, jnp.nan)
        kinds = jnp.where(listed, field["kind"][chosen], 0).astype(jnp.uint8)
        missing = self.listing.room - room
        known = {
            f"label/{label}": jnp.pad(jnp.where(listed, field[name][chosen], -1), (0, missing), constant_values=-1)
            for name, label in (("entry", "catalogue"), ("template", "template"))
            if name in field
        }
        return {name: values.astype(jnp.int16) for name, values in known.items()} | {
            "label/sources": jnp.pad(table, ((0, missing), (0, 0)), constant_values=jnp.nan),
            "label/kind": jnp.pad(kinds, (0, missing)),
            "label/n_sources": jnp.minimum(wanted.sum(), 255).astype(jnp.uint8),
        }


def _truth(field: Mapping[str, Array], mcrab: Array, row: Array) -> Array:
    """(TRUTH,): the bright source (NaN where there is none), where the field lies, how many sources of each kind."""
    kind, zero = field["kind"], jnp.zeros(1)
    bright = jnp.stack([field["x"][0], field["y"][0], mcrab[0], field["nh"][0], field["shape"][0]])
    counted = [kind == KINDS.index("extragalactic"), kind == KINDS.index("galactic"), kind >= KINDS.index("grb")]
    rest = [latitude(zero, zero, row[-3:])[0], *(c.sum().astype(jnp.float32) for c in counted)]
    return jnp.concatenate([jnp.where(kind[0] > 0, bright, jnp.nan), jnp.stack(rest)]).astype(jnp.float32)
