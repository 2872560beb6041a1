"""A small telescope, exposures and star catalogues that it could have taken, from known parameters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from twin.observatory.calibrate.moments import Unknowns, moments_field
from twin.observatory.imager import Imager
from twin.schema import parse_yaml

YAML: dict = {
    "name": "small",
    "kind": "imager",
    "description": "a 4 m telescope with a focus error",
    "diameter": "4 m",
    "obscuration": 0.35,
    "atmosphere": True,
    "pixel_scale": "0.26 arcsec",
    "bands": {
        "g": {"wavelength": "480 nm", "zero_point": "26 mag", "exposure": "90 s"},
        "z": {"wavelength": "920 nm", "zero_point": "26 mag", "exposure": "90 s"},
    },
    "detector": {"read_noise": "7 e-", "saturation": "150000 e-", "diffusion": "0.3 px"},
    "nights": {"exposures": 20, "cadence": "5 min"},
    "channels": {
        "seeing": {"range": ["0.2 arcsec", "6 arcsec"], "law": "lognormal", "median": "0.7 arcsec", "sigma": 0.2},
        "outer_scale": {"range": ["5 m", "500 m"], "law": "lognormal", "median": "22 m", "sigma": 0.4},
        "airmass": {
            "range": [1, 3], "law": "lognormal", "shift": 0.99, "median": 1.2, "sigma": 0.8, "keywords": ["AIRMASS"],
        },
        "sky_brightness": {
            "range": ["15 mag/arcsec2", "25 mag/arcsec2"], "law": "constant", "value": "20 mag/arcsec2",
        },
        "exptime": {"range": ["1 s", "900 s"], "law": "constant", "value": "90 s"},
        "z4": {"range": ["-900 nm", "900 nm"], "law": "normal", "mean": "150 nm", "sigma": "20 nm"},
        "z5": {"range": ["-900 nm", "900 nm"], "law": "normal", "mean": "0 nm", "sigma": "20 nm"},
        "z6": {"range": ["-900 nm", "900 nm"], "law": "normal", "mean": "0 nm", "sigma": "20 nm"},
    },
}  # fmt: skip
TRUTH = {"offset": 0.3, "airmass_exponent": 0.45, "wavelength_exponent": -0.25, "outer_scale": 20.0, "floor": 0.5,
         "night_sd": 0.15, "scatter": 0.06, "persistence": 0.85, "memory": 1.5, "tails": 5.0}  # fmt: skip


def small() -> Imager:
    return Imager(parse_yaml(yaml.safe_dump(YAML), "small.yaml"))


def instrument_file(folder: Path) -> Path:
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(YAML))
    return path


def exposures(nights: int = 30, each: int = 50, seed: int = 1) -> dict[str, np.ndarray]:
    """Columns of a table of measured FWHM under TRUTH, the instrument's median seeing being 0.7 arcsec."""
    rng = np.random.default_rng(seed)
    p, n = TRUTH, nights * each
    night = np.repeat(np.arange(nights), each)
    mjd = 57000.9 + night + np.tile(np.arange(each) * 6 / 1440, nights)
    airmass, band = 1 + rng.gamma(1.5, 0.25, n), rng.choice(["g", "z"], n)
    colour = np.where(band == "g", 480, 920) / 500.0
    level = np.log(0.7) + p["offset"] + p["night_sd"] * rng.standard_normal(nights)[night]
    epsilon = np.exp(level) * airmass ** p["airmass_exponent"]
    r0 = 0.976 * 500e-9 * 206264.8 / epsilon * colour**1.2
    damped = 1 - 2.183 * (r0 / p["outer_scale"]) ** 0.356
    fwhm = np.sqrt(epsilon**2 * colour ** (2 * p["wavelength_exponent"]) * damped + p["floor"] ** 2)
    rho, left = p["persistence"] * np.exp(-0.1 / p["memory"]), np.zeros(n)
    for i in range(n):
        start = i % each == 0
        width = p["scatter"] * (1.0 if start else np.sqrt(1 - rho**2))
        left[i] = (0.0 if start else rho * left[i - 1]) + width * rng.standard_t(p["tails"])
    return {"mjd_obs": mjd, "airmass": airmass, "band": band, "seeing": fwhm * np.exp(left)}


def write_csv(path: Path, columns: dict[str, np.ndarray]) -> Path:
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    path.write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


THETA = {"ln_seeing": 0.25, "jitter_plus": 0.006, "jitter_cross": -0.004, "z5_slope_x": 40.0, "z6_slope_y": -30.0}


def catalogue(folder: Path, n: int = 90, seed: int = 2, noise: float = 1.0) -> tuple[Path, np.ndarray]:
    """(path, true shapes (n, 3)) of stars NAME_catalog.csv and their NAME_header.txt, z band; shapes are the twin's
    under THETA, with photon noise. Objects n .. n + 5 are no stars to learn from: see the rows."""
    rng = np.random.default_rng(seed)
    imager = small()
    unknowns = Unknowns(imager)
    theta = np.array([THETA.get(name, 0.0) for name in unknowns.names])
    x, y = rng.uniform(20, 2028, n), rng.uniform(20, 4076, n)
    middle = 0.5 * np.array([x.min() + x.max(), y.min() + y.max()])
    place = (np.stack([x, y], 1) - middle) * imager.pixel_scale / 3600
    half = 2.2
    row = np.array([c.at(0.0) for c in imager.telemetry_channels], np.float32)
    row[imager.channel_names.index("airmass")] = 1.1
    truth = moments_field(unknowns, 1, 2 * half / 2.3548)(theta, row, place)[0]
    flux = 10 ** rng.uniform(5.0, 5.9, n)
    error = 800.0 + 0.0 * flux
    pixel = error / np.sqrt(np.pi) / (4 * half)
    sd = pixel * np.sqrt(np.pi * (2 * half / 2.3548) ** 6) / (0.6 * flux) / (2 * np.exp(2 * truth[:, 2]))
    e = truth[:, :2] + noise * sd[:, None] * rng.standard_normal((n, 2))
    size2 = np.exp(2 * (truth[:, 2] + noise * 0.5 * sd * rng.standard_normal(n)))
    moments = size2 * (1 + e[:, 0]), size2 * (1 - e[:, 0]), size2 * e[:, 1]
    rest = np.full(n, half), flux, error, rng.normal(0, 3e-4, n), np.full(n, 0.98)
    table = np.stack([np.arange(1, n + 1), np.zeros(n), x, y, *moments, *rest], 1)
    bad = np.repeat(table[:1], 6, 0)
    bad[:, 0] = np.arange(n + 1, n + 7)
    bad[0, 1], bad[1, 1] = 4, 2  # FLAGS: saturated; blended
    bad[2, 10] = -0.02  # a cosmic ray
    bad[3, 11] = 0.1  # a galaxy
    bad[4, 8] = 5e6  # a core beyond saturation that no flag tells of
    bad[5, 4] = -999  # no moments
    names = ["NUMBER", "FLAGS", "XWIN_IMAGE", "YWIN_IMAGE", "X2WIN_IMAGE", "Y2WIN_IMAGE", "XYWIN_IMAGE", "FLUX_RADIUS",
             "FLUX_AUTO", "FLUXERR_AUTO", "SPREAD_MODEL", "CLASS_STAR"]  # fmt: skip
    both = np.concatenate([table, bad])
    path = write_csv(folder / "made_z_catalog.csv", {name: both[:, k] for k, name in enumerate(names)})
    (folder / "made_z_header.txt").write_text(
        "BAND    = 'z       '           / filter\nAIRMASS =                  1.1 / Airmass\n"
        "SATURATA=               150000 / amp A\nSATURATB=               140000 / amp B\nEND\n"
    )
    return path, truth
