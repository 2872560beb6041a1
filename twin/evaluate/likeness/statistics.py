"""What a frame says in a few numbers: light, shape, colours, sky and noise, each with a name."""

from __future__ import annotations

import numpy as np

from twin.evaluate.likeness.frames import EDGE, Frames

APERTURES = (1.5, 3.0, 6.0, 10.0)  # pixels
WINDOW = 3.0  # sigma of the Gaussian that moments are weighted with [pixel]
LAGS = ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0), (0, 3), (3, 0))  # (y, x) pixels
CLIP = 3.0  # rms beyond which a pixel of the border is taken for an object's


def statistics(frames: Frames, bands: tuple[str, ...], levels: bool = True) -> tuple[np.ndarray, tuple[str, ...]]:
    """(n, k) float32 and k names; finite everywhere.

    In each band: signal (log10 of the light in 6 pixels over its noise), apertures over one another, peak, size,
    ellipticity and place by Gaussian-weighted moments, asymmetry under half a turn, light beside the object; of the
    border sky, gradient, skewness, tails and autocorrelation of the noise; the noise itself (log10 of counts);
    between bands colours in counts and the correlation of the noise.

    levels  False = without what depends on the unit of the counts
    """
    found: dict[str, np.ndarray] = {}
    light = []
    for k, band in enumerate(bands):
        image = frames.pixels[:, k].astype(np.float64)
        one = {**_light(image), **_moments(image), **_beside(image), **_noise(image)}
        one["sky"] = np.arcsinh(frames.sky[:, k])
        if levels:
            one["noise"] = np.log10(frames.rms[:, k])
        light.append(one.pop("_flux") * frames.rms[:, k])
        found |= {f"{name} {band}": value for name, value in one.items()}
    for k in range(len(bands) - 1 if levels else 0):
        ratio = np.maximum(light[k], 1e-9) / np.maximum(light[k + 1], 1e-9)
        found[f"colour {bands[k]}-{bands[k + 1]}"] = np.clip(-2.5 * np.log10(ratio), -5, 5)
    for k in range(len(bands) - 1):
        both = _together(frames.pixels[:, k].astype(np.float64), frames.pixels[:, k + 1].astype(np.float64))
        found[f"noise together {bands[k]}{bands[k + 1]}"] = both
    values = np.stack(list(found.values()), axis=1)
    return np.nan_to_num(values, nan=0.0, posinf=1e6, neginf=-1e6).astype(np.float32), tuple(found)


def _plane(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixel offsets (y, x) from the middle pixel, and which pixels are border."""
    ny, nx = image.shape[-2:]
    y, x = np.indices((ny, nx)) - np.array([ny // 2, nx // 2])[:, None, None]
    return y, x, np.hypot(y, x) > EDGE * min(ny, nx)


def _light(image: np.ndarray) -> dict[str, np.ndarray]:
    y, x, _ = _plane(image)
    r = np.hypot(y, x)
    sums = [image[:, r <= radius].sum(axis=-1) for radius in APERTURES]
    area = [(r <= radius).sum() for radius in APERTURES]
    safe = [np.maximum(total, np.sqrt(n)) for total, n in zip(sums, area, strict=True)]
    return {
        "_flux": sums[2],
        "signal": np.log10(safe[2] / np.sqrt(area[2])),
        "concentration 1.5/3": np.clip(sums[0] / safe[1], -1, 2),
        "concentration 3/6": np.clip(sums[1] / safe[2], -1, 3),
        "concentration 6/10": np.clip(sums[2] / safe[3], -1, 4),
        "peak": np.clip(image[:, r <= APERTURES[1]].max(axis=-1) / safe[1], 0, 1),
        "brightest pixel": np.log10(np.maximum(image[:, r <= APERTURES[1]].max(axis=-1), 1)),
    }


def _moments(image: np.ndarray) -> dict[str, np.ndarray]:
    """Place, size and ellipticity of Gaussian-weighted second moments; the window's place follows the object's."""
    y, x, _ = _plane(image)
    at = np.zeros((2, len(image), 1, 1))
    for _ in range(8):
        dy, dx = y - at[0], x - at[1]
        weighted = image * np.exp(-0.5 * (dx**2 + dy**2) / WINDOW**2)
        total = np.maximum(weighted.sum(axis=(1, 2)), 1.0)
        step = np.stack([(weighted * d).sum(axis=(1, 2)) / total for d in (dy, dx)])
        at = np.clip(at + 1.5 * np.clip(step, -1, 1)[..., None, None], -4, 4)
    dy, dx = y - at[0], x - at[1]
    weighted = image * np.exp(-0.5 * (dx**2 + dy**2) / WINDOW**2)
    total = np.maximum(weighted.sum(axis=(1, 2)), 1.0)
    xx, yy, xy = ((weighted * part).sum(axis=(1, 2)) / total for part in (dx * dx, dy * dy, dx * dy))
    trace = np.maximum(xx + yy, 0.1)
    turned = image[:, ::-1, ::-1]
    turned = np.roll(turned, (1 - image.shape[1] % 2, 1 - image.shape[2] % 2), axis=(1, 2))
    near = np.hypot(y, x) <= APERTURES[2]
    odd = np.abs(image - turned)[:, near].sum(axis=-1)
    return {
        "x": at[1, :, 0, 0],
        "y": at[0, :, 0, 0],
        "size": np.sqrt(trace),
        "e1": np.clip((xx - yy) / trace, -1, 1),
        "e2": np.clip(2 * xy / trace, -1, 1),
        "ellipticity": np.clip(np.hypot(xx - yy, 2 * xy) / trace, 0, 1),
        "asymmetry": np.clip(odd / np.maximum(np.abs(image)[:, near].sum(axis=-1), 1.0), 0, 2),
    }


def _beside(image: np.ndarray) -> dict[str, np.ndarray]:
    """Light of other objects: the brightest 3x3 mean of the border, how many pixels stand out, and the corners'."""
    steps = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    smooth = np.mean([np.roll(image, step, axis=(1, 2)) for step in steps], axis=0)[:, 1:-1, 1:-1]
    border = _plane(smooth)[2]
    return {
        "brightest beside": np.arcsinh(smooth[:, border].max(axis=-1)),
        "darkest beside": np.arcsinh(smooth[:, border].min(axis=-1)),
        "pixels beside": np.log10(1e-3 + (smooth[:, border] > 1.5).mean(axis=-1)),
    }


def _noise(image: np.ndarray) -> dict[str, np.ndarray]:
    """Of the border without its objects: gradient, skewness, kurtosis, autocorrelation at LAGS, and their share in high
    frequencies: the variance of the Laplacian."""
    y, x, border = _plane(image)
    keep = border & (np.abs(image) < CLIP)
    clean = np.where(keep, image, 0.0)
    n = np.maximum(keep.sum(axis=(1, 2)), 1)
    clean = np.where(keep, clean - (clean.sum(axis=(1, 2)) / n)[:, None, None], 0.0)
    variance = np.maximum((clean**2).sum(axis=(1, 2)) / n, 1e-6)
    out = {
        "gradient x": (clean * x).sum(axis=(1, 2)) / np.maximum((keep * x**2).sum(axis=(1, 2)), 1) * image.shape[2],
        "gradient y": (clean * y).sum(axis=(1, 2)) / np.maximum((keep * y**2).sum(axis=(1, 2)), 1) * image.shape[1],
        "noise skewness": (clean**3).sum(axis=(1, 2)) / n / variance**1.5,
        "noise kurtosis": (clean**4).sum(axis=(1, 2)) / n / variance**2,
    }
    for lag in LAGS:
        out[f"noise lag {lag[0]},{lag[1]}"] = _lagged(clean, clean, keep, lag) / variance
    fine = 4 * clean - sum(np.roll(clean, step, axis) for step in (1, -1) for axis in (1, 2))
    whole = keep & np.logical_and.reduce([np.roll(keep, step, axis) for step in (1, -1) for axis in (1, 2)])
    fine_n = np.maximum(whole.sum(axis=(1, 2)), 1)
    out["noise fine"] = np.log10(np.maximum((fine**2 * whole).sum(axis=(1, 2)) / fine_n / variance / 20, 1e-3))
    return out


def _lagged(a: np.ndarray, b: np.ndarray, keep: np.ndarray, lag: tuple[int, int]) -> np.ndarray:
    """Mean product of pixels `lag` apart, over pairs of which both are kept."""
    down, right = lag
    first = np.s_[:, : a.shape[1] - down, max(-right, 0) : a.shape[2] - max(right, 0)]
    second = np.s_[:, down:, max(right, 0) : a.shape[2] + min(right, 0)]
    pairs = keep[first] & keep[second]
    return (a[first] * b[second] * pairs).sum(axis=(1, 2)) / np.maximum(pairs.sum(axis=(1, 2)), 1)


def _together(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlation of the noise of two bands in the same pixel of the border."""
    border = _plane(a)[2]
    keep = border & (np.abs(a) < CLIP) & (np.abs(b) < CLIP)
    n = np.maximum(keep.sum(axis=(1, 2)), 1)
    a, b = (np.where(keep, part - (np.where(keep, part, 0).sum(axis=(1, 2)) / n)[:, None, None], 0) for part in (a, b))
    both = np.sqrt(np.maximum((a * a).sum(axis=(1, 2)) * (b * b).sum(axis=(1, 2)), 1e-6))
    return (a * b).sum(axis=(1, 2)) / both
