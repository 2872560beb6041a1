"""The Pan-STARRS1 reader: on made-up files with the same traps, and on the real ones."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from twin.data import heal, ingest, open_dataset, verify
from twin.schema import UserError

BANDS = "gri"
LENSES, FIELD = "ps1_sled_lenses", "ps1_field_objects"


def table(path: Path, rows: list[dict[str, object]]) -> None:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(out.getvalue())


def per_band(**values: object) -> dict[str, object]:
    return {f"{word}_{band}": value for word, value in values.items() for band in BANDS}


def pixels(path: Path, rng: np.random.Generator, n: int, size: int, **change: np.ndarray) -> dict[str, np.ndarray]:
    made = {
        "q": rng.integers(-30, 3000, (n, 3, size, size)).astype(np.int16),
        "scale": rng.uniform(10, 20, (n, 3)).astype(np.float32),
    } | change
    np.savez(path, **made)
    return made


@pytest.fixture
def source(tmp_path, rng):
    """3 lenses, 2 neighbours of which the second is field object 1, 3 field objects, 2 non-lenses, one without g."""
    root = tmp_path / "imaging"
    for folder in (LENSES, FIELD):
        (root / folder).mkdir(parents=True)
    common = per_band(mag2as=19.5, snr2as=40.0, exptime=700.0, gain=1.1, rms=60.0)
    shape = {"hlr_arcsec": 0.9, "axis_ratio": 0.8}
    where = {"ra": 150.0, "dec": 60.0}
    kinds = ("lensed_quasars", "lensed_galaxies", "lensed_supernovae")
    table(
        root / LENSES / "lenses.csv",
        [
            {"idx": i, "sled_class": kind, "name": f"L{i}", **where, "image_sep_arcsec": 2.5 if i == 0 else ""}
            | {"n_img": 4 if i == 0 else "", "lens_type": "GALAXY", "source_type": "QUASAR", **common}
            for i, kind in enumerate(kinds)
        ],
    )
    lenses = pixels(root / LENSES / "lenses_gri_64.npz", rng, 3, 64)
    lenses["q"][2, 1, 5, 6] = -32768
    np.savez(root / LENSES / "lenses_gri_64.npz", **lenses)
    table(
        root / LENSES / "neighbours.csv",
        [{"idx": i, "lens_idx": i, "x": 64.0, "y": 56.0, "mag2as_r": 20.0, "snr_r": 30.0, **shape} for i in (0, 1)],
    )
    field = pixels(root / FIELD / "sled_field_gri_48pad.npz", rng, 3, 48)
    field["q"][2, :, :9] = -32768
    np.savez(root / FIELD / "sled_field_gri_48pad.npz", **field)
    near = pixels(root / LENSES / "neighbours_gri_40.npz", rng, 2, 40)
    near["q"][1], near["scale"][1] = field["q"][1][:, 4:44, 4:44], field["scale"][1]
    np.savez(root / LENSES / "neighbours_gri_40.npz", **near)
    table(
        root / FIELD / "sled_field.csv",
        [
            {"idx": i, "lens_idx": i, "lens_name": f"L{i}", "ra": 151.0 + i, "dec": 61.0, "auto_shape": "ext"}
            | common
            | shape
            for i in range(3)
        ],
    )
    others = pixels(root / FIELD / "nonlenses_gri_64.npz", rng, 2, 64)
    others["q"][1, 0], others["scale"][1, 0] = -32768, 0
    np.savez(root / FIELD / "nonlenses_gri_64.npz", **others)
    table(
        root / FIELD / "nonlenses.csv",
        [
            {"idx": i, "field": "SN", **where} | common | shape | ({"gain_g": "", "mag2as_g": ""} if i else {})
            for i in range(2)
        ],
    )
    return root, {"lens": lenses, "near": near, "field": field, "other": others}


def values(made: dict[str, np.ndarray], i: int) -> np.ndarray:
    """Counts as the source defines them: q * scale, NaN at -32768."""
    q = made["q"][i]
    return np.where(q == -32768, np.nan, q * made["scale"][i][:, None, None])


def read_values(dataset, i: int) -> np.ndarray:
    frame = dataset.read("frame", i, i + 1)[0]
    value = frame * dataset.read("noise/scale", i, i + 1)[0][:, None, None]
    return np.where(dataset.read("valid", i, i + 1)[0] == 1, value, np.nan)


def test_every_object_once_with_its_pixels(tmp_path, source):
    root, made = source
    got = ingest("ps1-sled", root, tmp_path / "real.zarr")
    names = got.catalogue()["name"].to_pylist()
    assert names == [
        "L0",
        "L1",
        "L2",
        "neighbour-000",
        "neighbour-001",
        "field-000",
        "field-002",
        "nonlens-0",
        "nonlens-1",
    ]
    padded = {"near": (0, 40), "field": (1, 48)}
    np.testing.assert_array_equal(read_values(got, 2), values(made["lens"], 2))
    for row, kind, i in ((3, "near", 0), (4, "field", 1), (6, "field", 2)):
        size = padded[kind][1]
        edge = (64 - size) // 2
        inside = read_values(got, row)[:, edge : edge + size, edge : edge + size]
        np.testing.assert_array_equal(inside, values(made[kind], i))
        assert got.read("valid", row, row + 1).sum() == np.isfinite(values(made[kind], i)).sum()
    np.testing.assert_array_equal(read_values(got, 8)[1:], values(made["other"], 1)[1:])
    assert got.read("valid", 8, 9)[0, 0].sum() == 0


def test_labels_noise_and_catalogue(tmp_path, source):
    root, made = source
    got = ingest("ps1-sled", root, tmp_path / "real.zarr")
    table = got.catalogue().to_pydict()
    assert got.read("label/lens").tolist() == [1, 1, 1, 0, 0, 0, 0, 0, 0]
    words = [got.attrs["classes"][k] for k in got.read("label/class")]
    assert words[:4] == ["lensed_quasar", "lensed_galaxy", "lensed_supernova", "neighbour"]
    assert words[5:] == ["field"] * 4
    assert table["set"] == ["lens"] * 3 + ["neighbour"] * 2 + ["field"] * 4
    np.testing.assert_array_equal(got.read("label/separation"), [2.5] + [np.nan] * 8)
    np.testing.assert_array_equal(got.read("noise/rms", 0, 3), 4 * made["lens"]["scale"])
    assert np.isnan(got.read("noise/rms")[8, 0])
    assert np.isnan(got.read("noise/gain")[8, 0])
    np.testing.assert_allclose(got.read("telemetry"), 700)
    assert got.read("exposure_id").tolist() == [0, 1, 2, 0, 1, 0, 2, 3, 3]
    assert table["same_as"] == ["", "", "", "", "field-001", "", "", "", ""]
    assert table["lens_name"] == ["L0", "L1", "L2", "L0", "L1", "L0", "L2", "", ""]
    assert table["cutout"] == [64, 64, 64, 40, 48, 48, 48, 64, 64]
    assert table["mag_r"][4] == 20.0  # the neighbour file's own, the field file's elsewhere
    assert table["mag_i"][4] == 19.5
    assert table["ra"][4] == 152.0
    # 4 pixels of 0.25" to larger x is west, to smaller y south of the lens
    assert table["dec"][3] == pytest.approx(60 - 1 / 3600, abs=1e-9)
    assert table["ra"][3] == pytest.approx(150 - 2 / 3600, abs=1e-7)
    assert got.attrs["kind"] == "observed"
    assert "1 neighbours stand in the field file too" in got.attrs["notes"][1]
    assert verify(got.path).ok


def test_twice_the_same_and_never_over_another(tmp_path, source):
    root, _ = source
    first = ingest("ps1-sled", root / LENSES, tmp_path / "a.zarr")
    second = ingest("ps1-sled", root.parent, tmp_path / "b.zarr")
    for name in first.names:
        np.testing.assert_array_equal(first.read(name), second.read(name))
    assert first.attrs == second.attrs
    with pytest.raises(UserError, match="a.zarr: exists already"):
        ingest("ps1-sled", root, tmp_path / "a.zarr")


def test_a_damaged_catalogue_is_named(tmp_path, source, flip):
    got = ingest("ps1-sled", source[0], tmp_path / "a.zarr")
    flip(got.path / "catalogue.parquet", 5)
    (problem,) = verify(got.path).problems
    assert (problem.file, problem.kind, problem.shard) == ("catalogue.parquet", "damaged", None)
    (got.path / "catalogue.parquet").write_text("none")
    with pytest.raises(UserError, match=r"catalogue\.parquet: is damaged"):
        got.catalogue()
    (got.path / "catalogue.parquet").unlink()
    with pytest.raises(UserError, match=r"catalogue\.parquet: is missing"):
        got.catalogue()
    with pytest.raises(UserError, match="only its source can make it again"):
        heal(got.path, None)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def resave(path: Path, **change) -> None:
    with np.load(path) as file:
        made = dict(file) | change
    np.savez(path, **{k: v for k, v in made.items() if v is not None})


BAD = {
    "file gone": (lambda r: (r / FIELD / "sled_field.csv").unlink(), r"sled_field\.csv: no such file"),
    "pixels gone": (lambda r: (r / LENSES / "lenses_gri_64.npz").unlink(), r"lenses_gri_64\.npz: no such file"),
    "line lost": (
        lambda r: (r / LENSES / "neighbours.csv").write_text(
            "".join((r / LENSES / "neighbours.csv").read_text().splitlines(keepends=True)[:-1])
        ),
        r"neighbours_gri_40\.npz: q: is int16 \(2, 3, 40, 40\), expected int16 \(1, 3, 40, 40\)",
    ),
    "line out of order": (lambda r: edit(r / FIELD / "sled_field.csv", "\n1,", "\n7,"), r"idx: does not count"),
    "cell lost": (
        lambda r: edit(r / LENSES / "lenses.csv", "L1,150.0,", "L1,"),
        r"lenses\.csv:3: .* cells, the header",
    ),
    "no number": (lambda r: edit(r / LENSES / "lenses.csv", "L2,150.0", "L2,north"), r'lenses\.csv:4: ra: "north"'),
    "infinite": (lambda r: edit(r / LENSES / "lenses.csv", "L2,150.0", "L2,inf"), r'lenses\.csv:4: ra: "inf"'),
    "column renamed": (lambda r: edit(r / LENSES / "lenses.csv", "gain_r", "gainr"), r'gain_r: no such .* "gainr"'),
    "unknown class": (lambda r: edit(r / LENSES / "lenses.csv", "lensed_gal", "lensed_star"), r"unknown class"),
    "unknown lens": (
        lambda r: edit(r / FIELD / "sled_field.csv", "\n2,2", "\n2,9"),
        r"sled_field\.csv:4: lens_idx: is 9",
    ),
    "empty": (lambda r: (r / LENSES / "lenses.csv").write_text(""), r"lenses\.csv: is empty"),
    "binary": (lambda r: (r / LENSES / "lenses.csv").write_bytes(b"\xff\xfe\x00"), r"cannot be read as CSV"),
    "truncated": (
        lambda r: (r / LENSES / "lenses_gri_64.npz").write_bytes(
            (r / LENSES / "lenses_gri_64.npz").read_bytes()[:9000]
        ),
        r"lenses_gri_64\.npz: cannot be read as npz",
    ),
    "dtype": (lambda r: resave(r / LENSES / "neighbours_gri_40.npz", q=np.zeros((2, 3, 40, 40))), r"q: is float64"),
    "array lost": (lambda r: resave(r / FIELD / "nonlenses_gri_64.npz", scale=None), r"has no array scale, only q"),
    "negative scale": (
        lambda r: resave(r / FIELD / "nonlenses_gri_64.npz", scale=np.full((2, 3), -1, np.float32)),
        r"scale: has values that are negative",
    ),
    "objects": (
        lambda r: resave(r / LENSES / "lenses_gri_64.npz", scale=np.array([{"a": 1}], dtype=object)),
        r"cannot be read as npz \(Object arrays",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_named_and_nothing_is_written(tmp_path, source, case):
    break_it, message = BAD[case]
    break_it(source[0])
    with pytest.raises(UserError, match=message) as caught:
        ingest("ps1-sled", source[0], tmp_path / "real.zarr")
    assert "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["imaging"]


def test_a_flipped_pixel_fails_the_archives_own_check(tmp_path, source, flip):
    path = source[0] / LENSES / "lenses_gri_64.npz"
    flip(path, path.stat().st_size // 2)
    with pytest.raises(UserError, match="Bad CRC"):
        ingest("ps1-sled", source[0], tmp_path / "real.zarr")


def test_wrong_source_or_folder(tmp_path, source):
    with pytest.raises(
        UserError, match='ps1sled: no such source; there are as1063-arcs, .*, ps1-sled, sdss; did you mean "ps1-sled"'
    ):
        ingest("ps1sled", source[0], tmp_path / "x.zarr")
    with pytest.raises(UserError, match="no such folder"):
        ingest("ps1-sled", tmp_path / "none", tmp_path / "x.zarr")
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(UserError, match="holds no files of the source ps1-sled"):
        ingest("ps1-sled", tmp_path / "a" / "b", tmp_path / "x.zarr")


@pytest.mark.real
def test_the_real_lenses(tmp_path, real_data):
    got = ingest("ps1-sled", real_data, tmp_path / "real.zarr")
    table = got.catalogue().to_pydict()
    sets = table["set"]
    assert [sets.count(s) for s in ("lens", "neighbour", "field")] == [476, 197, 150]
    assert sum(s != "" for s in table["same_as"]) == 190
    assert len(set(table["name"])) == got.n == 823
    classes = np.bincount(got.read("label/class"), minlength=5)
    assert classes.tolist() == [261, 210, 5, 197, 150]
    assert int(np.isfinite(got.read("label/separation")).sum()) == 287
    folder = real_data / "imaging"
    row = {name: i for i, name in enumerate(table["name"])}
    for file, prefix, size in (
        (folder / LENSES / "lenses_gri_64.npz", None, 64),
        (folder / LENSES / "neighbours_gri_40.npz", "neighbour-{:03d}", 40),
        (folder / FIELD / "sled_field_gri_48pad.npz", "field-{:03d}", 48),
        (folder / FIELD / "nonlenses_gri_64.npz", "nonlens-{}", 64),
    ):
        with np.load(file) as made:
            q, scale = made["q"], made["scale"]
        kept = [(i, i if prefix is None else row.get(prefix.format(i))) for i in range(len(q))]
        at = np.array([place for _, place in kept if place is not None])
        of = np.array([i for i, place in kept if place is not None])
        edge = (64 - size) // 2
        inside = np.s_[:, :, edge : edge + size, edge : edge + size]
        frame, valid = got.read("frame", at)[inside], got.read("valid", at)[inside]
        np.testing.assert_array_equal(valid == 1, q[of] != -32768)
        value = frame * got.read("noise/scale", at)[:, :, None, None]
        want = q[of] * scale[of][:, :, None, None]
        np.testing.assert_array_equal(value[valid == 1], want[valid == 1])
    with open(folder / LENSES / "lenses.csv", newline="") as file:
        rms = np.array([[float(line[f"rms_{b}"]) for b in BANDS] for line in csv.DictReader(file)])
    np.testing.assert_allclose(got.read("noise/rms", 0, 476), rms, rtol=2e-4)
    assert verify(got.path).ok
    assert open_dataset(got.path).attrs["pixel_scale"] == 0.25
