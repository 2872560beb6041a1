"""Catalogues of sources: from what files hold to rows on the sky, with a network that says what it is told to."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twin.evaluate import predict
from twin.evaluate import sources as rooms
from twin.io.xray import CountImage, Events, Tangent, write_count_image, write_events
from twin.io.xray.events import ABSENT
from twin.recipe import load_recipe
from twin.recipe.xray import XrayRecipe
from twin.schema import UserError
from twin.train.detector.model import Detector, Said

N, X, Y, COUNTS = 128, 40.25, 90.5, 400.0


@cache
def telescope() -> rooms.Telescope:
    recipe = load_recipe("ep-wxt")
    assert isinstance(recipe, XrayRecipe)
    return rooms.Telescope(recipe, {})


@cache
def width() -> float:
    return telescope().recipe.pixel_scale / 60


@cache
def psf() -> np.ndarray:
    return telescope().psf(width())


def tangent(scale: float) -> Tangent:
    """North up, east to the left."""
    return Tangent(((N + 1) / 2, (N + 1) / 2), (83.6, 22.0), ((-scale, 0.0), (0.0, scale)))


def expected() -> np.ndarray:
    """A source of COUNTS on an image with background."""
    import jax.numpy as jnp

    from twin.train.detector import front

    image = np.asarray(front.source_image(front.kernel(jnp.asarray(psf()), N), jnp.float32(X), jnp.float32(Y), N))
    return 0.2 + COUNTS * image / image.sum()


class Told:
    """In place of a detector: one source at (X, Y), and the bright ones as its own front fits them."""

    threshold, bands = 0.5, ("soft", "medium", "hard")

    def predict(
        self, frames: np.ndarray, psfs: np.ndarray, shape: np.ndarray, times: Any = None, exact: bool = True
    ) -> tuple[Said, list[Any]]:
        import jax
        import jax.numpy as jnp

        from twin.train.detector import front

        p, mean = np.array([[[0.1, 0.9, 0.0]]]), np.array([[[X, Y, np.log(COUNTS), 0.2, 0.0]]])
        counts = jnp.asarray(frames[0].sum(0))
        found = jax.jit(front.bright_sources)(counts, front.kernel(jnp.asarray(psfs[0]), N), jnp.asarray(shape))
        return Said(p, mean, np.full_like(mean, 0.1)), [jax.tree.map(np.asarray, found)]


def rows_of(image: rooms.Image) -> tuple[list[dict[str, Any]], dict[str, str]]:
    model: Any = Told()
    return rooms.search(model, telescope(), image, 0.1)


def test_a_row_of_the_catalogue(tmp_path: Path) -> None:
    """Place on the sky as the file's projection says, flux as the recipe's own area, residuals 1 where the model is
    right and more where counts are not the PSF's."""
    counts = np.random.default_rng(1).poisson(expected()).astype(np.int32)
    sky = tangent(width() / 60)
    write_count_image(tmp_path / "sky.fits", CountImage(counts, "sky", 1000.0, sky))
    (image,) = rooms.images(tmp_path / "sky.fits", telescope().recipe)
    assert image.counts.sum() == pytest.approx(counts.sum())
    assert not image.coloured
    (row,), told = rows_of(image)
    ra, dec = sky.sky(np.array(X + 1), np.array(Y + 1))
    assert (row["ra"], row["dec"]) == pytest.approx((float(ra), float(dec)), abs=1e-6)
    assert row["counts"] == pytest.approx(COUNTS)
    assert row["counts_high"] / row["counts"] == pytest.approx(np.exp(0.1))
    assert row["position_error"] == pytest.approx(0.1 * width(), rel=1e-3)
    assert np.isnan(row["hardness"])
    # the Crab, 2.4e-8 erg/s/cm2 from 0.5 to 4 keV: 20 to 40 counts a second in all of WXT's PSF
    assert 20 < 2.4e-8 * row["counts"] / row["flux"] / image.exposure < 60
    assert row["detected"]
    assert 0.7 < row["novelty"] < 1.4
    assert "0 beyond" in told["residuals"] or "1 beyond" in told["residuals"]
    blob = counts + 200 * (np.hypot(np.arange(N)[None] - 42, np.arange(N)[:, None] - 91) < 1.2)
    (odd,), told = rows_of(rooms.Image("blob", blob[None] / 3 * np.ones((3, 1, 1)), False, width(), 1000.0, sky))
    assert odd["novelty"] > 2 * row["novelty"]


def test_events_are_binned_by_energy(tmp_path: Path) -> None:
    """As many counts in each band as have its channels; events beyond the bands are left out."""
    recipe = telescope().recipe
    rng = np.random.default_rng(2)
    many, side = 3000, 4096
    keV = 1e-3 * recipe.config.sensor.channel
    pi = np.repeat([int(0.7 / keV), int(1.5 / keV), int(3 / keV), int(6 / keV)], [1000, 1200, 600, 200])
    det, none = rng.integers(1, side, (2, many)), np.full(many, ABSENT)
    events = Events(np.sort(rng.uniform(0, 100, many)), none, none, *det, *det, pi, np.zeros(many, int))
    path = tmp_path / "list.evt"
    write_events(path, [events], np.array([[0.0, 100.0]]), 100.0)
    (image,) = rooms.images(path, recipe)
    assert image.counts.shape == (3, N, N)
    assert image.counts.sum((1, 2)).tolist() == [1000, 1200, 600]
    assert image.coloured
    assert image.exposure == pytest.approx(100)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: write_count_image(p, CountImage(np.ones((N, N), np.int32), "sky", 1.0, tangent(0.01))), "arcmin"),
        (lambda p: write_count_image(p, CountImage(np.ones((8, 9), np.int32), "sky", 1.0, tangent(0.07))), "16 are"),
        (lambda p: p.write_bytes(b"no FITS"), "FITS"),
        (lambda p: p.mkdir(), "folder"),
    ],
)
def test_what_cannot_be_searched(make: Any, words: str, tmp_path: Path) -> None:
    path = tmp_path / "x.fits"
    make(path)
    with pytest.raises(UserError, match=words):
        list(rooms.images(path, telescope().recipe))


def test_optics_that_do_not_exist() -> None:
    with pytest.raises(UserError, match="parameter"):
        rooms.Telescope(telescope().recipe, {"colour": 1.0})
    turned = rooms.Telescope(telescope().recipe, {"roll": 20.0}).psf(width())
    straight = psf()
    middle = len(straight) // 2
    assert straight[middle, middle + 60] > 5 * turned[middle, middle + 60]


def test_only_detectors_take_optics(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="detector"):
        predict(tmp_path, tmp_path, tmp_path / "x.fits", optics={"roll": 1.0})
    with pytest.raises(UserError, match="is missing"):
        Detector.load(tmp_path)
