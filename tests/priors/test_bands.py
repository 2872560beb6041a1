"""Bands against closed forms, published wavelengths and zero points; CSST's against an emulator's curves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from twin.observatory.imager import load_instrument
from twin.priors import bands
from twin.priors.bands import Band, ab_magnitude, load_bands, read_throughput
from twin.schema import UserError

# pivot wavelengths [nm]: Doi+ 2010, Tonry+ 2012, STScI, Euclid's as the SVO gives them
PIVOTS = {
    "sdss": {"u": 355.7, "g": 470.2, "r": 617.6, "i": 749.0, "z": 894.7},
    "ps1": {"g": 481.0, "r": 617.0, "i": 752.0, "z": 866.0, "y": 962.0},
    "hst": {"f814w": 804.5},
    "euclid": {"vis": 710.3},
}
SPECTRUM = np.linspace(200, 1200, 20001)  # nm


def test_a_box_has_its_closed_form() -> None:
    """Between a and b: effective (a + b) / 2, pivot sqrt((b^2 - a^2) / (2 ln(b/a)))."""
    a, b = 500.0, 600.0
    box = Band(np.array([a, b]), np.array([0.5, 0.5]))
    assert box.effective == pytest.approx((a + b) / 2, rel=1e-6)
    assert box.pivot == pytest.approx(np.sqrt((b**2 - a**2) / (2 * np.log(b / a))), rel=1e-6)
    rate = 3.631e-20 * 1e4 / 6.62607015e-27 * 0.5 * np.log(b / a)
    assert box.zero_point(1.0) == pytest.approx(2.5 * np.log10(rate), abs=1e-3)


def test_flat_spectra_have_one_magnitude_in_every_band() -> None:
    """f_nu = 3.631e-20 is AB 0 everywhere; a power law has -2.5 beta log10(lambda) to what its curvature changes."""
    flat = 3.631e-20 * 2.99792458e17 / SPECTRUM**2
    for system in bands.list_systems():
        for name, band in load_bands(system).items():
            assert float(ab_magnitude(band, SPECTRUM, flat)) == pytest.approx(0, abs=2e-3), (system, name)
            steep = float(ab_magnitude(band, SPECTRUM, flat * (SPECTRUM / band.pivot) ** 1.0))
            assert abs(steep) < 0.02
            assert abs(float(ab_magnitude(band, SPECTRUM, flat * (SPECTRUM / (1.05 * band.pivot)))) - 0.053) < 0.02


def test_several_spectra_at_once() -> None:
    band = load_bands("sdss")["r"]
    flux = np.stack([SPECTRUM**-2.0, 10 * SPECTRUM**-2.0])
    many = ab_magnitude(band, SPECTRUM, flux)
    assert many.shape == (2,)
    assert many[0] - many[1] == pytest.approx(2.5)
    assert np.isinf(ab_magnitude(band, SPECTRUM, 0 * SPECTRUM))


@pytest.mark.parametrize("system", PIVOTS)
def test_published_wavelengths(system: str) -> None:
    for name, published in PIVOTS[system].items():
        assert load_bands(system)[name].pivot == pytest.approx(published, rel=0.006), name


@pytest.mark.parametrize("name", ["csst", "ps1", "decam", "hst", "euclid"])
def test_zero_points_are_those_of_the_instruments(name: str) -> None:
    """Every band of a shipped instrument has its curve, and the curve its zero point to 0.02 mag."""
    config = load_instrument(name).config
    area = np.pi / 4 * config.diameter**2 * (1 - config.obscuration**2)
    for band, curve in load_bands(name).items():
        if band in config.bands:
            assert curve.zero_point(area) == pytest.approx(config.bands[band].zero_point, abs=0.02), band
            assert curve.effective == pytest.approx(config.bands[band].wavelength, rel=0.03), band
    assert set(config.bands) <= set(load_bands(name))


def test_curves_of_users(tmp_path: Path) -> None:
    text = tmp_path / "mine.dat"
    text.write_text("# Angstrom  T\n5000 0\n5100, 0.4  # half\n6000\t0.4\n\n6100 0\n")
    mine = read_throughput(text)
    assert mine.wavelength == pytest.approx([500, 510, 600, 610])
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column("WAVELENGTH", "D", unit="um", array=mine.wavelength * 1e-3),
            fits.Column("SENSITIVITY", "D", array=mine.efficiency),
        ]
    )
    table.writeto(tmp_path / "mine.fits")
    assert read_throughput(tmp_path / "mine.fits").pivot == pytest.approx(mine.pivot)
    (tmp_path / "mine.yaml").write_text(
        "instruments: [mine]\nbands:\n  g: [[500, 0], [510, 0.4], [600, 0.4], [610, 0]]\n"
    )
    assert load_bands(tmp_path / "mine.yaml")["g"].pivot == pytest.approx(mine.pivot)
    (tmp_path / "mine.yaml").write_text("instruments: [mine]\nbands: {g: mine.dat}\n")
    assert load_bands(tmp_path / "mine.yaml")["g"].pivot == pytest.approx(mine.pivot)


MISTAKES = {
    "nanometres for angstrom": ("500 0\n600 0.5\n700 0\n", "is the unit right"),
    "percent": ("5000 0\n6000 50\n7000 0\n", "none between 0 and 1"),
    "backwards": ("6000 0.5\n5000 0.5\n", "do not increase"),
    "words": ("lambda eff\n", r"mine.dat:1: needs two numbers"),
    "three columns": ("5000 0 1\n", "needs two numbers"),
    "one row": ("5000 0.5\n", "at least two"),
    "dark": ("5000 0\n6000 0\n", "none between 0 and 1"),
    "not a number": ("5000 nan\n6000 1\n", "not finite"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_in_curves(name: str, tmp_path: Path) -> None:
    content, message = MISTAKES[name]
    (tmp_path / "mine.dat").write_text(content)
    with pytest.raises(UserError, match=message):
        read_throughput(tmp_path / "mine.dat")


def test_mistakes_in_systems(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='did you mean "csst"'):
        load_bands("cst")
    mine = tmp_path / "mine.yaml"
    mine.write_text("instruments: [mine]\nbands:\n  g: [[500, 0], [490, 0.4], [610, 0]]\n")
    with pytest.raises(UserError, match=r"mine.yaml:3: bands.g: wavelengths do not increase"):
        load_bands(mine)


@pytest.mark.real
def test_csst_is_that_of_its_emulator(real_data: Path) -> None:
    """The curves of CESS, measured in the laboratory: wavelengths to 1 %, zero points to 0.03 mag, and black bodies'
    colours to 0.03 mag; a curve moved by 1.5 % would be seen."""
    for name, band in load_bands("csst").items():
        real = read_throughput(real_data / "imaging" / "csst_reference" / f"CESS__csst_phot.{name}.fits.gz")
        assert band.effective == pytest.approx(real.effective, rel=0.01), name
        assert band.zero_point(np.pi) == pytest.approx(real.zero_point(np.pi), abs=0.03), name
        moved = Band(band.wavelength * 1.015, band.efficiency)
        assert abs(moved.effective / real.effective - 1) > 0.01
        for temperature in (3500.0, 6000.0, 12000.0):
            light = SPECTRUM**-5.0 / np.expm1(1.438777e7 / SPECTRUM / temperature)
            assert ab_magnitude(band, SPECTRUM, light) == pytest.approx(ab_magnitude(real, SPECTRUM, light), abs=0.03)


@pytest.mark.real
def test_two_column_curves_of_another_simulation(real_data: Path) -> None:
    for path in sorted((real_data / "imaging" / "csst_reference").glob("galaxyGenius_?.fil")):
        band = load_bands("csst")[path.stem[-1]]
        assert read_throughput(path).effective == pytest.approx(band.effective, rel=0.02)
