"""The whole chain at small size: simulate, verify, look, train, judge. What `twin demo` runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from twin.data import contact_sheet, ingest, simulate, verify
from twin.evaluate import config as benchmarks
from twin.evaluate.registry import evaluate, find_data
from twin.evaluate.result import Result
from twin.recipe import load_recipe
from twin.schema import UserError
from twin.train import train

RECIPE = "ps1-lens"
# Small enough to end within minutes on two cores; scores are quoted of the recipe as it is shipped. With seed 0: lens
# AUC 0.858, separation 0.116 on simulations; 0.925, 0.106 on real quasars, where TWIN_REAL_DATA leads to them.
SMALL = ("train.members=2", "train.samples=16384", "train.steps=600", "train.validation=1024")
SAMPLES = 3200  # one shard
SHOWN = ("auc_matched", "lens_auc", "sep_median_rel_error", "sep_cover68", "sep_cover95")


def run(out: Path, say: Callable[[str], None] = print) -> Result:
    """Run the chain into the folder `out`; what an earlier call finished there is kept.

    The model is judged on the real observations that TWIN_REAL_DATA names, or else on simulations held out from
    training, and `say` tells which. Raises UserError where a step refuses, or the dataset written does not verify.
    """
    real = bool(os.environ.get("TWIN_REAL_DATA"))
    recipe = load_recipe(RECIPE, SMALL)
    sims, model = out / "sims.zarr", out / "model"

    say(f"1/5 simulating {SAMPLES} samples of {RECIPE} into {sims}")
    simulate(recipe, sims, SAMPLES)
    say("2/5 verifying them")
    report = verify(sims)
    if not report.ok:
        raise UserError("does not verify; remove it and start again", file=sims)
    say(f"3/5 drawing them into {out / 'sheet.png'}")
    beside = _ingested(out, say) if real else None
    contact_sheet(sims, out / "sheet.png", beside=beside)
    say(f"4/5 training on frames simulated on the fly into {model}")
    train(recipe, model)
    say("5/5 judging the model " + _judge(real))
    name, report_dir = "ps1-lenses" if real else "simulated", out / "report"
    result = evaluate(model, name, report_dir, report_dir / "metrics.json", data=beside, say=say)
    assert isinstance(result, Result)  # both benchmarks judge a network
    show(result, real)
    return result


def _judge(real: bool) -> str:
    if real:
        return "on observations of Pan-STARRS1, none of which it has seen"
    return "on SIMULATIONS held out from training: TWIN_REAL_DATA is not set, so this says nothing about the real sky"


def _ingested(out: Path, say: Callable[[str], None]) -> Path:
    """The real observations as a dataset."""
    config = benchmarks.load("ps1-lenses")
    assert isinstance(config, benchmarks.RealLenses)
    path = out / f"{config.source}.zarr"
    if not path.exists():
        say(f"    reading real observations into {path}")
        ingest(config.source, find_data(config, None) / config.folder, path)
    return path


def show(result: Result, real: bool) -> None:
    """The table that the demo ends in."""
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", "value", "95 % interval", title=f"{result.title} (n = {result.n})")
    for name in SHOWN:
        if name in result.metrics:
            value, low, high = result.metrics[name]
            table.add_row(name, f"{value:.3f}", f"{low:.3f} to {high:.3f}")
    table.caption = "judged " + _judge(real)
    Console().print(table)
