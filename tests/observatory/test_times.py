"""Times in every form become modified Julian dates in UTC; the sun stands where astropy has it."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable
from astropy.time import Time

from twin.observatory.canonical import iso_of
from twin.observatory.keywords import KeywordMap, Site, TimeSource, load_map
from twin.observatory.places import sun_altitude
from twin.observatory.times import clock_difference, read_times
from twin.schema import UserError

DAY = 57640.5  # 2016-09-09T12:00


def reader(*sources: TimeSource, **others: object) -> KeywordMap:
    return load_map("generic").model_copy(update={"time": sources, **others})


def days_of(column: object, source: TimeSource | None = None, **more: object) -> tuple[np.ndarray, list[str]]:
    said: list[str] = []
    table = QTable({"t": column, **more})
    days, name = read_times(table, reader(source or TimeSource(keyword="t")), lambda *what: said.append(what[1]))
    assert days is not None
    assert name == "t"
    return days, said


@pytest.mark.parametrize(
    "column",
    [
        ["2016-09-09T12:00:00"], ["2016-09-09T12:00:00Z"], ["2016-09-09 12:00"], ["2016-09-09 12:00:00 UTC"],
        ["2016/09/09 12:00:00.000"], ["2016-09-09T12:00:00+00:00"], [DAY], [DAY + 2400000.5], [str(DAY)],
        [(DAY - 40587) * 86400], [(DAY - 40587) * 86400e3], Time([DAY], format="mjd"),
        np.array(["2016-09-09T12:00"], "datetime64[s]"), [DAY] * u.d,
    ],
)  # fmt: skip
def test_forms(column: object) -> None:
    days, said = days_of(column)
    assert days == pytest.approx([DAY], abs=1e-8)
    assert said == []


def test_numbers_of_days() -> None:
    assert days_of([20160909, 20160910])[0] == pytest.approx([57640, 57641])
    assert days_of([2457641.0], TimeSource(keyword="t", form="jd"))[0] == pytest.approx([57640.5])
    assert days_of([1473422400.0], TimeSource(keyword="t", form="unix"))[0] == pytest.approx([57640.5])


def test_dates_with_a_clock_beside_them() -> None:
    source = TimeSource(keyword="t", form="text", clock="ut")
    days, _ = days_of(["Fri Sep 09 2016", "9 September 2016"], source, ut=["12:00:00", " 06:00:00.0 "])
    assert days == pytest.approx([DAY, DAY - 0.25])
    assert days_of(["2016-09-09"], TimeSource(keyword="t", clock="ut"), ut=["12:00"])[0] == pytest.approx([DAY])
    several = TimeSource(keyword="t", clock=("time", "ut"))
    assert days_of(["2016-09-09"], several, ut=["12:00"])[0] == pytest.approx([DAY])


def test_parts() -> None:
    source = TimeSource(parts=("year", "month", "day", "hour", "minute", "second"))
    table = QTable(
        {"YEAR": [2016, 2016.0, 2016], "month": [9, 13, 2], "day": [9, 1, 29], "hour": [12, 1, 6], "Minute": [30, 0, 0]}
    )
    days, name = read_times(table, reader(source), lambda *_: None)
    assert days is not None
    assert name == "year month day hour minute second"
    assert days[0] == pytest.approx(DAY + 0.5 / 24)
    assert np.isnan(days[1])
    assert days[2] == pytest.approx(57447.25)


def test_zones() -> None:
    days, said = days_of(["2016-09-09T14:00:00+02:00", "2016-09-09 09:00-03:00", "2016-09-09T12:00:00Z"])
    assert days == pytest.approx([DAY] * 3)
    assert said == ["has a time zone, taken off: times are UTC now"]
    with pytest.raises(UserError, match="t: has the time zone HST: give UTC"):
        days_of(["2016-09-09 12:00:00 HST"])
    with pytest.raises(UserError, match="t: times are TAI: give UTC"):
        days_of(Time([DAY], format="mjd", scale="tai"))
    table = QTable({"t": [DAY]})
    days_local, _ = read_times(table, reader(TimeSource(keyword="t"), utc_offset=8.0), lambda *_: None)
    assert days_local == pytest.approx([DAY - 8 / 24])


def test_what_is_no_time() -> None:
    days, said = days_of(["2016-09-09T12:00:00", "", "yesterday", "nan"])
    assert days[0] == pytest.approx(DAY)
    assert np.isnan(days[1:]).all()
    assert said == ['is no time: "yesterday"']
    assert days_of([DAY, -1.0, 1e7])[1] == ["is no date of an exposure"]


def test_the_first_source_with_a_value_counts() -> None:
    table = QTable({"a": ["", "2016-09-09T12:00:00"], "b": [DAY + 1, DAY + 2]})
    days, name = read_times(
        table, reader(TimeSource(keyword="a"), TimeSource(keyword="b", form="mjd")), lambda *_: None
    )
    assert days == pytest.approx([DAY + 1, DAY])
    assert name == "a, b"
    assert read_times(table, reader(TimeSource(keyword="c")), lambda *_: None) == (None, "")


def test_a_clock_beside_the_times() -> None:
    table = QTable({"UT": ["12:00:00", "19:00:00.5", ""]})
    found = clock_difference(table, np.full(3, DAY), ["TIME-OBS", "UT"])
    assert found is not None
    assert found[0] == "UT"
    assert found[1][:2] == pytest.approx([0, 7], abs=1e-3)
    assert np.isnan(found[1][2])
    assert clock_difference(table, np.full(3, DAY), ["TIME-OBS"]) is None


def test_the_sun_is_where_astropy_has_it() -> None:
    from astropy.coordinates import AltAz, EarthLocation, get_sun
    from astropy.utils import iers

    days = 57000.3 + np.linspace(0, 2500, 60)
    site = Site.model_construct(latitude=-30.17, longitude=-70.81, height=2215.0)
    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("iers_degraded_accuracy", "ignore"):
        place = EarthLocation(lat=site.latitude * u.deg, lon=site.longitude * u.deg, height=site.height * u.m)
        time = Time(days, format="mjd")
        expected = get_sun(time).transform_to(AltAz(obstime=time, location=place)).alt.deg
    assert sun_altitude(days, site) == pytest.approx(expected, abs=0.03)


def test_times_are_written_to_the_millisecond() -> None:
    assert list(iso_of(np.array([57640.07868652, np.nan]))) == ["2016-09-09T01:53:18.515", ""]
