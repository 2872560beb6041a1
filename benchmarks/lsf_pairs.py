"""Stars that Ondrejov and LAMOST both saw: the extra blur that makes one of the other, in angstrom.

    TWIN_REAL_DATA=... python benchmarks/lsf_pairs.py [--table]

Each of the pairs of podondra-bt-spectraldl/labels/cross-matched.csv.gz is fitted over 6500-6640 AA (vacuum). Years lie
between the two, and Be stars change: `rms` is given over the pairs of S/N >= 30, which are named with --table.
"""

from __future__ import annotations

import gzip
import os
import sys
from pathlib import Path

import numpy as np
from _report import figure

from twin.io.spectra import read_spectrum
from twin.observatory.spectrograph.same_star import SameStar, fit_pair, pixels_of

LOW, HIGH = 6500.0, 6640.0
GOOD = 30.0  # S/N of a LAMOST pixel, median over 5500-7000 AA


def pairs(folder: Path) -> list[tuple[str, float, SameStar]]:
    """(LAMOST file, its S/N, the fit) of every pair."""
    found = []
    with gzip.open(folder / "labels" / "cross-matched.csv.gz", "rt", encoding="utf-8") as lines:
        rows = [line.strip().split(",") for line in lines if line.strip()]
    for first, second in rows:
        sharp = read_spectrum(folder / "ondrejov" / (Path(first).name + ".gz"))
        blurred = read_spectrum(folder / "lamost" / (Path(second).name + ".gz"))
        pixels, inside = pixels_of(blurred.wavelength, LOW, HIGH)
        fit = fit_pair((sharp.wavelength, sharp.flux), blurred.flux[inside], pixels)
        window = (blurred.wavelength > 5500) & (blurred.wavelength < 7000)
        ivar = blurred.ivar if blurred.ivar is not None else np.zeros(len(blurred))
        found.append((Path(second).name, float(np.median((blurred.flux * np.sqrt(ivar))[window])), fit))
    return found


def summary(found: list[tuple[str, float, SameStar]]) -> dict[str, float]:
    """Median sigma [AA] of all pairs and of those it is known to 0.25 AA of, its quartiles, median rms."""
    sigma, error = (np.array([getattr(fit, name) for _, _, fit in found]) for name in ("sigma", "error"))
    sharp = error < 0.25
    rms = np.array([fit.rms for _, snr, fit in found if snr >= GOOD])
    return {
        "pairs": len(found),
        "sigma": float(np.median(sigma)),
        "sigma_25": float(np.percentile(sigma, 25)),
        "sigma_75": float(np.percentile(sigma, 75)),
        "sharp": int(sharp.sum()),
        "sigma_sharp": float(np.median(sigma[sharp])),
        "good": len(rms),
        "rms_good": float(np.median(rms)),
    }


def main() -> None:
    """Prints a line a figure."""
    data = os.environ.get("TWIN_REAL_DATA")
    if not data:
        raise SystemExit("TWIN_REAL_DATA must name the folder of real observations")
    found = pairs(Path(data) / "spectra" / "podondra-bt-spectraldl")
    if "--table" in sys.argv:
        for name, snr, fit in found:
            print(f"{name:55s} {snr:6.1f} {fit.sigma:6.2f} {fit.error:5.2f} {fit.velocity:6.0f} {fit.rms:.4f}")
    values = summary(found)
    figure("lsf_sigma", values["sigma"], "AA")
    figure("lsf_sigma_25", values["sigma_25"], "AA")
    figure("lsf_sigma_75", values["sigma_75"], "AA")
    figure("lsf_sigma_sharp", values["sigma_sharp"], "AA")
    figure("lsf_sharp_pairs", values["sharp"], "")
    figure("lsf_rms_good", values["rms_good"], "", "asked at most", 0.04, less_is_better=True)
    figure("lsf_good_pairs", values["good"], "")


if __name__ == "__main__":
    main()
