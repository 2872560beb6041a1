"""Blended fields with the truth of every pixel: whose light it mostly is, and how much of an object lies under others.

The objects largest on the sky are drawn over the whole frame, the others on stamps about them, in Fourier space like
everything that has a closed transform. What lies outside a stamp is lost: docs/morphology.md says how little.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import ClassVar

import jax.numpy as jnp
from jax import Array, lax
from pydantic import BaseModel, ConfigDict, Field, model_validator

from twin.io.layout import ArraySpec
from twin.numerics.fourier import image, product
from twin.observatory import psf
from twin.observatory.detector import noise_rms
from twin.observatory.state import ImagerState
from twin.priors import crowded as prior_of
from twin.priors.fields import Prior, Truth
from twin.priors.sites import Site
from twin.simulators.base import Canvas, Rendered, Setup
from twin.simulators.morphology import shapes
from twin.simulators.optical import counts

_SHAPE = ("x", "y", "radius", "n", "q", "angle")


class CrowdedOptions(BaseModel):
    """tiers: (side of the stamps [pixel], how many objects), from the largest; a side as large as the frame is the
    frame. threshold: light of an object, in units of the noise of an empty pixel, from which a pixel is one's own."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    tiers: tuple[tuple[int, int], ...] = ((128, 8), (64, 16), (32, 36))
    threshold: float = Field(1.0, gt=0)

    @model_validator(mode="after")
    def _sound(self) -> CrowdedOptions:
        sides = [side for side, _ in self.tiers]
        if not sides or sides != sorted(sides, reverse=True) or any(side < 8 or side % 2 for side in sides):
            raise ValueError("stamps must be of even sides from 8 on, the largest first")
        if any(many < 1 for _, many in self.tiers) or self.most > 254:
            raise ValueError("each tier needs an object, and all together have at most 254")
        return self

    @property
    def most(self) -> int:
        """Objects in a frame."""
        return sum(many for _, many in self.tiers)


class Crowded:
    """Many galaxies and stars in a frame (`twin.priors.crowded`)."""

    options: ClassVar[type[BaseModel]] = CrowdedOptions
    sites: ClassVar[Mapping[str, Site]] = prior_of.SITES
    classes: ClassVar[tuple[str, ...]] = ("crowded",)
    units: ClassVar[Mapping[str, str]] = prior_of.UNITS

    def __init__(self, setup: Setup) -> None:
        self._options: CrowdedOptions = setup.options
        self._npix, self._bands = setup.npix, len(setup.bands)

    def truth(self, cls: str, prior: Prior) -> Callable[[], Truth]:
        return lambda: prior_of.crowded(prior, self._options.most)

    def render(self, cls: str, truth: Truth, state: ImagerState, canvas: Canvas) -> Rendered:
        """parts: segmentation (npix, npix), own (K,) pixels and blend (K,)."""
        tiers = [(min(side, self._npix), many) for side, many in self._options.tiers]
        flux = counts(truth["object_mag"].T, _each(state)).T  # (K, B)
        middle, edge = self._bands // 2, max(side for side, _ in tiers) // 2
        wide = self._npix + 2 * edge
        frame = jnp.zeros((self._bands, wide, wide))
        brightest, owner = jnp.zeros((wide, wide)), jnp.zeros((wide, wide), jnp.uint8)
        kept: list[tuple[Array, Array, int]] = []  # stamps in the middle band, their corners, first object
        begin = 0
        for side, many in tiers:
            part = slice(begin, begin + many)
            shape = {name: truth[f"object_{name}"][part] for name in _SHAPE}
            stamps, corner = self._stamps(canvas, state, side, shape, flux[part])
            corner = corner + edge

            def add(k: Array, now: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
                frame, brightest, owner = now
                y, x = corner[k, 0], corner[k, 1]  # noqa: B023
                stamp = stamps[k]  # noqa: B023
                size = stamp.shape[-1]
                there = lax.dynamic_slice(frame, (0, y, x), stamp.shape)
                most = lax.dynamic_slice(brightest, (y, x), (size, size))
                whose = lax.dynamic_slice(owner, (y, x), (size, size))
                mine = stamp[middle] > most
                number = (k + 1 + begin).astype(jnp.uint8)  # noqa: B023
                return (
                    lax.dynamic_update_slice(frame, there + stamp, (0, y, x)),
                    lax.dynamic_update_slice(brightest, jnp.where(mine, stamp[middle], most), (y, x)),
                    lax.dynamic_update_slice(owner, jnp.where(mine, number, whose), (y, x)),
                )

            frame, brightest, owner = lax.fori_loop(0, many, add, (frame, brightest, owner))
            kept.append((stamps[:, middle], corner, begin))
            begin += many
        inside = slice(edge, edge + self._npix)
        expected = frame[:, inside, inside]
        enough = brightest[inside, inside] > self._options.threshold * noise_rms(state, False)[middle]
        segmentation = jnp.where(enough, owner[inside, inside], jnp.uint8(0))
        whole = jnp.zeros((wide, wide)).at[inside, inside].set(expected[middle])
        blend = jnp.concatenate([_blended(stamps, corner, whole) for stamps, corner, _ in kept])
        number = jnp.arange(1, self._options.most + 1, dtype=jnp.uint8)
        own = lax.map(lambda k: jnp.sum(segmentation == k, dtype=jnp.int32), number)
        return Rendered(expected, {"segmentation": segmentation, "blend": blend, "own": own})

    def _stamps(
        self, canvas: Canvas, state: ImagerState, side: int, shape: dict[str, Array], flux: Array
    ) -> tuple[Array, Array]:
        """Stamps (k, B, side, side) [count] of objects and the frame's (row, column) (k, 2) of their first pixels."""
        assert canvas.optics is not None
        grid = canvas.grid if side == self._npix else replace(canvas.grid, npix=side)
        transfer = psf.otf(canvas.optics, state, grid)
        transfer = transfer[0] * grid.pixel, transfer[1] * grid.pixel
        scale, half = canvas.grid.pixel_scale, 0.5 * self._npix
        place = jnp.stack([shape["y"], shape["x"]], 1)
        nearest = jnp.round(place * (1 / scale)) if side < self._npix else jnp.zeros_like(place)
        corner = (nearest + (half - side // 2)).astype(jnp.int32)
        off = place - nearest * scale

        def one(each: tuple[Array, Array, Array, Array, Array, Array]) -> Array:
            radius, q, n, angle, off, flux = each
            profile = shapes.sersic(*shapes.turned(grid, angle), radius, q, n)
            wave = shapes.waves(grid, off[1], off[0])
            seen = image(grid, product(transfer, (profile * wave[0], profile * wave[1])))
            return jnp.maximum(seen, 0) * flux[:, None, None]

        return lax.map(one, (shape["radius"], shape["q"], shape["n"], shape["angle"], off, flux)), corner

    def labels(self, cls: str, truth: Truth, rendered: Rendered, state: ImagerState) -> dict[str, Array]:
        magnitude = truth["object_mag"][:, self._bands // 2]
        there = ~jnp.isnan(magnitude)
        star = truth["object_star"] == 1

        def known(value: Array) -> Array:
            return jnp.where(there, value, jnp.nan)

        return {
            "n": jnp.sum(there).astype(jnp.uint8),
            "x": known(truth["object_x"]),
            "y": known(truth["object_y"]),
            "mag": magnitude,
            "radius": known(jnp.where(star, 0.0, truth["object_radius"])),
            "sersic_n": known(jnp.where(star, jnp.nan, truth["object_n"])),
            "star": (there & star).astype(jnp.uint8),
            "blend": known(rendered.parts["blend"]),
            "pixels": jnp.where(there, rendered.parts["own"], 0).astype(jnp.uint16),
            "segmentation": rendered.parts["segmentation"],
        }

    def label_arrays(self) -> tuple[ArraySpec, ...]:
        def each(name: str, unit: str, ucd: str, text: str, kind: str = "float32") -> ArraySpec:
            return ArraySpec(f"label/{name}", (self._options.most,), kind, ("object",), unit, ucd, text)

        n = self._npix
        return (
            ArraySpec("label/n", (), "uint8", (), "", "meta.number", "objects in the frame, the first of their axis"),
            each("x", "arcsec", "pos.cartesian.x", "place from the frame's centre"),
            each("y", "arcsec", "pos.cartesian.y", "place from the frame's centre"),
            each("mag", "mag", "phot.mag", "magnitude in the middle band"),
            each("radius", "arcsec", "phys.angSize", "half-light radius, 0 for a star"),
            each("sersic_n", "", "", "Sersic index, NaN for a star"),
            each("star", "", "meta.code", "1 if a star", "uint8"),
            each(
                "blend", "", "", "1 - sum(m m) / sum(m M) of its light m among all light M: 0 alone, 1 under others"
            ),
            each("pixels", "", "meta.number", "pixels of the segmentation that are its own", "uint16"),
            ArraySpec(
                "label/segmentation", (n, n), "uint8", ("y", "x"), "", "meta.code",
                "1 + place in the catalogue of the object with most light in a pixel, 0 where none reaches the noise",
            ),
        )  # fmt: skip


def _each(state: ImagerState) -> ImagerState:
    """The state with its zero points as a column, for magnitudes (B, K)."""
    return replace(state, zero_point=state.zero_point[:, None])


def _blended(stamps: Array, corner: Array, whole: Array) -> Array:
    """1 - sum(m^2) / sum(m M) of each object's light m among all light M (Bosch+ 2018, PASJ 70, S5, eq. 8)."""

    def one(each: tuple[Array, Array]) -> Array:
        m, at = each
        among = lax.dynamic_slice(whole, (at[0], at[1]), m.shape)
        seen = jnp.where(among > 0, m, 0.0)  # of an object that reaches out of the frame, what is in it
        return 1 - jnp.sum(seen * seen) / jnp.maximum(jnp.sum(seen * among), 1e-20)

    return lax.map(one, (stamps, corner))
