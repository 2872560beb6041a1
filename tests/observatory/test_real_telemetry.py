"""Drawn nights and the table reader against telemetry that observatories wrote."""

import csv
import gzip

import numpy as np
import pytest

from twin.observatory.imager import load_instrument
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


def test_a_table_without_units_is_refused(real_data, tmp_path):
    source = real_data / "telemetry" / "decam_obsbot" / "decam_obsbot_exposures.csv.gz"
    path = tmp_path / "decam.csv"
    path.write_bytes(gzip.decompress(source.read_bytes()))
    with pytest.raises(UserError, match=r"decam.csv:2: the second row must give the units"):
        load_instrument("ps1").read_exposures(path)


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
