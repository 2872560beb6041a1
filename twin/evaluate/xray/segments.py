"""Source Extractor's way (Bertin & Arnouts 1996, A&AS 117, 393) through `sep`: filtered, cut at a threshold,
segmented."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from twin.evaluate.xray.detections import Detections, check, detections
from twin.schema import UserError

MESH = 32  # [bin] of its estimate of the background
SMOOTH = 1.0  # [bin] sigma of the filter: the focus of a lobster eye in bins of 4.5'


def detect(
    counts: np.ndarray, background: np.ndarray, least: float, mesh: int = MESH, known: bool = False
) -> Detections:
    """Segments whose filtered peak is `least` standard deviations above sep's own background; `background` is not
    used but for where sep finds no scatter at all, as in frames whose median bin is empty.

    known  `background` is all that is expected, bright sources too: it and its Poisson noise are taken for sep's own

    Raises UserError where `sep` is not installed, ValueError where counts and background are no frame.
    """
    try:
        import sep
    except ImportError:
        raise UserError("needs sep: pip install twin[bench]", key="sep") from None
    counts, background = check(counts, background)
    data = np.ascontiguousarray(counts)
    if known:
        level, rms = background, np.sqrt(background)
    else:
        found = sep.Background(data, bw=mesh, bh=mesh, fw=3, fh=3)
        level = np.asarray(found)
        # sparse counts are no normal noise: where half the bins are empty sep's clipping sees none
        rms = np.sqrt(np.maximum(np.maximum(np.asarray(found.rms()) ** 2, level), background.mean()))
    y, x = np.mgrid[-3:4, -3:4]
    kernel = np.exp(-(x**2 + y**2) / (2 * SMOOTH**2))
    objects = sep.extract(
        data - level, float(least), err=rms, minarea=1, filter_kernel=kernel, filter_type="matched", deblend_cont=0.005
    )
    weight = 1 / rms**2
    snr = ndimage.correlate((data - level) * weight, kernel, mode="constant")
    snr /= np.sqrt(ndimage.correlate(weight, kernel**2, mode="constant"))
    height = snr[objects["ycpeak"], objects["xcpeak"]]
    return detections(objects["x"], objects["y"], objects["flux"], height)
