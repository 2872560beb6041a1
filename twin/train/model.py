"""A trained model: a folder on disk, and what it says of frames."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import yaml

from twin.io.atomic import write_json, write_text
from twin.schema import Node, UserError, load_yaml, validate
from twin.train.calibration import NONE, SIMULATIONS, Calibration
from twin.train.config import Binary, Binned, Categorical, TrainConfig
from twin.train.ensemble import Ensemble, ensemble
from twin.train.heads import head_edges
from twin.train.prediction import Prediction
from twin.train.weights import (
    check_files,
    file_hashes,
    flatten,
    load_arrays,
    save_arrays,
    sha256_of,
    unflatten,
)

if TYPE_CHECKING:
    from twin.recipe import Recipe
    from twin.recipe.spectra import SpectrumRecipe
    from twin.recipe.xray import XrayRecipe

METHOD = "ensemble"
FILES = ("recipe.yaml", "posterior/posterior.json", "posterior/members", "metrics.json", "card.md")


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def recipe_text(node: Node) -> str:
    """The resolved recipe as YAML that `load_recipe` reads."""
    return yaml.dump(node.value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def train_config(node: Node) -> TrainConfig:
    """The validated `train:` section of a recipe; defaults where it has none. Raises UserError with the line."""
    section = node.value.get("train") if isinstance(node.value, dict) else None
    return TrainConfig() if section is None else validate(TrainConfig, node.at("train"))


@dataclass(frozen=True)
class Model:
    """A trained ensemble.

    folder       where it was loaded from
    config       the recipe's `train:` section
    bands        of the frames, in this order
    centre_band  index of the band that frames are recentred on; crop  pixels a side of its input
    metrics      held-out simulated scores (metrics.json)
    calibration  what predictions are recalibrated with; None = they are as the networks say
    """

    folder: Path
    config: TrainConfig
    bands: tuple[str, ...]
    metrics: dict[str, Any]
    networks: Ensemble
    weights: Any
    calibration: Calibration | None = None

    @property
    def crop(self) -> int:
        return self.config.crop

    @property
    def centre_band(self) -> int:
        return self.bands.index(self.config.centre_band)

    @cached_property
    def recipe(self) -> Recipe | XrayRecipe | SpectrumRecipe:
        """The recipe that it was trained on."""
        from twin.recipe import load_recipe

        return load_recipe(self.folder / "recipe.yaml")

    @classmethod
    def load(cls, folder: str | Path, calibration: str | None = None) -> Model:
        """A model folder, checked. Raises UserError that names what is missing or damaged.

        calibration   NAME of `calibration/NAME.json` to recalibrate predictions with, or "none"; None = the one that
                      training fitted on held-out simulations, where the folder has it
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise UserError("no such model folder", file=folder)
        if (folder / "zarr.json").exists():
            raise UserError("is a dataset, a model folder is needed", file=folder)
        missing = [name for name in FILES if not (folder / name).exists()]
        if missing:
            unfinished = (folder / "checkpoints").is_dir()
            problem = "its training is unfinished: run the same `twin train` again" if unfinished else "is missing"
            raise UserError(problem, file=folder if unfinished else folder / missing[0])
        about = read_json(folder / "posterior/posterior.json")
        metrics = read_json(folder / "metrics.json")
        bands, files = about.get("bands"), about.get("sha256_files")
        if about.get("method") != METHOD or not isinstance(bands, list) or not isinstance(files, dict):
            raise UserError(f"describes no posterior of method {METHOD}", file=folder / "posterior/posterior.json")
        config = train_config(load_yaml(folder / "recipe.yaml"))
        if config.centre_band not in bands:
            raise UserError(f'"{config.centre_band}" is none of the bands {", ".join(bands)}',
                            file=folder / "recipe.yaml", key="train.centre_band")  # fmt: skip
        if calibration is None:
            calibration = SIMULATIONS if SIMULATIONS in Calibration.names(folder) else NONE
        adjusted = None if calibration == NONE else Calibration.load(folder, calibration)
        check_files(folder / "posterior/members", files)
        flat = load_arrays(folder / "posterior/members")
        networks = ensemble(config, len(bands), bands.index(config.centre_band))
        weights = unflatten(networks.shapes().weights, flat, folder / "posterior/members")
        return cls(folder, config, tuple(bands), metrics, networks, networks.place(weights), adjusted)

    def predict(self, frames: np.ndarray, rms: np.ndarray) -> Prediction:
        """What the ensemble says of (n, band, crop, crop) counts with sky noise (n, band), recentred by
        `frames.recentre_crop`. Raises UserError for other shapes, and counts or noise that are no numbers."""
        raw = predict(self.networks, self.weights, frames, rms)
        return raw if self.calibration is None else self.calibration.apply(raw)


def predict(networks: Ensemble, weights: Any, frames: np.ndarray, rms: np.ndarray) -> Prediction:
    """Prediction of weights (member, ...) for (n, band, crop, crop) counts and (n, band) noise."""
    config = networks.config
    frames, rms = np.asarray(frames, np.float32), np.asarray(rms, np.float32)
    shape = (networks.bands, config.crop, config.crop)
    if frames.ndim != 4 or frames.shape[1:] != shape:
        raise UserError(f"frames are {frames.shape}, the model takes (n, {', '.join(map(str, shape))})", key="frame")
    if rms.shape != frames.shape[:2]:
        raise UserError(f"has shape {rms.shape}, expected {frames.shape[:2]}", key="noise/rms")
    for name, bad in (("frame", ~np.isfinite(frames).all(axis=(1, 2, 3))), ("noise/rms", ~(rms > 0).all(axis=1))):
        if bad.any():
            raise UserError(f"object {np.flatnonzero(bad)[0]} has values that are no usable numbers", key=name)
    found = networks.predict(weights, frames, rms)
    by_kind = {type(head): (name, head) for name, head in config.heads.items()}
    lens, (separation, binned) = found[by_kind[Binary][0]], by_kind[Binned]
    classes = found[by_kind[Categorical][0]] if Categorical in by_kind else None
    assert isinstance(binned, Binned)
    return Prediction(lens, found[separation], head_edges(binned), classes)


def save(folder: Path, recipe: Any, weights: Any, metrics: dict[str, Any], card: str, begun: Any) -> None:
    """Write the model folder; `card.md` comes last, so that a model without it is unfinished.

    begun   what the training was begun with (recipe hash, seed, dataset, version), JSON types
    """
    flat = flatten(weights)
    save_arrays(folder / "posterior/members", flat)
    about = {"method": METHOD, "bands": list(recipe.bands), "begun": begun, "sha256_values": sha256_of(flat),
             "sha256_files": file_hashes(folder / "posterior/members")}  # fmt: skip
    write_json(folder / "posterior/posterior.json", about)
    write_text(folder / "recipe.yaml", recipe_text(recipe.node))
    write_json(folder / "metrics.json", metrics)
    write_text(folder / "card.md", card)


def read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"is damaged ({error})", file=path) from error
    if not isinstance(found, dict):
        raise UserError("is damaged (it holds no mapping)", file=path)
    return found


def parameter_count(weights: Any) -> int:
    """Parameters of one member."""
    return sum(int(np.prod(leaf.shape[1:])) for leaf in jax.tree.leaves(weights))
