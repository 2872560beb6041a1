"""The optical sky of a small field: truth + State -> expected counts.

One scene builder for each class of `twin.priors.fields`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from pydantic import BaseModel

from twin.io.layout import ArraySpec
from twin.numerics import angles, sersic
from twin.observatory.state import ImagerState
from twin.priors import fields
from twin.priors.fields import GALAXY_INTERLOPERS, STAR_INTERLOPERS, Prior, Truth
from twin.priors.sites import SITES, Site
from twin.simulators import lensing, quadrature
from twin.simulators.base import Canvas, NoOptions, Rendered, Setup
from twin.simulators.scene import LightMap, Points, Scene, Sersics, render

LENS_CLASSES = ("lens_galaxy", "lens_quasar")


def counts(magnitude: Array, state: ImagerState) -> Array:
    """Counts (B,) of AB magnitudes (B,); 0 where the magnitude is NaN (nothing there)."""
    return jnp.where(jnp.isnan(magnitude), 0.0, 10 ** (-0.4 * (jnp.nan_to_num(magnitude) - state.zero_point)))


def _sersic(truth: Truth, state: ImagerState, *rows: tuple[str, str, str, str, str, str]) -> Sersics:
    """Sersics from the names of (position, magnitude, radius, n, q, angle) in the truth."""
    at = [(truth[f"{r[0]}_x"], truth[f"{r[0]}_y"]) for r in rows]
    return Sersics(
        x=jnp.stack([a[0] for a in at]),
        y=jnp.stack([a[1] for a in at]),
        radius=jnp.stack([truth[r[2]] for r in rows]),
        q=jnp.stack([truth[r[4]] for r in rows]),
        angle=jnp.stack([truth[r[5]] for r in rows]),
        n=jnp.stack([truth[r[3]] for r in rows]),
        flux=jnp.stack([counts(truth[r[1]], state) for r in rows], 1),
    )


def _object(name: str, position: str | None = None) -> tuple[str, str, str, str, str, str]:
    """Truth names of a galaxy called `name`."""
    return (position or name, f"{name}_mag", f"{name}_radius", f"{name}_n", f"{name}_q", f"{name}_angle")


def _points(truth: Truth, state: ImagerState, *names: str) -> Points:
    return Points(
        x=jnp.stack([truth[f"{n}_x"] for n in names]),
        y=jnp.stack([truth[f"{n}_y"] for n in names]),
        flux=jnp.stack([counts(truth[f"{n}_mag"], state) for n in names], 1),
    )


FIELD_GALAXIES = tuple(_object(f"field{k}") for k in range(GALAXY_INTERLOPERS))
FIELD_STARS = tuple(f"field{k}" for k in range(GALAXY_INTERLOPERS, GALAXY_INTERLOPERS + STAR_INTERLOPERS))


def _join(a: Points, b: Points) -> Points:
    return Points(jnp.concatenate([a.x, b.x]), jnp.concatenate([a.y, b.y]), jnp.concatenate([a.flux, b.flux], 1))


def sie(truth: Truth) -> lensing.SIE:
    return lensing.SIE(*(truth[k] for k in ("theta_E", "lens_q", "lens_angle", "lens_x", "lens_y", "gamma1", "gamma2")))


def source_position(truth: Truth) -> tuple[Array, Array]:
    """Unlensed position [arcsec]: `source_depth` of the way from the lens to the cut, so that there are always two
    images."""
    x, y = lensing.cut(sie(truth), truth["source_phi"])
    depth = truth["source_depth"]
    return truth["lens_x"] + depth * (x - truth["lens_x"]), truth["lens_y"] + depth * (y - truth["lens_y"])


def _sampled(canvas: Canvas, brightness: Callable[[Array, Array], Array]) -> Array:
    """Mean of a surface brightness [1/arcsec^2] over each convolution cell, times its area: (cells npix, cells npix).

    One sum a sub-pixel: a mean over a sub-pixel axis would fuse with the brightness and no longer vectorise.
    """
    grid = canvas.grid
    x, y = lensing.sample_points(grid.npix * canvas.cells, grid.pixel_scale / canvas.cells, canvas.subsamples)
    each = [(i, j) for i in range(canvas.subsamples) for j in range(canvas.subsamples)]
    total: Any = sum(brightness(jnp.asarray(x[i, j]), jnp.asarray(y[i, j])) for i, j in each)
    return total * (canvas.sample_area / len(each))


def lensed_brightness(truth: Truth, beta: tuple[Array, Array]) -> quadrature.Brightness:
    """Surface brightness (1, ...) [1/arcsec^2] of the unit-flux Sersic source at beta, seen through the lens."""
    lens = sie(truth)

    def brightness(x: Array, y: Array) -> Array:
        ax, ay = lensing.deflection(lens, x, y)
        shape = (truth[f"source_{key}"] for key in ("radius", "q", "angle", "n"))
        return sersic.brightness(x - ax, y - ay, beta, *shape)[None]

    return brightness


def _lensed_source(canvas: Canvas, truth: Truth, state: ImagerState, beta: tuple[Array, Array]) -> LightMap:
    side, cell = canvas.grid.npix * canvas.cells, canvas.grid.pixel_scale / canvas.cells
    light = quadrature.integrate(lensed_brightness(truth, beta), side, cell, canvas.blocks, canvas.points)
    return LightMap(light[0], counts(truth["source_mag"], state))


def _lens_light() -> tuple[str, str, str, str, str, str]:
    return ("lens", "lens_mag", "lens_radius", "lens_n", "light_q", "light_angle")


def _lens_galaxy(canvas: Canvas, truth: Truth, state: ImagerState) -> tuple[Scene, dict[str, Any]]:
    beta = source_position(truth)
    parts = {"images": lensing.images(sie(truth), *beta)}
    light = _lensed_source(canvas, truth, state, beta)
    return Scene(
        _sersic(truth, state, _lens_light(), *FIELD_GALAXIES), _points(truth, state, *FIELD_STARS), light
    ), parts


def _lens_quasar(canvas: Canvas, truth: Truth, state: ImagerState) -> tuple[Scene, dict[str, Any]]:
    beta = source_position(truth)
    x, y, mu, exists = lensing.images(sie(truth), *beta)
    parts = {"images": (x, y, mu, exists)}
    # an image's share of the light: magnification, scatter common to the bands, reddening stronger in the blue
    scatter = truth["image_scatter"] + _blueness(state) * truth["image_reddening"]
    share = jnp.where(exists, jnp.minimum(jnp.abs(mu), 30.0) * jnp.exp(scatter), 0.0)
    r_share = share[state.gain.shape[-1] // 2].sum()
    quasar = Points(x, y, counts(truth["quasar_mag"], state)[:, None] * (share * (1 / r_share)))  # see lensing.images
    light = _lensed_source(canvas, truth, state, beta)
    points = _join(quasar, _points(truth, state, *FIELD_STARS))
    return Scene(_sersic(truth, state, _lens_light(), *FIELD_GALAXIES), points, light), parts


def _blueness(state: ImagerState) -> Array:
    """(B, 1) weight of differential reddening: 1 in the bluest band to -1 in the reddest."""
    return jnp.linspace(1.0, -1.0, state.gain.shape[-1])[:, None]


def _galaxy(canvas: Canvas, truth: Truth, state: ImagerState) -> tuple[Scene, dict[str, Any]]:
    truth = truth | {"disc_n": jnp.ones_like(truth["bulge_n"])}
    bulge = ("galaxy", "bulge_mag", "bulge_radius", "bulge_n", "bulge_q", "galaxy_angle")
    disc = ("galaxy", "disc_mag", "disc_radius", "disc_n", "disc_q", "galaxy_angle")
    return Scene(_sersic(truth, state, bulge, disc, *FIELD_GALAXIES), _points(truth, state, *FIELD_STARS)), {}


def _companion(canvas: Canvas, truth: Truth, state: ImagerState) -> tuple[Scene, dict[str, Any]]:
    rows = [_object(name) for name in ("galaxy", "companion0", "companion1")]
    return Scene(_sersic(truth, state, *rows, *FIELD_GALAXIES), _points(truth, state, *FIELD_STARS)), {}


def _star(canvas: Canvas, truth: Truth, state: ImagerState) -> tuple[Scene, dict[str, Any]]:
    return Scene(_sersic(truth, state, *FIELD_GALAXIES), _points(truth, state, "star0", *FIELD_STARS)), {}


def _blend(canvas: Canvas, truth: Truth, state: ImagerState) -> tuple[Scene, dict[str, Any]]:
    stars = [name for name in ("star0", "star1", "star2") if f"{name}_x" in truth]
    return Scene(
        _sersic(truth, state, _object("galaxy"), *FIELD_GALAXIES), _points(truth, state, *stars, *FIELD_STARS)
    ), {}


def _spiral(canvas: Canvas, truth: Truth, state: ImagerState) -> tuple[Scene, dict[str, Any]]:
    """Exponential disc times 1 + c cos(m (theta - ln r / tan pitch) - phase), mixed with a Gaussian ring."""
    cos, sin, q = jnp.cos(truth["galaxy_angle"]), jnp.sin(truth["galaxy_angle"]), truth["disc_q"]
    scale = truth["disc_radius"] / 1.67835  # half-light radius of an exponential disc in scale lengths
    r_ring = truth["ring_radius"] * truth["disc_radius"]
    width, winding = 0.18 * r_ring, 1 / jnp.tan(truth["arm_pitch"])

    def brightness(x: Array, y: Array) -> Array:
        dx, dy = x - truth["galaxy_x"], y - truth["galaxy_y"]
        u, v = (cos * dx + sin * dy) * jnp.sqrt(q), (cos * dy - sin * dx) / jnp.sqrt(q)
        r = jnp.sqrt(u * u + v * v + 1e-6)
        wave = truth["arm_count"] * (jnp.arctan2(v, u) - jnp.log(r / scale) * winding) - truth["arm_phase"]
        disc = jnp.exp(-r / scale) / (2 * jnp.pi * scale**2) * (1 + truth["arm_contrast"] * angles.cos(wave))
        ring = jnp.exp(-0.5 * ((r - r_ring) / width) ** 2) / ((2 * jnp.pi) ** 1.5 * r_ring * width)
        return disc + truth["ring_share"] * (ring - disc)

    light = _sampled(canvas, brightness)
    bulge = truth | {"bulge_q": jnp.ones_like(q)}
    row = ("galaxy", "bulge_mag", "bulge_radius", "bulge_n", "bulge_q", "galaxy_angle")
    sersics = _sersic(bulge, state, row, *FIELD_GALAXIES)
    return Scene(sersics, _points(truth, state, *FIELD_STARS), LightMap(light, counts(truth["disc_mag"], state))), {}


SCENES: dict[str, Callable[[Canvas, Truth, ImagerState], tuple[Scene, dict[str, Any]]]] = {
    "lens_galaxy": _lens_galaxy,
    "lens_quasar": _lens_quasar,
    "galaxy": _galaxy,
    "companion": _companion,
    "star": _star,
    "blend": _blend,
    "quasar_star": _blend,
    "spiral": _spiral,
}


def _with_faint(scene: Scene, truth: Truth, state: ImagerState) -> Scene:
    """A scene and its faint galaxies, which are points: seeing is wider than they are."""
    if "faint_mag" not in truth:
        return scene
    flux = jax.vmap(counts, (0, None), 1)(truth["faint_mag"], state)
    faint = Points(truth["faint_x"], truth["faint_y"], flux)
    return replace(scene, points=faint if scene.points is None else _join(scene.points, faint))


def _own(cls: str, scene: Scene) -> Scene:
    """What a class is about: a lens's source, else all but the field's interlopers."""
    galaxies = len(scene.sersics.x) - GALAXY_INTERLOPERS if scene.sersics is not None else 0
    stars = len(scene.points.x) - STAR_INTERLOPERS if scene.points is not None else 0
    if cls in LENS_CLASSES:
        galaxies = 0
    sersics = jax.tree.map(lambda a: a[..., :galaxies], scene.sersics) if galaxies else None
    points = jax.tree.map(lambda a: a[..., :stars], scene.points) if stars else None
    return Scene(sersics, points, scene.light)


def _size(cls: str, truth: Truth, parts: dict[str, Any]) -> Array:
    """Separation of a lens's images or of a pair, diameter of half the light of a galaxy [arcsec]; NaN for a star."""
    if cls in LENS_CLASSES:
        x, y, _, exists = parts["images"]
        return lensing.largest_separation(x, y, exists)
    if cls in ("galaxy", "spiral"):
        return 2 * truth["disc_radius"]
    if cls == "star":
        return jnp.float32(jnp.nan)
    one, other = ("galaxy", "companion0") if cls == "companion" else ("star0", "galaxy")
    return jnp.hypot(truth[f"{other}_x"] - truth[f"{one}_x"], truth[f"{other}_y"] - truth[f"{one}_y"])


class Fields:
    """Small fields about one object: galaxy-scale lenses and their look-alikes (`twin.priors.fields`)."""

    options: ClassVar[type[BaseModel]] = NoOptions
    sites: ClassVar[Mapping[str, Site]] = SITES
    classes: ClassVar[tuple[str, ...]] = tuple(fields.CLASSES)
    units: ClassVar[Mapping[str, str]] = {
        "theta_E": "arcsec", "_x": "arcsec", "_y": "arcsec", "_radius": "arcsec", "ring_radius": "",
        "_angle": "rad", "_phi": "rad", "arm_pitch": "rad", "arm_phase": "rad", "velocity_dispersion": "km.s-1",
    }  # fmt: skip

    def __init__(self, setup: Setup) -> None:
        pass

    def truth(self, cls: str, prior: Prior) -> Callable[[], Truth]:
        return lambda: {**fields.CLASSES[cls](prior), **fields.interlopers(prior), **fields.faint_galaxies(prior)}

    def render(self, cls: str, truth: Truth, state: ImagerState, canvas: Canvas) -> Rendered:
        scene, parts = SCENES[cls](canvas, truth, state)
        transfer = canvas.transfer(state)
        if canvas.signal:
            own = render(canvas.grid, transfer, _own(cls, scene))
            parts = parts | {"signal": own, "size": _size(cls, truth, parts)}
        return Rendered(render(canvas.grid, transfer, _with_faint(scene, truth, state)), parts)

    def labels(self, cls: str, truth: Truth, rendered: Rendered, state: ImagerState) -> dict[str, Array]:
        if cls not in LENS_CLASSES:
            return {"lens": jnp.uint8(0), "separation": jnp.float32(jnp.nan)}
        x, y, _, exists = rendered.parts["images"]
        return {"lens": jnp.uint8(1), "separation": lensing.largest_separation(x, y, exists)}

    def label_arrays(self) -> tuple[ArraySpec, ...]:
        return (
            ArraySpec("label/lens", (), "uint8", (), "", "meta.code.class", "1 if the field holds a lens"),
            ArraySpec(
                "label/separation", (), "float32", (), "arcsec", "pos.angDistance",
                "largest image separation, NaN for no lens",
            ),
        )  # fmt: skip
