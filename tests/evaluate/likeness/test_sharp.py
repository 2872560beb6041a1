"""The test of likeness held against the simulator itself: what is altered in it must be found."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from twin.data import open_dataset, simulate
from twin.evaluate.likeness import boosted
from twin.evaluate.likeness.folds import auc_by_object, folds, ranks
from twin.evaluate.likeness.frames import Frames, read
from twin.evaluate.likeness.statistics import statistics
from twin.recipe import load_recipe

N = 300
STARS = ("classes={star: 1}", "frame.npix=32")
# in pixels: what hst.yaml has in all is (0.565^2 + 0.58^2)^(1/2) = 0.81
ALTERED = {
    "wide": {"diffusion: 0.565 px": "diffusion: 0.835 px"},  # a FWHM of 0.095 arcsec becomes 0.105
    "white": {"diffusion: 0.565 px": "diffusion: 0.81 px", "median: 0.58 px": "median: 0.01 px"},  # the same PSF
}


def stars(folder: Path, name: str, changes: dict[str, str]) -> Frames:
    """N stars as `hst-galaxies` would have them with a changed instrument: of one seed, so the same in all else."""
    text = (Path(str(files("twin"))) / "configs" / "instruments" / "hst.yaml").read_text()
    for old, new in changes.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    (folder / f"{name}.yaml").write_text(text)
    recipe = load_recipe("hst-galaxies", [*STARS, f"instrument={folder / name}.yaml"])
    simulate(recipe, folder / f"{name}.zarr", N, seed=5, progress=False)
    return read(open_dataset(folder / f"{name}.zarr"), ("f814w",), 32)


@pytest.mark.slow
def test_it_sees_a_wide_psf_and_white_noise_in_simulated_stars(tmp_path: Path) -> None:
    """Trees tell them apart with AUC 0.9 or more; no star is on both sides of a fold."""
    as_it_is = stars(tmp_path, "as-it-is", {})
    label, group = np.repeat([1, 0], N), np.tile(np.arange(N), 2)
    fold = folds(group, label)
    for name, changes in ALTERED.items():
        measured = [statistics(one, ("f814w",)) for one in (as_it_is, stars(tmp_path, name, changes))]
        score, drop = boosted.cross_validate(np.concatenate([values for values, _ in measured]), label, fold)
        found = auc_by_object(ranks(score, fold), label, group, repeats=200)
        assert found.value >= 0.9, name
        first = measured[0][1][int(np.argmax(drop[:, 0]))]
        assert first.startswith(("size", "concentration", "peak") if name == "wide" else "noise"), name
