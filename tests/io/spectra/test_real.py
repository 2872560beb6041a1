"""The 227 real files: each read, wavelength, flux and H-alpha against the index that was measured by other code."""

from __future__ import annotations

import csv
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from twin.io.spectra import Spectrum, equivalent_width, read_spectra, read_spectrum, vacuum_to_air

pytestmark = pytest.mark.real
Index = list[tuple[dict[str, str], Spectrum]]


@pytest.fixture(scope="module")
def index(real_data: Path) -> Index:
    with open(real_data / "spectra/index.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return [(row, read_spectrum(real_data / "spectra" / row["file"])) for row in rows]


def test_every_file_is_read(index: Index) -> None:
    assert len(index) == 227
    assert Counter(found.survey for _, found in index) == Counter(row["survey"] for row, _ in index)
    layouts = Counter(found.layout for _, found in index if found.survey == "LAMOST-LRS")
    assert layouts == {
        "image, row 3 normalised flux": 88,
        "image, row 3 wavelength": 95,
        "image, row 3 wavelength, CRPIX1 -9999": 2,
        "table, normalised flux": 8,
    }


def test_wavelength_and_flux(index: Index) -> None:
    for row, found in index:
        wave = vacuum_to_air(found.wavelength) if found.medium == "air" else found.wavelength
        assert len(found) == int(row["npix"]), row["file"]
        assert wave[[0, -1]] == pytest.approx([float(row["wmin"]), float(row["wmax"])], abs=0.051), row["file"]
        assert np.median(found.flux) == pytest.approx(float(row["flux_median"]), rel=5.1e-4), row["file"]
        if found.survey == "LAMOST-LRS":
            assert found.ivar is not None
            assert (found.flux <= 0).mean() == pytest.approx(float(row["frac_flux_le0"]), abs=5.1e-5)
            assert (found.ivar <= 0).mean() == pytest.approx(float(row["frac_ivar_le0"]), abs=5.1e-5)


def test_what_the_headers_say(index: Index) -> None:
    for row, found in index:
        assert (row["class"], row["subclass"]) == (found.class_ if row["class"] else "", found.subclass), row["file"]
        if row["z"] and float(row["z"]) > -9000:
            assert found.z == pytest.approx(float(row["z"]), rel=1e-3)
        else:
            assert math.isnan(found.z)
        if row["snr_r"]:
            assert any(value == pytest.approx(float(row["snr_r"]), abs=6e-3) for value in found.snr.values())
        if row["ond_id"]:
            assert found.obsid == row["ond_id"]
        if found.survey in ("LAMOST-LRS", "Ondrejov-CCD700"):
            assert found.name == row["obj"]


def test_h_alpha(index: Index) -> None:
    """Within 5 % or 0.1 A; with the pipeline's mask applied, the four strong lines would be gone."""
    differences, erased = [], []
    for row, found in index:
        if not row["ha_ew"]:
            continue
        want, got = float(row["ha_ew"]), equivalent_width(found)
        differences.append(abs(got.value - want) / max(0.1, 0.05 * abs(want)))
        assert got.peak == pytest.approx(float(row["ha_peak"]), abs=2e-3), row["file"]
        if found.survey == "LAMOST-LRS" and found.ivar is not None and want < -10:
            kept = found.ivar > 0
            flux = np.interp(found.wavelength, found.wavelength[kept], found.flux[kept])
            masked = Spectrum(**{**vars(found), "flux": flux})
            erased.append(equivalent_width(masked).value / want)
    assert len(differences) == 225
    assert max(differences) < 1
    assert np.median(differences) < 0.2
    assert len(erased) >= 3
    assert np.median(erased) < 0.2


def test_medium_resolution_exposures(index: Index) -> None:
    files = [found.file for _, found in index if found.survey == "LAMOST-MRS"]
    for path in files:
        every = read_spectra(path)
        assert [one.layout for one in every] == ["MRS coadd"] * 2 + ["MRS exposure"] * 6
        ends = [(one.hdu[:1] if one.layout == "MRS exposure" else one.hdu[-1], one.wavelength[0]) for one in every]
        assert all(first == pytest.approx({"B": 4898, "R": 6271}[arm], abs=1.5) for arm, first in ends)
