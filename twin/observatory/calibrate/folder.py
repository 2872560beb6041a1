"""A calibration: a folder with the posterior draws, what they were fitted to, and the instrument they belong to."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from twin.io.atomic import write_bytes, write_json, write_text
from twin.observatory.imager import Imager, load_instrument
from twin.schema import UserError

FILE, DRAWS, INSTRUMENT, KIND = "calibration.json", "posterior.npz", "instrument.yaml", "calibration"
FORMAT = 1


@dataclass(frozen=True)
class Calibration:
    """What was learnt of one telescope.

    folder   where it lies
    about    calibration.json: instrument, files with their SHA-256, parameters with mean, sd, R-hat, what was left out
    draws    (S,) of each parameter by name; the S draws of telemetry's parameters belong together, and those of stars'
    """

    folder: Path
    about: dict[str, Any]
    draws: Mapping[str, np.ndarray] = field(repr=False)

    @cached_property
    def sha256(self) -> str:
        """Identity of what it does to telemetry: the draws and what is known beside them."""
        digest = hashlib.sha256(json.dumps(self.about.get("use", {}), sort_keys=True).encode())
        for name in sorted(self.draws):
            digest.update(name.encode() + np.ascontiguousarray(self.draws[name], "<f8").tobytes())
        return digest.hexdigest()

    @property
    def size(self) -> int:
        """Number of draws."""
        return len(next(iter(self.draws.values())))

    def imager(self) -> Imager:
        """The instrument as it was when the calibration was made."""
        return load_instrument(self.folder / INSTRUMENT)

    @classmethod
    def load(cls, folder: str | Path) -> Calibration:
        """A calibration folder, checked. Raises UserError that names what is missing or damaged."""
        folder = Path(folder)
        if not folder.is_dir():
            raise UserError("no such calibration folder", file=folder)
        for name in (FILE, DRAWS, INSTRUMENT):
            if not (folder / name).is_file():
                raise UserError("is missing: this is no folder that `twin calibrate` wrote", file=folder / name)
        try:
            about = json.loads((folder / FILE).read_text(encoding="utf-8"))
            right = about["kind"] == KIND and about["format"] == FORMAT and isinstance(about["use"], dict)
        except (ValueError, KeyError, TypeError):
            right = False
        if not right:
            raise UserError("is damaged, or from another version of twin", file=folder / FILE)
        try:
            with np.load(folder / DRAWS, allow_pickle=False) as arrays:
                draws = {name: np.asarray(arrays[name], float) for name in arrays.files}
        except (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            raise UserError("is damaged", file=folder / DRAWS) from None
        shapes = {values.shape for values in draws.values()}
        if len(shapes) != 1 or len(next(iter(shapes))) != 1 or not all(np.isfinite(v).all() for v in draws.values()):
            raise UserError("is damaged: draws must be finite, and as many of each parameter", file=folder / DRAWS)
        found = cls(folder, about, draws)
        if about.get("sha256_draws") != found.sha256:
            raise UserError("is not what calibration.json states: damaged", file=folder / DRAWS)
        return found


def save(folder: Path, imager: Imager, about: dict[str, Any], draws: Mapping[str, np.ndarray]) -> Calibration:
    """Write calibration.json, posterior.npz and instrument.yaml into an existing folder."""
    text = yaml.safe_dump(imager.node.value, sort_keys=False, allow_unicode=True)
    digest = hashlib.sha256(json.dumps(imager.node.value, sort_keys=True, default=str).encode()).hexdigest()
    whole = {"kind": KIND, "format": FORMAT, "instrument": imager.name, "instrument_sha256": digest, **about}
    whole["sha256_draws"] = Calibration(folder, whole, draws).sha256
    buffer = io.BytesIO()
    np.savez(buffer, **{name: np.asarray(values, float) for name, values in draws.items()})  # type: ignore[arg-type]
    write_bytes(folder / DRAWS, buffer.getvalue())
    write_text(folder / INSTRUMENT, text)
    write_json(folder / FILE, whole)
    return Calibration(folder, whole, draws)
