"""A trained detector: its folder, and what it says of fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import PartitionSpec as P

from twin.io.atomic import write_json, write_text
from twin.schema import Node, UserError, load_yaml, validate
from twin.train.detector import front
from twin.train.detector.candidates import found_in
from twin.train.detector.config import DetectorConfig
from twin.train.detector.network import MEASURED, NOTHING, DetectorNet, laws, loss, standard
from twin.train.members import Batch, Members, Metrics
from twin.train.model import FILES, read_json, recipe_text
from twin.train.weights import check_files, file_hashes, flatten, load_arrays, save_arrays, sha256_of, unflatten

METHOD = "detector"
WEIGHTS = {"classes": 1.0, "x": 0.3, "y": 0.3, "log_counts": 0.3, "hardness": 0.15, "variability": 0.15}


def is_detector(node: Node) -> bool:
    """Whether a recipe's `train:` section is of kind detector."""
    section = node.value.get("train") if isinstance(node.value, dict) else None
    return isinstance(section, dict) and section.get("kind") == METHOD


def is_detector_folder(folder: str | Path) -> bool:
    """Whether a finished model's folder holds a detector."""
    about = Path(folder) / "posterior/posterior.json"
    return about.is_file() and read_json(about).get("method") == METHOD


def detector_config(node: Node) -> DetectorConfig:
    """The validated section. Raises UserError with the line."""
    return validate(DetectorConfig, node.at("train"))


class Detectors(Members):
    """The networks of a detector: `init`, `step` and `predict`."""

    config: DetectorConfig

    def __init__(self, config: DetectorConfig, devices: Sequence[jax.Device] | None = None) -> None:
        super().__init__(config, devices)
        self._forward = jax.jit(
            jax.shard_map(
                jax.vmap(self._said, in_axes=(0, None)), mesh=self.mesh, in_specs=(P("member"), P("batch")),
                out_specs=P("member", "batch"), check_vma=False,
            )
        )  # fmt: skip

    def network(self, rngs: nnx.Rngs) -> nnx.Module:
        return DetectorNet(self.config, rngs)

    def losses(self, weights: nnx.State, batch: Batch, key: jax.Array) -> tuple[jax.Array, Metrics]:
        output = nnx.merge(self.graph, weights)(batch["features"].astype(jnp.float32))
        parts = loss(output, batch["kind"], batch["target"])
        return sum((WEIGHTS[name] * part for name, part in parts.items()), jnp.zeros(())), parts

    def _said(self, weights: nnx.State, features: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        log_p, mean, sigma = laws(nnx.merge(self.graph, weights)(features))
        return jnp.exp(log_p), mean, sigma

    def predict(
        self, weights: nnx.State, features: np.ndarray, base: np.ndarray, sigma: np.ndarray, there: np.ndarray
    ) -> Said:
        """The members' mixture for candidates (n, ROOM, ...) as `candidates` has them, in blocks of one size."""
        block, shape = self.config.batch, there.shape
        kept, parts = np.flatnonzero(there), []
        flat = features.reshape(-1, features.shape[-1])[kept]
        for start in range(0, max(len(flat), 1), block):
            held = len(flat[start : start + block])
            padded = np.zeros((block, flat.shape[-1]), np.float32)
            padded[:held] = flat[start : start + block]
            p, mean, spread = (np.asarray(v)[:, :held] for v in self._forward(weights, padded))
            # of a mixture of normal laws of equal weight: mean, and standard deviation with that between members
            both = np.sqrt((spread**2 + mean**2).mean(0) - mean.mean(0) ** 2)
            parts.append((p.mean(0), mean.mean(0), both))
        zero, unit = standard(base, sigma)
        p, mean, both = (np.zeros((*shape, many), np.float32) for many in (3, len(MEASURED), len(MEASURED)))
        p[..., NOTHING], at = 1, np.unravel_index(kept, shape)
        p[at], mean[at], both[at] = (np.concatenate(each) for each in zip(*parts, strict=True))
        return Said(p, zero + unit * mean, unit * both)


@lru_cache(maxsize=2)
def _detectors(config: str) -> Detectors:
    return Detectors(DetectorConfig.model_validate_json(config))


def detectors(config: DetectorConfig) -> Detectors:
    """The `Detectors` of a section; the last ones are kept with what was compiled for them."""
    return _detectors(config.model_dump_json())


KINDS = ("exact", "thought")  # of PSFs: the image's own, and what is thought of a telescope
Widths = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Said:
    """What is said of the candidates of n fields, each (n, ROOM, ...).

    p           probabilities of nothing, source, artefact; nothing where there is no candidate
    mean, sigma of what is MEASURED of the source, places in bins
    """

    p: np.ndarray
    mean: np.ndarray
    sigma: np.ndarray

    def widened(self, by: Widths, exact: np.ndarray) -> Said:
        """Standard deviations times a factor, by name, for fields (n,) whose PSF is exact and for others."""
        factor = np.array([[by[kind].get(name, 1.0) for name in MEASURED] for kind in KINDS], np.float32)
        return Said(self.p, self.mean, self.sigma * factor[np.where(exact, 0, 1)][:, None])


@dataclass(frozen=True)
class Detector:
    """A trained detector.

    threshold  probability of a source from which it is listed, as training set it on fields it had not seen
    widen      factors of standard deviations by kind of PSF, set there too
    """

    folder: Path
    config: DetectorConfig
    bands: tuple[str, ...]
    metrics: dict[str, Any]
    networks: Detectors
    weights: Any
    threshold: float
    widen: Widths = field(default_factory=lambda: {kind: {} for kind in KINDS})

    @classmethod
    def load(cls, folder: str | Path) -> Detector:
        """A model folder, checked. Raises UserError that names what is missing or damaged."""
        folder = Path(folder)
        missing = [name for name in FILES if not (folder / name).exists()]
        if missing:
            raise UserError("is missing", file=folder / missing[0])
        about = read_json(folder / "posterior/posterior.json")
        if about.get("method") != METHOD:
            raise UserError(f"describes no posterior of method {METHOD}", file=folder / "posterior/posterior.json")
        config = detector_config(load_yaml(folder / "recipe.yaml"))
        check_files(folder / "posterior/members", about["sha256_files"])
        networks = detectors(config)
        flat = load_arrays(folder / "posterior/members")
        weights = unflatten(networks.shapes().weights, flat, folder / "posterior/members")
        metrics = read_json(folder / "metrics.json")
        return cls(folder, config, tuple(about["bands"]), metrics, networks, networks.place(weights),
                   float(about["threshold"]), dict(about["widen"]))  # fmt: skip

    def predict(
        self,
        frames: np.ndarray,
        psf: np.ndarray,
        shape: np.ndarray,
        times: np.ndarray | None = None,
        exact: bool = False,
    ) -> tuple[Said, list[front.Found]]:
        """What is said of frames (n, band, y, x) [count] with PSFs (n, side, side), and fits of their bright sources.

        shape (y, x): the background's; times (n, slice, y, x) [count], where known, in as many slices as training had;
        exact: whether the PSFs are known to be the frames' own.
        Raises UserError for other shapes, and counts that are none.
        """
        frames = np.asarray(frames, np.float32)
        if frames.ndim != 4 or frames.shape[1] != len(self.bands) or frames.shape[2] != frames.shape[3]:
            raise UserError(f"frames are {frames.shape}, needed are (n, {len(self.bands)}, side, side)", key="frame")
        if frames.shape[2] < SMALLEST:
            raise UserError(f"frames of {frames.shape[2]} bins are smaller than {SMALLEST}", key="frame")
        if times is None:
            times = np.zeros((len(frames), 0, *frames.shape[2:]), np.float32)
        for name, images in (("frame", frames), ("times", times)):
            if not np.all(np.isfinite(images)) or images.min(initial=0) < 0:
                raise UserError("has values that are no counts", key=name)
        found, fits = [], []
        for frame, slices, image in zip(frames, times, psf, strict=True):
            one, fit = _found_in(frame, slices, image, shape, exact)
            found.append(jax.tree.map(np.asarray, one))
            fits.append(jax.tree.map(np.asarray, fit))
        features, base, sigma, there, _ = (np.stack(each) for each in zip(*found, strict=True))
        said = self.networks.predict(self.weights, features, base, sigma, there)
        return said.widened(self.widen, np.full(len(frames), exact)), fits


SMALLEST = 16  # [bin] along the side of an image
_found_in = jax.jit(found_in)


def save(folder: Path, recipe: Any, weights: Any, metrics: dict[str, Any], card: str, begun: Any, **about: Any) -> None:
    """Write the model folder; `card.md` comes last, so that a model without it is unfinished."""
    flat = flatten(weights)
    save_arrays(folder / "posterior/members", flat)
    head = {"method": METHOD, "bands": list(recipe.bands), "begun": begun, "sha256_values": sha256_of(flat),
            "sha256_files": file_hashes(folder / "posterior/members"), **about}  # fmt: skip
    write_json(folder / "posterior/posterior.json", head)
    write_text(folder / "recipe.yaml", recipe_text(recipe.node))
    write_json(folder / "metrics.json", metrics)
    write_text(folder / "card.md", card)
