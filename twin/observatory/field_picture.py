"""`twin psf` over the field: FWHM and ellipticity of one exposure's PSF at points of the focal plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from twin.metrics.psf_shape import PsfShape, measure
from twin.observatory.imager import Imager

if TYPE_CHECKING:
    from astropy.table import Table

POINTS = 13  # across the field's diameter


def field_points(imager: Imager) -> np.ndarray:
    """(n, 2) field_x, field_y [deg] on a square lattice inside the map's radius.

    Raises ValueError where the instrument has no map of its field.
    """
    field = imager.config.collimation.field
    if field is None:
        raise ValueError(f"{imager.name} has no map of its field")
    axis = np.linspace(-1, 1, POINTS)
    x, y = (v.ravel() for v in np.meshgrid(axis, axis))
    inside = np.hypot(x, y) <= 1
    return field.radius * np.stack([x[inside], y[inside]], 1)


def field_rows(imager: Imager, row: np.ndarray) -> np.ndarray:
    """(n, C) telemetry of one exposure, moved to each of the field points."""
    points = field_points(imager)
    rows = np.repeat(np.asarray(row, np.float32)[None], len(points), 0)
    for name, values in zip(("field_x", "field_y"), points.T, strict=True):
        rows[:, imager.channel_names.index(name)] = values
    return rows


def field_shapes(imager: Imager, row: np.ndarray) -> tuple[np.ndarray, list[list[PsfShape]]]:
    """Field points (n, 2) [deg], and for each the shape of the PSF in every band."""
    from twin.observatory.picture import OVERSAMPLE, fine_psf

    rows = field_rows(imager, row)
    psf = fine_psf(imager, imager.optics_of(rows))
    stamps = (np.asarray(psf(jnp.asarray(one))) for one in rows)
    scale = imager.pixel_scale / OVERSAMPLE
    return field_points(imager), [[measure(stamp, scale, total=1.0) for stamp in bands] for bands in stamps]


def field_table(imager: Imager, points: np.ndarray, shapes: list[list[PsfShape]]) -> Table:
    """One row a field point and band."""
    from astropy import units as u

    from twin.observatory.picture import shape_table

    table = shape_table(imager, shapes)
    table.rename_column("exposure", "point")
    for k, name in enumerate(("field_x", "field_y")):
        table.add_column(np.repeat(points[:, k], len(imager.bands)) * u.deg, name=name, index=1 + k)
        table[name].info.format = ".5f"
    return table


def draw_field(imager: Imager, points: np.ndarray, shapes: list[list[PsfShape]], exposure: int) -> Any:
    """Figure: a panel a band, FWHM as colour, ellipticity as whiskers along the PSF's long axis."""
    from matplotlib.figure import Figure

    bands = imager.bands
    columns = min(len(bands), 3 if len(bands) in (5, 6) else 4)
    lines = -(-len(bands) // columns)
    figure = Figure(figsize=(max(5.5, 4.1 * columns), 4.2 * lines + 0.5), layout="constrained")
    figure.suptitle(f"{imager.name}: PSF over the field, exposure {exposure}", fontsize=11)
    step = 2 * np.abs(points).max() / (POINTS - 1)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes in panels[len(bands) :]:
        axes.set_visible(False)
    for index, (axes, band) in enumerate(zip(panels, bands, strict=False)):
        fwhm = np.array([shape[index].fwhm for shape in shapes])
        e1, e2 = (np.array([getattr(shape[index], name) for shape in shapes]) for name in ("e1", "e2"))
        size, angle = np.hypot(e1, e2), 0.5 * np.arctan2(e2, e1)
        longest = max(float(size.max()), 1e-6)
        shown = axes.scatter(*points.T, c=fwhm, cmap="viridis", s=90, marker="s", linewidths=0)
        figure.colorbar(shown, ax=axes, shrink=0.85, label="FWHM [arcsec]")
        axes.quiver(
            *points.T, size * np.cos(angle), size * np.sin(angle), color="white", angles="xy", scale_units="xy",
            scale=longest / step, pivot="middle", headwidth=0, headlength=0, headaxislength=0, width=0.006,
        )  # fmt: skip
        axes.set_title(f"{band}: longest whisker e = {longest:.3f}", fontsize=9)
        axes.set_xlabel("field x [deg]", fontsize=8)
        axes.set_ylabel("field y [deg]", fontsize=8)
        axes.set_aspect("equal")
        axes.tick_params(labelsize=7)
    return figure
