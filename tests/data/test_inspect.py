"""Contact sheets: colours, orientation, one row a class."""

from __future__ import annotations

import fake
import numpy as np
import pytest
from PIL import Image

from twin.data import colour, contact_sheet, open_dataset, simulate
from twin.data.inspect import BLACK, LABEL, MARGIN, TITLE, UNSEEN, WHITE, counts, rows_of
from twin.io.layout import ArraySpec, DatasetSpec
from twin.schema import UserError

BANDS = ("g", "r", "i")


def flat(*levels: float) -> np.ndarray:
    """One 1x1 frame with the given counts in each band."""
    return np.array(levels, np.float32)[None, :, None, None]


def picture(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_black_and_white_are_fixed_levels_of_rms():
    rms = np.array([[2.0, 3.0, 5.0]], np.float32)
    assert colour(flat(*(rms[0] * BLACK)), rms, BANDS).tolist() == [[[[0, 0, 0]]]]
    assert colour(flat(*(rms[0] * (WHITE + BLACK))), rms, BANDS).tolist() == [[[[255, 255, 255]]]]
    assert colour(flat(*(rms[0] * 1e5)), rms, BANDS).tolist() == [[[[255, 255, 255]]]]


def test_i_is_red_and_g_is_blue():
    rms = np.ones((1, 3), np.float32)
    red = colour(flat(0, 0, 50), rms, BANDS)[0, 0, 0]
    blue = colour(flat(50, 0, 0), rms, BANDS)[0, 0, 0]
    assert red[0] > 4 * red[2]
    assert blue.tolist() == red.tolist()[::-1]
    seven = colour(np.concatenate([flat(0, 50, 0, 0), flat(0, 0, 0)], axis=1), np.ones((1, 7)), tuple("ugrizyN"))
    assert seven[0, 0, 0].tolist() == blue.tolist()


def test_brightness_does_not_change_the_colour():
    rms = np.ones((1, 3), np.float32)
    level = np.array([10.0, 20.0, 40.0])
    faint, bright = (colour(flat(*(level * k + BLACK)), rms, BANDS)[0, 0, 0].astype(float) for k in (1, 1.8))
    assert bright.sum() > faint.sum()
    np.testing.assert_allclose(bright / bright.max(), faint / faint.max(), atol=0.02)


def test_absent_pixels_and_bands():
    rms = np.array([[1.0, 1.0, np.nan]], np.float32)
    assert colour(flat(np.nan, np.nan, np.nan), rms, BANDS)[0, 0, 0].tolist() == list(UNSEEN)
    red, green, blue = colour(flat(10, 30, np.nan), rms, BANDS)[0, 0, 0]
    assert blue < red < green


def test_counts_scale_and_holes(tmp_path):
    def shard(self, seed, shard, count):
        frame = np.full((count, 1, 2, 2), 7, np.int16)
        frame[0, 0, 0, 0] = -32768
        valid = np.ones((count, 1, 2, 2), np.uint8)
        valid[1, 0, 1, 1] = 0
        return {"frame": frame, "valid": valid, "noise/scale": np.full((count, 1), 0.5, np.float32)}

    dims = ("band", "y", "x")
    spec = DatasetSpec(
        (
            ArraySpec("frame", (1, 2, 2), "int16", dims),
            ArraySpec("valid", (1, 2, 2), "uint8", dims),
            ArraySpec("noise/scale", (1,), "float32", ("band",)),
        )
    )
    made = type("Holes", (fake.FakeRecipe,), {"shard": shard})(spec, bands=("r",))
    simulate(made, tmp_path / "x.zarr", 2, progress=False)
    got = counts(open_dataset(tmp_path / "x.zarr"), np.array([0, 1]))
    np.testing.assert_array_equal(got[:, 0].reshape(2, 4), [[np.nan, 3.5, 3.5, 3.5], [3.5, 3.5, 3.5, np.nan]])
    contact_sheet(tmp_path / "x.zarr", tmp_path / "x.png")  # no class, no rms: one row
    assert len(picture(tmp_path / "x.png")) == TITLE + 4 + 2 * MARGIN


def test_rows_hold_their_class(dataset):
    opened = open_dataset(dataset)
    rows = rows_of(opened, 5, seed=0)
    assert [name for name, _ in rows] == list(fake.CLASSES)
    for value, (_, ids) in enumerate(rows):
        assert len(ids) == 5
        assert (opened.read("label/class", ids) == value).all()
    assert [ids.tolist() for _, ids in rows_of(opened, 5, seed=0)] == [ids.tolist() for _, ids in rows]


def test_a_sheet_has_a_row_a_class_and_stands_upright(tmp_path, dataset, monkeypatch):
    bright = fake.FakeRecipe.shard

    def low(self, seed, shard, count):
        """All light in the first row of pixels: the bottom of the sky."""
        arrays = bright(self, seed, shard, count)
        frame = np.zeros_like(arrays["frame"])
        frame[:, :, 0] = 3000
        return arrays | {"frame": frame}

    monkeypatch.setattr(fake.FakeRecipe, "shard", low)
    simulate(fake.small(), tmp_path / "low.zarr", 100, progress=False)
    contact_sheet(dataset, tmp_path / "sheet.png", beside=tmp_path / "low.zarr", per_class=4, zoom=3)
    sheet = picture(tmp_path / "sheet.png")
    side = 8 * 3
    assert sheet.shape == (2 * (TITLE + 3 * (side + MARGIN)) + MARGIN, LABEL + 4 * (side + MARGIN) + MARGIN, 3)
    top = MARGIN + 2 * TITLE + 4 * (side + MARGIN)  # second row of the second block: no scale bar in it
    stamp = sheet[top : top + side, LABEL : LABEL + side].mean(axis=2)
    assert stamp[-3:].min() > 200
    assert stamp[:-3].max() < 80


def test_scales_on_the_sky_agree(tmp_path, dataset):
    simulate(fake.small(pixel_scale=0.5), tmp_path / "coarse.zarr", 100, progress=False)
    contact_sheet(dataset, tmp_path / "a.png", beside=tmp_path / "coarse.zarr", per_class=1)
    assert len(picture(tmp_path / "a.png")) == 2 * TITLE + 3 * (16 + MARGIN) + 3 * (32 + MARGIN) + MARGIN


def test_what_cannot_be_drawn(tmp_path, dataset):
    with pytest.raises(UserError, match="no such dataset"):
        contact_sheet(dataset, tmp_path / "a.png", beside=tmp_path / "none.zarr")
    spectra = fake.FakeRecipe(DatasetSpec((ArraySpec("frame", (5,), "float32", ("channel",)),)))
    spectra.shard = lambda seed, shard, count: {"frame": np.ones((count, 5), np.float32)}  # type: ignore[method-assign]
    simulate(spectra, tmp_path / "spectra.zarr", 3, progress=False)
    with pytest.raises(UserError, match=r"spectra\.zarr: frame: has no images to draw"):
        contact_sheet(dataset, tmp_path / "a.png", beside=tmp_path / "spectra.zarr")
    with pytest.raises(UserError, match=r"x\.zarr: frame: has no spectra to draw"):
        contact_sheet(tmp_path / "spectra.zarr", tmp_path / "a.png", beside=dataset)
    planes = fake.FakeRecipe(DatasetSpec((ArraySpec("frame", (5, 5), "float32", ("y", "x")),)))
    planes.shard = lambda seed, shard, count: {"frame": np.ones((count, 5, 5), np.float32)}  # type: ignore[method-assign]
    simulate(planes, tmp_path / "planes.zarr", 3, progress=False)
    with pytest.raises(UserError, match="no images or spectra to draw"):
        contact_sheet(tmp_path / "planes.zarr", tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()
