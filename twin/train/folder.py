"""The folder of a training: who may write into it, and what an unfinished one was begun with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from twin.io.atomic import make_folder, plain_disk_errors, write_json
from twin.schema import UserError
from twin.train.model import FILES

RUN = "run.json"  # what an unfinished training was begun with
OURS = ("checkpoints", "posterior", "calibration", "novelty", RUN, *FILES)


def prepare_folder(out: Path, begun: dict[str, Any], resume: bool) -> bool:
    """Leave a folder that this training may go on in; True where it is finished already."""
    if out.exists() and not out.is_dir():
        raise UserError("is a file, a model is a folder", file=out)
    held = {path.name for path in out.iterdir()} if out.is_dir() else set()
    ours = {name.split("/")[0] for name in OURS}
    if held - ours and RUN not in held and "posterior" not in held:
        raise UserError("holds other files and no model; choose another folder", file=out)
    if not resume:
        for name in held & ours:
            path = out / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        held = set()
    if all((out / name).exists() for name in FILES):
        found = json.loads((out / "posterior/posterior.json").read_text(encoding="utf-8")).get("begun")
        same_run(found, begun, out)
        for left in ("checkpoints", RUN):  # a run that was killed while it tidied up
            path = out / left
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        return True
    if RUN in held:
        try:
            found = json.loads((out / RUN).read_text(encoding="utf-8"))
        except ValueError:
            raise UserError("is damaged; begin anew with --restart", file=out / RUN) from None
        same_run(found, begun, out)
        return False
    with plain_disk_errors(out):
        make_folder(out)
    write_json(out / RUN, begun)
    return False


def withdraw(out: Path, existed: bool) -> None:
    """Take back what `prepare_folder` left for a training that was refused before its first checkpoint."""
    shutil.rmtree(out / "checkpoints")
    (out / RUN).unlink()
    if not existed:
        out.rmdir()


def same_run(found: Any, begun: dict[str, Any], out: Path) -> None:
    found = found if isinstance(found, dict) else {}
    words = {"recipe_sha256": "recipe", "train": "train: section", "twin": "version of twin"}
    for key, mine in begun.items():
        if found.get(key) != mine:
            raise UserError(f"holds a training with another {words.get(key, key)}; begin anew with --restart, "
                            "or choose another folder", file=out)  # fmt: skip
