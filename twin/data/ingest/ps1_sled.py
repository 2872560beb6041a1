"""Reader `ps1-sled`: Pan-STARRS1 g r i stack cutouts of confirmed lenses (SLED) and of objects beside them.

Folders: `ps1_sled_lenses` (lenses 64x64, neighbours 40x40) and `ps1_field_objects` (field 48x48, non-lenses 64x64).
Traps handled here: q = -32768 is a pixel without a value; scale 0 is an absent band; smaller cutouts are padded to
64x64 with the centre kept (pixel s/2 of s goes to pixel 32) and marked invalid; most neighbours occur in the field file
too, as larger cutouts: they become one object, set "neighbour", with the larger cutout.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from twin.data.ingest.ps1_layout import BANDS, PIXEL_SCALE, Ps1Object, arrays, catalogue, dataset_spec
from twin.data.ingest.records import Records, Table, hash_files, load_npz
from twin.schema import UserError

SLED_CLASSES = {"lensed_galaxies": 0, "lensed_quasars": 1, "lensed_supernovae": 2}
LENSES, FIELD = "ps1_sled_lenses", "ps1_field_objects"
CUTOUT_CENTRE = 60.0  # pixel of the lens in the 120x120 cutouts that `x`, `y` of neighbours.csv refer to (+-0.5)

LENS_COLUMNS = ("sled_class", "name", "ra", "dec", "image_sep_arcsec", "n_img", "lens_type", "source_type")
COMMON = tuple(f"{word}_{band}" for word in ("exptime", "gain") for band in BANDS)
PHOTOMETRY = tuple(f"{word}_{band}" for word in ("mag2as", "snr2as") for band in BANDS)

FILES = tuple(
    (folder, name)
    for folder, names in (
        (LENSES, ("lenses.csv", "lenses_gri_64.npz", "neighbours.csv", "neighbours_gri_40.npz")),
        (FIELD, ("sled_field.csv", "sled_field_gri_48pad.npz", "nonlenses.csv", "nonlenses_gri_64.npz")),
    )
    for name in names
)


def can_read(path: Path) -> bool:
    return _root(path) is not None


def read(path: Path) -> Records:
    """All objects, in the order lenses, neighbours, field, non-lenses. Raises UserError for files that are damaged,
    missing, or contradict each other."""
    root = _root(path)
    if root is None:
        raise UserError(f"holds no folder {LENSES}", file=path)
    lens_table = _table(root / LENSES / "lenses.csv", (*LENS_COLUMNS, *PHOTOMETRY, *COMMON))
    lenses = list(_lenses(root, lens_table))
    field = list(_field(root, lens_table))
    neighbours, same = _neighbours(root, lens_table, lenses, field)
    others = list(_others(root, first_field=len(lenses)))
    objects = [*lenses, *neighbours, *(o for i, o in enumerate(field) if i not in same), *others]
    notes = [
        f"{len(lenses)} lenses, {len(neighbours)} neighbours, {len(field) - len(same) + len(others)} field objects",
        f"{len(same)} neighbours stand in the field file too: one object, with the larger cutout (column same_as)",
    ]
    sources = [root / folder / name for folder, name in FILES]
    return Records(dataset_spec(), arrays(objects), catalogue(objects), hash_files(sources), notes)


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


def _lenses(root: Path, table: Table) -> Iterator[Ps1Object]:
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
        yield Ps1Object(q[i], scale[i], gain[i], exptime[i], SLED_CLASSES[text["sled_class"][i]], i, row)


def _columns(table: Table) -> dict[str, np.ndarray]:
    """Photometry and shape under the catalogue's names."""
    found = {f"mag_{b}": table.numbers(f"mag2as_{b}") for b in BANDS}
    found |= {f"snr_{b}": table.numbers(f"snr2as_{b}") for b in BANDS}
    return found | {name: table.numbers(name) for name in ("hlr_arcsec", "axis_ratio") if name in table}


def _field(root: Path, lens_table: Table) -> Iterator[Ps1Object]:
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
        yield Ps1Object(q[i], scale[i], gain[i], exptime[i], 4, int(lens[i]), row)


def _neighbours(
    root: Path, lens_table: Table, lenses: list[Ps1Object], field: list[Ps1Object]
) -> tuple[list[Ps1Object], set[int]]:
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
            found.append(Ps1Object(q[i], scale[i], near.gain, near.exptime, 3, int(lens[i]), row))
        else:
            other = field[twin]
            same.add(twin)
            row = other.row | row | {"same_as": other.row["name"]}
            found.append(Ps1Object(other.q, other.scale, other.gain, other.exptime, 3, int(lens[i]), row))
    return found, same


def _inside(small: np.ndarray, large: Ps1Object) -> bool:
    edge = (large.q.shape[-1] - small.shape[-1]) // 2
    return np.array_equal(large.q[:, edge:-edge, edge:-edge], small)


def _others(root: Path, first_field: int) -> Iterator[Ps1Object]:
    """Vetted non-lenses far from any lens; in some of them a band is absent."""
    table = _table(root / FIELD / "nonlenses.csv", ("field", "ra", "dec", "hlr_arcsec", *PHOTOMETRY, *COMMON))
    q, scale = _pixels(root / FIELD / "nonlenses_gri_64.npz", len(table), 64)
    gain, exptime, ra, dec = _bands(table, "gain"), _bands(table, "exptime"), table.numbers("ra"), table.numbers("dec")
    names, photometry = table.text("field"), _columns(table)
    numbers = {name: first_field + k for k, name in enumerate(dict.fromkeys(names))}
    for i in range(len(table)):
        row = {key: values[i] for key, values in photometry.items()}
        row |= {"name": f"nonlens-{i}", "set": "field", "ra": ra[i], "dec": dec[i], "field": names[i]}
        yield Ps1Object(q[i], scale[i], gain[i], exptime[i], 4, numbers[names[i]], row)
