"""Event lists: what is written is read, here and by astropy; any size in little memory; faults in one line."""

from __future__ import annotations

import gzip
import logging
import tracemalloc
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from tests.io.xray.made_events import GTI, SKY, START, STOP, made, write
from twin.io.xray import Events, Tally, bin_events, open_events, read_events, write_events
from twin.schema import UserError


def test_what_is_written_is_read(tmp_path: Path, rng: np.random.Generator) -> None:
    events = made(rng, 1000)
    file, found = read_events(write(tmp_path, events), at_once=300)
    for field in fields(Events):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(events, field.name))
    assert (file.rows, file.exposure, file.channels, file.pixel) == (1000, 500.0, (0, 1023), 0.015)
    assert file.sky == SKY
    np.testing.assert_array_equal(file.gti, GTI)


def test_astropy_finds_a_valid_file(tmp_path: Path, rng: np.random.Generator) -> None:
    events = made(rng, 100)
    with fits.open(write(tmp_path, events, cards={"TELESCOP": "EP", "TIMEDEL": 0.05})) as hdus:
        hdus.verify("exception")
        np.testing.assert_array_equal(hdus["EVENTS"].data["PI"], events.pi)
        np.testing.assert_array_equal(hdus["GTI"].data["STOP"], [STOP])
        assert hdus["EVENTS"].header["NAXIS2"] == hdus["EVENTS"].header["NEVENTS"] == 100
        assert hdus["EVENTS"].header["TELESCOP"] == "EP"
        header = hdus["EVENTS"].header
        keys = [(f"{key}{n}", f"TC{old}{n + 5}") for n in (1, 2) for key, old in (
            ("CTYPE", "TYP"), ("CRPIX", "RPX"), ("CRVAL", "RVL"), ("CDELT", "DLT"))]  # fmt: skip
        wcs = WCS({new: header[old] for new, old in keys})
    ra, dec = SKY.sky(events.x, events.y)
    for mine, theirs in zip((ra, dec), wcs.all_pix2world(events.x, events.y, 1), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-10)
    x, y = SKY.pixel(ra, dec)
    np.testing.assert_allclose([x, y], [events.x, events.y], atol=1e-7)


def test_long_lists_take_little_memory(tmp_path: Path, rng: np.random.Generator) -> None:
    """20 MB written and read with 1 MB: what a 2 GB list takes is what its chunks take."""
    part, path = made(rng, 8192), tmp_path / "long.evt"
    tracemalloc.start()
    write_events(path, (part for _ in range(100)), GTI, 500.0, SKY)
    file, tally, total = open_events(path), Tally(), 0
    for chunk in file.chunks(tally, at_once=8192):
        total += len(chunk)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == tally.kept == file.rows == 819200
    assert path.stat().st_size > 20e6
    assert peak < 4e6


def test_gzipped_lists_are_read(tmp_path: Path, rng: np.random.Generator) -> None:
    path = write(tmp_path, events := made(rng, 500))
    zipped = tmp_path / "made.evt.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(read_events(zipped, at_once=100)[1].pi, events.pi)


def test_empty_lists_are_observations(tmp_path: Path, rng: np.random.Generator) -> None:
    file, events = read_events(write(tmp_path, made(rng, 0)))
    assert len(events) == file.rows == 0
    image, _ = bin_events(file, "sky", 100, (40, 40), (2900.5, 3000.5))
    assert image.counts.sum() == 0
    assert image.exposure == 500


def test_faulty_rows_are_left_out_and_counted(
    tmp_path: Path, rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    events = made(rng, 100)
    events.time[:3] = np.nan
    events.time[3:5] = START - 10
    events.pi[5], events.pi[6] = -4095, 1024
    with caplog.at_level(logging.WARNING):
        _, found = read_events(write(tmp_path, events))
    np.testing.assert_array_equal(found.pi, events.pi[7:])
    assert "of 100 events left out: 3 with a time that is no number, 2 outside the good time" in caplog.text
    assert "2 with PI outside the legal channels" in caplog.text


def test_unsorted_lists_are_sorted(tmp_path: Path, rng: np.random.Generator) -> None:
    events = made(rng, 200)
    _, found = read_events(write(tmp_path, events[rng.permutation(200)]))
    np.testing.assert_array_equal(found.time, events.time)


def test_good_time_is_joined_and_applied(tmp_path: Path, rng: np.random.Generator) -> None:
    events = made(rng, 1000)
    gti = START + np.array([[200.0, 300.0], [0.0, 100.0], [50.0, 120.0]])
    file, found = read_events(write(tmp_path, events, gti=gti, exposure=220.0))
    np.testing.assert_array_equal(file.gti - START, [[0, 120], [200, 300]])
    since = events.time - START
    assert len(found) == ((since <= 120) | ((since >= 200) & (since <= 300))).sum()


def test_without_gti_the_header_counts(
    tmp_path: Path, rng: np.random.Generator, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path, made(rng, 10))
    with fits.open(path) as hdus:
        fits.HDUList([hdus[0], hdus[1]]).writeto(tmp_path / "bare.evt")
    with caplog.at_level(logging.WARNING):
        file = open_events(tmp_path / "bare.evt")
    np.testing.assert_array_equal(file.gti, GTI)
    assert "no GTI table" in caplog.text


def test_without_sky_the_detector_remains(tmp_path: Path, rng: np.random.Generator) -> None:
    file = open_events(write(tmp_path, made(rng, 300), sky=None))
    image, _ = bin_events(file, "detector", 32, (128, 128))
    assert (image.counts.sum(), image.axes, image.bin, image.sky) == (300, "detector", 32, None)
    with pytest.raises(UserError, match=r"made.evt: HDU 1 \(EVENTS\): has no sky coordinates: columns X, Y missing"):
        bin_events(file, "sky", 32, (128, 128))


def test_columns_without_projection_are_named(tmp_path: Path, rng: np.random.Generator) -> None:
    path = write(tmp_path, made(rng, 30))
    with fits.open(path, mode="update") as hdus:
        for n in (6, 7):
            del hdus[1].header[f"TCTYP{n}"]
    with pytest.raises(UserError, match="has no sky coordinates: TCTYP6, TCTYP7 missing"):
        open_events(path).projection()


def _header(key: str, value: object) -> Callable[[Path], None]:
    def harm(path: Path) -> None:
        with fits.open(path, mode="update") as hdus:
            hdus[1].header[key] = value

    return harm


def _bytes(old: str, new: str) -> Callable[[Path], None]:
    """astropy would set these cards right: the bytes themselves are changed."""

    def harm(path: Path) -> None:
        text = path.read_bytes()
        assert text.count(old.encode()) == 1
        path.write_bytes(text.replace(old.encode(), new.encode()))

    return harm


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:12000])


def _blank(path: Path) -> None:
    path.write_bytes(b"")


def _text(path: Path) -> None:
    path.write_text("TIME,PI\n1,2\n")


def _backwards(path: Path) -> None:
    with fits.open(path, mode="update") as hdus:
        hdus["GTI"].data["STOP"][0] = 0


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_cut, r"HDU 1 \(EVENTS\): is truncated: \d+ of 26000 bytes of data"),
        (_blank, "the file is empty"),
        (_text, "is no FITS file"),
        (_backwards, r"HDU 2 \(GTI\): row 1 runs from 1.30487e\+08 to 0"),
        (_header("EXPOSURE", 0.0), r"HDU 1 \(EVENTS\): EXPOSURE is 0 s: nothing was exposed"),
        (_header("EXPOSURE", "long"), r"EXPOSURE must be a finite number, not long"),
        (_header("EXTNAME", "EVENT"), None),
        (_header("TTYPE1", "TIMES"), r'HDU 1 \(EVENTS\): no column TIME; did you mean "TIMES"'),
        (_header("TTYPE9", "PHA"), "has PHA but no PI"),
        (_header("TCTYP6", "RA---SIN"), "only RA---TAN, DEC--TAN can be read"),
        (_header("TCDLT6", 0.0), "TCDLT6, TCDLT7: pixels of no size"),
        (_bytes("TFORM9  = '1J", "TFORM9  = '2I"), "PI has the format 2I: a number a row is needed"),
        (_bytes("TFORM9  = '1J", "TFORM9  = '1Z"), "TFORM9 is '1Z'"),
        (_bytes("NAXIS1  =                   26", "NAXIS1  =                   25"), "its columns take 26 bytes a row"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_faults_are_told_in_one_line(
    tmp_path: Path, rng: np.random.Generator, harm: Callable[[Path], None], said: str | None
) -> None:
    path = write(tmp_path, made(rng, 1000))
    harm(path)
    if said is None:  # the class of the HDU names it too
        assert len(read_events(path)[1]) == 1000
        return
    with pytest.raises(UserError, match=said) as mistake:
        read_events(path)
    assert "\n" not in str(mistake.value)
    assert str(mistake.value).startswith(str(path))


def test_no_such_file(tmp_path: Path, rng: np.random.Generator) -> None:
    write(tmp_path, made(rng, 1))
    with pytest.raises(UserError, match=r'no such file; did you mean "made.evt"'):
        open_events(tmp_path / "mad.evt")


def test_turned_projections_are_refused_in_columns(tmp_path: Path, rng: np.random.Generator) -> None:
    turned = replace(SKY, matrix=((-2e-3, 1e-4), (1e-4, 2e-3)))
    with pytest.raises(ValueError, match="cannot be turned"):
        write(tmp_path, made(rng, 1), sky=turned)
    assert not list(tmp_path.iterdir())


@pytest.mark.real
def test_the_real_lists(real_data: Path) -> None:
    """EP240219a: 144 and 207 events in 500 s (README of the data)."""
    folder = real_data / "xray/heapy_wxt"
    for name, count in (("src", 144), ("bkg", 207)):
        file, events = read_events(folder / f"EP240219a_wxt44_{name}.evt")
        assert (len(events), file.exposure, file.pixel, file.channels) == (count, 500.0, 0.015, (0, 1023))
        assert (events.pi >= 50).all()
        assert file.header["DETNAM"] == "CMOS44"
        with fits.open(file.path) as hdus:
            np.testing.assert_array_equal(np.sort(hdus[1].data["PI"]), np.sort(events.pi))
        ra, dec = file.projection().sky(events.x, events.y)
        assert abs(np.median(ra) - 80.02) < 0.2
        assert abs(np.median(dec) - 25.55) < 0.2
