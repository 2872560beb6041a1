"""PSFs over the field: what the map says is what the shapes show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from twin.observatory.field_picture import POINTS, draw_field, field_points, field_rows, field_shapes, field_table
from twin.observatory.imager import Imager, load_instrument

YAML = """
name: wide
kind: imager
description: a telescope with a curved focal plane
diameter: 2 m
obscuration: 0.3
atmosphere: true
pixel_scale: 0.25 arcsec
bands:
  r: {wavelength: 620 nm, zero_point: 25 mag, exposure: 40 s}
detector: {read_noise: 5 e-, saturation: 60000 e-}
collimation:
  field: {radius: 1.5 deg, terms: {z4: [0 nm, 0 nm, 0 nm, 350 nm], z5: [150 nm], z6: [0 nm, 150 nm]}}
channels:
  exptime: {range: [1 s, 1000 s], law: constant, value: 40 s}
  sky_brightness: {range: [15 mag/arcsec2, 25 mag/arcsec2], law: constant, value: 21 mag/arcsec2}
  seeing: {range: [0.2 arcsec, 5 arcsec], law: constant, value: 0.7 arcsec}
  outer_scale: {range: [5 m, 500 m], law: constant, value: 25 m}
  field_x: {range: [-2 deg, 2 deg], law: constant, value: 0 deg}
  field_y: {range: [-2 deg, 2 deg], law: constant, value: 0 deg}
"""


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Imager:
    path = tmp_path_factory.mktemp("wide") / "wide.yaml"
    path.write_text(YAML)
    return load_instrument(path)


@pytest.fixture(scope="module")
def over_field(wide: Imager) -> tuple[np.ndarray, list]:
    return field_shapes(wide, wide.draw_exposures(0, 1)[0])


def test_points_fill_the_field(wide: Imager) -> None:
    points = field_points(wide)
    assert np.hypot(*points.T).max() == pytest.approx(1.5)
    assert len(points) == pytest.approx(np.pi / 4 * POINTS**2, rel=0.2)
    rows = field_rows(wide, wide.draw_exposures(0, 1)[0])
    assert rows[:, [wide.channel_names.index(name) for name in ("field_x", "field_y")]] == pytest.approx(points)


def test_a_curved_focal_plane_blurs_centre_and_edge(wide: Imager, over_field: tuple[np.ndarray, list]) -> None:
    """Defocus 350 nm sqrt(3) (2 r^2 - 1) vanishes at r = 0.707 of the radius."""
    points, shapes = over_field
    radius = np.hypot(*points.T) / 1.5
    fwhm = np.array([bands[0].fwhm for bands in shapes])
    sharp = np.abs(radius - np.sqrt(0.5)) < 0.08
    assert fwhm[sharp].mean() < 0.8 * fwhm[radius < 0.2].mean()
    assert fwhm[sharp].mean() < 0.8 * fwhm[radius > 0.95].mean()


def test_astigmatism_turns_with_the_sign_of_defocus(over_field: tuple[np.ndarray, list]) -> None:
    """z5 > 0 alone draws the image along one diagonal on one side of focus, along the other on the other."""
    points, shapes = over_field
    radius = np.hypot(*points.T) / 1.5
    e2 = np.array([bands[0].e2 for bands in shapes])
    assert np.sign(e2[radius < 0.3].mean()) == -np.sign(e2[radius > 0.95].mean())
    assert np.abs(e2[radius < 0.3].mean()) > 0.05
    # z6 grows along x: e1 changes its sign from left to right, where defocus has one sign
    e1 = np.array([bands[0].e1 for bands in shapes])
    left, right = (radius > 0.9) & (points[:, 0] < -0.8), (radius > 0.9) & (points[:, 0] > 0.8)
    assert np.sign(e1[left].mean()) == -np.sign(e1[right].mean())


def test_table_and_picture(wide: Imager, over_field: tuple[np.ndarray, list], tmp_path: Path) -> None:
    points, shapes = over_field
    table = field_table(wide, points, shapes)
    assert len(table) == len(points)
    assert table["field_x"].to_value("deg") == pytest.approx(points[:, 0])
    assert table["fwhm"].to_value("arcsec") == pytest.approx([bands[0].fwhm for bands in shapes])
    draw_field(wide, points, shapes, 0).savefig(tmp_path / "field.png", dpi=60)
    from PIL import Image

    assert np.asarray(Image.open(tmp_path / "field.png").convert("L")).std() > 10


def test_an_instrument_without_a_map_is_refused() -> None:
    with pytest.raises(ValueError, match="has no map"):
        field_points(load_instrument("ps1"))
