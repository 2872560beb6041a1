"""Real light curves as tables: peaks, gaps, upper limits, what is known before and after; rates of fields from them."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest

from twin.io.xray.light_curves import LightCurve
from twin.priors.xray.config import KINDS, SkyConfig
from twin.priors.xray.field import FieldPrior, rates, swings
from twin.priors.xray.templates import POINTS, read_templates, tabled
from twin.recipe import load_recipe
from twin.schema import UserError

HEAD = "Time\tT_+ve\tT_-ve\tFlux\tFluxpos\tFluxneg\n"


def curve(time: np.ndarray, rate: np.ndarray, limit: np.ndarray | None = None) -> LightCurve:
    return LightCurve(time, rate, "erg/cm2/s", np.zeros(len(time), bool) if limit is None else limit)


def test_gaps_are_bridged_by_power_laws() -> None:
    time = np.array([100.0, 150.0, 5000.0, 90000.0])
    found = tabled(curve(time, 3e-9 * (time / 100) ** -1.4))
    assert found is not None
    assert found[0].shape == found[1].shape == (POINTS,)
    t = np.geomspace(1, 89900, 300)
    np.testing.assert_allclose(np.interp(t, *found), (1 + t / 100) ** -1.4, rtol=0.02)
    straight = tabled(curve(time, 3e-9 * (time / 100) ** -1.4), log=False)
    assert straight is not None
    assert np.interp(1900, *straight) > 2 * 20**-1.4
    np.testing.assert_allclose(np.interp(time - 100, *straight), (time / 100) ** -1.4)


def test_upper_limits_are_no_measurements_and_neighbours_are_averaged() -> None:
    time, rate = np.arange(1.0, 6.0), np.array([1.0, 4.0, 9.0, 2.0, 1.0])
    found = tabled(curve(time, rate, rate > 8), log=False)
    assert found is not None
    np.testing.assert_allclose(np.interp(time - 1, *found), [0.25, 1.0, 0.75, 0.5, 0.25])
    assert tabled(curve(time, rate, rate > 1)) is None
    assert tabled(curve(time, 0 * rate)) is None
    many = tabled(curve(np.arange(4000.0), np.tile([1.0, 3.0], 2000)), log=False)
    assert many is not None
    np.testing.assert_allclose(many[1], 1, atol=0.07)
    assert many[0][-1] > 3950


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    for kind, rows in {
        "grb": "100 1 -1 8e-9 1e-9 -1e-9\n400 1 -1 2e-9 1e-9 -1e-9\n1100 1 -1 1e-9 1e-9 -1e-9\n",
        "tde": "0 1 -1 2e-9 1e-9 -1e-9\n1e6 1 -1 1e-9 1e-9 -1e-9\n2e6 1 -1 5e-10 1e-9 -1e-9\n",
        "flare": "10 1 -1 1e-9 1e-9 -1e-9\n20 1 -1 4e-9 1e-9 -1e-9\n30 1 -1 2e-9 1e-9 -1e-9\n",
    }.items():
        (tmp_path / kind / "below").mkdir(parents=True)
        (tmp_path / kind / "below" / f"{kind}1.txt").write_text(HEAD + rows)
    (tmp_path / "grb/list.txt").write_text("Name z\nA 1\n")
    (tmp_path / "grb/README.md").write_text("no curve\n")
    return {kind: tmp_path / kind for kind in ("grb", "tde", "flare")}


def test_folders_are_read_and_faults_told(folders: dict[str, Path]) -> None:
    found, without = read_templates(folders)
    assert found.names == ("grb1", "tde1", "flare1")
    assert found.span == {"grb": (0, 1), "tde": (1, 1), "flare": (2, 1)}
    assert without == ["list.txt"]
    np.testing.assert_array_equal(found.held, [False, False, True])
    (folders["flare"] / "bad.txt").write_text(HEAD + "1 1 -1 x\n")
    with pytest.raises(UserError, match=r"bad\.txt:2: no time and rate"):
        read_templates(folders)
    for path in folders["tde"].rglob("*.txt"):
        path.unlink()
    with pytest.raises(UserError, match="tde: holds no light curve of a known form"):
        read_templates({"tde": folders["tde"]})


def test_fields_vary_as_the_curves_do(folders: dict[str, Path]) -> None:
    found, _ = read_templates(folders)
    config = load_recipe("ep-wxt").config.sky
    assert isinstance(config, SkyConfig)
    prior = FieldPrior(config, 288.0, templates=found)
    slots, first = prior.slots["transient"], prior.slots["bright"]
    kinds = ("grb", "tde", "flare", "grb", "breakout")
    values = {
        "kind": [KINDS.index(kind) for kind in kinds],
        "template": [0, 1, 2, 0, -1],
        "rise": [2.0, 1.0, 1.0, 1.0, 63.0],  # the curves' stretch, and a parametric rise
        "fall": [-1.0, 0.5, -1.0, 0.3, 129.0],  # phase, or -1; a parametric fall
        "onset": [0.25, 0.0, 0.5, 0.0, 0.1],
    }
    field = {name: np.zeros(prior.total, np.float32) for name in ("rise", "fall", "onset")}
    field |= {name: np.full(prior.total, none, np.int32) for name, none in (("kind", 0), ("template", -1))}
    field["fall"][:] = 100.0
    for name, given in values.items():
        field[name][first : first + len(given)] = given
    exposure, t = 1000.0, np.linspace(0, 1000.0, 257)
    rate = np.asarray(jax.jit(lambda f, e: rates(f, prior, e))(field, exposure))
    assert rate.shape == (prior.varying, 257)
    burst, disruption, flare, late, breakout = rate[first : first + 5]
    expected = np.interp((t - 250) / 2, found.time[0], found.rate[0], left=0)
    np.testing.assert_allclose(burst, expected, atol=1e-5)
    assert burst[t < 250].max() == 0
    assert burst.max() == pytest.approx(1, rel=0.02)
    np.testing.assert_allclose(disruption, 0.5, rtol=2e-3)  # half of its 2e6 s are over
    assert flare[0] == pytest.approx(0.25)
    assert flare[-1] == pytest.approx(0.5)
    np.testing.assert_allclose(late[t < 690], np.interp(t + 300, found.time[0], found.rate[0])[t < 690], rtol=1e-3)
    assert late[t > 710].max() == 0
    assert t[breakout.argmax()] == pytest.approx(163, abs=4)
    assert slots > 5
    mean, spread = jax.jit(lambda f, e: swings(f, prior, e))(field, exposure)
    assert mean[first + 1] == pytest.approx(0.5, rel=1e-3)
    assert mean[first] == pytest.approx(np.trapezoid(expected, t) / exposure, rel=1e-3)
    assert spread[first + 1] < 0.01 < 0.3 < spread[first]


@pytest.mark.real
def test_the_real_light_curves_are_templates(real_data: Path) -> None:
    folder = real_data / "xray/xraylcs"
    names = {"grb": "GRBs/long", "tde": "TDEs", "flare": "CoolStellarFlares", "breakout": "SBOs"}
    found, without = read_templates({kind: folder / name for kind, name in names.items()})
    number = {kind: count for kind, (_, count) in found.span.items()}
    assert number["grb"] > 70
    assert number["tde"] == 3
    assert number["flare"] >= 20
    assert number["breakout"] >= 4
    assert len(without) < 15
    assert "SN08D" in found.names
    assert (np.diff(found.time, axis=1) >= 0).all()
    np.testing.assert_allclose(found.rate.max(1), 1)
    assert np.isfinite(found.rate).all()
    # supernova 2008D: half of its peak some 100 s later (Soderberg+ 2008, Nature 453, 469)
    k = found.names.index("SN08D")
    peak = found.rate[k].argmax()
    after = found.time[k][peak:] - found.time[k][peak]
    assert 40 < after[np.argmax(found.rate[k][peak:] < 0.5)] < 250
