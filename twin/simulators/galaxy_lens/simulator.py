"""The simulator "galaxy-lens": lenses of `twin.priors.galaxy_lens` -> expected counts, images, labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from pydantic import BaseModel

from twin.io.layout import ArraySpec
from twin.numerics.sersic import brightness as sersic_brightness
from twin.observatory.state import ImagerState
from twin.priors import galaxy_lens as prior
from twin.priors.fields import GALAXY_INTERLOPERS, STAR_INTERLOPERS, Prior, Truth
from twin.priors.sites import Site
from twin.schema import UserError
from twin.simulators import lensing, point_images, quadrature
from twin.simulators.base import Canvas, Rendered, Setup
from twin.simulators.galaxy_lens import masses
from twin.simulators.galaxy_lens.variability import random_walk, supernova_brightness
from twin.simulators.optical import counts
from twin.simulators.point_images import Images
from twin.simulators.scene import LightMap, Points, Scene, Sersics, render

FAINTEST = 0.1
"""Images of a smaller magnification shine, but are no labels."""
_GALAXIES = tuple(f"field{k}" for k in range(GALAXY_INTERLOPERS))
_STARS = tuple(f"field{k}" for k in range(GALAXY_INTERLOPERS, GALAXY_INTERLOPERS + STAR_INTERLOPERS))


def _counts(magnitudes: Array, state: ImagerState) -> Array:
    """Counts (B, K) of magnitudes (K, B)."""
    return jnp.stack([counts(row, state) for row in magnitudes], 1)


def source_light(truth: Truth, scene: prior.Scene, flux: Array) -> quadrature.Brightness:
    """Surface brightness (C, ...) of the lensed source in the lens plane: one map where all of it has one colour,
    else one a band, of counts where flux (B, K) is."""
    lens = masses.lens(truth, scene)
    components = tuple(truth[f"source_{k}"] for k in ("x", "y", "radius", "q", "angle", "n"))

    def brightness(x: Array, y: Array) -> Array:
        ax, ay = masses.deflection(lens, x, y)
        bx, by = x - ax, y - ay

        def one(_: None, component: tuple[Array, ...]) -> tuple[None, Array]:
            sx, sy, radius, q, angle, n = component
            return None, sersic_brightness(bx, by, (sx, sy), radius, q, angle, n)

        if scene.source_components == 1:
            return one(None, tuple(v[0] for v in components))[1][None]
        # a loop, for XLA on CPU would compute the deflection anew for every component and band: 40x slower
        each = jax.lax.scan(one, None, components)[1]
        return jnp.tensordot(flux, each, 1, precision="highest")

    return brightness


def lensed_source(canvas: Canvas, truth: Truth, scene: prior.Scene, state: ImagerState) -> LightMap:
    """The source as the lens shows it, before the PSF."""
    flux = _counts(truth["source_mag"], state)
    side = canvas.grid.npix * canvas.cells * canvas.subsamples
    cell = canvas.grid.pixel_scale / (canvas.cells * canvas.subsamples)
    light = source_light(truth, scene, flux)
    samples = quadrature.bin_cells(
        quadrature.integrate(light, side, cell, canvas.blocks, canvas.points), canvas.subsamples
    )
    if scene.source_components == 1:
        return LightMap(samples[0], flux[:, 0])
    return LightMap(samples, jnp.ones_like(flux[:, 0]))


def images(truth: Truth, scene: prior.Scene, beta: tuple[Array, Array]) -> tuple[Images, Array]:
    """Images (N,) of a point of the source, the first to arrive first, and their delays [d]."""
    found = point_images.find(
        masses.deflection, masses.lens(truth, scene), *beta, masses.window(truth, *beta), masses.potential,
        scene.max_images,
    )  # fmt: skip
    return found, point_images.time_delays(found.fermat, truth["z_lens"], truth["z_source"])


def image_flux(cls: str, truth: Truth, found: Images, delays: Array, state: ImagerState) -> Array:
    """Counts (B, N) of the images of a quasar or supernova at the epoch of the frame."""
    share = jnp.abs(found.magnification) * jnp.exp(truth["image_scatter"])
    own_time = delays * (1 / (1 + truth["z_source"]))
    if cls == "lensed_quasar":
        change = random_walk(own_time, truth["quasar_walk"], truth["quasar_tau"], truth["quasar_sf"])
        share = share * 10 ** (-0.4 * change)
    else:
        share = share * supernova_brightness(truth["supernova_age"] - own_time, truth["supernova_stretch"])
    return counts(truth["point_mag"], state)[:, None] * jnp.where(found.exists, share, 0.0)


def _bright(found: Images) -> Array:
    return found.exists & (jnp.abs(found.magnification) > FAINTEST)


def _sersics(truth: Truth, state: ImagerState) -> Sersics:
    """The lens's own light and the galaxies of the field."""
    own = truth["lens_mag"].shape[0]
    names = ("x", "y", "radius", "q", "angle", "n")
    field = {k: jnp.stack([truth[f"{g}_{k}"] for g in _GALAXIES]) for k in names}
    lens = {
        "x": truth["lens_x"], "y": truth["lens_y"], "radius": truth["lens_radius"], "q": truth["light_q"],
        "angle": truth["light_angle"], "n": truth["lens_n"],
    }  # fmt: skip
    both = {k: jnp.concatenate([jnp.broadcast_to(lens[k], (own,)), field[k]]) for k in names}
    magnitudes = jnp.concatenate([truth["lens_mag"], jnp.stack([truth[f"{g}_mag"] for g in _GALAXIES])])
    return Sersics(**both, flux=_counts(magnitudes, state))


def _points(truth: Truth, state: ImagerState, found: Images, flux: Array | None) -> Points:
    """Images of a point source and the stars of the field."""
    x, y = (jnp.stack([truth[f"{s}_{k}"] for s in _STARS]) for k in ("x", "y"))
    stars = _counts(jnp.stack([truth[f"{s}_mag"] for s in _STARS]), state)
    if flux is None:
        return Points(x, y, stars)
    return Points(jnp.concatenate([found.x, x]), jnp.concatenate([found.y, y]), jnp.concatenate([flux, stars], 1))


class GalaxyLens:
    """Lenses of galaxy scale (`twin.priors.galaxy_lens`)."""

    options: ClassVar[type[BaseModel]] = prior.Scene
    sites: ClassVar[Mapping[str, Site]] = prior.GALAXY_LENS_SITES
    classes: ClassVar[tuple[str, ...]] = tuple(prior.CLASSES)
    units: ClassVar[Mapping[str, str]] = {
        "theta_E": "arcsec", "_x": "arcsec", "_y": "arcsec", "_radius": "arcsec", "_angle": "rad",
        "halo_mass": "solMass", "los_mass": "solMass", "_Rs": "arcsec", "_r_trunc": "arcsec", "dark_radius": "arcsec",
        "velocity_dispersion": "km.s-1", "quasar_tau": "d", "quasar_sf": "mag", "supernova_age": "d",
    }  # fmt: skip

    def __init__(self, setup: Setup) -> None:
        """Raises UserError where the largest lens asked for does not fit the frame."""
        self.scene: prior.Scene = setup.options
        self.bands = setup.bands
        half = 0.5 * setup.npix * setup.pixel_scale
        if self.scene.theta_E[1] > half:
            raise UserError(
                f"Einstein radii up to {self.scene.theta_E[1]:g} arcsec do not fit a frame of {2 * half:.3g} arcsec",
                key="scene.theta_E",
            )

    def truth(self, cls: str, prior_: Prior) -> Callable[[], Truth]:
        return prior.program(cls, prior_, self.scene)

    def render(self, cls: str, truth: Truth, state: ImagerState, canvas: Canvas) -> Rendered:
        galaxy = cls == "lensed_galaxy"
        beta = (truth["source_x"][0], truth["source_y"][0]) if galaxy else (truth["point_x"], truth["point_y"])
        found, delays = images(truth, self.scene, beta)
        flux = None if galaxy else image_flux(cls, truth, found, delays, state)
        light = lensed_source(canvas, truth, self.scene, state)
        scene = Scene(_sersics(truth, state), _points(truth, state, found, flux), light)
        none = jnp.zeros((len(self.bands), self.scene.max_images), light.flux.dtype)
        parts = {"images": found, "delays": delays, "image_flux": none if flux is None else flux, "light": light}
        transfer = canvas.transfer(state)
        if canvas.signal:  # lensed light, and whether its images can be told apart
            own = Scene(None, None if flux is None else Points(found.x, found.y, flux), light)
            size = lensing.largest_separation(found.x, found.y, _bright(found))
            parts |= {"signal": render(canvas.grid, transfer, own), "size": size}
        return Rendered(render(canvas.grid, transfer, scene), parts)

    def labels(self, cls: str, truth: Truth, rendered: Rendered, state: ImagerState) -> dict[str, Array]:
        found: Images = rendered.parts["images"]
        bright = _bright(found)
        order = jnp.argsort(~bright, stable=True)
        there = bright[order]

        def of_images(values: Array) -> Array:
            return jnp.where(there, values[order], jnp.nan)

        delays = of_images(rendered.parts["delays"])
        light: LightMap = rendered.parts["light"]
        unlensed = _counts(truth["source_mag"], state)
        shown = jnp.sum(light.samples, (-2, -1)) * light.flux
        return {
            "theta_E": truth["theta_E"],
            "n_images": jnp.sum(bright).astype(jnp.uint8),
            "image_x": of_images(found.x),
            "image_y": of_images(found.y),
            "image_magnification": of_images(found.magnification),
            "image_delay": delays - delays[0],
            "image_flux": jnp.where(there, rendered.parts["image_flux"][:, order], 0.0).T,
            "separation": lensing.largest_separation(found.x, found.y, bright),
            "source_magnification": jnp.sum(shown) / jnp.maximum(jnp.sum(unlensed), 1e-30),
        }

    def label_arrays(self) -> tuple[ArraySpec, ...]:
        many = self.scene.max_images
        image = partial(ArraySpec, shape=(many,), dtype="float32", dims=("image",))
        return (
            ArraySpec("label/theta_E", (), "float32", (), "arcsec", "", "Einstein radius"),
            ArraySpec("label/n_images", (), "uint8", (), "", "meta.number", "images of magnification above 0.1"),
            image("label/image_x", unit="arcsec", description="their places, in order of arrival"),
            image("label/image_y", unit="arcsec", description="the same along y"),
            image("label/image_magnification", description="signed: negative for saddle points"),
            image("label/image_delay", unit="d", description="arrival after the first image"),
            ArraySpec(
                "label/image_flux", (many, len(self.bands)), "float32", ("image", "band"), "ct", "phot.count",
                "of a quasar's or supernova's images at the epoch; 0 before it exploded", {"band": self.bands},
            ),
            ArraySpec(
                "label/separation", (), "float32", (), "arcsec", "pos.angDistance", "largest image separation",
            ),
            ArraySpec(
                "label/source_magnification", (), "float32", (), "", "",
                "light of the lensed galaxy or host within the frame, of the unlensed",
            ),
        )  # fmt: skip
