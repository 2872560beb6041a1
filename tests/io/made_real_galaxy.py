"""A made-up catalogue in the GalSim RealGalaxy format: two galaxies, their PSFs and the correlation of their noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

SCALE = 0.03


def gaussian(ny: int, nx: int, sigma: float, q: float = 1.0, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """Elongated along x; positions from the middle [pixel]."""
    v, u = (np.arange(n) - (n - 1) / 2 - c for n, c in ((ny, y), (nx, x)))
    return np.exp(-0.5 * ((v[:, None] / (q * sigma)) ** 2 + (u / sigma) ** 2)) / (2 * np.pi * q * sigma**2)


def correlation() -> np.ndarray:
    """Of white noise smoothed by [1, 2, 1] / 4 along both axes."""
    row = np.convolve([1, 2, 1], [1, 2, 1]) / 6
    return np.outer(row, row)


def write(folder: Path, **columns: Any) -> Path:
    """The catalogue's path; `columns` replace whole columns, or are left out where None."""
    psf = gaussian(24, 24, 1.6)
    images = [
        50 * gaussian(64, 57, 6.0, 0.5, 3.0, -2.0) + 20 * gaussian(64, 57, 2.5, 1.0, -8.0, 4.0),
        30 * gaussian(40, 41, 4.0, 0.7),
    ]
    rng = np.random.default_rng(3)
    white = [rng.normal(0, 1, (m.shape[0] + 2, m.shape[1] + 2)) for m in images]
    row = np.array([1, 2, 1]) / 4
    for k, w in enumerate(white):
        ny, nx = images[k].shape
        rough = sum(row[a] * row[b] * w[a : a + ny, b : b + nx] for a in range(3) for b in range(3))
        images[k] = images[k] + 1e-3 * rough / 0.375
    fits.HDUList([fits.PrimaryHDU(images[0]), fits.ImageHDU(images[1])]).writeto(folder / "images.fits")
    fits.HDUList([fits.PrimaryHDU(psf), fits.ImageHDU(psf)]).writeto(folder / "psfs.fits")
    fits.PrimaryHDU(1e-6 * correlation()).writeto(folder / "noise.fits")
    table: dict[str, Any] = {
        "IDENT": [11, 12], "MAG": [21.0, 22.0], "BAND": ["F814W"] * 2, "WEIGHT": [1.0, 1.0],
        "GAL_FILENAME": ["images.fits"] * 2, "PSF_FILENAME": ["psfs.fits"] * 2, "GAL_HDU": [0, 1], "PSF_HDU": [0, 1],
        "PIXEL_SCALE": [SCALE] * 2, "NOISE_MEAN": [0.0, 0.0], "NOISE_VARIANCE": [1e-6, 1e-6],
        "NOISE_FILENAME": ["noise.fits"] * 2, "stamp_flux": [m.sum() for m in images],
    }  # fmt: skip
    table |= columns
    made = fits.BinTableHDU.from_columns(
        [
            fits.Column(name, "20A" if isinstance(v[0], str) else "K" if isinstance(v[0], int) else "D", array=v)
            for name, v in table.items()
            if v is not None
        ]
    )
    path = folder / "catalogue.fits"
    fits.HDUList([fits.PrimaryHDU(), made]).writeto(path, overwrite=True)
    return path
