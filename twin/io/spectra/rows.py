"""A file as a row of a dataset: its spectrum on a common grid, and what a catalogue says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from twin.io.spectra.lines import equivalent_width
from twin.io.spectra.read import read_spectra
from twin.io.spectra.resample import GRIDS, Grid, Resampled, covered, grid_named, resample
from twin.io.spectra.spectrum import Spectrum
from twin.schema import UserError

SOURCES = {"lamost": ("LAMOST-LRS", "LAMOST-MRS"), "ondrejov": ("Ondrejov-CCD700",), "sdss": ("SDSS",)}
NATIVE = {"lamost": "lamost-lrs", "ondrejov": "ondrejov", "sdss": "sdss"}
CLASSES = ("STAR", "GALAXY", "QSO", "UNKNOWN", "not classified")
LEAST_COVERED = 0.5  # share of the grid's range without which a file is no spectrum for it
BANDS = "ugriz"
TEXT = (
    "file",
    "hdu",
    "name",
    "obsid",
    "survey",
    "layout",
    "release",
    "class",
    "subclass",
    "date",
    "plate",
    "unit",
    "medium",
)
NUMBERS = ("z", "ra", "dec", "mjd", *(f"snr_{band}" for band in BANDS), "snr", "ha_ew", "ha_ew_error", "ha_peak")
WHOLE = ("spectrograph", "fibre", "pixels")
FLAGS = ("rectified", "heliocentric")


@dataclass(frozen=True)
class Row:
    """A spectrum on the grid, the index of its class in CLASSES, and its catalogue's columns."""

    values: Resampled
    label: int
    columns: dict[str, Any]


def grid_of(source: str, name: str) -> Grid:
    """The grid `name`; "native" is the source's own. Raises UserError for one that there is not."""
    return GRIDS[NATIVE[source]] if name == "native" else grid_named(name)


def read_row(path: str, source: str, grid: Grid, method: str) -> Row:
    """The spectrum of a file that covers most of the grid. Raises UserError where the file is to be set aside."""
    found = read_spectra(path, exposures=False)
    spectrum = max(found, key=lambda one: covered(one, grid))
    if spectrum.survey not in SOURCES[source]:
        raise UserError(f"is of {spectrum.survey}, not of {' or '.join(SOURCES[source])}", file=path)
    share = covered(spectrum, grid)
    if share < LEAST_COVERED:
        raise UserError(
            f"{spectrum.survey} from {spectrum.wavelength[0]:.0f} to {spectrum.wavelength[-1]:.0f} A covers "
            f"{share:.0%} of the grid {grid.name}, {LEAST_COVERED:.0%} are needed",
            file=path,
        )
    return Row(resample(spectrum, grid, method), class_index(spectrum.class_), columns_of(spectrum))


def read_rows(paths: Sequence[str], source: str, grid: Grid, method: str) -> list[Row | str]:
    """A row a file, or the reason for which it is set aside, without the file's name."""
    found: list[Row | str] = []
    for path in paths:
        try:
            found.append(read_row(path, source, grid, method))
        except UserError as error:
            found.append(str(error).removeprefix(f"{path}: "))
    return found


def class_index(name: str) -> int:
    """Index in CLASSES; what no pipeline has classified is told from what one could not classify."""
    if not name:
        return CLASSES.index("not classified")
    return CLASSES.index(name.upper()) if name.upper() in CLASSES else CLASSES.index("UNKNOWN")


def columns_of(spectrum: Spectrum) -> dict[str, Any]:
    """Values of the columns TEXT, NUMBERS, WHOLE and FLAGS."""
    halpha = equivalent_width(spectrum)
    nan = float("nan")
    return {
        "file": spectrum.file,
        "hdu": spectrum.hdu,
        "name": spectrum.name,
        "obsid": spectrum.obsid,
        "survey": spectrum.survey,
        "layout": spectrum.layout,
        "release": spectrum.release,
        "class": spectrum.class_,
        "subclass": spectrum.subclass,
        "date": spectrum.date,
        "plate": spectrum.plate,
        "unit": spectrum.unit,
        "medium": spectrum.medium,
        "z": spectrum.z,
        "ra": spectrum.ra,
        "dec": spectrum.dec,
        "mjd": spectrum.mjd,
        **{f"snr_{band}": spectrum.snr.get(band, nan) for band in BANDS},
        "snr": spectrum.snr.get("all", nan),
        "ha_ew": halpha.value,
        "ha_ew_error": halpha.error,
        "ha_peak": halpha.peak,
        "spectrograph": spectrum.spectrograph,
        "fibre": spectrum.fibre,
        "pixels": len(spectrum),
        "rectified": spectrum.rectified,
        "heliocentric": spectrum.heliocentric,
    }
