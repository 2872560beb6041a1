"""Catalogues in the GalSim RealGalaxy format: read as GalSim reads them, and every fault in one line."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from tests.io.made_real_galaxy import SCALE, correlation, write
from twin.io.real_galaxy import read_catalogue
from twin.schema import UserError


def test_catalogue_is_read_as_galsim_reads_it(tmp_path: Path) -> None:
    galsim = pytest.importorskip("galsim")
    path = write(tmp_path)
    ours = read_catalogue(path)
    theirs = galsim.RealGalaxyCatalog(str(path))
    assert [g.ident for g in ours.galaxies] == ["11", "12"]
    for k, galaxy in enumerate(ours.galaxies):
        np.testing.assert_array_equal(galaxy.image, theirs.getGalImage(k).array)
        psf = theirs.getPSFImage(k).array
        np.testing.assert_allclose(galaxy.psf, psf / psf.sum(), rtol=1e-12)
        assert galaxy.pixel_scale == SCALE
        assert galaxy.correlation is not None
        np.testing.assert_allclose(galaxy.correlation, correlation(), atol=1e-12)
    assert ours.notes == ()


def test_gzip_prefix_and_absent_noise(tmp_path: Path) -> None:
    path = write(tmp_path)
    before = read_catalogue(path)
    for name in ("images.fits", "psfs.fits", "catalogue.fits"):
        (tmp_path / f"mine__{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
        (tmp_path / name).unlink()
    (tmp_path / "noise.fits").unlink()
    after = read_catalogue(tmp_path / "mine__catalogue.fits.gz")
    np.testing.assert_array_equal(after.galaxies[1].image, before.galaxies[1].image)
    assert after.galaxies[0].correlation is None
    assert after.notes == ("noise.fits is not there: its noise counts as white",)
    assert after.sha256 != before.sha256


def test_one_psf_for_all(tmp_path: Path) -> None:
    path = write(tmp_path, PSF_FILENAME=["lost.fits"] * 2)
    np.savez(tmp_path / "psf.npz", 3 * np.eye(9))
    assert np.array_equal(read_catalogue(path, tmp_path / "psf.npz").galaxies[1].psf, np.eye(9) / 9)


def _truncate(folder: Path) -> None:
    file = folder / "images.fits"
    file.write_bytes(file.read_bytes()[:20000])


def _blank(folder: Path) -> None:
    with fits.open(folder / "images.fits", mode="update") as hdus:
        hdus[1].data[3, 4] = np.nan


def _dark(folder: Path) -> None:
    with fits.open(folder / "psfs.fits", mode="update") as hdus:
        hdus[1].data[:] = 0


def _nothing(folder: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("columns", "harm", "said"),
    [
        ({"GAL_HDU": [0, 7]}, _nothing, "images.fits: HDU 7: galaxy 12 asks for it, but there are 2"),
        ({"GAL_HDU": [0, 0]}, _nothing, "images.fits: HDU 0: has flux"),
        ({"PIXEL_SCALE": [SCALE, 0.0]}, _nothing, "catalogue.fits: PIXEL_SCALE: of galaxy 12 must be positive, not 0"),
        ({"NOISE_VARIANCE": [np.nan, 1.0]}, _nothing, "catalogue.fits: NOISE_VARIANCE: of galaxy 11"),
        ({"PSF_FILENAME": ["lost.fits"] * 2}, _nothing, "PSF_FILENAME: lost.fits of galaxy 11 is not beside"),
        ({"PSF_FILENAME": None}, _nothing, "catalogue.fits: PSF_FILENAME: no such column"),
        ({}, _truncate, "images.fits: cannot be read as FITS"),
        ({}, _blank, "images.fits: HDU 1: holds a pixel that is no number"),
        ({}, _dark, "psfs.fits: HDU 1: is no PSF"),
    ],
)  # fmt: skip
def test_faults_are_told_in_one_line(
    tmp_path: Path, columns: dict[str, Any], harm: Callable[[Path], None], said: str
) -> None:
    path = write(tmp_path, **columns)
    harm(tmp_path)
    with pytest.raises(UserError) as mistake:
        read_catalogue(path)
    assert said in str(mistake.value)
    assert "\n" not in str(mistake.value)


def test_no_such_catalogue(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_catalogue(tmp_path / "none.fits")
