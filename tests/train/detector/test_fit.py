"""A small detector learns to find sources, and its folder is a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.train.detector.made_up import SECTION, made_up
from twin.schema import UserError
from twin.train import train
from twin.train.detector.catalogue import sources
from twin.train.detector.fields import sources_of
from twin.train.detector.model import Detector
from twin.train.detector.scores import match


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Detector, Path]:
    folder = tmp_path_factory.mktemp("detector")
    section = SECTION.replace("samples: 256", "samples: 512").replace("steps: 200", "steps: 500")
    model = train(made_up(folder, section), folder / "model", progress=False)
    assert isinstance(model, Detector)
    return model, folder


def test_it_finds_sources(trained: tuple[Detector, Path]) -> None:
    """Of sources of more than 60 counts in frames without a bright one half are found; a PSF that is not the frames'
    finds fewer."""
    model, folder = trained
    recipe = made_up(folder, bright=0.0)
    arrays = recipe.shard(9, 0, 40)
    truth, counts, there = sources_of(recipe, arrays)
    shape = np.ones((32, 32), np.float32)

    def share(psf: np.ndarray) -> float:
        said, _ = model.predict(arrays["frame"], psf, shape)
        hit = total = 0
        for k in range(40):
            bright = there[k] & (counts[k] > 60)
            m = match(sources(said, k).above(0.3), truth[k, bright, 0], truth[k, bright, 1])
            hit, total = hit + int((m.of >= 0).sum()), total + int(bright.sum())
        return hit / total

    right = share(arrays["input/psf"])
    assert right > 0.5
    wrong = np.roll(arrays["input/psf"], (3, -2), (1, 2))
    assert share(wrong) < right - 0.15


def test_the_folder_is_read_again(trained: tuple[Detector, Path]) -> None:
    model, folder = trained
    again = Detector.load(folder / "model")
    recipe = made_up(folder)
    arrays = recipe.shard(3, 0, 2)
    shape = np.ones((32, 32), np.float32)
    one, two = (m.predict(arrays["frame"], arrays["input/psf"], shape)[0] for m in (model, again))
    assert np.array_equal(one.p, two.p)
    assert (folder / "model/card.md").read_text().startswith("# Source detector of `made-up`")
    with pytest.raises(UserError, match="needed are"):
        model.predict(arrays["frame"][:, :1], arrays["input/psf"], shape)
    with pytest.raises(UserError, match="no counts"):
        model.predict(arrays["frame"] - 1.0, arrays["input/psf"], shape)
    with pytest.raises(UserError, match="another"):
        train(made_up(folder, SECTION.replace("steps: 200", "steps: 3")), folder / "model", progress=False)


def test_what_it_refuses(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="data"):
        train(made_up(tmp_path), tmp_path / "model", dataset=tmp_path / "x.zarr")
    with pytest.raises(UserError, match="width"):
        train(made_up(tmp_path, SECTION.replace("width: 32", "width: 25")), tmp_path / "model")
    assert not (tmp_path / "model").exists()
