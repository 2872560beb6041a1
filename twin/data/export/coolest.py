"""COOLEST: the lensing community's JSON for lens models (Galan+ 2023, JOSS 8, 5567), one file a frame and band.

Its conventions: x to the right and y up from the frame's centre [arcsec], as here; position angles [deg] from y
counter-clockwise, in (-90, 90], here from x: phi = angle - 90. Radii along the intermediate axis, as here. Shear and
convergence are about the origin, here about the lens: the deflections differ by the constant Gamma lens, by which the
source is shifted. Light is in e-/s, I_eff in e-/s/arcsec^2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from scipy.special import gammaincinv, gammaln

from twin.data.export.truth import lens_images, lens_truths, source_at
from twin.data.inspect import counts
from twin.data.load import Dataset
from twin.io.atomic import write_json
from twin.io.fits import write_images
from twin.observatory.psf import psf_image
from twin.priors.fields import Truth
from twin.priors.populations import OMEGA_M
from twin.recipe import Recipe
from twin.schema import UserError

HUBBLE = 70.0  # km/s/Mpc, of `twin.priors.populations`


def writer(dataset: Dataset, indices: np.ndarray) -> Callable[[Path], None]:
    """What writes NUMBER_BAND.json, .fits and _psf.fits of each lens. Raises UserError for a dataset without lenses."""
    recipe, truths = lens_truths(dataset, indices)
    strange = sorted({UNKNOWN[name] for _, truth in truths for name in truth or () if name in UNKNOWN})
    if strange:
        raise UserError(f"COOLEST has no profile for these lenses: {', '.join(strange)}", file=dataset.path)
    images = lens_images(dataset, indices) or [np.zeros((0, 2))] * len(indices)
    state_of = jax.jit(recipe.state)
    frame, canvas = recipe.config.frame, recipe.canvas
    psf_of = jax.jit(
        lambda s: psf_image(recipe.optics, s, frame.npix, recipe.pixel_scale, canvas.grid.factor, frame.pad)
    )

    def write(folder: Path) -> None:
        for i, index in enumerate(indices):
            cls, truth = truths[i]
            if truth is None:
                continue
            state = state_of(dataset.read("telemetry", [index])[0])
            kernels = np.asarray(psf_of(state))
            shown = counts(dataset, np.array([index]))[0]
            for b, band in enumerate(recipe.bands):
                name = f"{index:08d}_{band}"
                rate = float(state.gain[b] / state.exptime[b])  # [e-/s] of a count
                zero_point = float(state.zero_point[b]) + 2.5 * np.log10(rate)
                write_images(folder / f"{name}.fits", {"SCI": shown[b] * rate})
                write_images(folder / f"{name}_psf.fits", {"PSF": kernels[b] / kernels[b].sum()})
                half = (frame.npix - 1) / 2
                meta = {
                    "dataset": dataset.path.name, "sample": int(index), "class": cls,
                    "images": ((images[i] - half) * recipe.pixel_scale).round(5).tolist(),
                }  # fmt: skip
                content = {
                    "standard": "COOLEST",
                    "mode": "MOCK",
                    "coordinates_origin": {"ra": "00h00m00s", "dec": "+00d00m00s"},
                    "cosmology": {"astropy_name": "FlatLambdaCDM", "H0": HUBBLE, "Om0": OMEGA_M},
                    "lensing_entities": entities(truth, b, zero_point),
                    "observation": _observation(recipe, name, float(state.exptime[b]), zero_point),
                    "instrument": _instrument(recipe, name, band, float(state.read_noise[b])),
                    "meta": meta,
                }
                write_json(folder / f"{name}.json", content)

    return write


UNKNOWN = {"dark_fraction": "NFW and stars", "subhalo_x": "truncated NFW subhalos", "los_x": "several planes"}


def entities(truth: Truth, band: int, zero_point: float) -> list[dict[str, Any]]:
    """The external field, the lens and the source of a truth; `zero_point` [mag] gives 1 e-/s."""
    t = {name: np.asarray(value, float) for name, value in truth.items()}
    x, y = float(t["lens_x"]), float(t["lens_y"])
    g1, g2, kappa = (float(t.get(name, 0.0)) for name in ("gamma1", "gamma2", "kappa"))
    field = [_profile("ExternalShear", gamma_ext=np.hypot(g1, g2), phi_ext=position_angle(0.5 * np.arctan2(g2, g1)))]
    if "kappa" in t:
        field.append(_profile("ConvergenceSheet", kappa_s=kappa))
    shape = {"theta_E": t["theta_E"], "q": t["lens_q"], "phi": position_angle(float(t["lens_angle"]))}
    centre = {"center_x": x, "center_y": y}
    mass = _profile("PEMD", gamma=t["slope"], **shape, **centre) if "slope" in t else _profile("SIE", **shape, **centre)
    shift = -(kappa + g1) * x - g2 * y, -(kappa - g1) * y - g2 * x
    return [
        {"type": "MassField", "name": "external field", "redshift": float(t["z_lens"]), "mass_model": field},
        {
            "type": "Galaxy", "name": "lens", "redshift": float(t["z_lens"]), "mass_model": [mass],
            "light_model": _light(t, "lens", "light", [(x, y)], band, zero_point),
        },
        {
            "type": "Galaxy", "name": "source", "redshift": float(t["z_source"]), "mass_model": [],
            "light_model": _light(t, "source", "source", _places(truth, shift), band, zero_point),
        },
    ]  # fmt: skip


def _places(truth: Truth, shift: tuple[float, float]) -> list[tuple[float, float]]:
    """Positions of the source's components where COOLEST's deflection puts them."""
    if "source_x" in truth:
        at = list(zip(np.asarray(truth["source_x"], float), np.asarray(truth["source_y"], float), strict=True))
    else:
        at = [source_at(truth)]
    return [(float(x) + shift[0], float(y) + shift[1]) for x, y in at]


def _light(
    t: Mapping[str, np.ndarray], name: str, shape: str, at: list[tuple[float, float]], band: int, zero_point: float
) -> list[dict[str, Any]]:
    """Sersic profiles of a galaxy; components that are not there are left out."""
    magnitude = np.atleast_2d(t[f"{name}_mag"])[:, band]

    def of(key: str, k: int) -> float:
        values = np.atleast_1d(t[key])
        return float(values[min(k, len(values) - 1)])

    found = []
    for k, m in enumerate(magnitude):
        if not np.isfinite(m):
            continue
        n, radius = of(f"{name}_n", k), of(f"{name}_radius", k)
        b = gammaincinv(2 * n, 0.5)
        area = 2 * np.pi * n * np.exp(b + gammaln(2 * n) - 2 * n * np.log(b)) * radius**2
        x, y = at[min(k, len(at) - 1)]
        phi = position_angle(of(f"{shape}_angle", k))
        found.append(
            _profile(
                "Sersic", I_eff=10 ** (-0.4 * (m - zero_point)) / area, theta_eff=radius, n=n, q=of(f"{shape}_q", k),
                phi=phi, center_x=x, center_y=y,
            )
        )  # fmt: skip
    return found


def position_angle(angle: float) -> float:
    """COOLEST's angle [deg], counter-clockwise from y in (-90, 90], of one counter-clockwise from x [rad]."""
    return 90.0 - (180.0 - np.degrees(angle)) % 180.0


def _profile(kind: str, **values: Any) -> dict[str, Any]:
    """A profile whose parameters are known exactly."""
    nothing = {"mean": None, "median": None, "percentile_16th": None, "percentile_84th": None}
    parameters = {
        name: {
            "fixed": False, "point_estimate": {"value": float(value)}, "posterior_stats": nothing,
            "prior": {"type": None},
        }
        for name, value in values.items()
    }  # fmt: skip
    return {"type": kind, "parameters": parameters}


def _pixels(recipe: Recipe, file: str) -> dict[str, Any]:
    npix = recipe.config.frame.npix
    half = 0.5 * npix * recipe.pixel_scale
    return {
        "field_of_view_x": [-half, half], "field_of_view_y": [-half, half], "num_pix_x": npix, "num_pix_y": npix,
        "fits_file": {"path": file},
    }  # fmt: skip


def _observation(recipe: Recipe, name: str, exptime: float, zero_point: float) -> dict[str, Any]:
    noise = {"with_readout_noise": True, "with_sky_shot_noise": True, "with_target_shot_noise": True}
    return {
        "pixels": _pixels(recipe, f"{name}.fits"), "exposure_time": exptime, "mag_zero_point": zero_point,
        "mag_sky_brightness": None, "noise": {"type": "InstrumentalNoise", **noise},
    }  # fmt: skip


def _instrument(recipe: Recipe, name: str, band: str, read_noise: float) -> dict[str, Any]:
    psf = {"type": "PixelatedPSF", "description": "pixel integrated", "pixels": _pixels(recipe, f"{name}_psf.fits")}
    return {
        "name": recipe.instrument.name, "band": band, "pixel_size": recipe.pixel_scale, "readout_noise": read_noise,
        "psf": psf,
    }  # fmt: skip
