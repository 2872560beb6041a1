"""The classes of `twin.priors.fields` once more: galaxy-scale lenses and their look-alikes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from twin.observatory.state import ImagerState
from twin.simulators.reference.lens import Lens
from twin.simulators.reference.sky import Galaxy, Sampled, Sky, Star, counts, draw, sample, sersic
from twin.simulators.reference.view import View

Truth = Mapping[str, np.ndarray]

BRIGHTEST = 30.0  # magnification up to which an image of a quasar is drawn: it is no point
EXPONENTIAL = 1.6783469900166605  # half-light radius of an exponential disc in scale lengths
FINE = 24  # midpoints a side of a pixel for what the fast engine integrates adaptively


def expected(cls: str, truth: Truth, state: ImagerState, view: View) -> np.ndarray:
    """Expected counts (B, npix, npix) of a field."""
    sky = _CLASSES[cls](truth, state, view)
    around(sky, truth, state)
    return draw(view, state, sky)


def around(sky: Sky, truth: Truth, state: ImagerState) -> None:
    """Add what else is in a field."""
    for name in ("field0", "field1", "field2"):  # neighbours: a galaxy, two stars
        if f"{name}_radius" in truth:
            sky.galaxies.append(_galaxy(truth, state, name))
        else:
            sky.stars.append(_star(truth, state, name))
    for x, y, magnitude in zip(*(truth.get(f"faint_{key}", ()) for key in ("x", "y", "mag")), strict=True):
        sky.stars.append(Star(float(x), float(y), counts(magnitude, state)))


def _galaxy(truth: Truth, state: ImagerState, name: str, place: str | None = None, **given: float) -> Galaxy:
    """The galaxy `name` at `place`, with the parameters that the truth does not have."""
    shape = ("n", "radius", "q", "angle")
    values = {key: float(given[key] if key in given else truth[f"{name}_{key}"]) for key in shape}
    x, y = (float(truth[f"{place or name}_{axis}"]) for axis in "xy")
    return Galaxy(**values, x=x, y=y, flux=counts(truth[f"{name}_mag"], state))


def _star(truth: Truth, state: ImagerState, name: str) -> Star:
    return Star(float(truth[f"{name}_x"]), float(truth[f"{name}_y"]), counts(truth[f"{name}_mag"], state))


def lens_of(truth: Truth) -> Lens:
    names = ("theta_E", "lens_q", "lens_angle", "lens_x", "lens_y", "gamma1", "gamma2")
    return Lens(*(float(truth[name]) for name in names))


def source_position(truth: Truth) -> tuple[float, float]:
    """Unlensed position of the source [arcsec]: a share of the way from the lens to the cut."""
    lens, depth = lens_of(truth), float(truth["source_depth"])
    x, y = lens.cut(float(truth["source_phi"]))
    return lens.x + depth * (x - lens.x), lens.y + depth * (y - lens.y)


def _lensed(truth: Truth, state: ImagerState, view: View) -> Sky:
    """The lens's light and the lensed source."""
    lens, (bx, by) = lens_of(truth), source_position(truth)
    fine = replace(view, subsamples=max(view.subsamples, FINE // view.cells))
    shape = [float(truth[f"source_{key}"]) for key in ("n", "radius", "q", "angle")]

    def brightness(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        sx, sy = lens.shoot(x, y)
        return sersic(sx - bx, sy - by, *shape)

    own = _galaxy(truth, state, "lens", q=float(truth["light_q"]), angle=float(truth["light_angle"]))
    light = Sampled(sample(fine, brightness), counts(truth["source_mag"], state))
    return Sky(galaxies=[own], light=[light])


def _quasar(truth: Truth, state: ImagerState, view: View) -> Sky:
    """The same with a quasar in the source: `quasar_mag` is that of all images together in the middle band."""
    sky = _lensed(truth, state, view)
    x, y, magnification = lens_of(truth).images(*source_position(truth))
    bands = len(view.optics.wavelengths)
    blue = np.linspace(1, -1, bands)[:, None]
    scatter = truth["image_scatter"][: len(x)] + blue * truth["image_reddening"][: len(x)]
    share = np.minimum(np.abs(magnification), BRIGHTEST) * np.exp(scatter)
    flux = counts(truth["quasar_mag"], state)[:, None] * share / share[bands // 2].sum()
    sky.stars += [Star(*at) for at in zip(x, y, flux.T, strict=True)]
    return sky


def _bulge_and_disc(truth: Truth, state: ImagerState, view: View) -> Sky:
    angle = float(truth["galaxy_angle"])
    bulge = _galaxy(truth, state, "bulge", "galaxy", angle=angle)
    return Sky(galaxies=[bulge, _galaxy(truth, state, "disc", "galaxy", angle=angle, n=1.0)])


def _companions(truth: Truth, state: ImagerState, view: View) -> Sky:
    return Sky(galaxies=[_galaxy(truth, state, name) for name in ("galaxy", "companion0", "companion1")])


def _stars(truth: Truth, state: ImagerState, view: View) -> Sky:
    """Stars, and the galaxy that stands in for one of them."""
    names = [name for name in ("star0", "star1", "star2") if f"{name}_mag" in truth]
    sky = Sky(stars=[_star(truth, state, name) for name in names])
    if "galaxy_mag" in truth:
        sky.galaxies.append(_galaxy(truth, state, "galaxy"))
    return sky


def _spiral(truth: Truth, state: ImagerState, view: View) -> Sky:
    """A disc with logarithmic arms, mixed with a Gaussian ring, about a round bulge."""
    t = {name: float(value) for name, value in truth.items() if np.ndim(value) == 0}
    cos, sin, q = np.cos(t["galaxy_angle"]), np.sin(t["galaxy_angle"]), t["disc_q"]
    scale, r_ring = t["disc_radius"] / EXPONENTIAL, t["ring_radius"] * t["disc_radius"]
    width = 0.18 * r_ring

    def brightness(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        dx, dy = x - t["galaxy_x"], y - t["galaxy_y"]
        u, v = (cos * dx + sin * dy) * np.sqrt(q), (cos * dy - sin * dx) / np.sqrt(q)
        r = np.hypot(np.hypot(u, v), 1e-3)
        wave = t["arm_count"] * (np.arctan2(v, u) - np.log(r / scale) / np.tan(t["arm_pitch"])) - t["arm_phase"]
        disc = np.exp(-r / scale) / (2 * np.pi * scale**2) * (1 + t["arm_contrast"] * np.cos(wave))
        ring = np.exp(-0.5 * ((r - r_ring) / width) ** 2) / ((2 * np.pi) ** 1.5 * r_ring * width)
        return disc * (1 - t["ring_share"]) + ring * t["ring_share"]

    bulge = _galaxy(truth, state, "bulge", "galaxy", q=1.0, angle=t["galaxy_angle"])
    return Sky(galaxies=[bulge], light=[Sampled(sample(view, brightness), counts(truth["disc_mag"], state))])


_CLASSES: dict[str, Callable[[Truth, ImagerState, View], Sky]] = {
    "lens_galaxy": _lensed,
    "lens_quasar": _quasar,
    "galaxy": _bulge_and_disc,
    "companion": _companions,
    "star": _stars,
    "blend": _stars,
    "quasar_star": _stars,
    "spiral": _spiral,
}
