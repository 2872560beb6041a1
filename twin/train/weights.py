"""Weights and training states on disk: Orbax trees of plain arrays, checked by their content."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import jax
import numpy as np

from twin.schema import UserError

logging.getLogger("absl").setLevel(logging.WARNING)  # Orbax tells the log about every file
Flat = dict[str, np.ndarray]


def named(tree: Any) -> dict[str, Any]:
    """Leaves of a tree by their path."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def flatten(tree: Any) -> Flat:
    """Arrays of a tree by their path, on the host."""
    return {name: np.asarray(leaf) for name, leaf in named(tree).items()}


def unflatten(like: Any, flat: Flat, source: Path) -> Any:
    """A tree shaped `like`, filled from `flatten`'s arrays. Raises UserError where they do not fit."""
    wanted = named(like)
    if set(wanted) != set(flat):
        odd = sorted(set(wanted) ^ set(flat))[0]
        raise UserError("does not fit the network of its recipe", file=source, key=odd)
    for name, leaf in wanted.items():
        if flat[name].shape != leaf.shape:
            raise UserError(f"has shape {flat[name].shape}, the recipe's network {leaf.shape}", file=source, key=name)
    return jax.tree.unflatten(jax.tree.structure(like), [flat[name] for name in wanted])


def sha256_of(flat: Flat) -> str:
    """Hash of names, shapes, types and values."""
    digest = hashlib.sha256()
    for name in sorted(flat):
        digest.update(f"{name} {flat[name].shape} {flat[name].dtype}\n".encode())
        digest.update(np.ascontiguousarray(flat[name]).tobytes())
    return digest.hexdigest()


def file_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by its path there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def check_files(folder: Path, wanted: dict[str, str]) -> None:
    """Raises UserError that names the first file which is missing or not what was written."""
    found = file_hashes(folder)
    for name, digest in wanted.items():
        if found.get(name) != digest:
            raise UserError("is damaged" if name in found else "is missing", file=folder / name)


def save_arrays(folder: Path, flat: Flat) -> None:
    """Write arrays as an Orbax checkpoint; the folder appears whole or not at all, and is durable on return."""
    import orbax.checkpoint as ocp

    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder.absolute(), flat, force=True)
        checkpointer.wait_until_finished()


def load_arrays(folder: Path) -> Flat:
    """Arrays of an Orbax checkpoint. Raises UserError where it is damaged."""
    import orbax.checkpoint as ocp

    try:
        with ocp.StandardCheckpointer() as checkpointer:
            meta = checkpointer.metadata(folder.absolute()).item_metadata
            like = {name: np.empty(array.shape, array.dtype) for name, array in meta.items()}
            found = checkpointer.restore(folder.absolute(), like)
    except Exception as error:  # Orbax and TensorStore raise whatever broke inside
        raise UserError(f"is damaged: {str(error).splitlines()[0][:120]}", file=folder) from error
    return {name: np.asarray(value) for name, value in found.items()}


class Checkpoints:
    """The last two states of a training, by step; `save` returns when the state is durable."""

    def __init__(self, folder: Path) -> None:
        import orbax.checkpoint as ocp

        options = ocp.CheckpointManagerOptions(max_to_keep=2, create=True)
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)
        self.folder = folder

    @property
    def steps(self) -> list[int]:
        return sorted(self._manager.all_steps())

    def save(self, step: int, flat: Flat) -> None:
        import orbax.checkpoint as ocp

        self._manager.wait_until_finished()
        if step not in self.steps:  # Ctrl-C may have come while this very step was saved
            self._manager.save(step, args=ocp.args.StandardSave(flat))
            self._manager.wait_until_finished()

    def restore(self, like: Flat) -> tuple[int, Flat] | None:
        """(step, state) of the newest checkpoint that can be read, None where there is none.

        Raises UserError where no checkpoint fits `like`.
        """
        import orbax.checkpoint as ocp

        steps = self.steps
        for step in reversed(steps):
            try:
                found = self._manager.restore(step, args=ocp.args.StandardRestore(like))
            except Exception as error:  # damaged: an older one may be whole
                logging.getLogger("twin").warning("%s: checkpoint %d cannot be read (%s)", self.folder, step,
                                                  str(error).splitlines()[0][:120])  # fmt: skip
                continue
            return step, {name: np.asarray(value) for name, value in found.items()}
        if steps:
            raise UserError("no checkpoint in it can be read; begin anew with --restart", file=self.folder)
        return None

    def close(self) -> None:
        self._manager.close()
