"""Tables of measured FWHM and catalogues of stars: what is wrong with them is one line, what is of no use is named."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from tests.observatory.calibrate.made import catalogue, exposures, small, write_csv
from twin.observatory.calibrate.exposures import held_out, night_of, read_exposures, wavelengths
from twin.observatory.calibrate.stars import Cuts, read_stars
from twin.schema import UserError


@pytest.fixture(scope="module")
def columns() -> dict[str, np.ndarray]:
    return exposures(4, 10)


def test_a_table_without_units_is_read(tmp_path: Path, columns: dict[str, np.ndarray]) -> None:
    found = read_exposures(write_csv(tmp_path / "t.csv", columns), small())
    assert len(found) == 40
    assert found.dropped == {}
    np.testing.assert_allclose(found.fwhm, columns["seeing"])
    assert set(found.wavelength) == {480.0, 920.0}
    assert np.isnan(found.seeing).all(), "a column named seeing alone is the image's"
    packed = tmp_path / "t.csv.gz"
    packed.write_bytes(gzip.compress((tmp_path / "t.csv").read_bytes()))
    assert len(read_exposures(packed, small())) == 40


def test_seeing_beside_a_measured_fwhm_is_the_dimm(tmp_path: Path, columns: dict[str, np.ndarray]) -> None:
    both = columns | {"fwhm": columns["seeing"] * 1.2, "msurtemp": np.full(40, 11.0), "mairtemp": np.full(40, 10.0)}
    found = read_exposures(write_csv(tmp_path / "t.csv", both), small())
    np.testing.assert_allclose(found.seeing * 1.2, found.fwhm)
    np.testing.assert_allclose(found.warm, 1.0)


def test_rows_without_use_are_counted(tmp_path: Path, columns: dict[str, np.ndarray]) -> None:
    bad = {name: values.copy() for name, values in columns.items()}
    bad["seeing"][:3] = -999
    bad["seeing"][3] = np.nan
    bad["airmass"][4] = 0.2
    bad["band"][5] = "X"
    for name in bad:
        bad[name][7] = bad[name][6]
    found = read_exposures(write_csv(tmp_path / "t.csv", bad), small())
    assert found.dropped == {
        "without a measured FWHM": 4,
        "without an airmass": 1,
        "in filters that small does not have": 1,
        "twice in the table": 1,
    }
    assert len(found) == 33


def broken(columns: dict[str, np.ndarray], change: str) -> dict[str, np.ndarray]:
    out = {name: values.copy() for name, values in columns.items()}
    match change:
        case "no fwhm":
            out.pop("seeing")
        case "no airmass":
            out.pop("airmass")
        case "all missing":
            out["seeing"][:] = -999
        case "milliarcsec":
            out["seeing"] *= 1000
        case "degrees":
            out["seeing"] /= 3600
        case "other unit":
            out["seeing [m]"] = out.pop("seeing")
        case "text":
            out["seeing"] = np.array(["good"] * 40)
    return out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("no fwhm", "no column gives the measured FWHM"),
        ("no airmass", "column airmass is missing"),
        ("all missing", "no row is of use: 40 without a measured FWHM"),
        ("milliarcsec", "no FWHM in arcsec"),
        ("degrees", "no FWHM in arcsec"),
        ("other unit", "not one of arcsec"),
        ("text", 'needs a number, not "good"'),
    ],
)
def test_a_table_that_cannot_be_meant(tmp_path: Path, columns: dict[str, np.ndarray], change: str, said: str) -> None:
    path = write_csv(tmp_path / "t.csv", broken(columns, change))
    with pytest.raises(UserError, match=said):
        read_exposures(path, small())


def test_nights_and_wavelengths() -> None:
    assert night_of(np.array([57000.61, 57001.59, 57001.61])).tolist() == [57000, 57000, 57001]
    found = wavelengths(np.array(["g", "M490", "N501", "VR"]), small())
    np.testing.assert_array_equal(found, [480, 490, 501, np.nan])
    night = np.arange(56700, 57700)
    hidden = held_out(night)
    assert 0.15 < hidden.mean() < 0.25
    np.testing.assert_array_equal(held_out(night[::-1])[::-1], hidden)


@pytest.fixture(scope="module")
def stars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return catalogue(tmp_path_factory.mktemp("stars"))[0]


def test_objects_that_are_no_stars_to_learn_from_are_named(stars: Path) -> None:
    found = read_stars(stars, small())
    assert len(found) == 90
    assert found.band == "z"
    assert found.left == {
        "saturated (FLAGS)": [91],
        "flagged": [92],
        "without moments": [96],
        "sharper than the PSF: cosmic ray or hot pixel": [93],
        "no star": [94],
        "saturated core": [95],
    }


def test_photon_noise_is_that_of_the_moments(stars: Path) -> None:
    """White noise on Gaussian stars, measured as SExtractor does."""
    found = read_stars(stars, small())
    k = int(np.argmin(found.snr))
    sigma2 = 1 / (1 / np.exp(2 * found.shape[k, 2]) - 1 / found.window**2)
    axis = np.arange(33) - 16.0
    r2 = axis[:, None] ** 2 + axis[None] ** 2
    star, window = np.exp(-0.5 * r2 / sigma2), np.exp(-0.5 * r2 / found.window**2)
    star *= found.snr[k] / star.sum()
    pixel = 1 / np.sqrt(np.pi) / (4 * 2.2)  # noise of the automatic aperture = 1
    shapes = []
    for seed in range(400):
        noisy = window * (star + pixel * np.random.default_rng(seed).standard_normal(star.shape))
        xx, yy, xy = (
            (noisy * w).sum() / noisy.sum() for w in (axis[None] ** 2, axis[:, None] ** 2, np.outer(axis, axis))
        )
        shapes.append([(xx - yy) / (xx + yy), 2 * xy / (xx + yy), 0.5 * np.log((xx + yy) / 2)])
    np.testing.assert_allclose(np.std(shapes, 0), found.noise[k], rtol=0.15)


def test_catalogues_that_cannot_be_used(stars: Path, tmp_path: Path) -> None:
    text = stars.read_text()

    def said(content: str, name: str = "x_z_catalog.csv", cuts: Cuts | None = None) -> str:
        path = tmp_path / name
        path.write_text(content)
        with pytest.raises(UserError) as caught:
            read_stars(path, small(), cuts)
        return str(caught.value)

    assert "XYWIN_IMAGE: has no moments of stars" in said(text.replace("XYWIN_IMAGE", "XY"))
    assert "only 0 usable stars, 10 are needed" in said(text.replace(",0.0,", ",3.0,", 400))
    assert "gives a band of small" in said(text, "exposure_catalog.csv")
    assert "only 0 usable stars" in said(text, cuts=Cuts(snr=1e6))
    assert "no rows" in said(text.splitlines()[0] + "\n") or "units" in said(text.splitlines()[0] + "\n")
    assert "empty" in said("")
