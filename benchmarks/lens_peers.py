"""Galaxy-scale lens frames against caustics and JAXtronomy: the task of lens.py, in the same run and on the same core,
CPU seconds.

    make peers && python benchmarks/lens_peers.py [--caustics PYTHON] [--jaxtronomy PYTHON]

Each peer runs in an environment of its own (`make peers` makes them in build/peers; the flags name others), as neither
can be installed beside the versions of constraints.txt. A peer draws 3x3 midpoints a pixel and one PSF for all frames;
before it counts, its frames must be those of lenstronomy at 3x3 midpoints to FRAME of the peak.

- `lens_vs_caustics`: batches by `torch.vmap`, as its documentation advises, of the best size; one thread.
- `lens_vs_caustics_compiled`: the same through `torch.compile`, which its documentation does not speak of.
- `lens_vs_jaxtronomy`: `jit`, and `vmap` over batches of the best size; in single precision.

paltas and deeplenstronomy need releases too old to be run beside: whole generators, they were measured once, at 64 and
111 frames of 64x64 a second on one core.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lens
import numpy as np
from _report import cpu_seconds, figure

from twin.numerics.devices import setup_devices

HERE = Path(__file__).parent
MIDPOINTS = 3
FRAME = 1e-5  # of the peak: single precision
WORDS = {
    "caustics": "caustics, torch.vmap, 3x3 midpoints, one thread",
    "caustics_compiled": "caustics, torch.compile of torch.vmap, 3x3 midpoints, one thread",
    "jaxtronomy": "JAXtronomy ImageModel, jit and vmap, single precision, 3x3 midpoints",
}


def sersic_columns(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Radii and brightness there with which lenstronomy's b_n, which both peers have, makes the profiles of `rows`."""
    columns: dict[str, list[float]] = {}
    for k in range(len(rows["theta_E"])):
        row = {name: float(value[k]) for name, value in rows.items()}
        for name, flux in (("source", 1.0), ("light", row["ratio"])):
            profile = lens.Peer.sersic(row, name, 0.0, 0.0, flux)
            for key in ("amp", "R_sersic"):
                columns.setdefault(f"{name}_{key}", []).append(profile[key])
    return {name: np.asarray(value) for name, value in columns.items()}


def answer(peer: str, python: Path, task: dict[str, Any], environment: dict[str, str]) -> dict[str, np.ndarray]:
    """What the peer's own process makes of the task."""
    with tempfile.TemporaryDirectory() as folder:
        asked, given = Path(folder, "task.npz"), Path(folder, "answer.npz")
        np.savez(asked, **task)
        subprocess.run([python, HERE / f"_{peer}.py", asked, given], check=True, env=environment)
        return dict(np.load(given))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    for peer in ("caustics", "jaxtronomy"):
        at = HERE.parent / "build" / "peers" / peer / "bin" / "python"
        parser.add_argument(f"--{peer}", type=Path, default=at, metavar="PYTHON", help=f"python with {peer}")
    pythons = {peer: path for peer, path in vars(parser.parse_args()).items() if path.exists()}
    if not pythons or not find_spec("lenstronomy"):
        print("lens_peers.py: no peer is installed: make peers", file=sys.stderr)
        return
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    environment = dict(os.environ)  # before twin's own flags, which another release of XLA may not know
    setup_devices(1)
    import jax

    psf, rows, keys = lens.kernel(), lens.draw(lens.BATCH, 0), jax.random.split(jax.random.key(0), lens.BATCH)
    coarse, noisy = lens.Peer(psf, MIDPOINTS), lens.shared_psf(psf, True)
    chosen = [{name: float(value[k]) for name, value in rows.items()} for k in range(lens.CHECKED)]
    exact = np.stack([coarse.frame(row, False) for row in chosen])
    numbers = {"side": lens.SIDE, "pixel": lens.PIXEL, "midpoints": MIDPOINTS, "checked": lens.CHECKED}
    task = numbers | rows | sersic_columns(rows) | {"psf": psf}
    for peer, python in pythons.items():
        mine = cpu_seconds(lambda: noisy(keys, rows).block_until_ready(), lens.BATCH)
        found = answer(peer, python, task, environment)
        for prefix in ("", "compiled_"):
            if f"{prefix}seconds" not in found:
                continue
            name = f"{peer}_{prefix}".rstrip("_")
            off = float((np.abs(found[f"{prefix}frames"] - exact).max((1, 2)) / exact.max((1, 2))).max())
            if not off < FRAME:
                raise RuntimeError(f"{name} draws other frames than lenstronomy: {off:.1e} of the peak")
            figure(f"{name}_frame", off, "of the peak, from lenstronomy's at 3x3 midpoints")
            figure(f"lens_vs_{name}", 1 / mine, "1/s", WORDS[name], 1 / float(found[f"{prefix}seconds"]))


if __name__ == "__main__":
    main()
