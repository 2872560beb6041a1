"""What exports need of a simulated dataset's truth, and where frames lie on the sky."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.data.load import Dataset
from twin.data.witness import recipe_of
from twin.priors.fields import Truth
from twin.recipe import Recipe
from twin.schema import UserError
from twin.simulators import lensing, optical


def lens_truths(dataset: Dataset, indices: np.ndarray) -> tuple[Recipe, list[tuple[str, Truth | None]]]:
    """The recipe, and (class, truth) of each sample; the truth is None where there is no lens of galaxy scale.

    Raises UserError for a dataset that was not simulated, or in which no sample has such a lens.
    """
    recipe = recipe_of(dataset)
    rows = []
    for vector, number in zip(dataset.read("truth", indices), dataset.read("label/class", indices), strict=True):
        cls = recipe.classes[int(number)]
        truth = recipe.unflatten(cls, jnp.asarray(vector))
        rows.append((cls, truth if "theta_E" in truth else None))
    if all(truth is None for _, truth in rows):
        raise UserError(
            "has no lens of galaxy scale in these samples: no Einstein radius in their truth", file=dataset.path
        )
    return recipe, rows


@jax.jit
def fields_geometry(truth: Truth) -> tuple[tuple[Array, Array], tuple[Array, Array, Array]]:
    """Of a lens of `twin.priors.fields`: the unlensed position of its source, and x, y and existence of the images
    [arcsec]."""
    beta = optical.source_position(truth)
    x, y, _, exists = lensing.images(optical.sie(truth), *beta)
    return beta, (x, y, exists)


def lens_images(dataset: Dataset, indices: np.ndarray) -> list[np.ndarray] | None:
    """Positions (I, 2) of lensed images in pixels of the frame, counted from 0, of each sample; None where the dataset
    tells of none."""
    scale, half = dataset.attrs.get("pixel_scale"), (dataset.shape("frame")[-1] - 1) / 2
    if "label/image_x" in dataset:
        both = np.stack([dataset.read(f"label/image_{axis}", indices) for axis in "xy"], -1)
        return [row[np.isfinite(row[:, 0])] / scale + half for row in both]
    if dataset.attrs.get("kind") != "simulated" or "label/lens" not in dataset:
        return None
    found = []
    recipe = recipe_of(dataset)
    for vector, number in zip(dataset.read("truth", indices), dataset.read("label/class", indices), strict=True):
        truth = recipe.unflatten(recipe.classes[int(number)], jnp.asarray(vector))
        if "source_depth" not in truth:
            found.append(np.zeros((0, 2)))
            continue
        _, (x, y, exists) = fields_geometry(_of_lens(truth))
        found.append(np.stack([np.asarray(x), np.asarray(y)], -1)[np.asarray(exists)] / scale + half)
    return found


def _of_lens(truth: Truth) -> Truth:
    """The part of a truth that makes images: the same for all classes of lenses, so that one program does."""
    names = (
        "theta_E", "lens_q", "lens_angle", "lens_x", "lens_y", "gamma1", "gamma2", "source_depth", "source_phi",
    )  # fmt: skip
    return {name: truth[name] for name in names}


def source_at(truth: Truth) -> tuple[float, float]:
    """Unlensed position [arcsec] of the source of a lens of `twin.priors.fields`."""
    (x, y), _ = fields_geometry(_of_lens(truth))
    return float(x), float(y)


class Sky:
    """Where the frames of a dataset lie."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    @cached_property
    def _positions(self) -> tuple[np.ndarray, np.ndarray] | None:
        table = self._dataset.catalogue()
        if table is None or not {"ra", "dec"} <= set(table.column_names):
            return None
        return tuple(np.asarray(table[name].to_numpy(), float) for name in ("ra", "dec"))  # type: ignore[return-value]

    def of(self, index: int) -> tuple[Any, dict[str, Any]]:
        """(astropy WCS, FITS cards) of a sample; (None, {}) where its place is not known."""
        cards = self._dataset.attrs.get("wcs")
        if not cards or self._positions is None or not np.isfinite([p[index] for p in self._positions]).all():
            return None, {}
        from astropy.wcs import WCS

        cards = {**cards, "CRVAL1": self._positions[0][index], "CRVAL2": self._positions[1][index]}
        return WCS(cards), cards
