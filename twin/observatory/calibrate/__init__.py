"""Calibration: the twin learns its telescope from measured FWHM and from stars.

`calibrate` fits and writes a folder; `Calibration.load` reads it; `calibrated` is the telescope that it describes.
"""

from twin.observatory.calibrate.apply import CalibratedImager, calibrated
from twin.observatory.calibrate.folder import Calibration
from twin.observatory.calibrate.run import calibrate

__all__ = ["CalibratedImager", "Calibration", "calibrate", "calibrated"]
