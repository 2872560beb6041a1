"""What a calibration does to telemetry, to simulated PSFs, and to a recipe's identity."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.observatory.calibrate.made import TRUTH, YAML, exposures, instrument_file, small
from tests.recipe.small import write
from twin.observatory.calibrate import closure
from twin.observatory.calibrate.apply import CalibratedImager, _covariance, _put_covariance, calibrated
from twin.observatory.calibrate.folder import Calibration, save
from twin.observatory.calibrate.seeing import Posterior
from twin.observatory.imager import Imager, load_instrument
from twin.recipe import Recipe, load_recipe
from twin.schema import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A calibration whose posterior lies closely about the truth, and a static astigmatism of 80 nm."""
    out, imager, rng = tmp_path_factory.mktemp("calibration"), small(), np.random.default_rng(0)
    draws = np.array(list(TRUTH.values())) * (1 + 0.01 * rng.standard_normal((40, len(TRUTH))))
    blank = np.zeros(len(TRUTH))
    posterior = Posterior(tuple(TRUTH), ("",) * len(TRUTH), draws, np.zeros((40, 1)), blank, blank + 1)
    use = closure.law_of(imager, posterior, "prior", 0.7) | {"static": ["z5"]}
    found = {name: posterior[name] for name in posterior.names} | {"z5": 80 + rng.standard_normal(40)}
    calibration = Calibration(out, {"instrument": imager.name, "use": use}, found)
    closure.close(imager, calibration)
    save(out, imager, {"use": use}, found)
    return out


def test_simulated_widths_move_to_the_measured_ones(folder: Path) -> None:
    """The twin's PSFs of drawn exposures have the distribution of the table that the parameters made."""
    plain, twin = small(), calibrated(small(), folder)
    measured = exposures(nights=100, each=20, seed=9)
    in_z = measured["seeing"][measured["band"] == "z"]

    def widths(imager: Imager) -> np.ndarray:
        rows = imager.draw_exposures(4, 20 * 90)[::20]
        return closure.widths(imager, rows)(rows)[:, 1]

    before, after = widths(plain), widths(twin)
    for share, tolerance in ((0.16, 0.05), (0.5, 0.05), (0.84, 0.06)):
        goal = np.quantile(in_z, share)
        assert abs(np.log(np.quantile(after, share) / goal)) < tolerance, share
    assert np.median(before) < 0.85 * np.median(in_z), "the uncalibrated twin is too sharp"


def test_draws_are_one_a_night_and_depend_on_nothing_else(folder: Path) -> None:
    twin = calibrated(small(), folder)
    rows = twin.draw_exposures(7, 60)
    np.testing.assert_array_equal(twin.draw_exposures(7, 25, 30), rows[30:55])
    at = twin.channel_names.index("outer_scale")
    assert [len(np.unique(rows[k : k + 20, at])) for k in (0, 20, 40)] == [1, 1, 1]
    assert len(np.unique(rows[:, at])) == 3
    z5 = rows[:, twin.channel_names.index("z5")]
    assert 70 < z5.mean() < 90, "stars' static astigmatism is in"
    assert rows[:, twin.channel_names.index("jitter_rms")].min() > 0.1, "the floor is in"


def test_a_table_keeps_its_seeing_but_gets_the_exponents(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "night.csv"
    path.write_text("seeing,airmass\narcsec,\n" + "".join(f"0.8,{x}\n" for x in (1.0, 2.0)))
    twin = calibrated(small(), folder)
    rows = twin.read_exposures(path)
    g, z = (rows[:, twin.channel_names.index(f"seeing_{band}")] for band in "gz")
    ratio = (z / g) * (twin.calibration.about["use"]["closure"][0] / twin.calibration.about["use"]["closure"][1])
    np.testing.assert_allclose(ratio, (920 / 480) ** (TRUTH["wavelength_exponent"] + 0.2), rtol=0.01)
    np.testing.assert_allclose(g[1] / g[0], 2 ** (TRUTH["airmass_exponent"] - 0.6), rtol=0.03)


def test_jitter_channels_hold_the_covariance() -> None:
    at = {"jitter_rms": 0, "jitter_ellipticity": 1, "jitter_angle": 2}
    rows = np.array([[0.2, 0.3, 70.0], [0.1, 0.0, 0.0]])
    motion, again = _covariance(rows, at), np.zeros((2, 3))
    _put_covariance(again, at, motion)
    np.testing.assert_allclose(_covariance(again, at), motion, atol=1e-9)
    _put_covariance(again, at, np.array([[-1.0, -1.0, 0.0]] * 2))
    assert (again[:, 0] == 0).all()


def recipe(folder: Path, **more: str) -> Recipe:
    changes = {"instrument": str(instrument_file(folder)), "bands": ["z"], "classes": {"star": 1.0}, **more}
    return load_recipe(write(folder / "recipe.yaml", **changes))


def test_content_of_a_calibration_enters_the_recipes_identity(folder: Path, tmp_path: Path) -> None:
    plain = recipe(tmp_path)
    with_it = recipe(tmp_path, calibration=str(folder))
    assert plain.sha256 != with_it.sha256
    assert isinstance(with_it.instrument, CalibratedImager)
    copy = tmp_path / "elsewhere"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    assert recipe(tmp_path, calibration=str(copy)).sha256 == with_it.sha256
    calibration = Calibration.load(folder)
    save(copy, small(), {"use": calibration.about["use"]}, {n: v * 1.001 for n, v in calibration.draws.items()})
    assert recipe(tmp_path, calibration=str(copy)).sha256 != with_it.sha256
    exposures_of = with_it.exposures(1, 0, 40)
    assert exposures_of.shape == (40, len(with_it.instrument.channel_names))


def test_damaged_and_foreign_calibrations(folder: Path, tmp_path: Path) -> None:
    def said(path: Path) -> str:
        with pytest.raises(UserError) as caught:
            calibrated(small(), path)
        return str(caught.value)

    assert "no such calibration folder" in said(tmp_path / "none")
    copy = tmp_path / "copy"
    copy.mkdir()
    assert "is missing: this is no folder" in said(copy)
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    data = bytearray((copy / "posterior.npz").read_bytes())
    data[len(data) // 2] ^= 0x55
    (copy / "posterior.npz").write_bytes(bytes(data))
    assert "damaged" in said(copy)
    (copy / "posterior.npz").write_bytes((folder / "posterior.npz").read_bytes())
    about = json.loads((copy / "calibration.json").read_text())
    about["use"]["closure"][0] *= 2
    (copy / "calibration.json").write_text(json.dumps(about))
    assert "damaged" in said(copy)
    (copy / "calibration.json").write_text("{")
    assert "damaged" in said(copy)
    with pytest.raises(UserError, match="is of the instrument small, the recipe has ps1"):
        calibrated(load_instrument("ps1"), folder)
    assert YAML["name"] == load_instrument(folder / "instrument.yaml").name
