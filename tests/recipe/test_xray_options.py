"""X-ray recipes with real sources, real light curves and a user's exposures; and what is said where these are wrong."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml
from astropy.coordinates import SkyCoord
from astropy.table import Table
from numpyro import handlers

from twin.io.xray import Tangent
from twin.observatory.xray.pileup import pile_up
from twin.priors.laws import quantile_draws
from twin.priors.xray import CRAB, from_mcrab, to_mcrab
from twin.priors.xray.config import KINDS
from twin.priors.xray.field import slots
from twin.recipe import load_recipe
from twin.recipe.xray import XrayRecipe
from twin.recipe.xray_config import read_xray
from twin.recipe.xray_files import read_files
from twin.schema import UserError
from twin.simulators.lobster.field import CHANNELS, CONDITIONS, FIELDS

HEAD = "Time\tT_+ve\tT_-ve\tFlux\tFluxpos\tFluxneg\n"
ROWS = "100 1 -1 8e-9 1e-9 -1e-9\n400 1 -1 2e-9 1e-9 -1e-9\n1100 1 -1 1e-9 1e-9 -1e-9\n"
LIST = """|name     |ra         |dec        |flux_limit|flux    |flux_max|xray_type|
|H 1617-155 |16 19 55.07|-15 38 24.8|   |1400.00|        |Z, M, R |
|X 0001+00  |00 01 00.00|-00 30 00.0|   |900.00  |     |B|
"""
QUIET = ("sky.extragalactic.density=0", "sky.galactic.density=0", "classes={field: 1}", "frame.psf=33")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of observations, as TWIN_REAL_DATA names one."""
    (tmp_path / "xray/curves").mkdir(parents=True)
    (tmp_path / "xray/lmxb.dat").write_text(LIST)
    (tmp_path / "xray/curves/burst.txt").write_text(HEAD + ROWS)
    monkeypatch.setenv("TWIN_REAL_DATA", str(tmp_path))
    return tmp_path


def made(*changes: str, name: str = "ep-wxt") -> XrayRecipe:
    found = load_recipe(name, changes)
    assert isinstance(found, XrayRecipe)
    return found


@pytest.mark.parametrize("name", ["ep-wxt", "leia", "ep-wxt-test"])
def test_recipes_without_options_are_what_they_were(name: str) -> None:
    """The identity of a dataset, and what its samples hold, know nothing of options that are not used."""
    recipe = made(name=name)
    told = json.dumps(recipe.config.model_dump(mode="json"))
    assert not [
        word for word in ("catalogue", "templates", "stretch", "phase", "table", "pileup") if f'"{word}"' in told
    ]
    names = [array.name for array in recipe.spec.arrays]
    assert "label/catalogue" not in names
    assert "label/template" not in names
    assert "catalogue" not in recipe.spec.attrs


def test_the_identity_is_that_of_what_the_files_hold(data: Path) -> None:
    plain = made().node

    def identity(change: str) -> str:
        node = plain.set(change)
        config = read_xray(node)
        return json.dumps(read_files(node, config).identity(config.model_dump(mode="json")))

    one = identity("sky.catalogue={lmxb: xray/lmxb.dat}")
    assert made("sky.catalogue={lmxb: xray/lmxb.dat}").sha256 != made().sha256
    (data / "copy.dat").write_text(LIST)
    assert identity("sky.catalogue={lmxb: copy.dat}") == one != identity("name=ep-wxt")
    (data / "copy.dat").write_text(LIST.replace("900.00", "901.00"))
    assert identity("sky.catalogue={lmxb: copy.dat}") != one
    first = identity("sky.transients.grb.templates=xray/curves")
    (data / "xray/curves/burst.txt").write_text(HEAD + ROWS.replace("2e-9", "3e-9"))
    assert identity("sky.transients.grb.templates=xray/curves") != first
    (data / "t.csv").write_text("exposure,dec\ns,deg\n500,10\n")
    told = identity("telemetry.table=t.csv")
    (data / "t.csv").write_text("exposure,dec\ns,deg\n500,11\n")
    assert identity("telemetry.table=t.csv") != told


def test_a_copy_of_a_recipe_finds_the_files_beside_the_first(data: Path, tmp_path: Path) -> None:
    node = made().node
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(node.value | {
        "sky": node.value["sky"] | {"catalogue": {"lmxb": "near.dat"}},
        "telemetry": node.value["telemetry"] | {"table": "t.csv"},
    }, sort_keys=False))  # fmt: skip
    (tmp_path / "near.dat").write_text(LIST)
    (tmp_path / "t.csv").write_text("exposure,dec\n500,10\n")
    value = made(name=str(tmp_path / "r.yaml")).node.value
    assert value["sky"]["catalogue"]["lmxb"] == str(tmp_path / "near.dat")
    assert value["telemetry"]["table"] == str(tmp_path / "t.csv")
    assert node.value["sky"].get("catalogue") is None


def test_a_share_of_the_fields_points_towards_sources(data: Path) -> None:
    recipe = made("sky.catalogue={lmxb: xray/lmxb.dat, toward: 0.7}")
    rows = recipe.exposures(3, 0, 256)
    fields = SkyCoord(rows[:, -3], rows[:, -2], unit="deg")
    real = SkyCoord([244.97946, 0.25], [-15.64022, -0.5], unit="deg")
    near = np.stack([fields.separation(one).deg < 1.415 * recipe.frame.side / 120 for one in real])
    assert near.any(0).mean() == pytest.approx(0.7, abs=0.1)
    assert near.sum(1).min() > 60
    np.testing.assert_array_equal(rows[:, :-3], made().exposures(3, 0, 256)[:, :-3])
    assert np.ptp(rows[:, -1]) > 350


def sky_of(recipe: XrayRecipe, x: float, y: float, row: np.ndarray) -> SkyCoord:
    """Where a place in bins of the frame lies, by the detector's own projection."""
    pixels, side = recipe.frame.pixels, recipe.instrument.config.detector.npix
    at = (np.array([(v + 0.5) * pixels + 0.5]) for v in (x, y))
    place = recipe.sky_pixels(*at, float(row[-1]))
    step, middle = recipe.frame.pixel / 60, (1.5 * side + 1) / 2
    plane = Tangent((middle, middle), (float(row[-3]), float(row[-2])), ((-step, 0.0), (0.0, step)))
    ra, dec = plane.sky(*place)
    return SkyCoord(ra[0], dec[0], unit="deg")


def test_real_sources_are_where_events_would_put_them(data: Path) -> None:
    """A source's bin, through the projection of the event lists, is the list's right ascension and declination."""
    recipe = made("sky.catalogue={lmxb: xray/lmxb.dat}")
    draw = jax.jit(lambda key, row: handlers.substitute(
        recipe.prior.program, substitute_fn=quantile_draws(key, 4000))(jnp.int32(0), row))  # fmt: skip
    for row in ([247.0, -13.5, 70.0], [243.5, -19.0, 300.0]):
        field = jax.device_get(draw(jax.random.key(1), jnp.array(row)))
        k = int(np.flatnonzero(field["entry"] >= 0)[0])
        assert (recipe.files.catalogue.names[field["entry"][k]], field["kind"][k]) == ("H 1617-155", 2)
        width = recipe.frame.side / recipe.frame.bins
        x, y = ((field[name][k] + recipe.frame.side / 2) / width - 0.5 for name in ("x", "y"))
        away = sky_of(recipe, x, y, np.array(row)).separation(SkyCoord(244.97946, -15.64022, unit="deg"))
        assert away.arcmin < 0.2


@pytest.mark.slow
def test_labels_tell_real_sources_and_curves(data: Path) -> None:
    recipe = made(*QUIET, "sky.catalogue={lmxb: xray/lmxb.dat, toward: 1}", "sky.transients={}", "list.faintest=0.01",
                  "pointing.samples=8")  # fmt: skip
    assert recipe.prior.total == 1 + recipe.prior.slots["catalogue"]
    shard = recipe.shard(4, 0, 16)
    names = recipe.spec.attrs["catalogue"]
    assert names == ["H 1617-155", "X 0001+00"]
    real = SkyCoord([244.97946, 0.25], [-15.64022, -0.5], unit="deg")
    assert (shard["label/n_sources"] == 1).sum() >= 15
    for k in np.flatnonzero(shard["label/n_sources"] == 1):
        x, y, flux = (shard["label/sources"][k, 0, FIELDS.index(name)] for name in ("x", "y", "mcrab"))
        assert shard["label/kind"][k, 0] == KINDS.index("galactic")
        assert (shard["label/catalogue"][k, 1:] == -1).all()
        away = sky_of(recipe, x, y, shard["telemetry"][k]).separation(real[shard["label/catalogue"][k, 0]])
        assert away.arcmin < 0.2
        assert 100 < flux < 10000  # 0.9 and 1.3 Crab above 2 keV


def test_rows_of_a_table_are_drawn_whole(data: Path) -> None:
    n = 40
    values = {"exposure": np.linspace(400, 1180, n), "ra": np.linspace(0, 39, n), "remark": ["x"] * n}
    Table(values).write(data / "t.fits")
    recipe = made("telemetry.table=t.fits")
    rows = recipe.exposures(1, 0, 256)
    exposure, ra = rows[:, CHANNELS.index("exposure")], rows[:, CHANNELS.index("ra")]
    np.testing.assert_allclose((exposure - 400) / 20, ra, atol=1e-3)
    assert len(np.unique(ra)) == n
    other = made().exposures(1, 0, 256)
    rest = [k for k, name in enumerate(CHANNELS) if name not in ("exposure", "ra")]
    np.testing.assert_array_equal(rows[:, rest], other[:, rest])
    np.testing.assert_array_equal(recipe.exposures(1, 100, 50), rows[100:150])
    # a table that knows the optics is one of pointings
    Table({"tilt": [0.8, 1.2, 1.0], "dec": [1.0, 2.0, 3.0]}).write(data / "optics.fits")
    rows = made("telemetry.table=optics.fits", "pointing.samples=8").exposures(1, 0, 64)
    tilt, dec = rows[:, CHANNELS.index("tilt")], rows[:, CHANNELS.index("dec")]
    assert {(0.8, 1), (1.2, 2), (1.0, 3)} == {(round(float(t), 3), int(d)) for t, d in zip(tilt, dec, strict=True)}
    assert (tilt.reshape(8, 8) == tilt.reshape(8, 8)[:, :1]).all()


def test_units_of_a_table_are_converted_and_laws_may_be_left_to_it(data: Path) -> None:
    every = {name: 0.5 * (max(site.low, -50) + min(site.high, 1e4)) for name, site in CONDITIONS.items()}
    units = {name: {"exposure": "min", "latitude": "rad"}.get(name, CONDITIONS[name].unit) for name in every}
    every |= {"exposure": 10.0, "latitude": 0.5}
    lines = [",".join(every), ",".join(u.replace(".", " ") for u in units.values())]
    (data / "t.csv").write_text("\n".join([*lines, ",".join(map(str, every.values()))]) + "\n")
    rows = made("telemetry={table: t.csv}").exposures(1, 0, 3)
    np.testing.assert_allclose(rows[:, CHANNELS.index("exposure")], 600)
    np.testing.assert_allclose(rows[:, CHANNELS.index("latitude")], np.rad2deg(0.5), rtol=1e-6)


TABLES = {
    "t.csv: exposure: holds no": ("exposure,ra\nname,deg\n5,1\n", 't.csv: exposure: unknown unit "name"'),
    "text": ("exposure,ra\ns,deg\n500,1\nlong,2\n", 't.csv:4: exposure: needs a number, not "long"'),
    "empty": ("exposure,ra\ns,deg\n500,1\n,2\n", "t.csv:4: exposure: has no value"),
    "range": ("exposure,dec\ns,deg\n500,1\n500,91\n", "t.csv:4: dec: has 91, outside -90 to 90 deg (declination"),
    "unit": ("exposure,dec\nm,deg\n500,1\n", 't.csv: exposure: the unit "m" is not one of s'),
    "no key": (
        "exposures,decl\ns,deg\n500,1\n",
        'is a telemetry key, such as exposure, ra or dec; did you mean "exposure"?',
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_bad_tables_are_named_with_row_and_column(data: Path, name: str) -> None:
    text, said = TABLES[name]
    (data / "t.csv").write_text(text)
    with pytest.raises(UserError) as mistake:
        made("telemetry.table=t.csv")
    assert said in str(mistake.value)
    assert "\n" not in str(mistake.value)


MISTAKES = {
    "no file": ("sky.catalogue={lmxb: xray/lmxc.dat}", 'catalogue.lmxb: no such file beside the recipe or in '
                'TWIN_REAL_DATA: "xray/lmxc.dat"; did you mean "lmxb.dat"?'),
    "no list": ("sky.catalogue={toward: 0.5}", "sky.catalogue: names no list: it needs lmxb, hmxb or bat"),
    "unknown": ("sky.catalogue={lmxbs: xray/lmxb.dat}", 'lmxbs: unknown key; did you mean "lmxb"?'),
    "share": ("sky.catalogue={lmxb: xray/lmxb.dat, toward: 2}", "toward: must be at most 1"),
    "no folder": ("sky.transients.grb.templates=xray/curve", 'no such folder beside the recipe or in TWIN_REAL_DATA: '
                  '"xray/curve"; did you mean "curves"?'),
    "tde": ("sky.transients.tde.templates=xray/curves", "tde: its light curves are longer than any exposure"),
    "phase": ("sky.transients.grb.phase={law: uniform, low: 0.0, high: 1.0}", "phase is of real light curves"),
    "rise": ("sky.transients.grb.rise=null", "needs the law rise, or templates"),
    "no law": ("telemetry={}", "telemetry: needs a law for exposure (live time)"),
    "misspelt": ("telemetry.tabel=t.csv", 'telemetry.tabel: unknown key; did you mean "table"?'),
    "text": ("telemetry.tilt=t.csv", 'telemetry.tilt: must be a mapping of keys to values, not "t.csv"'),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(data: Path, name: str) -> None:
    change, said = MISTAKES[name]
    with pytest.raises(UserError) as mistake:
        made(change)
    assert said in str(mistake.value)
    assert "\n" not in str(mistake.value)


def test_what_excludes_each_other_is_told(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (data / "t.csv").write_text("tilt,ra\narcmin,deg\n0.9,5\n")
    with pytest.raises(UserError, match=r"outside.*tilt: is told by the table of telemetry"):
        made("telemetry.table=t.csv", name="ep-wxt-test")
    with pytest.raises(UserError, match="toward: goes without a table that tells ra"):
        made("telemetry.table=t.csv", "sky.catalogue={lmxb: xray/lmxb.dat, toward: 0.5}")
    monkeypatch.delenv("TWIN_REAL_DATA")
    with pytest.raises(UserError, match='there is no file "t.csv" beside the recipe, and TWIN_REAL_DATA is not set'):
        made("telemetry.table=t.csv")


@pytest.mark.slow
def test_templates_are_in_shards_and_told(data: Path) -> None:
    recipe = made(*QUIET, "sky.transients.grb.templates=xray/curves", "sky.transients.grb.number=1.5",
                  "sky.transients.grb.flux={law: loguniform, low: 30.0, high: 300.0}",
                  "sky.transients.grb.stretch={law: uniform, low: 0.5, high: 2.0}", "pointing.samples=8")  # fmt: skip
    shard = recipe.shard(3, 0, 24)
    burst = shard["label/kind"] == KINDS.index("grb")
    assert burst.sum() > 15
    np.testing.assert_array_equal(shard["label/template"] == 0, burst)
    assert recipe.spec.attrs["template"] == ["burst"]
    assert (shard["label/sources"][burst][:, FIELDS.index("variability")] > 0.05).all()
    assert recipe.prior.slots["transient"] == slots(recipe.prior._means["transient"])


@pytest.mark.slow
def test_pile_up_takes_the_same_photons(data: Path) -> None:
    """Of fields with sources of 3 Crab: what is left of the events of the recipe without pile-up."""
    bright = ("classes={crab: 1}", "sky.bright.flux={law: uniform, low: 2900.0, high: 3000.0}", "pointing.samples=8",
              "telemetry.exposure={law: uniform, low: 300.0, high: 310.0}", "frame.psf=33")  # fmt: skip
    plain, piled = (made(*bright, "events=true", f"frame.pileup={word}").shard(2, 0, 8) for word in ("false", "true"))
    assert made(*bright, "frame.pileup=true").sha256 != made(*bright).sha256
    np.testing.assert_array_equal(plain["label/sources"], piled["label/sources"])
    lost = 1 - len(piled["events"]) / len(plain["events"])
    assert 0.001 < lost < 0.1
    assert piled["frame"].sum() == len(piled["events"])
    assert (piled["frame"].sum((1, 2, 3)) <= plain["frame"].sum((1, 2, 3))).all()
    for k in range(8):
        events = piled["events"][piled["events"]["sample"] == k]
        number = np.round(events["TIME"] / 0.05).astype(int)
        _, pi, _ = pile_up(number, events["DETX"], events["DETY"], events["PI"], events["GRADE"])
        np.testing.assert_array_equal(pi, events["PI"])  # none touches another any more
    quiet = made(*bright, "frame.pileup=true").shard(2, 0, 8)
    np.testing.assert_array_equal(quiet["frame"], piled["frame"])
    assert "events" not in quiet


@pytest.mark.real
@pytest.mark.slow
def test_the_real_crab_is_where_it_is(real_data: Path) -> None:
    """A field around 83.633 +22.015 with the real lists: the Crab in its middle, with its own flux; Scorpius X-1 above
    2 keV 13 times as bright (Liu+ 2007)."""
    folder = "xray/xrb_cat"
    lists = f"lmxb: {folder}/lmxb_cat.dat, hmxb: {folder}/hmxb_cat.dat, bat: xray/bat_cat/survey6b_2.cat"
    recipe = made(*QUIET[2:], f"sky.catalogue={{{lists}}}", "sky.transients={}", "list.sources=200")
    names = recipe.spec.attrs["catalogue"]
    row = np.array(recipe.exposures(1, 0, 1)[0])
    row[CHANNELS.index("exposure")] = 1000
    draw = jax.jit(lambda key, row, o: recipe.sample(key, row, 0, o)[0])
    optics = recipe.simulator.optic(recipe.simulator.state(jnp.asarray(row)))
    found = {}
    for name, ra, dec in (("Crab Nebula/Pulsar", 83.633, 22.015), ("H 1617-155", 244.9795, -15.6402)):
        row[-3:] = [ra, dec, 200.0]
        out = jax.device_get(draw(jax.random.key(4), jnp.asarray(row), optics))
        number = int(out["label/n_sources"])
        told = [names[k] if k >= 0 else "" for k in out["label/catalogue"][:number]]
        assert told[0] == name  # the most photons
        found[name] = dict(zip(FIELDS, out["label/sources"][0], strict=True))
        middle = (recipe.frame.bins - 1) / 2
        assert abs(found[name]["x"] - middle) < 0.1
        assert abs(found[name]["y"] - middle) < 0.1
        at = tuple(int(round(found[name][axis])) for axis in ("y", "x"))
        image = out["frame"].sum(0)
        assert image[at[0] - 1 : at[0] + 2, at[1] - 1 : at[1] + 2].sum() > 0.2 * found[name]["focus"]
        assert image[at[0] - 1 : at[0] + 2, at[1] - 1 : at[1] + 2].max() == image.max()
    crab = found["Crab Nebula/Pulsar"]
    assert crab["mcrab"] == pytest.approx(to_mcrab(CRAB.flux()), rel=1e-3)
    assert crab["flux"] == pytest.approx(CRAB.flux(), rel=1e-3)
    assert 2 < found["H 1617-155"]["flux"] / from_mcrab(1000) < 40
