"""Spectra of LAMOST, Ondrejov and SDSS in one form; common grids; equivalent widths.

The traps of each survey's files are handled in its own module and told in its docstring.
"""

from twin.io.spectra.lines import H_ALPHA, EquivalentWidth, LineWindow, equivalent_width
from twin.io.spectra.read import read_spectra, read_spectrum
from twin.io.spectra.resample import GRIDS, Grid, Resampled, covered, grid_named, resample
from twin.io.spectra.spectrum import MASK_BITS, Spectrum
from twin.io.spectra.wavelength import air_to_vacuum, vacuum_to_air

__all__ = [
    "GRIDS",
    "H_ALPHA",
    "MASK_BITS",
    "EquivalentWidth",
    "Grid",
    "LineWindow",
    "Resampled",
    "Spectrum",
    "air_to_vacuum",
    "covered",
    "equivalent_width",
    "grid_named",
    "read_spectra",
    "read_spectrum",
    "resample",
    "vacuum_to_air",
]
