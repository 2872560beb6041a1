"""Predictions as a catalogue with units and UCDs: Parquet, FITS, VOTable or ECSV, by the file's ending."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from twin.io.atomic import atomic_path
from twin.schema import UserError, suggest
from twin.train.calibration import NONE, Calibration
from twin.train.prediction import Prediction

if TYPE_CHECKING:
    from astropy.table import QTable

QUANTILES = (0.025, 0.16, 0.5, 0.84, 0.975)
FORMATS = {".parquet": "parquet", ".fits": "fits", ".vot": "votable", ".xml": "votable", ".ecsv": "ascii.ecsv"}
CARDS = {"calibration": "CALIB", "calibrated": "CALIBCOL", "calibrated_on": "CALIBSET"}  # of a FITS header


@dataclass(frozen=True)
class Column:
    """One catalogue column: values (n,), VOUnit ("" = none), UCD1+ word, description."""

    name: str
    values: np.ndarray
    unit: str
    ucd: str
    description: str


def check_format(path: Path) -> str:
    """Astropy's name of the format of a catalogue file. Raises UserError for an unknown ending."""
    if path.suffix not in FORMATS:
        raise UserError(
            f'unknown catalogue format "{path.suffix}"; there are {", ".join(FORMATS)}',
            file=path, suggestion=suggest(path.suffix, FORMATS),
        )  # fmt: skip
    return FORMATS[path.suffix]


def calibration_words(calibration: Calibration | None) -> dict[str, str]:
    """What a catalogue says of the calibration of its predictions: NAME, parts that it changed, its objects."""
    if calibration is None:
        return {"calibration": NONE, "calibrated": "nothing"}
    return {
        "calibration": calibration.name,
        "calibrated": ", ".join(calibration.adjusts) or "nothing",
        "calibrated_on": calibration.objects,
    }


def flags(prediction: Prediction, complete: np.ndarray) -> np.ndarray:
    """(n,) plain words: what it is likely to be, how well the separation is known, what is wrong with the cutout."""
    prob = prediction.lens_mean()
    low, high = prediction.interval(0.68)
    middle = prediction.separation_quantile(0.5)
    out = []
    for p, spread, whole in zip(prob, (high - low) / (2 * middle), complete, strict=True):
        words = ["likely a lens" if p >= 0.9 else "possibly a lens" if p >= 0.5 else
                 "probably no lens" if p >= 0.1 else "very probably no lens"]  # fmt: skip
        if p >= 0.5 and spread > 0.3:
            words.append("separation poorly known")
        if not whole:
            words.append("cutout incomplete")
        out.append("; ".join(words))
    return np.array(out)


def columns(
    names: np.ndarray,
    prediction: Prediction,
    *,
    position: np.ndarray | None = None,
    complete: np.ndarray | None = None,
    usable: np.ndarray | None = None,
) -> list[Column]:
    """The columns of n predicted objects.

    position (n, 2) RA, Dec in degrees; complete (n,) a whole cutout; usable (n,) False = no prediction, NaN instead
    """
    out = [Column("object", np.asarray(names).astype(str), "", "meta.id;meta.main", "identifier in the source dataset")]
    if position is not None:
        out += [
            Column(name, position[:, i], "deg", f"pos.eq.{name};meta.main", f"{words} (ICRS), empty where unknown")
            for i, (name, words) in enumerate((("ra", "right ascension"), ("dec", "declination")))
        ]
    given = "largest image separation if it is a lens"
    predicted = [
        Column("lens_probability", prediction.lens_mean(), "", "stat.probability", "probability that it is a lens"),
        Column("lens_probability_std", prediction.lens_std(), "", "stat.stdev;stat.probability",
               "standard deviation of the probability between ensemble members"),
        Column("separation", prediction.separation_quantile(0.5), "arcsec", "pos.angDistance;stat.median",
               f"{given}: median"),
        Column("separation_std", prediction.separation_std(), "arcsec", "stat.stdev;pos.angDistance",
               f"{given}: standard deviation"),
    ]  # fmt: skip
    predicted += [
        Column(f"separation_q{q * 1000:03.0f}", prediction.separation_quantile(q), "arcsec",
               "pos.angDistance;stat.interval", f"{given}: {q:.1%} quantile")
        for q in QUANTILES
    ]  # fmt: skip
    all_true = np.ones(len(prediction), bool)
    usable = all_true if usable is None else usable
    out += [replace(col, values=np.where(usable, col.values, np.nan)) for col in predicted]
    words = flags(prediction, all_true if complete is None else complete)
    words = np.where(usable, words, "not predicted: a band is missing")
    return [*out, Column("flag", words, "", "meta.note", "the prediction in plain words")]


def to_table(cols: list[Column], meta: dict[str, str]) -> QTable:
    """An astropy table; a column's UCD stands in its `meta["ucd"]`."""
    from astropy import units
    from astropy.table import Column as AstropyColumn
    from astropy.table import QTable

    table = QTable(meta=dict(meta))
    for col in cols:
        unit = units.Unit(col.unit) if col.unit else None
        table[col.name] = AstropyColumn(
            col.values, unit=unit, description=col.description, meta={"ucd": col.ucd}
        )  # fmt: skip
    return table


def write_catalogue(path: Path, cols: list[Column], meta: dict[str, str]) -> None:
    """Write a catalogue, whole or not at all. Raises UserError for an unknown ending or where the disk refuses.

    meta    short texts about the whole table (model, dataset, calibration), kept in every format
    """
    path = Path(path)
    kind = check_format(path)
    with atomic_path(path) as part:
        if kind == "parquet":
            _write_parquet(part, cols, meta)
        elif kind == "votable":
            _write_votable(part, cols, meta)
        elif kind == "fits":
            _write_fits(part, cols, meta)
        else:
            to_table(cols, meta).write(part, format=kind)


def _write_parquet(path: Path, cols: list[Column], meta: dict[str, str]) -> None:
    import pyarrow
    from pyarrow import parquet

    fields = []
    for col in cols:
        about = {"unit": col.unit, "ucd": col.ucd, "description": col.description}
        fields.append(pyarrow.field(col.name, pyarrow.array(col.values[:0]).type, metadata=about))
    table = pyarrow.Table.from_arrays(
        [pyarrow.array(col.values) for col in cols], schema=pyarrow.schema(fields, metadata=meta)
    )
    parquet.write_table(table, path)


def _write_fits(path: Path, cols: list[Column], meta: dict[str, str]) -> None:
    from astropy.io import fits

    hdu = fits.table_to_hdu(_plain([replace(col, values=_ascii(col.values)) for col in cols]))
    for i, col in enumerate(cols, start=1):
        hdu.header[f"TUCD{i}"] = (col.ucd, "UCD1+")
        hdu.header[f"TCOMM{i}"] = col.description
    hdu.header["EXTNAME"] = "PREDICTIONS"
    for key, text in meta.items():
        plain = str(_ascii(np.array(text)))
        if key in CARDS:
            hdu.header[CARDS[key]] = plain
        else:
            hdu.header.add_history(f"{key}: {plain}")
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)


def _ascii(values: np.ndarray) -> np.ndarray:
    """Text with "?" for what FITS cannot hold; other values as they are."""
    if values.dtype.kind != "U":
        return values
    return np.strings.encode(values, "ascii", "replace").astype(str)


def _write_votable(path: Path, cols: list[Column], meta: dict[str, str]) -> None:
    from astropy.io.votable import from_table, tree

    document = from_table(_plain(cols))
    table = document.get_first_table()
    for field, col in zip(table.fields, cols, strict=True):
        field.ucd = col.ucd
        field.description = col.description
    for i, (key, text) in enumerate(meta.items()):
        table.infos.append(tree.Info(ID=f"meta{i}", name=key, value=text))
    document.to_xml(str(path))


def _plain(cols: list[Column]) -> object:
    """An astropy Table without quantities, which both XML and FITS writers take with units."""
    from astropy.table import Table

    table = Table()
    for col in cols:
        table[col.name] = col.values
        table[col.name].unit = col.unit or None
    return table
