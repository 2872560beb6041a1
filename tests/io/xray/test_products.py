"""Images, responses and spectra: round trips, sky told from detector, faults in one line, and the real files."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from tests.io.xray.made_events import SKY, made, write
from twin.io.xray import (
    Arf,
    CountImage,
    Rmf,
    Spectrum,
    Tangent,
    bin_events,
    bins,
    covered_channels,
    fold,
    gaussian_rmf,
    open_events,
    read_arf,
    read_count_image,
    read_rmf,
    read_spectrum,
    write_arf,
    write_count_image,
    write_rmf,
    write_spectrum,
)
from twin.schema import UserError


def rmf() -> Rmf:
    low, high = bins(0.2, 5.0, 0.02)
    e_min, e_max = bins(0.0, 6.0, 0.01)
    return gaussian_rmf(low, high, e_min, e_max, 0.05 + 0 * low)


def test_sky_images_know_where_their_bins_lie(tmp_path: Path, rng: np.random.Generator) -> None:
    events = made(rng, 2000)
    file = open_events(write(tmp_path, events))
    image, tally = bin_events(file, "sky", 33.0, (128, 128), (2900.5, 3000.5), (50, 200))
    assert image.counts.sum() == (events.pi <= 200).sum()
    assert tally.kept == 2000
    write_count_image(tmp_path / "image.fits", image)
    found = read_count_image(tmp_path / "image.fits")
    np.testing.assert_array_equal(found.counts, image.counts)
    assert (found.axes, found.exposure) == ("sky", 500.0)
    bx, by = (np.arange(3) * 40 + 2, np.arange(3) * 30 + 7)
    middle = [2900.5 + (bx - 0.5) * 33.0, 3000.5 + (by - 0.5) * 33.0]
    assert found.sky is not None
    np.testing.assert_allclose(found.sky.sky(bx, by), SKY.sky(*middle), atol=1e-10)


@pytest.mark.parametrize("kind", ["PC", "CD", "CROTA2"])
def test_turned_images_agree_with_astropy(tmp_path: Path, kind: str) -> None:
    hdu = fits.PrimaryHDU(np.ones((8, 9), np.int32))
    cards: dict = {"EXPOSURE": 10.0, "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg"}
    cards |= {"CRPIX1": 4.0, "CRPIX2": 2.0, "CRVAL1": 0.1, "CRVAL2": -60.0}
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    step = np.array([-0.07, 0.08])
    if kind == "CROTA2":
        cards |= {"CDELT1": step[0], "CDELT2": step[1], "CROTA2": 20.0}
    elif kind == "PC":
        cards |= {"CDELT1": step[0], "CDELT2": step[1]}
        cards |= {f"PC{i + 1}_{j + 1}": turn[i, j] for i in (0, 1) for j in (0, 1)}
    else:
        cards |= {f"CD{i + 1}_{j + 1}": step[i] * turn[i, j] for i in (0, 1) for j in (0, 1)}
    hdu.header.update(cards)
    hdu.writeto(tmp_path / "turned.fits")
    found = read_count_image(tmp_path / "turned.fits").sky
    assert found is not None
    x, y = np.array([1.0, 9.0, 3.0]), np.array([8.0, 1.0, 2.0])
    np.testing.assert_allclose(found.sky(x, y), WCS(cards).all_pix2world(x, y, 1), atol=1e-10)
    np.testing.assert_allclose(found.pixel(*found.sky(x, y)), [x, y], atol=1e-8)
    write_count_image(tmp_path / "again.fits", CountImage(np.ones((8, 9)), "sky", 10.0, found))
    again = read_count_image(tmp_path / "again.fits").sky
    assert again is not None
    np.testing.assert_allclose(again.matrix, found.matrix, rtol=1e-12)


def test_the_far_side_of_the_sky_has_no_pixel() -> None:
    assert np.isnan(Tangent((1, 1), (10.0, 0.0), ((0.1, 0), (0, 0.1))).pixel(np.array([190.0]), np.array([0.0]))).all()


def test_detector_images_are_told_apart(tmp_path: Path, rng: np.random.Generator) -> None:
    image, _ = bin_events(open_events(write(tmp_path, made(rng, 50))), "detector", 64, (64, 64))
    write_count_image(tmp_path / "det.fits", image)
    found = read_count_image(tmp_path / "det.fits")
    assert (found.axes, found.sky, found.bin, found.counts.sum()) == ("detector", None, 64.0, 50)


def _image(**cards: object) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        data = cards.pop("data", np.ones((4, 4), np.int32))
        hdu = fits.PrimaryHDU(data)
        hdu.header.update({"EXPOSURE": 1.0, "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"} | cards)
        hdu.writeto(path)

    return make


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_image(EXPOSURE=0.0), r"HDU 0 \(PRIMARY\): EXPOSURE is 0 s: nothing was exposed"),
        (_image(CTYPE1="", CTYPE2=""), "neither sky nor detector coordinates"),
        (_image(), "CRPIX1 is missing"),
        (_image(CTYPE1="GLON-TAN"), "only RA---TAN, DEC--TAN can be read"),
        (_image(data=np.full((4, 4), np.nan)), "16 pixels are no numbers"),
        (_image(data=np.full((4, 4), -1.0)), "has negative pixels"),
        (_image(data=np.full((4, 4), 0.5)), "no whole numbers"),
        (_image(data=np.ones(4)), "holds no image of two axes"),
    ],
)
def test_faulty_images_are_told_in_one_line(tmp_path: Path, make: Callable[[Path], None], said: str) -> None:
    make(tmp_path / "image.fits")
    with pytest.raises(UserError, match=said) as mistake:
        read_count_image(tmp_path / "image.fits")
    assert str(mistake.value).startswith(str(tmp_path / "image.fits"))


def test_gaussian_response_has_its_mean_and_width() -> None:
    made = rmf()
    centre = 0.5 * (made.e_min + made.e_max)
    i = 90
    mean = made.matrix[i] @ centre
    assert abs(made.matrix[i].sum() - 1) < 1e-12
    assert abs(mean - 0.5 * (made.low[i] + made.high[i])) < 1e-9
    spread = np.sqrt(made.matrix[i] @ (centre - mean) ** 2)
    assert abs(spread - np.sqrt(0.05**2 + 0.01**2 / 12)) < 1e-6  # the bin adds its own width


def test_responses_are_written_and_read(tmp_path: Path) -> None:
    made = rmf()
    write_rmf(tmp_path / "r.rmf", made, "EP", "WXT")
    found = read_rmf(tmp_path / "r.rmf")
    np.testing.assert_allclose(found.matrix, made.matrix, atol=2e-6)
    assert found.first == 0
    arf = Arf(made.low, made.high, 2 + np.sin(made.low))
    write_arf(tmp_path / "a.arf", arf, "EP", "WXT")
    area = read_arf(tmp_path / "a.arf")
    np.testing.assert_allclose(area.area, arf.area, rtol=1e-6)
    assert area.at(np.array([0.1, 6.0])).sum() == 0
    line = np.zeros(len(made.low))
    line[100] = 3.0
    np.testing.assert_allclose(fold(line, area, found).sum(), 3 * arf.area[100], rtol=1e-4)
    assert found.channels_between(0.5, 4.0) == (50, 399)


def test_channels_outside_the_arf_are_known(tmp_path: Path) -> None:
    made = rmf()
    arf = Arf(*bins(1.0, 3.0, 0.01), np.ones(200))
    assert covered_channels(made, arf) == (100, 299)
    with pytest.raises(UserError, match=r"the ARF's 8-9 keV hold none of the channels' 0-6 keV"):
        covered_channels(made, Arf(*bins(8.0, 9.0, 0.5), np.ones(2)))


def test_negative_areas_count_as_zero(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_arf(tmp_path / "a.arf", Arf(*bins(1.0, 2.0, 0.5), np.array([-1e-3, 1.0])))
    with caplog.at_level(logging.WARNING):
        assert read_arf(tmp_path / "a.arf").area.tolist() == [0.0, 1.0]
    assert "1 negative areas" in caplog.text


@pytest.mark.parametrize(
    ("arf", "said"),
    [
        (Arf(np.array([2.0, 1.0]), np.array([3.0, 2.0]), np.ones(2)), "ENERG_LO and ENERG_HI are not increasing"),
        (Arf(np.array([1.0]), np.array([2.0]), np.array([np.nan])), "SPECRESP is no number in row 1"),
        (Arf(np.array([1.0]), np.array([2.0]), np.zeros(1)), "nowhere positive"),
    ],
)
def test_faulty_areas_are_told_in_one_line(tmp_path: Path, arf: Arf, said: str) -> None:
    write_arf(tmp_path / "a.arf", arf)
    with pytest.raises(UserError, match=said):
        read_arf(tmp_path / "a.arf")


def test_the_wrong_kind_of_file_is_named(tmp_path: Path, rng: np.random.Generator) -> None:
    path = write(tmp_path, made(rng, 5))
    for read, what in ((read_arf, "effective area"), (read_rmf, "redistribution"), (read_spectrum, "spectrum")):
        with pytest.raises(UserError, match=f"made.evt: holds no {what}.* but EVENTS, GTI"):
            read(path)


def test_spectra_are_written_and_read(tmp_path: Path, rng: np.random.Generator) -> None:
    made = Spectrum(np.arange(1024), rng.poisson(2.0, 1024), 160.0, 1.4e-4, "w.rmf", "w.arf", "b.pha")
    write_spectrum(tmp_path / "s.pha", made)
    found = read_spectrum(tmp_path / "s.pha")
    np.testing.assert_array_equal(found.counts, made.counts)
    assert (found.exposure, found.backscale) == (160.0, 1.4e-4)
    assert (found.response, found.area, found.background) == ("w.rmf", "w.arf", "b.pha")
    with fits.open(tmp_path / "s.pha", mode="update") as hdus:
        hdus[1].header["EXPOSURE"] = 0.0
    with pytest.raises(UserError, match=r"HDU 1 \(SPECTRUM\): EXPOSURE is 0 s"):
        read_spectrum(tmp_path / "s.pha")


@pytest.mark.real
def test_the_real_products(real_data: Path) -> None:
    """The figures of the data's own README: 22,553 counts in 500 s; 1980 bins; 94/83 and 141/135 counts."""
    folder = real_data / "xray/heapy_wxt"
    image = read_count_image(folder / "EP_WXT44_13600003859_image.fits")
    assert (image.axes, image.counts.sum(), image.exposure, image.counts.shape) == ("sky", 22553, 500.0, (128, 128))
    assert image.sky is not None
    x, y = image.sky.pixel(np.array([83.633]), np.array([22.0145]))  # the Crab: bin (54.8, 52.1) counted from 0
    assert abs(x[0] - 1 - 54.8) < 1
    assert abs(y[0] - 1 - 52.1) < 1
    arf = read_arf(folder / "ep_wxt.arf")
    assert len(arf.area) == 1980
    np.testing.assert_allclose(
        arf.at(np.array([0.5, 0.7, 1.0, 1.49, 1.74, 2, 3, 4])),
        [1.07, 1.65, 2.04, 1.53, 0.87, 1.08, 0.82, 0.53],
        atol=0.12,
    )
    for name, counts, exposure in (("p0d00_p70d00", (94, 83), 70), ("p0d00_p160d00", (141, 135), 160)):
        source, background = (read_spectrum(folder / f"{name}.{kind}.pha.gz") for kind in ("src", "bkg"))
        assert (source.counts.sum(), background.counts.sum()) == counts
        assert source.exposure == background.exposure == exposure
        assert abs(background.backscale / source.backscale - 12.0) < 0.01
    leia = real_data / "xray/bayspec_leia"
    assert read_spectrum(leia / "grb.src").counts.sum() == 241
    assert (read_arf(leia / "grb.arf").area >= 0).all()
