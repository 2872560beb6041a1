"""What `twin psf` writes, read back."""

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable

from twin.observatory.imager import load_instrument
from twin.observatory.picture import OVERSAMPLE, PIXELS, fine_psf, write_psfs
from twin.schema import UserError


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("psf")
    table = QTable(
        {"seeing": [0.7, 1.0, 1.4] * u.arcsec, "airmass": [1.0, 1.2, 1.1], "jitter_rms": [0.1] * 3 * u.arcsec}
    )
    table.write(folder / "t.ecsv")
    write_psfs("ps1", folder / "t.ecsv", folder / "out")
    return folder / "out"


def test_fits(written):
    with fits.open(written / "psf.fits", checksum=True) as hdus:
        assert [hdu.name for hdu in hdus[1:]] == ["G", "R", "I"]
        side = PIXELS * OVERSAMPLE
        assert hdus["R"].data.shape == (3, side, side)
        header = hdus["R"].header
        assert (header["PIXSCALE"], header["DETSCALE"], header["CDELT1"]) == pytest.approx((0.05, 0.25, 0.05))
        assert (header["WAVELEN"], header["CRPIX1"]) == (617.0, (side + 1) / 2)
        total = hdus["R"].data.sum((1, 2))
    assert np.all((total > 0.9) & (total < 1))
    assert total[0] > total[2]  # worse seeing puts more light outside


def test_table(written):
    table = QTable.read(written / "psf.ecsv")
    assert list(table["band"]) == ["g", "r", "i"] * 3
    fwhm = table["fwhm"].to_value("arcsec").reshape(3, 3)
    assert np.all(np.diff(fwhm, axis=0) > 0.15)  # worse seeing
    assert np.all((fwhm > 0.7) & (fwhm < 1.9))
    assert np.all(table["ee80"] > 1.5 * table["ee50"])
    assert np.all(table["ellipticity"] < 0.3)


def test_picture(written):
    from PIL import Image

    picture = np.asarray(Image.open(written / "psf.png").convert("L"))
    assert min(picture.shape) > 700
    assert picture.std() > 20


def test_nothing_is_written_for_a_bad_table(tmp_path):
    (tmp_path / "t.csv").write_text("seeing\narcsec\n-999\n")
    with pytest.raises(UserError, match="outside 0.2 to 5 arcsec"):
        write_psfs("ps1", tmp_path / "t.csv", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_out_is_a_file(tmp_path):
    (tmp_path / "t.csv").write_text("seeing\narcsec\n1\n")
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UserError):
        write_psfs("ps1", tmp_path / "t.csv", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_ps1_delivers_the_published_seeing():
    """Medians of the survey's stacks 1.31, 1.19, 1.11 arcsec in g, r, i (Magnier+ 2020, ApJS 251, 3)."""
    from twin.metrics.psf_shape import measure

    imager = load_instrument("ps1")
    psf = fine_psf(imager, imager.optics, 28, 3)
    rows = imager.draw_exposures(21, 24 * 150)[::24]
    fwhm = np.array([[measure(stamp, 0.25 / 3, 1.0).fwhm for stamp in np.asarray(psf(row))] for row in rows])
    assert np.median(fwhm, 0) == pytest.approx([1.31, 1.19, 1.11], rel=0.05)
    low, high = np.percentile(fwhm, [2.5, 97.5])
    assert low < 0.95
    assert high > 1.7


def test_csst_is_as_sharp_as_designed():
    """R_EE80 of the design: at most 0.15 arcsec, with optics, jitter and diffusion but without the pixel."""
    from twin.metrics.psf_shape import measure
    from twin.observatory.psf import psf_image

    imager = load_instrument("csst")
    rows = imager.draw_exposures(21, 24 * 8)[::24]
    fine = imager.pixel_scale / 5
    ee80 = []
    for row in rows:
        stamps = np.asarray(psf_image(imager.optics, imager.state(row), 165, fine))
        ee80.append([measure(stamp, fine, 1.0).ee80 for stamp in stamps])
    assert np.percentile(ee80, 90) <= 0.15
    assert np.min(ee80) > 0.05


def test_strong_jitter_along_a_diagonal_is_still_a_psf():
    from twin.metrics.psf_shape import measure

    imager = load_instrument("ps1")
    names = imager.channel_names
    row = imager.draw_exposures(0, 1)[0].copy()
    row[names.index("jitter_rms")], row[names.index("jitter_angle")] = 1.2, 45.0
    row[names.index("jitter_ellipticity")] = 0.8
    shape = measure(np.asarray(fine_psf(imager, imager.optics, 61, 3)(row))[1], 0.25 / 3, 1.0)
    sigma = 1.2 * np.sqrt(1 + 0.8)  # along the diagonal the jitter outgrows the seeing
    assert shape.e2 == pytest.approx(0.8 * 1.2**2 / (1.2**2 + 0.25), abs=0.06)  # seeing adds about 0.25 arcsec^2, round
    assert 1.0 < shape.fwhm / 2.355 < sigma
