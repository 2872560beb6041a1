"""`Recipe`: a program with an identity, cut into shards; and where recipes are found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from importlib import resources
from pathlib import Path

import numpy as np

from twin.io.layout import DatasetSpec
from twin.recipe.batches import Batches
from twin.recipe.program import Program
from twin.recipe.spec import dataset_spec
from twin.recipe.spectra import SpectrumRecipe
from twin.recipe.spectra_config import is_spectrum
from twin.recipe.xray import XrayRecipe
from twin.recipe.xray_config import is_xray
from twin.schema import UserError, load_yaml, suggest


class Recipe(Program):
    """A program whose samples come in shards."""

    @cached_property
    def sha256(self) -> str:
        """Identity of what `shard` makes: the recipe without its `train:` section, the instrument with what it has
        learnt, the telemetry table, the tables of colours."""
        # a calibration and throughputs count by their content, not by where they lie
        apart = ("train", "description", "calibration", "throughputs")
        content = {k: v for k, v in self.config.model_dump(mode="json").items() if k not in apart}
        content["instrument"] = self.instrument.identity
        if self.table is not None:
            content["telemetry"] = hashlib.sha256(self.table.tobytes()).hexdigest()
        if self.laws.colours is not None:
            tables = b"".join(np.asarray(table.ratio).tobytes() for table in self.laws.colours.values())
            content["colours"] = hashlib.sha256(tables).hexdigest()
        if (scene := getattr(self.simulator, "identity", None)) is not None:
            content["scene"] = scene  # the content of its files in place of their names
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()

    @cached_property
    def spec(self) -> DatasetSpec:
        """Arrays and attributes of the datasets that this recipe makes."""
        return dataset_spec(self, self.sha256)

    @cached_property
    def _batches(self) -> Batches:
        return Batches(self)

    def exposures(self, seed: int, start: int, count: int) -> np.ndarray:
        """Telemetry rows (count, C) of samples start .. start + count - 1: the user's table in turn, or drawn
        nights."""
        if self.table is not None:
            return self.table[self.exposure_ids(start, count)]
        return self.instrument.draw_exposures(seed, count, start)

    def exposure_ids(self, start: int, count: int) -> np.ndarray:
        """Exposures (count,) of samples start .. start + count - 1: rows of the user's table, or numbers in the
        nights."""
        number = start + np.arange(count, dtype=np.int64)
        return number if self.table is None else number % len(self.table)

    def class_of(self, seed: int, shard: int, count: int) -> np.ndarray:
        """Class index (count,) of each sample: shares as exact as whole numbers allow, in random order within the
        shard."""
        share = np.array([self.config.classes[name] for name in self.classes])
        edges = np.cumsum(share / share.sum()) * count
        classes = np.searchsorted(np.round(edges), np.arange(count), side="right")
        return np.random.default_rng([seed, shard, 7]).permutation(np.minimum(classes, len(self.classes) - 1))

    def shard(self, seed: int, shard: int, count: int) -> dict[str, np.ndarray]:
        """Every array of `spec` for `count` samples of one shard; depends on (recipe, seed, shard, count) alone."""
        return self.part(seed, shard, count, 0, count)

    def part(self, seed: int, shard: int, count: int, first: int, many: int) -> dict[str, np.ndarray]:
        """The same of samples first .. first + many - 1 of a shard of `count`."""
        if not 0 <= seed < 2**32:
            raise UserError(f"must be from 0 to {2**32 - 1}, not {seed}", key="seed")
        classes = self.class_of(seed, shard, count)[first : first + many]
        start = shard * self.spec.shard_samples + first
        rows = self.exposures(seed, start, many)
        out: dict[str, np.ndarray] = {}
        for k, name in enumerate(self.classes):
            where = np.flatnonzero(classes == k)
            for field_name, values in self._batches.run(name, seed, shard, first + where, rows[where]).items():
                if field_name not in out:
                    out[field_name] = np.empty((many, *values.shape[1:]), values.dtype)
                out[field_name][where] = values
        return out | {
            "telemetry": rows.astype(np.float32),
            "exposure_id": self.exposure_ids(start, many),
            "object_id": start + np.arange(many, dtype=np.int64),
        }


def _shipped() -> Path:
    return Path(str(resources.files("twin") / "configs" / "recipes"))


def list_recipes() -> list[tuple[str, str]]:
    """(name, description) of the shipped recipes."""
    out = []
    for path in sorted(_shipped().glob("*.yaml")):
        out.append((path.stem, str(load_yaml(path).value.get("description", ""))))
    return out


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Recipe | XrayRecipe | SpectrumRecipe:
    """A shipped recipe by name, or a YAML file by path; `overrides` are "key.sub=value" as of `--set`."""
    text = str(name_or_path)
    path = _shipped() / f"{text}.yaml"
    if not path.exists():
        path = Path(text)
        if not path.is_file():
            names = [name for name, _ in list_recipes()]
            raise UserError(
                f"no recipe of this name, and no such file; shipped: {', '.join(names)}",
                key=text,
                suggestion=suggest(text, names),
            )
    node = load_yaml(path)
    for override in overrides:
        node = node.set(override)
    if is_spectrum(node):
        return SpectrumRecipe(node)
    return XrayRecipe(node) if is_xray(node) else Recipe(node)
