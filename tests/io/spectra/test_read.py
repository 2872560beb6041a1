"""Every layout of every survey, and each of their traps, on made-up files."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from tests.io.spectra import made
from twin.io.spectra import MASK_BITS, air_to_vacuum, equivalent_width, read_spectra, read_spectrum
from twin.schema import UserError

WAVE = made.wavelengths()
LAYOUTS = {
    "image, row 3 normalised flux": lambda path: made.lamost_image(path, normalised=True),
    "image, row 3 wavelength": made.lamost_image,
    "image, row 3 wavelength, CRPIX1 -9999": lambda path: made.lamost_image(path, CRPIX1=-9999),
    "table": lambda path: made.lamost_table(path, normalised=False),
    "table, normalised flux": made.lamost_table,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layouts_of_lamost_are_told_by_content(tmp_path: Path, layout: str) -> None:
    found = read_spectrum(LAYOUTS[layout](tmp_path / "a.fits.gz"))
    assert (found.survey, found.layout, found.hdu) == ("LAMOST-LRS", layout, found.hdu)
    np.testing.assert_allclose(found.wavelength, WAVE, rtol=1e-7)
    np.testing.assert_allclose(found.flux, made.profile(WAVE), rtol=1e-6)
    np.testing.assert_allclose(found.ivar, 0.04)
    assert (found.normalised is not None) == ("normalised" in layout)
    if found.normalised is not None:
        np.testing.assert_allclose(found.normalised, made.profile(WAVE, level=1.0), rtol=1e-6)
    assert (found.medium, found.unit, found.rectified, found.heliocentric) == ("vacuum", "", False, True)
    assert (found.class_, found.subclass, found.z) == ("STAR", "M0", -0.0002856)
    assert (found.ra, found.dec, found.name) == (99.499478, 27.152342, "LAMOST J063759.87+270908.4")
    assert (found.plate, found.spectrograph, found.fibre) == ("B6212", 6, 5)
    assert found.mjd == pytest.approx(55861.8351, abs=1e-4)  # of DATE-OBS: MJD says 55863 in DR1


def test_the_version_says_nothing_of_the_layout(tmp_path: Path) -> None:
    """A first release with a later one's key, and the reverse."""
    one = made.lamost_image(tmp_path / "a.fits", normalised=True, DATA_V="LAMOST DR8")
    two = made.lamost_image(tmp_path / "b.fits", DATA_V=None, VERSPIPE="v2.6.4")
    assert read_spectrum(one).layout == "image, row 3 normalised flux"
    assert read_spectrum(two).layout == "image, row 3 wavelength"


def test_a_first_release_with_a_broken_scale(tmp_path: Path) -> None:
    found = read_spectrum(made.lamost_image(tmp_path / "a.fits", normalised=True, CRPIX1=-9999))
    np.testing.assert_allclose(found.wavelength, WAVE, rtol=1e-9)
    nothing = dict.fromkeys(("CRVAL1", "COEFF0"), -9999)
    with pytest.raises(UserError, match=r"a\.fits: HDU 0 \(PRIMARY\): CRVAL1 and CD1_1 give no wavelengths"):
        read_spectrum(made.lamost_image(tmp_path / "a.fits", normalised=True, **nothing))


def test_names_of_the_signal_to_noise(tmp_path: Path) -> None:
    assert read_spectrum(made.lamost_image(tmp_path / "a.fits", normalised=True)).snr == {"g": 6.19, "r": 19.68}
    assert read_spectrum(made.lamost_image(tmp_path / "b.fits", SNRG=-9999)).snr == {"r": 73.65}


def test_quoted_numbers_and_doubles(tmp_path: Path) -> None:
    found = read_spectrum(made.lamost_image(tmp_path / "a.fits", dtype="f8", FIBERID="1       "))
    assert found.fibre == 1
    np.testing.assert_array_equal(found.flux, made.profile(WAVE))


@pytest.mark.parametrize("z", [-9999, -9999.0, "-9999", None])
def test_no_redshift_is_none(tmp_path: Path, z: object) -> None:
    assert math.isnan(read_spectrum(made.lamost_image(tmp_path / "a.fits", Z=z, CLASS="Unknown")).z)


def test_masked_pixels_of_an_emission_line_keep_their_flux(tmp_path: Path) -> None:
    """The pipeline takes strong lines for cosmic rays: without its pixels the line is gone."""
    flux, line = made.profile(WAVE, depth=-6.0), np.abs(WAVE - made.CENTRE) < 9
    first = np.arange(len(WAVE)) < 3
    rows = {
        0: flux,
        1: np.where(line, -1.0, 0.04),
        3: np.where(line, 4.0, 0),
        4: np.where(first, 1, 0),
    }
    found = read_spectrum(made.lamost_image(tmp_path / "a.fits", rows=rows))
    np.testing.assert_allclose(found.flux, flux, rtol=1e-6)
    np.testing.assert_array_equal(found.ivar == 0, line)  # never negative
    assert set(MASK_BITS) == {1, 2, 4}
    np.testing.assert_array_equal(found.mask, np.where(line, 3, np.where(first, 4, 0)))
    assert found.and_mask.max() == 4
    assert equivalent_width(found).value == pytest.approx(made.width(-6.0), rel=0.01)
    without = np.interp(WAVE, WAVE[~line], flux[~line])
    erased = read_spectrum(made.lamost_image(tmp_path / "b.fits", rows={0: without}))
    assert abs(equivalent_width(erased).value) < 0.2 * abs(made.width(-6.0))


def test_negative_flux_stays(tmp_path: Path) -> None:
    flux = made.profile(WAVE) * np.where(WAVE < 3800, -0.2, 1)
    found = read_spectrum(made.lamost_image(tmp_path / "a.fits", rows={0: flux}))
    assert (found.flux < 0).sum() == (WAVE < 3800).sum()


def test_wavelengths_in_air_become_vacuum(tmp_path: Path) -> None:
    found = read_spectrum(made.lamost_image(tmp_path / "a.fits", VACUUM=False))
    assert found.medium == "air"
    np.testing.assert_allclose(found.wavelength, air_to_vacuum(WAVE), rtol=1e-7)


def test_medium_resolution(tmp_path: Path) -> None:
    path = made.lamost_medium(tmp_path / "med.fits.gz")
    every = read_spectra(path)
    assert [one.hdu for one in every] == ["COADD_B", "COADD_R", "B-84420148", "R-84420148"]
    assert [one.layout for one in every] == ["MRS coadd"] * 2 + ["MRS exposure"] * 2
    for one in every:
        assert (np.diff(one.wavelength) > 0).all()  # the red exposure runs the other way in the file
        np.testing.assert_allclose(one.flux, made.profile(one.wavelength), rtol=1e-3)  # float32 LOGLAM
    assert [one.snr["all"] for one in every] == [26.5, 44.7, 12.9, 21.0]
    assert read_spectrum(path).hdu == "COADD_R"
    assert read_spectrum(path, "B-84420148").wavelength[0] == pytest.approx(4898.01, abs=0.01)
    assert [one.hdu for one in read_spectra(path, exposures=False)] == ["COADD_B", "COADD_R"]
    assert (every[0].survey, every[0].class_, every[0].obsid) == ("LAMOST-MRS", "", "744812076")
    with pytest.raises(UserError, match=r'COADDR: holds no such spectrum; did you mean "COADD_R"'):
        read_spectrum(path, "COADDR")


def test_ondrejov_cut_outs(tmp_path: Path) -> None:
    found = read_spectrum(made.ondrejov_table(tmp_path / "uk220017.fits.gz"))
    assert (found.survey, found.medium, found.unit, found.rectified) == ("Ondrejov-CCD700", "air", "", True)
    assert (found.name, found.obsid, found.class_) == ("gamma Cas", "uk220017", "STAR")
    assert (found.ra, found.dec, found.date) == (14.177, 60.7167, "2014-02-03T17:21:16")
    assert found.ivar is None
    assert not found.mask.any()
    line = found.wavelength[np.argmin(found.flux)]
    assert line == pytest.approx(made.CENTRE, abs=0.15)  # 1.8 A off without the conversion
    counts = read_spectrum(made.ondrejov_table(tmp_path / "a.fits", flux_unit="Count"))
    assert (counts.unit, counts.rectified) == ("ct", False)
    nm = read_spectrum(made.ondrejov_table(tmp_path / "b.fits", unit="0.1 nm"))
    np.testing.assert_allclose(nm.wavelength, found.wavelength)


def test_ondrejov_frames(tmp_path: Path) -> None:
    found = read_spectrum(made.ondrejov_frame(tmp_path / "ua280060.fits.gz"))
    assert (found.unit, found.rectified, found.heliocentric, found.layout) == ("adu", False, False, "image")
    assert found.wavelength[np.argmin(found.flux)] == pytest.approx(made.CENTRE, abs=0.15)
    # 17 Sextantis, J2000: 10h 10m 07.5s in the header is of the equinox of the night, 11 years later
    assert found.ra == pytest.approx(152.531 - 11.0767 * 15 * 3.0 / 3600, abs=0.01)
    assert found.dec == pytest.approx(-8.4082 + 11.0767 * 17.8 / 3600, abs=0.002)
    assert (found.date, found.mjd) == ("2011-01-29T02:27:39", pytest.approx(55590.1054, abs=1e-4))
    logarithmic = made.ondrejov_frame(tmp_path / "b.fits", CRVAL1=3.796, CDELT1=1.7e-5, DC_8FLAG=1)
    assert read_spectrum(logarithmic).wavelength[0] == pytest.approx(air_to_vacuum(np.float64(10**3.796)))


def test_sdss(tmp_path: Path) -> None:
    for objects in ("SPECOBJ", "SPALL"):
        found = read_spectrum(made.sdss(tmp_path / f"{objects}.fits.gz", objects))
        assert (found.survey, found.class_, found.subclass) == ("SDSS", "QSO", "BROADLINE")
        assert (found.ra, found.dec) == (184.03, -2.24)  # not the telescope's axis
        assert found.snr == {"u": 8.0, "g": 22.0, "r": 35.0, "i": 38.0, "z": 28.0}
        assert (found.name, found.obsid, found.fibre) == ("0332-52367-0639", "373974455765985280", 639)
        assert found.unit == "10**-17 erg.s**-1.cm**-2.Angstrom**-1"
        np.testing.assert_array_equal(np.flatnonzero(found.mask), [7])
        assert found.z == pytest.approx(0.1)
        np.testing.assert_allclose(found.flux, made.profile(found.wavelength, level=20.0), rtol=1e-3)


def cut(path: Path, share: float = 0.5) -> Path:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


def cut_inside(path: Path) -> Path:
    """Half a FITS file, gzipped whole."""
    data = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(data[: len(data) // 2]))
    return path


def image_of(path: Path, shape: tuple[int, ...]) -> Path:
    return made.save(path, [fits.PrimaryHDU(np.ones(shape, "f4"))])


def light_curve(path: Path) -> Path:
    table = fits.BinTableHDU.from_columns([fits.Column("TIME", "D", array=[1.0])])
    return made.save(path, [fits.PrimaryHDU(), table])


def text(path: Path) -> Path:
    path.write_bytes(b"wavelength flux\n6563 1.0\n")
    return path


def changed(path: Path, row: int, **pixels: float) -> Path:
    values = {0: made.profile(WAVE), 1: np.full(len(WAVE), 0.04), 2: WAVE.copy()}[row]
    for pixel, value in pixels.items():
        values[int(pixel[1:])] = value
    return made.lamost_image(path, rows={row: values})


REFUSED = {
    "no file": (lambda p: p, r"no such file"),
    "empty": (lambda p: p.write_bytes(b"") and p or p, r"the file is empty"),
    "no FITS": (text, r"no FITS file|truncated"),
    "half a gzip file": (lambda p: cut(made.lamost_image(p)), r"truncated"),
    "half a file": (lambda p: cut_inside(made.lamost_image(p)), r"HDU 0 \(PRIMARY\): is truncated"),
    "half a table": (lambda p: cut_inside(made.lamost_table(p)), r"HDU 1 \(COADD\): is truncated"),
    "a picture": (lambda p: image_of(p, (64, 64)), r"holds no spectrum .*HDU 0 \(PRIMARY\): image 64x64"),
    "five rows of another telescope": (lambda p: image_of(p, (5, 3900)), r"holds no spectrum"),
    "a line without a scale": (lambda p: image_of(p, (1997,)), r"holds no spectrum"),
    "headers alone": (lambda p: made.save(p, [fits.PrimaryHDU()]), r"holds no spectrum .*no data at all"),
    "another table": (light_curve, r"holds no spectrum .*table of TIME"),
    "wavelengths without a unit": (lambda p: made.ondrejov_table(p, unit=None), r"HDU 1 .*wavelengths have no unit"),
    "wavelengths in seconds": (lambda p: made.ondrejov_table(p, unit="s"), r'wavelengths are not in "s"'),
    "flux in kelvin": (lambda p: made.ondrejov_table(p, flux_unit="K"), r'flux in "K"'),
    "no archive": (lambda p: made.ondrejov_table(p, DS_IDPUB="ivo://else"), r"DS_IDPUB: .*air or vacuum is not known"),
    "a frame without a unit": (lambda p: made.ondrejov_frame(p, WAT1_001="wtype=linear"), r"CUNIT1: .*no unit"),
    "a frame of another place": (
        lambda p: made.ondrejov_frame(p, OBSERVAT="ESO", TELESCOP="NTT"),
        r"CTYPE1: does not say whether its wavelengths are in air or vacuum",
    ),
    "sdss without a unit": (lambda p: made.sdss(p, BUNIT=None), r"BUNIT: the flux has no unit"),
    "no inverse variance": (
        lambda p: made.lamost_image(p, rows={1: np.zeros(len(WAVE))}),
        r"HDU 0 \(PRIMARY\): its inverse variance is zero in all pixels",
    ),
    "wavelengths out of order": (
        lambda p: changed(p, 2, p100=4000.0),
        r"HDU 0 .*out of order: 4000 A at pixel 100, 3787\.\d+ A at the next",
    ),
    "a wavelength twice": (lambda p: changed(p, 2, p101=WAVE[100]), r"out of order"),
    "a wavelength that is none": (lambda p: changed(p, 2, p5=math.nan), r"1 values of wavelength are not finite"),
    "a flux that is none": (lambda p: changed(p, 0, p5=math.nan, p9=math.inf), r"2 values of flux are not finite"),
    "an inverse variance that is none": (lambda p: changed(p, 1, p5=math.inf), r"1 values of ivar are not finite"),
    "wavelengths in micrometres": (
        lambda p: made.lamost_table(p, WAVELENGTH=WAVE / 1e4),
        r"HDU 1 \(COADD\): its wavelengths run from 0\.37 to 0\.90",
    ),
    "columns of other lengths": (lambda p: made.lamost_table(p, FLUX=np.ones(5)), r"columns of other lengths"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_spectrum_is_named(tmp_path: Path, case: str) -> None:
    make, message = REFUSED[case]
    path = make(tmp_path / "spec-1.fits.gz")
    with pytest.raises(UserError, match=message) as caught:
        read_spectrum(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_any_broken_byte_of_a_header_is_a_line(tmp_path: Path, rng: np.random.Generator) -> None:
    """Garbage in headers is refused or read, and never anything but UserError."""
    data = bytearray(gzip.decompress(made.lamost_table(tmp_path / "a.fits.gz").read_bytes()))
    path, refused = tmp_path / "b.fits", 0
    for _ in range(150):
        broken = bytearray(data)
        for at in rng.integers(0, 8640, 6):
            broken[at] = rng.integers(32, 127)
        path.write_bytes(broken)
        try:
            read_spectrum(path)
        except UserError:
            refused += 1
    assert refused > 20
