"""Drawn nights and the table reader against telemetry that observatories wrote."""

import csv
import gzip

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.observatory.imager import load_instrument
from twin.observatory.places import sun_altitude
from twin.observatory.sources import load
from twin.schema import UserError

pytestmark = pytest.mark.real


def orm_series(folder):
    """(10-minute slot, ln seeing) of the La Palma monitor."""
    path = folder / "telemetry" / "orm_wht" / "wht_weather_robodimm_seeing_2020_2024.csv.gz"
    with gzip.open(path, "rt") as stream:
        rows = list(csv.DictReader(stream))
    when = [f"{int(float(r['year'])):04d}-{int(float(r['month'])):02d}-{int(float(r['day'])):02d}" for r in rows]
    minutes = np.array([int(float(r["hour"])) * 60 + int(float(r["minute"])) for r in rows])
    slot = np.array(when, "datetime64[D]").astype(int) * 144 + minutes // 10
    return slot, np.log([float(r["seeing_arcsec"]) for r in rows])


def autocorrelation(slot, ln, lag):
    """Correlation of values `lag` slots apart, over all pairs that the series has."""
    place = {s: k for k, s in enumerate(slot)}
    pairs = np.array([(k, place[s + lag]) for k, s in enumerate(slot) if s + lag in place])
    return np.corrcoef(ln[pairs[:, 0]], ln[pairs[:, 1]])[0, 1]


def test_drawn_seeing_fades_as_real_seeing_does(real_data):
    slot, ln = orm_series(real_data)
    ps1 = load_instrument("ps1")
    plan = ps1.config.nights
    drawn = np.log(ps1.draw_exposures(5, 4000 * plan.exposures)[:, ps1.channel_names.index("seeing_r")])
    slots = np.concatenate([k * 1000 + np.arange(plan.exposures) for k in range(4000)])
    for lag in (1, 3, 6, 12):
        assert autocorrelation(slots, drawn, lag) == pytest.approx(autocorrelation(slot, ln, lag), abs=0.03)


def test_a_real_table_with_units_is_read(real_data, tmp_path, caplog):
    source = real_data / "telemetry" / "decam_obsbot" / "decam_obsbot_exposures.csv.gz"
    lines = gzip.decompress(source.read_bytes()).decode().splitlines()
    names = lines[0].split(",")
    unit = {"exptime": "s", "seeing": "arcsec", "sky": "mag/arcsec2", "mjd_obs": "d"}
    path = tmp_path / "decam.csv"
    path.write_text("\n".join([lines[0], ",".join(unit.get(name, "") for name in names), *lines[1:]]) + "\n")
    with pytest.raises(UserError, match=r"decam.csv:\d+: (seeing|airmass|transparency|exptime): is .*, outside"):
        load_instrument("ps1").read_exposures(path)  # a few of 15,737 rows are beyond what can be meant
    column = {name: np.array([line.split(",")[k] for line in lines[1:]]) for k, name in enumerate(names)}
    number = {name: column[name].astype(float) for name in ("exptime", "airmass", "transparency", "seeing")}
    ps1 = load_instrument("ps1")
    limits = {c.kind: (c.low, c.high) for c in ps1.telemetry_channels}
    kept = np.all([(number[k] >= limits[k][0]) & (number[k] <= limits[k][1]) for k in number], 0)
    assert kept.mean() > 0.8
    good = [line for line, keep in zip(lines[1:], kept, strict=True) if keep]
    path.write_text("\n".join([lines[0], ",".join(unit.get(name, "") for name in names), *good]) + "\n")
    values = ps1.read_exposures(path)
    assert values[:, ps1.channel_names.index("seeing_i")] == pytest.approx(number["seeing"][kept], rel=1e-5)
    assert len(values) == kept.sum()


def test_a_real_table_without_units_is_read_through_its_map(real_data, caplog):
    source = real_data / "telemetry" / "decam_obsbot" / "decam_obsbot_exposures.csv.gz"
    found = load(source)
    assert found.map.name == "decam"
    assert len(found) == 15_737
    assert {"airmass", "exptime", "transparency", "sky_brightness", "measured_fwhm"} <= set(found.readings)
    assert "seeing" not in found.readings  # theirs is measured on the image
    assert [f.kind for f in found.findings] == ["duplicate", "gap", "range"]
    # pointing, time and site give the airmass of nearly every row: the clock is UTC, and the sky is where it should be
    assert np.isfinite(found.readings["azimuth"].values).mean() > 0.999
    with gzip.open(source, "rt") as stream:
        airmass = np.array([float(row["airmass"]) for row in csv.DictReader(stream)])
    ps1 = load_instrument("ps1")
    values = ps1.read_exposures(source)
    assert values[:, ps1.channel_names.index("airmass")] == pytest.approx(airmass, rel=1e-6)
    assert "drawn from ps1's prior" in caplog.text


def test_headers_of_decam_mmt_ps1_and_lamost(real_data):
    des = load(real_data / "telemetry" / "des_piff")
    assert (des.map.name, len(des), des.findings) == ("decam", 2, [])
    assert des.readings["seeing"].values == pytest.approx([0.446, 0.642])
    assert des.readings["pressure"].values == pytest.approx([778, 781], abs=1)
    assert des.readings["wind_speed"].values.max() < 4  # 10.5 km/h
    assert np.abs(des.readings["donut_z4"].values).max() < 150  # the two sides of the focus cancel
    assert len(des.readings) >= 34
    mmt = load(real_data / "telemetry" / "mmt_wfs")
    assert (mmt.map.name, len(mmt)) == ("mmt", 3)
    assert [str(f) for f in mmt.findings] == ["EXPTIME: mmirs_wfs_0150.fits.fz: is 0 s, outside 0.0001 to 1e+06 s"]
    assert sun_altitude(mmt.days, mmt.map.site).max() < -18  # one of them has DATE-OBS in local time
    ps1 = load(real_data / "imaging" / "cfhtls_kids_ps1_misc")
    assert (ps1.map.name, len(ps1)) == ("ps1", 3)
    assert ps1.readings["detector_temperature"].values == pytest.approx(190, abs=5)
    lamost = load(real_data / "spectra" / "hypergravity-laspec")
    assert (lamost.map.name, len(lamost)) == ("lamost", 4)
    assert lamost.readings["humidity"].values.max() < 1  # percent in some, a share in others
    assert np.isnan(lamost.readings["detector_temperature"].values).all()  # -999
    assert sun_altitude(lamost.days, lamost.map.site).max() < -18


def test_a_folder_of_fits_files_of_three_cameras(real_data):
    found = load(real_data / "imaging" / "decam_cp_exposures")
    assert (found.map.name, len(found)) == ("decam", 13)
    said = " | ".join(map(str, found.findings))
    assert "39 files show 13 exposures" in said
    assert "pointing, time and site" not in said
    assert "13 rows, first mzlsbass2__k4m_160319_075112_ooi_zd_ls9-psfex.fits.gz: no telemetry in the header" in said
    assert np.isfinite(found.readings["mirror_temperature"].values).sum() == 10
    assert np.nanmin(found.readings["pressure"].values) > 770
    assert "3 rows, first " in said
    assert "of another instrument (90prime, Mosaic3)" in said
    assert np.isfinite(found.readings["moon_altitude"].values).sum() == 10


def test_weather_of_a_monitor(real_data):
    found = load(real_data / "telemetry" / "orm_wht" / "wht_weather_robodimm_seeing_2020_2024.csv.gz")
    assert len(found) == 38_111
    problems = {f.kind: str(f) for f in found.findings}
    assert set(problems) == {"gap", "range", "spike", "stuck", "unit"}
    assert "windspeed: as m/s, the median is 15.13 m/s" in problems["unit"]
    assert "is it in km/h" in problems["unit"]
    assert "airtemperature: stays -1 deg_C for 66 rows" in problems["stuck"]
    assert np.nanmedian(found.readings["seeing"].values) == pytest.approx(0.815, abs=0.005)
    jet = load(real_data / "telemetry" / "paranal_ecmwf200" / "ecmwf_profile_200mbar_2015-nov2018.csv.gz")
    assert list(jet.readings) == ["wind_200mb"]
    assert 20 < np.nanmedian(jet.readings["wind_200mb"].values) < 45
    assert np.nanmin(jet.readings["wind_200mb"].values) > 0  # -999000000 is no wind
    ddf = load(real_data / "telemetry" / "decam_ddf" / "exposures.csv.gz")
    assert set(ddf.readings) >= {"airmass", "measured_fwhm"}
    assert [f.kind for f in ddf.findings] == ["order", "gap"]


def test_state_of_two_decam_exposures(real_data):
    """From the headers as they were written: guider, donuts, mirror, refraction and exposure time reach the State."""
    decam = load_instrument("decam")
    rows = decam.read_exposures(real_data / "telemetry" / "des_piff")
    told = {name: rows[:, k] for k, name in enumerate(decam.channel_names)}
    assert told["seeing"] == pytest.approx([0.446, 0.642])
    states = jax.jit(jax.vmap(decam.state))(jnp.asarray(rows))
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(states))
    assert np.asarray(states.exptime) == pytest.approx(np.full((2, 6), 90.0))
    # mirrors cooler than their air, domes cooler than the night: the seeing is the monitor's
    r0 = 0.976 * 500e-9 * 206264.8 / told["seeing"] * (641.5 / 500) ** 1.2 * told["airmass"] ** -0.6
    assert np.asarray(states.r0[:, 2, 0]) == pytest.approx(r0, rel=1e-4)
    # G-MEANX2 and G-MEANY2: 0.012475 and 0.006864, 0.00444 and 0.009636 arcsec^2; half of each sum an axis
    blur = told["jitter_rms"] ** 2 + (0.4 * 0.2637) ** 2
    motion = np.asarray(states.jitter[:, 5, :2]).mean(-1) - blur
    assert motion == pytest.approx([(0.012475 + 0.006864) / 2, (0.00444 + 0.009636) / 2], abs=3e-4)
    # defocus of 20 um is 80 nm of z4, one way and the other, less the map and what is drawn
    focus = np.asarray(states.aberration[:, 0]) * 1e9 - told["z4"]
    assert focus[0] < focus[1]
    assert np.abs(focus).max() < 250
