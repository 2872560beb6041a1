"""A machine with GPUs may lack GalSim, lenstronomy, astropy and zarr: simulating and training do without them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WITNESSES = ("galsim", "lenstronomy", "astropy")

BLOCK = "import sys\nfor name in {names!r}:\n    sys.modules[name] = None  # importing it raises\n"

TRAIN = """
from twin.numerics.devices import setup_devices
setup_devices(1)
from twin.recipe import load_recipe
small = ("frame.npix=24", "classes={star: 1}", "train.members=1", "train.samples=8", "train.validation=8",
         "train.batch=8", "train.steps=1", "train.crop=16", "train.network={widths: [8], blocks: [0], hidden: 8}")
from twin.train import train
model = train(load_recipe("ps1-lens", small), sys.argv[1], progress=False)
print(model.predict(*[__import__("numpy").ones(shape, "float32") for shape in ((2, 3, 16, 16), (2, 3))]).lens.shape)
"""

BENCHMARK = """
sys.path.insert(0, "benchmarks")
import twin.recipe
import ps1
load = twin.recipe.load_recipe
twin.recipe.load_recipe = lambda name: load(name, ["frame.npix=8", "frame.factor=1", "classes={star: 1}"])
type(load("ps1-lens").spec).shard_samples = property(lambda spec: 64)
ps1.RUNS = ps1.SHARDS = 1
ps1.main()
"""


def run(program: str, blocked: tuple[str, ...], *args: str) -> str:
    command = [sys.executable, "-c", BLOCK.format(names=blocked) + program, *args]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_block_blocks() -> None:
    with pytest.raises(AssertionError, match="astropy"):
        run("import astropy", WITNESSES)


@pytest.mark.slow
def test_simulating_and_training_on_the_fly(tmp_path: Path) -> None:
    assert run(TRAIN, (*WITNESSES, "zarr"), str(tmp_path / "model")) == "(1, 2)\n"


def test_the_benchmark_without_its_peer(tmp_path: Path) -> None:
    """zarr is needed to write; the peer's figure is left out where there is no lenstronomy."""
    out = run(BENCHMARK, WITNESSES)
    assert '"figure": "samples_per_second", ' in out
    assert '"peer": null' in out.splitlines()[0]
