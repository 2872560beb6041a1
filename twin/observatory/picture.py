"""`twin psf`: the PSF of every exposure of a telemetry table, as FITS, as a table of its shape, and as a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.io.atomic import atomic_path, make_folder, plain_disk_errors
from twin.io.fits import write_images
from twin.metrics.psf_shape import PsfShape, measure
from twin.numerics.fourier import Grid, image
from twin.observatory.field_picture import draw_field, field_shapes, field_table
from twin.observatory.imager import Imager, load_instrument
from twin.observatory.psf import Optics, otf
from twin.schema import UserError

if TYPE_CHECKING:
    from astropy.table import Table

PIXELS = 33  # side of a PSF stamp in detector pixels
OVERSAMPLE = 5  # samples a detector pixel, along each axis
MAX_EXPOSURES = 5000  # stamps are kept in memory: 0.1 MB a band


def fine_psf(
    imager: Imager, optics: Optics, pixels: int = PIXELS, oversample: int = OVERSAMPLE
) -> Callable[[Array], Array]:
    """Compiled telemetry row (C,) -> effective PSF (B, n, n), n = pixels x oversample.

    The detector's pixel is in it, as an observer sees stars, but it is sampled `oversample` times a pixel. A sample is
    flux per sample of a star of flux 1, so the sum is just below 1: the rest falls outside the stamp.
    """
    scale = imager.pixel_scale
    grid = Grid(pixels * oversample, scale / oversample, limit=optics.limit(scale))
    pixel = jnp.asarray(np.sinc(grid.fy * scale)[:, None] * np.sinc(grid.fx * scale)[None, :], jnp.float32)

    @jax.jit
    def psf(telemetry: Array) -> Array:
        state = imager.state(telemetry)
        # the state counts the resampling kernel in detector pixels, the OTF in the grid's
        re, im = otf(optics, replace(state, resampling=state.resampling * oversample), grid)
        return image(grid, (re * pixel, im * pixel))

    return psf


def write_psfs(instrument: str | Path, telemetry: str | Path, out: str | Path, seed: int = 0) -> None:
    """Writes psf.fits, psf.ecsv and psf.png for the exposures of a telemetry table into the folder `out`.

    psf.fits  one image extension a band: (exposure, y, x), `fine_psf`
    psf.ecsv  one row an exposure and band: FWHM, e1, e2, ellipticity, EE50, EE80, centre
    psf.png   the PSF of the exposure of median FWHM, and those numbers over the exposures
    field.ecsv, field.png  that exposure's FWHM and ellipticity over the field, where the instrument has a map of it
    Raises UserError for a wrong instrument or table; channels that the table lacks are drawn with `seed`, said aloud.
    """
    imager = load_instrument(instrument)
    rows = imager.read_exposures(telemetry, seed)
    if len(rows) > MAX_EXPOSURES:
        raise UserError(f"has {len(rows)} exposures: at most {MAX_EXPOSURES} at a time", file=telemetry)
    folder = Path(out)
    with plain_disk_errors(folder):
        make_folder(folder)
    psf = fine_psf(imager, imager.optics_of(rows))
    stamps = np.stack([np.asarray(psf(jnp.asarray(row))) for row in rows])
    scale = imager.pixel_scale / OVERSAMPLE
    shapes = [[measure(stamp, scale, total=1.0) for stamp in exposure] for exposure in stamps]
    write_images(folder / "psf.fits", *_images(imager, stamps, scale, Path(telemetry).name))
    with atomic_path(folder / "psf.ecsv") as part:
        shape_table(imager, shapes).write(part, format="ascii.ecsv", overwrite=True)
    with atomic_path(folder / "psf.png") as part:
        draw(imager, stamps, shapes).savefig(part, format="png", dpi=130)
    if imager.config.collimation.field is not None:
        middle = _middle(shapes)
        points, over_field = field_shapes(imager, rows[middle])
        with atomic_path(folder / "field.ecsv") as part:
            field_table(imager, points, over_field).write(part, format="ascii.ecsv", overwrite=True)
        with atomic_path(folder / "field.png") as part:
            draw_field(imager, points, over_field, middle).savefig(part, format="png", dpi=130)


def _middle(shapes: list[list[PsfShape]]) -> int:
    """The exposure of median FWHM."""
    fwhm = np.array([[shape.fwhm for shape in exposure] for exposure in shapes])
    return int(np.argsort(np.nanmean(fwhm, 1))[len(fwhm) // 2])


def _images(
    imager: Imager, stamps: np.ndarray, scale: float, source: str
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Extensions and their cards for `write_images`."""
    n = stamps.shape[-1]
    cards: dict[str, Any] = {
        "PRIMARY": {"INSTRUME": imager.name, "TELEMFIL": (source, "telemetry table"), "ORIGIN": "twin psf"},
    }
    for band, optical in imager.config.bands.items():
        axes = {f"{key}{axis}": value for axis in (1, 2) for key, value in _axis(n, scale, axis).items()}
        cards[band.upper()] = {
            **axes,
            "CTYPE3": "EXPOSURE",
            "BUNIT": ("", "flux per sample of a star of flux 1"),
            "FILTER": band,
            "WAVELEN": (optical.wavelength, "[nm]"),
            "PIXSCALE": (scale, "[arcsec] of a sample"),
            "OVERSAMP": (OVERSAMPLE, "samples a detector pixel"),
            "DETSCALE": (imager.pixel_scale, "[arcsec] of a detector pixel"),
        }
    return {band.upper(): stamps[:, index] for index, band in enumerate(imager.bands)}, cards


def _axis(n: int, scale: float, axis: int) -> dict[str, Any]:
    """Linear coordinates from the stamp's centre."""
    name = "XOFFSET" if axis == 1 else "YOFFSET"
    return {"CTYPE": name, "CUNIT": "arcsec", "CRPIX": (n + 1) / 2, "CRVAL": 0.0, "CDELT": scale}


def shape_table(imager: Imager, shapes: list[list[PsfShape]]) -> Table:
    """One row an exposure and band."""
    from astropy import units as u
    from astropy.table import QTable

    flat = [shape for exposure in shapes for shape in exposure]
    table = QTable(meta={"instrument": imager.name, "pixel_scale_arcsec": imager.pixel_scale})
    table["exposure"] = np.repeat(np.arange(len(shapes)), len(imager.bands))
    table["band"] = list(imager.bands) * len(shapes)
    for name in ("fwhm", "e1", "e2", "ellipticity", "ee50", "ee80", "x", "y"):
        values = np.array([getattr(shape, name) for shape in flat])
        table[name] = values if name in ("e1", "e2", "ellipticity") else values * u.arcsec
        table[name].info.format = ".5f"
    return table


def draw(imager: Imager, stamps: np.ndarray, shapes: list[list[PsfShape]]) -> Any:
    """Figure: PSF stamps of the exposure of median FWHM above, FWHM, ellipticity and EE50 / EE80 by exposure below."""
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    bands = imager.bands
    middle = _middle(shapes)
    colours = [colormaps["turbo"](x) for x in np.linspace(0.1, 0.9, len(bands))] if len(bands) > 1 else ["tab:blue"]
    figure = Figure(figsize=(max(8.0, 2.1 * len(bands)), 9.5), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=[1, 2.4])
    top, low = halves[0], halves[1]
    figure.suptitle(
        f"{imager.name}: exposure {middle} of {len(shapes)} (median FWHM), peak = 1, contour at half", fontsize=10
    )
    reach = 0.5 * PIXELS * imager.pixel_scale
    for axes, band, index in zip(np.atleast_1d(top.subplots(1, len(bands))), bands, range(len(bands)), strict=True):
        stamp = stamps[middle, index] / stamps[middle, index].max()
        box = (-reach, reach, -reach, reach)
        shown = axes.imshow(np.maximum(stamp, 1e-5), norm=LogNorm(1e-5, 1), cmap="magma", extent=box, origin="lower")
        axes.contour(stamp, [0.5], colors="white", linewidths=0.7, extent=box)
        shape = shapes[middle][index]
        axes.set_title(f'{band}: {shape.fwhm:.3g}", e {shape.ellipticity:.2f}', fontsize=9)
        axes.tick_params(labelsize=7)
        axes.set_xlabel("arcsec", fontsize=8)
    top.colorbar(shown, ax=top.axes, shrink=0.8, pad=0.01).ax.tick_params(labelsize=7)
    panels = low.subplots(3, 1, sharex=True)
    lines = (
        ("FWHM [arcsec]", ("fwhm",)),
        ("ellipticity", ("ellipticity",)),
        ("EE50 (○), EE80 (●) [arcsec]", ("ee50", "ee80")),
    )
    for axes, (label, names) in zip(panels, lines, strict=True):
        for index, band in enumerate(bands):
            for name, face in zip(
                names, ("none", colours[index]) if len(names) > 1 else (colours[index],), strict=True
            ):
                values = [getattr(exposure[index], name) for exposure in shapes]
                style = {"marker": "o", "markersize": 3, "linewidth": 0.6, "markerfacecolor": face}
                axes.plot(values, color=colours[index], label=band if name == names[-1] else None, **style)
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    panels[0].legend(ncols=len(bands), fontsize=8)
    panels[-1].set_xlabel("exposure")
    return figure
