"""AOT files through aotpy: by a stand-in with its documented attributes, and by aotpy itself where it is installed."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from twin.io.aot import read_aot
from twin.schema import UserError


def image(*rows: list[float]) -> SimpleNamespace:
    return SimpleNamespace(data=np.array(rows))


def atmosphere(**given: object) -> SimpleNamespace:
    fields: dict[str, object] = dict.fromkeys(
        ("wavelength", "time", "layers_relative_weight", "layers_height", "layers_l0", "layers_wind_speed",
         "layers_wind_direction")
    ) | {"r0": [], "seeing": [], "tau0": [], "theta0": []}  # fmt: skip
    return SimpleNamespace(**(fields | given))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch):
    """A module aotpy whose reader returns what the test says, or raises it."""
    content: dict[str, object] = {}

    def read_from_file(filename: str, file_type: str | None = None) -> object:
        assert file_type == "fits"
        if isinstance(content["system"], Exception):
            raise content["system"]
        return content["system"]

    monkeypatch.setitem(sys.modules, "aotpy", SimpleNamespace(AOSystem=SimpleNamespace(read_from_file=read_from_file)))
    return content


def test_layers_and_colours(fake, tmp_path: Path) -> None:
    fake["system"] = SimpleNamespace(
        atmosphere_params=[
            atmosphere(
                wavelength=1e-6, r0=[0.25, 0.3], time=SimpleNamespace(timestamps=[1.6e9, 1.6e9 + 10]),
                layers_relative_weight=image([0.7, 0.3]), layers_l0=image([20.0, 30.0]),
                layers_height=image([0.0, 9000.0]),
                layers_wind_speed=image([8.0, 30.0]), layers_wind_direction=image([170.0, 80.0]),
            )
        ],
        main_telescope=SimpleNamespace(elevation=60.0, azimuth=120.0, parallactic=None),
    )  # fmt: skip
    table = read_aot(tmp_path / "x.fits")
    r0 = np.array([0.25, 0.3]) * 0.5**1.2  # at 500 nm
    assert table["seeing"].to_value("arcsec") == pytest.approx(0.976 * 500e-9 / r0 * 206264.806)
    speed = (0.7 * 8 ** (5 / 3) + 0.3 * 30 ** (5 / 3)) ** 0.6
    assert table["tau0"].to_value("s") == pytest.approx(0.314 * r0 / speed)
    assert table["outer_scale"].to_value("m") == pytest.approx((0.7 * 20 ** (5 / 3) + 0.3 * 30 ** (5 / 3)) ** 0.6)
    assert list(table["wind_speed"].to_value("m/s")) == [8, 8]
    assert list(table["wind_direction"].to_value("deg")) == [170, 170]
    assert list(table["elevation"].to_value("deg")) == [60, 60]
    assert list(table["time"]) == [1.6e9, 1.6e9 + 10]
    assert "parallactic_angle" not in table.colnames


def test_what_is_wrong_with_a_file(fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.fits"
    for system, expected in (
        (SimpleNamespace(atmosphere_params=[], main_telescope=None), "the AOT file has no atmospheric parameters"),
        (SimpleNamespace(atmosphere_params=[atmosphere()], main_telescope=None), "the AOT file has no atmospheric"),
        (KeyError("AOT_TIME"), "not a readable AOT file: 'AOT_TIME'"),
    ):
        fake["system"] = system
        with pytest.raises(UserError, match=expected):
            read_aot(path)
    monkeypatch.setitem(sys.modules, "aotpy", None)
    with pytest.raises(UserError, match=r"x.fits: an AOT file: reading it needs aotpy \(pip install aotpy\)$"):
        read_aot(path)


def test_a_file_that_aotpy_wrote(tmp_path: Path) -> None:
    aotpy = pytest.importorskip("aotpy")
    system = aotpy.AOSystem(ao_mode="SCAO")
    system.main_telescope = aotpy.MainTelescope("main", elevation=55.0, azimuth=10.0)
    times = aotpy.Time("times", timestamps=[1.6e9, 1.6e9 + 5, 1.6e9 + 10])
    system.atmosphere_params = [
        aotpy.AtmosphericParameters(
            "dimm", wavelength=500e-9, time=times, r0=[0.1, 0.12, 0.11], tau0=[0.004, 0.005, 0.006]
        )
    ]
    path = tmp_path / "aot.fits"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tables without rows
        system.write_to_file(str(path))
    from twin.observatory.sources import load

    found = load(path)
    assert found.map.name == "canonical"
    assert found.readings["seeing"].values == pytest.approx(0.976 * 500e-9 / np.array([0.1, 0.12, 0.11]) * 206264.806)
    assert found.readings["tau0"].values == pytest.approx([0.004, 0.005, 0.006])
    assert found.readings["airmass"].values == pytest.approx(1.2202, rel=1e-3)
    assert found.days == pytest.approx(40587 + 1.6e9 / 86400 + np.arange(3) * 5 / 86400, abs=1e-6)
