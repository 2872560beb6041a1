"""FITS images: what is written is read, what is broken is said."""

from __future__ import annotations

import numpy as np
import pytest

from twin.io.fits import read_images, stamp_wcs, write_images
from twin.schema import UserError


@pytest.fixture
def image(rng):
    return rng.normal(size=(6, 5)).astype(np.float32)


def test_round_trip(tmp_path, image):
    cards = {"PRIMARY": {"TELESCOP": "Pan-STARRS1"}, "G": {"FWHM": (1.2, "[arcsec]")}}
    write_images(tmp_path / "a.fits", {"G": image, "N": np.arange(6, dtype=np.int16).reshape(2, 3)}, cards)
    found = read_images(tmp_path / "a.fits")
    assert list(found) == ["G", "N"]
    np.testing.assert_array_equal(found["G"][0], image)
    assert found["G"][0].dtype == np.float32
    assert found["G"][1]["FWHM"] == 1.2
    assert found["N"][0].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_the_wcs_of_a_cutout_is_north_up_east_left():
    from astropy.wcs import WCS

    wcs = WCS(stamp_wcs((64, 64), 0.25) | {"CRVAL1": 150.0, "CRVAL2": 2.0})
    centre, east, north = (wcs.pixel_to_world(x, y) for x, y in ((31.5, 31.5), (30.5, 31.5), (31.5, 32.5)))
    assert (centre.ra.deg, centre.dec.deg) == pytest.approx((150.0, 2.0), abs=1e-9)
    assert centre.separation(east).arcsec == pytest.approx(0.25, rel=1e-6)
    assert east.ra > centre.ra
    assert north.dec > centre.dec


@pytest.mark.parametrize("damage", ["missing", "text", "truncated", "flipped"])
def test_broken_files_are_named(tmp_path, image, damage):
    path = tmp_path / "a.fits"
    write_images(path, {"G": image})
    data = bytearray(path.read_bytes())
    if damage == "missing":
        path.rename(tmp_path / "b.fits")
    elif damage == "text":
        path.write_text("not a FITS file")
    elif damage == "truncated":
        path.write_bytes(data[:-2000])
    else:
        data[5800] ^= 1  # in the image's data: headers take the first two blocks of 2880
        path.write_bytes(data)
    with pytest.raises(UserError, match=r"a\.fits: (no such file|cannot be read as FITS)"):
        read_images(path)


def test_a_file_without_images(tmp_path):
    write_images(tmp_path / "a.fits", {})
    with pytest.raises(UserError, match="holds no image"):
        read_images(tmp_path / "a.fits")
