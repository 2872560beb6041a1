"""A user's mistake ends in exit code 2 and one line that names the file, key or option, and leaves nothing behind.

Here: instruments and telemetry.
"""

from __future__ import annotations

import gzip
import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from tests.cli.cases import Case, check


def truncated_fits(folder: Path) -> None:
    """A FITS table of which the last block is gone."""
    from astropy.table import QTable

    QTable({"airmass": np.linspace(1, 2, 2000)}).write(folder / "t.fits")
    data = (folder / "t.fits").read_bytes()
    (folder / "t.fits").write_bytes(data[: len(data) - 2 * 2880])


SHIPPED = Path(str(files("twin"))) / "configs" / "instruments" / "ps1.yaml"
PS1 = SHIPPED.read_text()
RAW = "DATE-OBS,AIRMASS\n2016-01-01T05:00:00,1.1\n2016-01-01T05:10:00,1.2\n"
FITS = b"".join(
    card.ljust(80) for card in (b"SIMPLE  =                    T", b"BITPIX  =                    8", b"END")
)
GOOD = "time,airmass,seeing\n,,arcsec\n2016-01-01T05:00:00,1.1,1.0\n2016-01-01T05:10:00,1.2,1.1\n"


def instrument(pattern: str, new: str, *words: str) -> Case:
    """The Pan-STARRS1 file with the first match replaced; the message gives the line."""
    found = re.search(pattern, PS1)
    assert found is not None
    line = PS1.count("\n", 0, found.start()) + 1 + new.count("\n")
    changed = PS1[: found.start()] + new + PS1[found.end() :]
    return Case(
        "psf mine.yaml --telemetry t.csv -o psf", (f"mine.yaml:{line}:", *words), {"mine.yaml": changed, "t.csv": GOOD}
    )


def telemetry(content: str | bytes, *words: str) -> Case:
    return Case("psf ps1 --telemetry t.csv -o psf", ("t.csv", *words), {"t.csv": content})


OBSERVATORY = {
    "unknown instrument": Case("psf ps2 --telemetry t.csv -o psf", ("ps2", 'did you mean "ps1"'), {"t.csv": GOOD}),
    "no such instrument file": Case("psf gone.yaml --telemetry t.csv -o psf", ("gone.yaml",), {"t.csv": GOOD}),
    "unknown key": instrument("diameter:", "diametre:", "diametre", 'did you mean "diameter"'),
    "unknown channel": instrument("jitter_rms:", "jitter_rsm:", "jitter_rsm", 'did you mean "jitter_rms"'),
    "unknown unit": instrument("diameter: .*", "diameter: 1.8 metre", "diameter", "metre"),
    "unit of another kind": instrument("pixel_scale: .*", "pixel_scale: 0.25 s", "pixel_scale", "arcsec"),
    "missing unit": instrument("diameter: .*", "diameter: 1.8", "diameter", "unit"),
    "negative sigma": instrument("sigma: [0-9]+ nm", "sigma: -9 nm", "channels.z", "negative"),
    "a number that is none": instrument("diameter: .*", "diameter: nan m", "diameter"),
    "unknown band": instrument("median: {g:", "median: {u:", "channels.seeing.median"),
    "a key that stands twice": instrument("obscuration: .*", "obscuration: 0.62\nobscuration: 0.5", "obscuration"),
    "no YAML": Case(
        "psf mine.yaml --telemetry t.csv -o psf", ("mine.yaml:3", "not valid YAML"), {"mine.yaml": "a: 1\nb: [1,\n"}
    ),
    "empty YAML": Case("psf mine.yaml --telemetry t.csv -o psf", ("mine.yaml",), {"mine.yaml": ""}),
    "YAML that asks for code": Case(
        "psf mine.yaml --telemetry t.csv -o psf", ("mine.yaml:1",), {"mine.yaml": "!!python/object/apply:os.abort []\n"}
    ),
    "no such telemetry": Case("psf ps1 --telemetry gone.csv -o psf", ("gone.csv", "no such file")),
    "empty telemetry": telemetry("", "empty"),
    "telemetry without rows": telemetry("airmass,seeing\n,arcsec\n", "no rows"),
    "NaN telemetry": telemetry(GOOD.replace("1.2,1.1", "1.2,nan"), ":4", "seeing", "no value"),
    "infinite telemetry": telemetry(GOOD.replace("1.2,1.1", "inf,1.1"), ":4", "airmass", "infinite"),
    "telemetry outside its range": telemetry(GOOD.replace("1.2,1.1", "0.2,1.1"), ":4", "airmass", "outside"),
    "telemetry in an unknown unit": telemetry(GOOD.replace("arcsec", "arcsecs"), "seeing", "arcsecs"),
    "telemetry in a unit of another kind": telemetry(GOOD.replace("arcsec", "kg"), "seeing", "kg"),
    "telemetry without a unit": telemetry(GOOD.replace("arcsec", ""), "seeing", "no unit"),
    "telemetry that runs backwards": telemetry(GOOD.replace("05:10", "04:10"), ":4", "time", "earlier"),
    "telemetry of another instrument": telemetry("a,b\n,\n1,2\n", "no column"),
    "binary rubbish": telemetry(bytes(range(256)) * 4, "not a table"),
    "a FITS image": telemetry(b"SIMPLE  =                    T".ljust(80) + b"END".ljust(2800), "holds no table"),
    "a truncated FITS table": Case("psf ps1 --telemetry t.fits -o psf", ("t.fits", "HDU 1"), before=truncated_fits),
    "no source": Case("telemetry gone.csv", ("gone.csv", "no such file")),
    "an empty folder": Case("telemetry .", (".", "holds no FITS files or header dumps")),
    "a folder of broken files": Case("telemetry f", ("f", "none of 1 files", "truncated"), {"f/x.fits": FITS[:400]}),
    "a source of something else": Case(
        "telemetry t.csv", ("t.csv", "nothing is a telemetry channel"), {"t.csv": "a,b\n1,2\n"}
    ),
    "an unknown keyword map": Case("telemetry t.csv --map decan", ("decan", 'did you mean "decam"'), {"t.csv": RAW}),
    "a keyword map that is wrong": Case(
        "telemetry t.csv --map m.yaml",
        ("m.yaml:4: channels.seing", 'did you mean "seeing"'),
        {"t.csv": RAW, "m.yaml": "name: m\ndescription: d\nchannels:\n  seing: [{keyword: SEE, unit: arcsec}]\n"},
    ),
    "an unknown instrument for what is missing": Case("telemetry t.csv --instrument ps2", ("ps2",), {"t.csv": RAW}),
    "out of order": Case(
        "telemetry t.csv -o clean.ecsv",
        ("t.csv", "out of order", "--sort"),
        {"t.csv": RAW + "2016-01-01T04:00:00,1.1\n"},
    ),
    "a folder as output": Case("telemetry t.csv -o d", ("d", "folder"), {"t.csv": RAW, "d/x": ""}),
    "local time with a zone": Case(
        "telemetry t.csv", ("DATE-OBS", "HST", "UTC"), {"t.csv": RAW.replace("00,", "00 HST,")}
    ),
    "another unit": Case("telemetry t.csv", ("t.csv", "airmass", "kg"), {"t.csv": "time,airmass\n,kg\n2016-01-01,1\n"}),
    "a gzip file that is cut": Case(
        "telemetry t.csv.gz", ("t.csv.gz", "truncated"), {"t.csv.gz": gzip.compress(b"a" * 9)[:15]}
    ),
}


@pytest.mark.parametrize("name", OBSERVATORY)
def test_instruments_and_telemetry(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(OBSERVATORY[name], folder, capsys)
