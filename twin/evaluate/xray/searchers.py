"""Detectors of one benchmark side by side: what each is told, and what it finds in many frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from twin.evaluate.xray import likelihood, segments, wavelet
from twin.evaluate.xray.detections import Detections, detections
from twin.evaluate.xray.scene import Scene
from twin.train.detector.catalogue import sources
from twin.train.detector.model import Detector

Find = Callable[[Sequence[np.ndarray], np.ndarray, float], list[Detections]]
"""frames of counts (y, x), what is told to be expected in them (y, x), least significance -> Detections of each"""


@dataclass(frozen=True)
class Searcher:
    """name;  lowest: significance down to which it is asked for alarms;  find
    told  whether it is told of a frame's bright sources, as the known-PSF fit has them: it is then judged on others
    unit  what its significance is
    """

    name: str
    lowest: float
    find: Find
    told: bool
    unit: str = "standard deviations"


def likelihood_ratio(scene: Scene, lowest: float = 3.5) -> Searcher:
    """The known-PSF likelihood ratio with a calibration's background, PSF and misfit; told nothing of sources."""

    def find(frames: Sequence[np.ndarray], told: np.ndarray, least: float) -> list[Detections]:
        return [
            likelihood.detect(frame, scene.background, least, scene.spread, misfit=scene.misfit) for frame in frames
        ]

    return Searcher("likelihood", lowest, find, told=False)


def network(model: Detector, psf: np.ndarray, shape: np.ndarray, bands: int, lowest: float = 0.02) -> Searcher:
    """A trained detector. Frames have no energies: counts are shared out to its bands alike.

    psf (side, side) as `Detector.predict` takes it;  shape (y, x) of the background
    Significance is the probability of a source; counts are those on the frame.
    """

    def find(frames: Sequence[np.ndarray], told: np.ndarray, least: float) -> list[Detections]:
        made: list[Detections] = []
        for start in range(0, len(frames), model.config.batch):
            part = np.stack(frames[start : start + model.config.batch]).astype(np.float32)
            many = np.repeat(part[:, None] / bands, bands, 1)
            said, _ = model.predict(many, np.repeat(psf[None], len(part), 0), shape)
            for k in range(len(part)):
                found = sources(said, k, least)
                counts = np.exp(found.log_counts)
                sd = np.stack([found.x_err, found.y_err, counts * found.log_counts_err], -1)
                covariance = sd[:, :, None] * sd[:, None, :] * np.eye(3)
                made.append(detections(found.x, found.y, counts, found.probability, covariance))
        return made

    return Searcher("network", lowest, find, told=False, unit="probability")


def baselines() -> list[Searcher]:
    """A wavelet detector and Source Extractor's way, both told of the bright sources; the latter where `sep` is
    installed."""

    def hats(frames: Sequence[np.ndarray], told: np.ndarray, least: float) -> list[Detections]:
        return [wavelet.detect(frame, told, least) for frame in frames]

    def cut(frames: Sequence[np.ndarray], told: np.ndarray, least: float) -> list[Detections]:
        return [segments.detect(frame, told, least, known=True) for frame in frames]

    made = [Searcher("wavelet", 3.0, hats, told=True)]
    try:
        import sep  # noqa: F401
    except ImportError:
        return made
    return [*made, Searcher("sep", 2.5, cut, told=True)]
