"""Clusters of galaxies: truth + State -> expected counts, and the arcs in them.

Everything runs one sample at a time, whatever batch it comes in: loops then end with the members and sources that are
there, and branches that nothing lights are not taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from pydantic import BaseModel, ConfigDict, Field

from twin.io.layout import ArraySpec
from twin.numerics.fourier import image, product, spectrum
from twin.observatory.detector.noise import background_variance
from twin.observatory.state import ImagerState
from twin.priors import cluster
from twin.priors.fields import Prior, Truth
from twin.priors.sites import Site
from twin.simulators.base import Canvas, Rendered, Setup
from twin.simulators.cluster import arcs, light, sources
from twin.simulators.cluster.lens import lens, place
from twin.simulators.scene import Points, point_spectrum

_OUTSIDE = 8  # pixels around the frame: 2 arcsec of a stack, 0.6 arcsec in space, four times the PSF's FWHM


class Options(BaseModel):
    """The `scene:` section.

    halo      profile of the smooth mass
    relation  from richness to mass
    faintest  members reach so far below L* [mag]
    noise     an arc ends where it is fainter than this many times the noise of an empty pixel, in the middle band
    ratio     least length-to-width ratio of an arc, `pixels` its fewest pixels
    arcs      most arcs of a frame: the largest stay
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    halo: Literal["nfw", "dpie"] = "nfw"
    relation: Literal["simet2017", "abdullah2022"] = "simet2017"
    faintest: float = Field(4.0, ge=1, le=8)
    noise: float = Field(1.0, gt=0, le=100)
    ratio: float = Field(3.0, ge=1, le=100)
    pixels: int = Field(20, ge=1)
    arcs: int = Field(12, ge=1, le=24)


class Clusters:
    """Clusters with arcs, clusters without, and fields without a cluster (`twin.priors.cluster`)."""

    options: ClassVar[type[BaseModel]] = Options
    sites: ClassVar[Mapping[str, Site]] = cluster.CLUSTER_SITES
    classes: ClassVar[tuple[str, ...]] = tuple(cluster.CLASSES)
    units: ClassVar[Mapping[str, str]] = {
        "_x": "arcsec", "_y": "arcsec", "_radius": "arcsec", "_core": "arcsec", "_cut": "arcsec", "_Rs": "arcsec",
        "_b0": "arcsec", "_angle": "rad", "_phi": "rad",
    }  # fmt: skip

    def __init__(self, setup: Setup) -> None:
        self._options: Options = setup.options
        self._npix, self._scale = setup.npix, setup.pixel_scale

    def truth(self, cls: str, prior: Prior) -> Callable[[], Truth]:
        options = self._options
        choices = {"halo": options.halo, "relation": options.relation, "faintest": options.faintest}

        def program() -> Truth:
            truth = cluster.CLASSES[cls](prior, **choices)
            return place(truth, prior.half_side) if "sources" in truth else truth

        return program

    def render(self, cls: str, truth: Truth, state: ImagerState, canvas: Canvas) -> Rendered:
        drawn = jax.custom_batching.sequential_vmap(partial(_draw, canvas))(truth, state)
        return Rendered(drawn["expected"], drawn)

    def labels(self, cls: str, truth: Truth, rendered: Rendered, state: ImagerState) -> dict[str, Array]:
        options, parts = self._options, rendered.parts
        if "sources" not in truth:
            blank = {"redshift": jnp.zeros(1), "seen": jnp.zeros((self._npix, self._npix)), "noise": jnp.ones(())}
            parts = blank | {k: jnp.zeros((self._npix, self._npix)) for k in ("brightest", "determinant")}
            parts["owner"] = jnp.zeros((self._npix, self._npix), jnp.int32)
        find = partial(arcs.find, most=options.arcs, least_ratio=options.ratio, least_pixels=options.pixels)
        names = ("seen", "owner", "brightest", "determinant")
        threshold = options.noise * parts["noise"]
        found = jax.custom_batching.sequential_vmap(find)(*(parts[name] for name in names), threshold)
        behind = truth.get("source_redshift", jnp.zeros(1))[jnp.maximum(found.source, 0)]
        return {
            "arc": (found.count > 0).astype(jnp.uint8),
            "n": found.count,
            "arc_mask": found.mask,
            "box": found.box,
            "length": found.length * np.float32(self._scale),
            "length_to_width": found.ratio,
            "magnification": found.magnification,
            "source_redshift": jnp.where(found.source >= 0, behind, jnp.nan),
            "source": found.source,
        }

    def label_arrays(self) -> tuple[ArraySpec, ...]:
        n, most = self._npix, self._options.arcs
        each = partial(ArraySpec, shape=(most,), dtype="float32", dims=("arc",))
        corners: dict[str, tuple[str, ...]] = {"corner": ("x_min", "y_min", "x_max", "y_max")}
        return (
            ArraySpec("label/arc", (), "uint8", (), "", "meta.code.class", "1 if the field holds an arc"),
            ArraySpec("label/n", (), "uint8", (), "", "meta.number", "arcs, the largest first"),
            ArraySpec(
                "label/arc_mask", (n, n), "uint8", ("y", "x"), "", "meta.code",
                "number of the arc, from 1, that covers a pixel; 0 = none",
            ),
            ArraySpec(
                "label/box", (most, 4), "float32", ("arc", "corner"), "pixel", "pos.cartesian;instr.pixel",
                "edges of each arc's pixels, pixel j from j - 1/2 to j + 1/2; NaN = no arc", corners,
            ),
            each("label/length", unit="arcsec", ucd="phys.angSize", description="of each arc, along it"),
            each("label/length_to_width", ucd="arith.ratio", description="of each arc"),
            each("label/magnification", description="of each arc, weighted with its light"),
            each("label/source_redshift", ucd="src.redshift", description="of each arc's source"),
            each("label/source", dtype="int8", description="number of each arc's source in the truth, -1 = no arc"),
        )  # fmt: skip


def counts(magnitude: Array, state: ImagerState) -> Array:
    """Counts (B, K) of AB magnitudes (K, B); 0 where they are NaN (nothing there)."""
    return jnp.where(jnp.isnan(magnitude), 0.0, 10 ** (-0.4 * (jnp.nan_to_num(magnitude) - state.zero_point))).T


def _margin(canvas: Canvas) -> int:
    """Cells around the frame in which light is drawn too, for the PSF to bring in: `spectrum` tells the cells a pixel
    from the plane's side, less than one more for all of them."""
    return min(_OUTSIDE, (canvas.grid.npix - 1) // (2 * canvas.cells)) * canvas.cells


def _galaxies(truth: Truth, state: ImagerState, canvas: Canvas) -> Array:
    """Counts (B, side, side) in cells, those of the margin too, of all that is not lensed and not a star."""
    names = [name for name in ("member", "field") if f"{name}_x" in truth]
    columns = ("x", "y", "radius", "sersic", "q", "angle")
    table = [jnp.concatenate([truth[f"{name}_{column}"] for name in names]) for column in columns]
    flux = jnp.concatenate([counts(truth[f"{name}_mag"], state) for name in names], 1)
    if "icl_mag" in truth:  # an exponential disc about the brightest member, as it lies
        place, shape = [truth[f"member_{k}"][0] for k in "xy"], [truth[f"member_{k}"][0] for k in ("q", "angle")]
        icl = [*place, truth["icl_radius"], jnp.ones(()), *shape]
        table = [jnp.append(column, value) for column, value in zip(table, icl, strict=True)]
        flux = jnp.concatenate([flux, counts(truth["icl_mag"][None], state)], 1)
    x, y, radius, n, q, angle = table
    side = canvas.grid.npix * canvas.cells + 2 * _margin(canvas)
    return light.draw(light.rows(x, y, radius, n, q, angle), flux, side, canvas.grid.pixel_scale / canvas.cells)


def _sources(truth: Truth, state: ImagerState, canvas: Canvas) -> sources.Lensed:
    columns = ("x", "y", "radius", "sersic", "q", "angle")
    galaxies = light.rows(*(truth[f"source_{column}"] for column in columns))
    behind = sources.Sources(galaxies, truth["source_efficiency"], counts(truth["source_mag"], state))
    side, cell = canvas.grid.npix * canvas.cells + 2 * _margin(canvas), canvas.grid.pixel_scale / canvas.cells
    return sources.draw(lens(truth), behind, side, cell, canvas.subsamples)


def _draw(canvas: Canvas, truth: Truth, state: ImagerState) -> dict[str, Any]:
    """Expected counts of one sample, and what its labels need."""
    grid, cells = canvas.grid, canvas.cells
    planes = _galaxies(truth, state, canvas)
    transfer = canvas.transfer(state)
    middle = len(planes) // 2
    parts: dict[str, Any] = {"noise": jnp.sqrt(background_variance(state)[middle]) / state.gain[middle]}
    if "sources" in truth:
        lensed = _sources(truth, state, canvas)
        planes = jnp.concatenate([planes + lensed.light, lensed.light[middle][None]])
        transfer = jax.tree.map(lambda part: jnp.concatenate([part, part[middle][None]]), transfer)
        parts |= _by_pixel(lensed, truth["source_efficiency"], cells, grid.pixel_scale, _margin(canvas))
    window = grid.cell(cells) if cells > 1 else np.float32(1)
    re, im = (part * window for part in spectrum(grid, planes))
    stars = Points(truth["star_x"], truth["star_y"], counts(truth["star_mag"], state))
    point_re, point_im = (part * grid.pixel for part in point_spectrum(grid, stars))
    bands = len(point_re)
    frames = image(grid, product(transfer, (re.at[:bands].add(point_re), im.at[:bands].add(point_im))))
    return parts | {"expected": frames[:bands]} | ({"seen": frames[bands]} if "sources" in truth else {})


def _by_pixel(lensed: sources.Lensed, efficiency: Array, cells: int, scale: float, margin: int) -> dict[str, Array]:
    """Owner, its light and its det A on the frame's pixels (y, x); differences of the mean deflection of pixels."""
    end = lensed.owner.shape[-1] - margin

    def corner(values: Array, i: int, j: int) -> Array:
        return values[..., margin + i : end : cells, margin + j : end : cells]

    each = [(i, j) for i in range(cells) for j in range(cells)]
    best, owner = corner(lensed.brightest, 0, 0), corner(lensed.owner, 0, 0)
    for i, j in each[1:]:
        here = corner(lensed.brightest, i, j)
        owner = jnp.where(here > best, corner(lensed.owner, i, j), owner)
        best = jnp.maximum(best, here)
    total: Any = sum(corner(lensed.deflection, i, j) for i, j in each)
    mean = total * np.float32(1 / len(each) / scale)
    strength = efficiency[owner]
    along_y, along_x = jnp.gradient(mean, axis=(1, 2))
    xx, yy = 1 - strength * along_x[0], 1 - strength * along_y[1]
    determinant = xx * yy - strength**2 * along_x[1] * along_y[0]
    return {"owner": owner, "brightest": best, "determinant": determinant}
