"""Can real frames be told from simulated ones, and by what?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import twin
from twin.data import Dataset, open_dataset
from twin.evaluate.likeness import boosted, network
from twin.evaluate.likeness.folds import auc_by_object, folds, ranks
from twin.evaluate.likeness.frames import Frames, common_bands, matched, read
from twin.evaluate.likeness.statistics import statistics
from twin.evaluate.result import scores_json
from twin.evaluate.scores import HALVES
from twin.io.atomic import check_target, make_folder, plain_disk_errors, write_text
from twin.metrics import Estimate
from twin.schema import UserError, suggest

MOST = 2000  # simulated objects that are used at most: more do not sharpen what few real ones can say


@dataclass(frozen=True)
class Likeness:
    """What was found. Real objects come first in every array; label 1 = real.

    score       (n,) rank within its fold by the classifier of the higher AUC, 1 = most like the real ones
    values      (n, k) summary statistics `names`
    drop        (k, 2) AUC lost where a statistic is shuffled, and its standard error
    alone       (k,) AUC of each statistic by itself
    """

    real: Frames
    simulated: Frames
    bands: tuple[str, ...]
    label: np.ndarray
    score: np.ndarray
    values: np.ndarray
    names: tuple[str, ...]
    drop: np.ndarray
    alone: np.ndarray
    metrics: dict[str, Estimate]
    counts: dict[str, int]


def compare(
    real: Frames, simulated: Frames, bands: tuple[str, ...], seed: int = 0, together: bool = False, levels: bool = True,
    say: Callable[[str], None] = lambda text: None,
) -> Likeness:  # fmt: skip
    """Cross-validate both classifiers on frames of a common footing (`frames.read`).

    together  group numbers mean the same objects on both sides: what shares one is never parted
    levels    both are in the same unit, so that the noise and colours in counts can be compared

    `auc_statistics` of boosted trees, `auc_network` of the network, `auc` the larger of the two: frames are alike only
    where neither can tell them apart.
    """
    label = np.repeat([1, 0], [len(real), len(simulated)])
    mine = np.unique(real.group, return_inverse=True)[1]
    other = np.unique(simulated.group, return_inverse=True)[1] + mine.max() + 1
    group = np.concatenate([real.group, simulated.group]) if together else np.concatenate([mine, other])
    fold = folds(group, label, seed)
    measured = [statistics(frames, bands, levels) for frames in (real, simulated)]
    values, names = np.concatenate([part[0] for part in measured]), measured[0][1]
    say("boosted trees on summary statistics")
    trees, drop = boosted.cross_validate(values, label, fold, seed)
    pixels = np.concatenate([real.pixels, simulated.pixels])
    logits = network.cross_validate(pixels, label, fold, seed, say)
    scores = {"auc_statistics": ranks(trees, fold), "auc_network": ranks(logits, fold)}
    metrics = {name: auc_by_object(score, label, group) for name, score in scores.items()}
    best = max(metrics, key=lambda name: metrics[name].value)
    counts = {"real": len(real), "simulated": len(simulated), "real_groups": len(np.unique(real.group))}
    return Likeness(
        real=real, simulated=simulated, bands=bands, label=label, score=scores[best], values=values, names=names,
        drop=drop, alone=boosted.alone(values, label), metrics={"auc": metrics[best], **metrics}, counts=counts,
    )  # fmt: skip


def likeness(
    real_path: str | Path,
    sim_path: str | Path,
    out_dir: str | Path,
    json_path: str | Path | None = None,
    classes: str | None = None,
    half: str | None = None,
    crop: int | None = None,
    match: bool = False,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> Likeness:
    """Write `report.html` into out_dir and the metrics as JSON: how well real frames are told from simulated ones.

    classes  "REAL" or "REAL:SIMULATED", each one class or several with commas; None = all
    half     "tune" or "held" of the real objects, by their field's name; None = both
    crop     pixels a side; None = as many as both have
    match    use only simulated objects as bright as the real ones, see `frames.matched`

    The same input, seed and machine give the same result. Raises UserError for what is no dataset, other bands, other
    pixel scales, stretched pictures, an unknown class, a crop beyond the frames, too few objects.
    """
    from twin.evaluate.likeness.page import render

    out = Path(out_dir)
    where = Path(json_path) if json_path is not None else out / "metrics.json"
    if out.exists() and not out.is_dir():
        raise UserError("is a file, a folder is needed", file=out)
    if where.absolute() == out.absolute():
        raise UserError("is the folder of the report, the metrics are a file", file=where, key="--json")
    if half is not None and half not in HALVES:
        raise UserError(f"must be {' or '.join(HALVES)}, not {half}", key="--half", suggestion=suggest(half, HALVES))
    check_target(where)
    check_target(out / "report.html")
    data = (open_dataset(real_path), open_dataset(sim_path))
    bands = common_bands(*data)
    size = _size(data, crop)
    wanted = _classes(classes)
    real = read(data[0], bands, size, wanted[0], half)
    simulated = read(data[1], bands, size, wanted[1], most=10 * MOST if match else MOST, seed=seed)
    if match:
        simulated = simulated.take(matched(real, simulated)[:MOST])
    together = "seed" in data[0].attrs and data[0].attrs["seed"] == data[1].attrs.get("seed")
    levels = data[0].units("frame") == data[1].units("frame")
    found = compare(real, simulated, bands, seed, together, levels, say)
    about = {"real": data[0].path.name, "simulated": data[1].path.name, "bands": " ".join(bands),
             "pixels": f"{size}x{size}", "classes": classes or "all", "half": half or "both",
             "brightness": "matched" if match else "as it is", "seed": str(seed), "twin": twin.__version__}  # fmt: skip
    page = render(found, about)
    with plain_disk_errors(out):
        make_folder(out)
    write_text(out / "report.html", page)
    write_text(where, scores_json("likeness", len(found.label), found.metrics, found.counts))
    return found


def _size(data: tuple[Dataset, Dataset], crop: int | None) -> int:
    least = min(side for one in data for side in one.shape("frame")[1:])
    if crop is not None and not 16 <= crop <= least:
        raise UserError(f"must be 16 to {least}, the side of the smaller frames, not {crop}", key="--crop")
    return crop or least


def _classes(text: str | None) -> list[tuple[str, ...]]:
    """Classes of the real and of the simulated dataset."""
    if text is None:
        return [(), ()]
    parts = [tuple(word for word in part.split(",") if word) for part in text.split(":")]
    if len(parts) > 2:
        raise UserError("is REAL or REAL:SIMULATED", key="--class")
    return parts if len(parts) == 2 else [parts[0], ()]
