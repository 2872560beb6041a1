"""Reader `ps1-sled`: Pan-STARRS1 g r i stack cutouts of confirmed lenses (SLED) and of objects beside them.

Folders: `ps1_sled_lenses` (lenses 64x64, neighbours 40x40) and `ps1_field_objects` (field 48x48, non-lenses 64x64).
Traps handled here: q = -32768 is a pixel without a value; scale 0 is an absent band; smaller cutouts are padded to
64x64 with the centre kept (pixel s/2 of s goes to pixel 32) and marked invalid; most neighbours occur in the field file
too, as larger cutouts: they become one object, set "neighbour", with the larger cutout.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from twin.data.ingest.records import Records, Table, hash_files, load_npz
from twin.data.layout import INVALID
from twin.io.fits import stamp_wcs
from twin.io.layout import ArraySpec, DatasetSpec
from twin.schema import UserError

BANDS = ("g", "r", "i")
SIZE = 64
PIXEL_SCALE = 0.25  # arcsec
CLASSES = ("lensed_galaxy", "lensed_quasar", "lensed_supernova", "neighbour", "field")
SLED_CLASSES = {"lensed_galaxies": 0, "lensed_quasars": 1, "lensed_supernovae": 2}
LENSES, FIELD = "ps1_sled_lenses", "ps1_field_objects"
CUTOUT_CENTRE = 60.0  # pixel of the lens in the 120x120 cutouts that `x`, `y` of neighbours.csv refer to (+-0.5)

PER_BAND = ("exptime", "gain")
COMMON = tuple(f"{word}_{band}" for word in PER_BAND for band in BANDS)
PHOTOMETRY = tuple(f"{word}_{band}" for word in ("mag2as", "snr2as") for band in BANDS)


@dataclass(frozen=True)
class _Object:
    """One row of the dataset: pixels as in the source, `per_band` gain [e/count] and exposure time [s]."""

    q: np.ndarray
    scale: np.ndarray
    gain: np.ndarray
    exptime: np.ndarray
    label: int
    field: int
    row: dict[str, Any]


def can_read(path: Path) -> bool:
    return _root(path) is not None


def read(path: Path) -> Records:
    """All objects, in the order lenses, neighbours, field, non-lenses. Raises UserError for files that are damaged,
    missing, or contradict each other."""
    root = _root(path)
    if root is None:
        raise UserError(f"holds no folder {LENSES}", file=path)
    lens_table = _table(
        root / LENSES / "lenses.csv",
        (
            "sled_class",
            "name",
            "ra",
            "dec",
            "image_sep_arcsec",
            "n_img",
            "lens_type",
            "source_type",
            *PHOTOMETRY,
            *COMMON,
        ),
    )
    lenses = list(_lenses(root, lens_table))
    field = list(_field(root, lens_table))
    neighbours, same = _neighbours(root, lens_table, lenses, field)
    others = list(_others(root, first_field=len(lenses)))
    objects = [*lenses, *neighbours, *(o for i, o in enumerate(field) if i not in same), *others]
    notes = [
        f"{len(lenses)} lenses, {len(neighbours)} neighbours, {len(field) - len(same) + len(others)} field objects",
        f"{len(same)} neighbours stand in the field file too: one object, with the larger cutout (column same_as)",
    ]
    sources = [root / folder / name for folder, name in _FILES]
    return Records(_spec(), _arrays(objects), _catalogue(objects), hash_files(sources), notes)


_FILES = tuple(
    (folder, name)
    for folder, names in (
        (LENSES, ("lenses.csv", "lenses_gri_64.npz", "neighbours.csv", "neighbours_gri_40.npz")),
        (FIELD, ("sled_field.csv", "sled_field_gri_48pad.npz", "nonlenses.csv", "nonlenses_gri_64.npz")),
    )
    for name in names
)


def _root(path: Path) -> Path | None:
    """The folder that holds both source folders: `path`, its `imaging`, or its parent."""
    return next((p for p in (path, path / "imaging", path.absolute().parent) if (p / LENSES).is_dir()), None)


def _table(path: Path, columns: tuple[str, ...]) -> Table:
    table = Table(path, ("idx", *columns))
    if not np.array_equal(table.numbers("idx"), np.arange(len(table))):
        raise UserError("does not count 0, 1, 2, ...: lines are missing or out of order", file=path, key="idx")
    return table


def _pixels(path: Path, n: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Quantised pixels and scale, as many as the table has lines."""
    found = load_npz(path, {"q": ((n, len(BANDS), size, size), "int16"), "scale": ((n, len(BANDS)), "float32")})
    if not (np.isfinite(found["scale"]).all() and (found["scale"] >= 0).all()):
        raise UserError("has values that are negative or not finite", file=path, key="scale")
    return found["q"], found["scale"]


def _bands(table: Table, word: str) -> np.ndarray:
    """(n, band) of the columns word_g, word_r, word_i."""
    return np.stack([table.numbers(f"{word}_{band}") for band in BANDS], axis=1)


def _lens_index(table: Table, n: int) -> np.ndarray:
    found = table.numbers("lens_idx")
    bad = np.flatnonzero(~np.isin(found, np.arange(n)))
    if bad.size:
        raise UserError(
            f"is {found[bad[0]]:g}, there are {n} lenses", file=table.path, line=int(bad[0]) + 2, key="lens_idx"
        )
    return found.astype(int)


def _lenses(root: Path, table: Table) -> Iterator[_Object]:
    q, scale = _pixels(root / LENSES / "lenses_gri_64.npz", len(table), 64)
    gain, exptime = _bands(table, "gain"), _bands(table, "exptime")
    text = {name: table.text(name) for name in ("name", "sled_class", "source_type", "lens_type")}
    number = {name: table.numbers(name) for name in ("ra", "dec", "image_sep_arcsec", "n_img")}
    photometry = _columns(table)
    for i in range(len(table)):
        if text["sled_class"][i] not in SLED_CLASSES:
            raise UserError(f'unknown class "{text["sled_class"][i]}"', file=table.path, line=i + 2, key="sled_class")
        row = {key: values[i] for key, values in text.items()} | {key: values[i] for key, values in photometry.items()}
        row |= {"set": "lens", "ra": number["ra"][i], "dec": number["dec"][i], "n_img": number["n_img"][i]}
        row |= {"separation_arcsec": number["image_sep_arcsec"][i], "lens_idx": i, "lens_name": text["name"][i]}
        row |= {"field": text["name"][i]}
        yield _Object(q[i], scale[i], gain[i], exptime[i], SLED_CLASSES[text["sled_class"][i]], i, row)


def _columns(table: Table) -> dict[str, np.ndarray]:
    """Photometry and shape under the catalogue's names."""
    found = {f"mag_{b}": table.numbers(f"mag2as_{b}") for b in BANDS}
    found |= {f"snr_{b}": table.numbers(f"snr2as_{b}") for b in BANDS}
    return found | {name: table.numbers(name) for name in ("hlr_arcsec", "axis_ratio") if name in table}


def _field(root: Path, lens_table: Table) -> Iterator[_Object]:
    table = _table(
        root / FIELD / "sled_field.csv",
        ("lens_idx", "ra", "dec", "hlr_arcsec", "axis_ratio", "auto_shape", *PHOTOMETRY, *COMMON),
    )
    q, scale = _pixels(root / FIELD / "sled_field_gri_48pad.npz", len(table), 48)
    gain, exptime, ra, dec = _bands(table, "gain"), _bands(table, "exptime"), table.numbers("ra"), table.numbers("dec")
    lens, shape, photometry, names = (
        _lens_index(table, len(lens_table)),
        table.text("auto_shape"),
        _columns(table),
        lens_table.text("name"),
    )
    for i in range(len(table)):
        row = {key: values[i] for key, values in photometry.items()}
        row |= {"name": f"field-{i:03d}", "set": "field", "ra": ra[i], "dec": dec[i], "auto_shape": shape[i]}
        row |= {"lens_idx": int(lens[i]), "lens_name": names[lens[i]], "field": names[lens[i]]}
        yield _Object(q[i], scale[i], gain[i], exptime[i], 4, int(lens[i]), row)


def _neighbours(
    root: Path, lens_table: Table, lenses: list[_Object], field: list[_Object]
) -> tuple[list[_Object], set[int]]:
    """The neighbours, and which rows of the field file they are: the same field, the same central 40x40 pixels."""
    table = _table(
        root / LENSES / "neighbours.csv", ("lens_idx", "x", "y", "mag2as_r", "snr_r", "hlr_arcsec", "axis_ratio")
    )
    q, scale = _pixels(root / LENSES / "neighbours_gri_40.npz", len(table), 40)
    lens = _lens_index(table, len(lens_table))
    x, y, mag, snr = (table.numbers(name) for name in ("x", "y", "mag2as_r", "snr_r"))
    hlr, ratio = table.numbers("hlr_arcsec"), table.numbers("axis_ratio")
    found, same = [], set()
    for i in range(len(table)):
        near = lenses[lens[i]]
        row = {"name": f"neighbour-{i:03d}", "set": "neighbour", "mag_r": mag[i], "snr_r": snr[i]}
        row |= {"hlr_arcsec": hlr[i], "axis_ratio": ratio[i], "lens_idx": int(lens[i])}
        row |= {"lens_name": near.row["name"], "field": near.row["name"]}
        twin = next((j for j, o in enumerate(field) if j not in same and o.field == lens[i] and _inside(q[i], o)), None)
        if twin is None:
            dec = near.row["dec"] + (y[i] - CUTOUT_CENTRE) * PIXEL_SCALE / 3600
            ra = near.row["ra"] - (x[i] - CUTOUT_CENTRE) * PIXEL_SCALE / 3600 / math.cos(math.radians(dec))
            row |= {"ra": ra, "dec": dec}
            found.append(_Object(q[i], scale[i], near.gain, near.exptime, 3, int(lens[i]), row))
        else:
            other = field[twin]
            same.add(twin)
            row = other.row | row | {"same_as": other.row["name"]}
            found.append(_Object(other.q, other.scale, other.gain, other.exptime, 3, int(lens[i]), row))
    return found, same


def _inside(small: np.ndarray, large: _Object) -> bool:
    edge = (large.q.shape[-1] - small.shape[-1]) // 2
    return np.array_equal(large.q[:, edge:-edge, edge:-edge], small)


def _others(root: Path, first_field: int) -> Iterator[_Object]:
    """Vetted non-lenses far from any lens; in some of them a band is absent."""
    table = _table(root / FIELD / "nonlenses.csv", ("field", "ra", "dec", "hlr_arcsec", *PHOTOMETRY, *COMMON))
    q, scale = _pixels(root / FIELD / "nonlenses_gri_64.npz", len(table), 64)
    gain, exptime, ra, dec = _bands(table, "gain"), _bands(table, "exptime"), table.numbers("ra"), table.numbers("dec")
    names, photometry = table.text("field"), _columns(table)
    numbers = {name: first_field + k for k, name in enumerate(dict.fromkeys(names))}
    for i in range(len(table)):
        row = {key: values[i] for key, values in photometry.items()}
        row |= {"name": f"nonlens-{i}", "set": "field", "ra": ra[i], "dec": dec[i], "field": names[i]}
        yield _Object(q[i], scale[i], gain[i], exptime[i], 4, numbers[names[i]], row)


def _spec() -> DatasetSpec:
    band: dict[str, tuple[str, ...]] = {"band": BANDS}
    channel: dict[str, tuple[str, ...]] = {"channel": tuple(f"exptime_{b}" for b in BANDS)}
    stamp = (len(BANDS), SIZE, SIZE)
    return DatasetSpec(
        (
            ArraySpec(
                "frame",
                stamp,
                "int16",
                ("band", "y", "x"),
                "ct",
                "phot.count",
                "sky-subtracted stack; counts = frame * noise/scale, -32768 = no value",
                band,
            ),
            ArraySpec("valid", stamp, "uint8", ("band", "y", "x"), description="1 = pixel with a value", coords=band),
            ArraySpec("noise/scale", (3,), "float32", ("band",), "ct", "", "counts a unit of frame, 0 = no such band"),
            ArraySpec(
                "noise/rms",
                (3,),
                "float32",
                ("band",),
                "ct",
                "stat.stdev;instr.background",
                "sky rms of a pixel, NaN = no such band",
            ),
            ArraySpec("noise/gain", (3,), "float32", ("band",), "", "", "electrons a count"),
            ArraySpec("label/lens", (), "uint8", description="1 = confirmed lens", ucd="meta.code.class"),
            ArraySpec(
                "label/class", (), "uint8", description="index into the attribute classes", ucd="meta.code.class"
            ),
            ArraySpec(
                "label/separation",
                (),
                "float32",
                unit="arcsec",
                ucd="pos.angDistance",
                description="largest image separation as catalogued, NaN = unknown or no lens",
            ),
            ArraySpec(
                "telemetry",
                (3,),
                "float32",
                ("channel",),
                "s",
                "time.duration;obs.exposure",
                "exposure time",
                channel,
            ),
            ArraySpec("exposure_id", (), "int64", description="field on the sky: split by it", ucd="meta.id"),
            ArraySpec("object_id", (), "int64", description="row of catalogue.parquet", ucd="meta.id;src"),
        ),
        {
            "classes": list(CLASSES),
            "bands": list(BANDS),
            "pixel_scale": PIXEL_SCALE,
            "wcs": stamp_wcs((SIZE, SIZE), PIXEL_SCALE),
            "instrument": "Pan-STARRS1",
        },
    )


def _arrays(objects: list[_Object]) -> dict[str, np.ndarray]:
    n = len(objects)
    frame = np.full((n, len(BANDS), SIZE, SIZE), INVALID, np.int16)
    for i, o in enumerate(objects):
        edge = (SIZE - o.q.shape[-1]) // 2
        inside = slice(edge, edge + o.q.shape[-1])
        frame[i, :, inside, inside] = np.where(o.scale[:, None, None] > 0, o.q, INVALID)
    scale = np.stack([o.scale for o in objects]).astype(np.float32)
    separation = [o.row.get("separation_arcsec", math.nan) for o in objects]
    return {
        "frame": frame,
        "valid": (frame != INVALID).astype(np.uint8),
        "noise/scale": scale,
        "noise/rms": np.where(scale > 0, 4 * scale, np.nan).astype(np.float32),  # the source quantised at rms / 4
        "noise/gain": np.stack([o.gain for o in objects]).astype(np.float32),
        "label/lens": np.array([o.row["set"] == "lens" for o in objects], np.uint8),
        "label/class": np.array([o.label for o in objects], np.uint8),
        "label/separation": np.array(separation, np.float32),
        "telemetry": np.stack([o.exptime for o in objects]).astype(np.float32),
        "exposure_id": np.array([o.field for o in objects], np.int64),
        "object_id": np.arange(n, dtype=np.int64),
    }


_TEXT = ("name", "set", "sled_class", "source_type", "lens_type", "lens_name", "field", "same_as", "auto_shape")
_NUMBER = (
    "separation_arcsec",
    "n_img",
    "ra",
    "dec",
    "hlr_arcsec",
    "axis_ratio",
    *(f"{word}_{band}" for word in ("mag", "snr") for band in BANDS),
)


def _catalogue(objects: list[_Object]) -> dict[str, list[Any]]:
    """Columns of one type each; "" and NaN where unknown, lens_idx -1 where there is no lens nearby."""
    found: dict[str, list[Any]] = {name: [str(o.row.get(name, "")) for o in objects] for name in _TEXT}
    found |= {name: [float(o.row.get(name, math.nan)) for o in objects] for name in _NUMBER}
    found |= {f"exptime_{b}": [float(o.exptime[k]) for o in objects] for k, b in enumerate(BANDS)}
    found |= {"cutout": [int(o.q.shape[-1]) for o in objects]}
    return found | {"lens_idx": [int(o.row.get("lens_idx", -1)) for o in objects]}
