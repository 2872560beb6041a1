"""The command line: one function a command, no logic. Science libraries are imported inside the functions, so that
`twin --help` stays instant.

Exit codes: 0 done; 2 the user's mistake or the machine's (one line on stderr, no traceback); 130 interrupted.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from twin import __version__

app = typer.Typer(
    help="Training data that a real telescope could have taken, and networks that know what they do not know.",
    epilog="Example: twin demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="Name of a shipped recipe, or a YAML file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe; may be repeated."),
]
Engine = Literal["jax", "reference"]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Same recipe, seed and version: same values.")]
Restart = Annotated[bool, typer.Option("--restart", help="Begin anew instead of resuming what an earlier run left.")]
DatasetFolder = Annotated[Path, typer.Argument(metavar="DATASET", help="Zarr dataset, real or simulated.")]
DatasetOut = Annotated[Path, typer.Option("-o", "--out", help="Zarr dataset to write.")]
ModelFolder = Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a trained model.")]
Calibration = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Calibration to apply: none, or a NAME.json of the model's calibration/ folder. "
        "Default: simulations, which training leaves there. For ep-wxt44 the folder of `twin calibrate ep-wxt`.",
    ),
]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"twin {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Options of the whole program."""


@app.command(epilog="Example: twin recipes")
def recipes() -> None:
    """List the shipped recipes."""
    from rich.console import Console
    from rich.table import Table

    from twin.recipe import list_recipes

    table = Table("recipe", "what it is", box=None, pad_edge=False)
    for name, description, *_ in list_recipes():
        table.add_row(name, description)
    Console().print(table)


@app.command(epilog="Example: twin simulate ps1-lens -o sims.zarr -n 100000 --seed 1")
def simulate(
    recipe: RecipeName,
    out: DatasetOut,
    n: Annotated[int, typer.Option("-n", "--number", min=1, help="Samples.")],
    seed: Seed = 0,
    calibration: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of `twin calibrate`: its draws correct the telemetry, one a night."),
    ] = None,
    overrides: Overrides = None,
    events: Annotated[
        bool, typer.Option("--events", help="X-ray recipes: keep the events too, one Parquet a shard.")
    ] = False,
    restart: Restart = False,
    mixed: Annotated[
        bool, typer.Option("--mixed", help="Allow resuming with other versions or on another kind of machine.")
    ] = False,
    engine: Annotated[
        Engine, typer.Option(help="reference: the same truths drawn by GalSim and lenstronomy, seconds a frame.")
    ] = "jax",
) -> None:
    """Write labelled frames that the recipe's telescope could have taken. The same command resumes."""
    _devices()
    from twin.data import acceptance
    from twin.data import simulate as run
    from twin.recipe import load_recipe

    changes = [*(overrides or ()), *([f"calibration={calibration}"] if calibration else ())]
    source = load_recipe(recipe, [*changes, *(["events=true"] if events else ())])
    if engine == "reference":
        from twin.recipe.reference import ReferenceRecipe

        source = ReferenceRecipe(source, n)  # type: ignore[assignment]
    done = run(source, out, n, seed=seed, resume=not restart, mixed=mixed)
    new = (
        f"{done.samples} of them new, {done.samples_per_second:.0f} samples/s" if done.samples else "all written before"
    )
    typer.echo(f"{out}: {done.n} samples, {new}")
    for name, found in acceptance(out).items():
        typer.echo(f"{name}: {found}")


@app.command(epilog="Example: twin verify sims.zarr")
def verify(
    dataset: DatasetFolder,
    heal: Annotated[
        str | None,
        typer.Option(
            metavar="RECIPE",
            help="Make the bad shards again, with the recipe that made the dataset. Whichever version and machine made "
            "it: a shard with the values that its manifest states is whole again.",
        ),
    ] = None,
    overrides: Overrides = None,
    mixed: Annotated[
        bool,
        typer.Option(
            "--mixed",
            help="With --heal: accept other values from another version or kind of machine, also for shards whose "
            "manifest is lost.",
        ),
    ] = False,
    witness: Annotated[
        int, typer.Option(metavar="K", min=0, help="Draw K random frames again by GalSim and lenstronomy, and compare.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="With --witness: which frames.")] = 0,
) -> None:
    """Check every shard of a dataset against its manifest; name what is damaged or missing."""
    from twin import data
    from twin.schema import UserError

    if heal is None:
        if overrides or mixed:
            raise UserError("goes with --heal", key="--set" if overrides else "--mixed")
        report = data.verify(dataset)
    else:
        _devices()
        from twin.recipe import load_recipe

        report = data.heal(dataset, load_recipe(heal, overrides or ()), mixed=mixed)
    typer.echo(str(report))
    if not report.ok:
        raise UserError(f"{len(report.problems)} found, named above; the first: {report.problems[0]}", file=dataset)
    if witness:
        _devices()
        from twin.data.witness import witness as redraw

        found = redraw(dataset, witness, seed)
        typer.echo(str(found))
        if not found.ok:
            raise UserError(f"{len(found.problems)} found, named above; the first: {found.problems[0]}", file=dataset)


@app.command(epilog="Example: twin inspect sims.zarr -o sheet.png --beside real.zarr")
def inspect(
    dataset: DatasetFolder,
    out: Annotated[Path, typer.Option("-o", "--out", help="PNG to write.")],
    beside: Annotated[Path | None, typer.Option(help="Second dataset, drawn beside it with the same stretch.")] = None,
    per_class: Annotated[int, typer.Option(min=1, help="Frames of each class.")] = 8,
) -> None:
    """Draw a contact sheet of a dataset, or of simulated beside real frames."""
    from twin.data import contact_sheet

    contact_sheet(dataset, out, beside=beside, per_class=per_class)
    typer.echo(f"wrote {out}")


@app.command(epilog="Example: twin export sims.zarr -o coolest/ --format coolest -n 100")
def export(
    dataset: DatasetFolder,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write.")],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="coolest (lens models), ds9 (regions), coco (boxes and masks of arcs) or events (X-ray, FITS).",
        ),
    ],
    index: Annotated[list[int] | None, typer.Option(help="This sample; may be repeated.")] = None,
    number: Annotated[
        int | None, typer.Option("-n", "--number", min=1, help="The first N samples; default: all.")
    ] = None,
) -> None:
    """Write truth and labels in the formats of other programs, with the frames that they are about."""
    _devices()
    from twin.data.export import export as run

    typer.echo(f"wrote {len(run(dataset, out, form, index or (), number))} frames to {out}")


@app.command(epilog="Example: twin telemetry headers/ --map decam -o clean.ecsv")
def telemetry(
    source: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Table (ECSV, CSV, FITS, Parquet), AOT file, or folder of FITS headers."),
    ],
    instrument: Annotated[
        str | None, typer.Option(metavar="NAME", help="Instrument whose priors stand in for what is missing.")
    ] = None,
    keyword_map: Annotated[
        str | None, typer.Option("--map", metavar="NAME", help="Keyword map, or a YAML file; default: what fits best.")
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="ECSV of canonical channels to write.")] = None,
    sort: Annotated[bool, typer.Option("--sort", help="Put rows in the order of time before writing.")] = False,
) -> None:
    """Show what a telemetry source says, what is missing, what stands in for it, and what is wrong."""
    from twin.observatory.telemetry_report import run

    run(source, instrument, keyword_map, out, sort)


@app.command(epilog="Example: twin psf ps1 --telemetry nights.ecsv -o psf/")
def psf(
    instrument: Annotated[str, typer.Argument(metavar="INSTRUMENT", help="Shipped instrument, or a YAML file.")],
    telemetry: Annotated[Path, typer.Option(help="Telemetry table, or folder of FITS headers.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the FITS file and the picture.")],
) -> None:
    """Write the PSF of every exposure of a telemetry table, with FWHM, ellipticity, EE50 and EE80."""
    _devices()
    from twin.observatory.picture import write_psfs

    write_psfs(instrument, telemetry, out)
    typer.echo(f"wrote {out}")


@app.command(epilog="Example: twin flats csst -o flats/")
def flats(
    instrument: Annotated[str, typer.Argument(metavar="INSTRUMENT", help="Shipped instrument, or a YAML file.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the table and the picture.")],
    seed: Seed = 0,
) -> None:
    """Measure gain and read noise of every amplifier from simulated flats: the photon-transfer curve."""
    _devices()
    from twin.observatory.detector.transfer import write_flats

    write_flats(instrument, out, seed)
    typer.echo(f"wrote {out}")


@app.command(
    epilog="Example: twin calibrate decam --telemetry exposures.csv.gz --stars exposure_catalog.csv.gz -o calibration/"
)
def calibrate(
    instrument: Annotated[str, typer.Argument(metavar="INSTRUMENT", help="Shipped instrument, or a YAML file.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for what was learnt.")],
    telemetry: Annotated[
        Path | None, typer.Option(help="Table of exposures with a measured FWHM: airmass, MJD, band, FWHM a row.")
    ] = None,
    stars: Annotated[
        list[Path] | None, typer.Option(help="SExtractor-like catalogue of an exposure; may be repeated.")
    ] = None,
    forecast: Annotated[
        bool, typer.Option("--forecast", help="Fit also the forecast of the next exposure's FWHM.")
    ] = False,
    image: Annotated[
        Path | None, typer.Option(help="Lobster eyes: frame of counts (FITS) with the Crab in it.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Learn what telemetry does not tell of a telescope: from measured FWHM and stars, or from a frame of the Crab."""
    _devices()
    if image is not None:
        from twin.observatory.lobster_calibrate.run import calibrate_image
        from twin.priors.xray.spectra import CRAB
        from twin.schema import UserError

        if telemetry or stars or forecast:
            raise UserError("goes without --telemetry, --stars and --forecast", key="--image")
        calibrate_image(instrument, out, image, CRAB.photons)
        typer.echo(f"wrote {out}")
        return
    from twin.observatory.calibrate import calibrate as run

    run(instrument, out, telemetry, stars or (), forecast=forecast, seed=seed)
    typer.echo(f"wrote {out}")


@app.command(epilog="Example: twin ingest lamost DR5/ -o lamost.zarr --grid halpha")
def ingest(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Kind of source: ps1-sled, ...; spectra: lamost, ondrejov, sdss.")
    ],
    places: Annotated[
        list[str],
        typer.Argument(metavar="FOLDER", help="Folder of real files; for spectra also files and patterns, in quotes."),
    ],
    out: DatasetOut,
    grid: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Spectra: native (default), halpha (140 pixels over 6519-6732 A), ..."),
    ] = None,
    resample: Annotated[
        Literal["conserve", "linear"] | None,
        typer.Option(help="Spectra: keep the integral of the flux (default), or interpolate."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Spectra: processes that read; default: one a core.")
    ] = None,
    restart: Restart = False,
) -> None:
    """Turn real files into the layout that `simulate` writes.

    Spectra are streamed; files that are none are set aside in OUT.rejects.csv, and the same command resumes.
    """
    from twin.data import ingest as run

    options = {"grid": grid, "method": resample, "workers": workers, "restart": restart or None}
    run(source, places, out, **{name: value for name, value in options.items() if value is not None})
    typer.echo(f"wrote {out}")


@app.command(epilog="Example: twin train ps1-lens -o model/")
def train(
    recipe: RecipeName,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the model.")],
    data: Annotated[
        Path | None, typer.Option(help="Dataset to train on; without it frames are simulated on the fly.")
    ] = None,
    seed: Seed = 0,
    overrides: Overrides = None,
    restart: Restart = False,
) -> None:
    """Train the recipe's networks. The same command resumes after Ctrl-C or a crash."""
    _devices()
    from twin.recipe import load_recipe
    from twin.train import train as run

    run(load_recipe(recipe, overrides or ()), out, dataset=data, seed=seed, resume=not restart)
    typer.echo(f"wrote {out}")


@app.command(epilog="Example: twin predict model/ real.zarr -o catalogue.parquet")
def predict(
    model: ModelFolder,
    dataset: Annotated[
        Path, typer.Argument(metavar="DATASET", help="Zarr dataset; for a detector also an event list or count image.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Catalogue to write: .parquet, .fits, .vot or .ecsv.")],
    calibration: Calibration = None,
    optics: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=NUMBER", help="Detectors: a parameter of the telescope that is not the recipe's."),
    ] = None,
    least: Annotated[
        float, typer.Option(min=0.001, max=1, help="Detectors: least probability of a source to be listed.")
    ] = 0.1,
) -> None:
    """Write a catalogue of predictions with their uncertainties.

    A detector finds X-ray sources: twin predict detector/ events.evt -o sources.fits --optics roll=3
    """
    _devices()
    from twin.evaluate import predict as run

    run(model, dataset, out, calibration, _numbers(optics or ()), least)
    typer.echo(f"wrote {out}")


def _numbers(given: Sequence[str]) -> dict[str, float]:
    """Options NAME=NUMBER."""
    from twin.schema import UserError

    found = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise UserError(f'"{text}" is not NAME=NUMBER', key="--optics") from None
        if not -1e9 < found[name] < 1e9:
            raise UserError(f"{value} is no number that can be used", key=f"--optics {name}")
    return found


@app.command(epilog="Example: twin evaluate model/ ps1-lenses -o report/ --json scores.json")
def evaluate(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the report and the catalogue.")],
    model: Annotated[Path | None, typer.Argument(metavar="MODEL", help="Folder of a trained model.")] = None,
    benchmark: Annotated[
        str | None, typer.Argument(metavar="BENCHMARK", help="Shipped benchmark, for example ps1-lenses.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="File for the metrics; default: metrics.json there.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of real data; default: TWIN_REAL_DATA.")] = None,
    calibration: Calibration = None,
    likeness: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            metavar="REAL SIM",
            help="Instead of a model and a benchmark: how well the real frames of one dataset can be told from the "
            "simulated ones of another (AUC, 0.5 = cannot tell), and by what.",
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option("--class", metavar="REAL[:SIM]", help="With --likeness: only these classes, with commas between."),
    ] = None,
    half: Annotated[
        str | None, typer.Option(metavar="tune|held", help="With --likeness: only this half of the real objects.")
    ] = None,
    crop: Annotated[int | None, typer.Option(help="With --likeness: central pixels a side.")] = None,
    match: Annotated[
        bool, typer.Option("--match", help="With --likeness: only simulated objects as bright as the real ones.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="With --likeness: of folds and first weights.")] = 0,
) -> None:
    """Hold a model against real observations, or simulated frames against real ones."""
    from twin.schema import UserError

    if likeness is None:
        only = {"--class": classes, "--half": half, "--crop": crop, "--match": match or None, "--seed": seed or None}
        given = next((name for name, value in only.items() if value is not None), None)
        if given:
            raise UserError("goes with --likeness", key=given)
        if model is None or benchmark is None:
            raise UserError(
                "is missing: MODEL and BENCHMARK, or --likeness REAL SIM", key="MODEL" if model is None else "BENCHMARK"
            )
        _devices()
        from twin.evaluate import evaluate as run

        run(model, benchmark, out, json or out / "metrics.json", data=data, calibration=calibration)
    else:
        if model is not None or data is not None or calibration is not None:
            raise UserError(
                "compares two datasets: give neither MODEL, BENCHMARK, --data nor --calibration", key="--likeness"
            )
        _devices()
        from twin.evaluate.likeness import likeness as compare

        found = compare(*likeness, out, json, classes=classes, half=half, crop=crop, match=match, seed=seed)
        for name, auc in found.metrics.items():
            typer.echo(f"{name} {auc.value:.3f} [{auc.low:.3f}, {auc.high:.3f}]")
    typer.echo(f"wrote {out}")


@app.command(epilog="Example: twin demo -o demo/")
def demo(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for all that it makes.")] = Path("demo"),
) -> None:
    """Run the whole chain at small size: simulate, verify, look, train, judge. The same command resumes."""
    _devices()
    from twin.evaluate.demo import run

    run(out)


def _devices() -> None:
    """One JAX device a core, before anything touches JAX."""
    from twin.numerics.devices import setup_devices

    setup_devices()


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; return its exit code. Mistakes become one line on stderr, bugs keep their traceback."""
    log, spoken = logging.getLogger("twin"), logging.StreamHandler(sys.stdout)  # stderr is for the one line
    spoken.setFormatter(logging.Formatter("%(message)s"))
    log.setLevel(logging.INFO)
    log.addHandler(spoken)
    log.propagate = False  # some libraries put a handler of their own on the root
    try:
        code = app(args=None if argv is None else list(argv), prog_name="twin", standalone_mode=False)
        if code == 130:  # what typer makes of Ctrl-C
            raise KeyboardInterrupt
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("interrupted; resume with the same command", err=True)
        return 130
    except BrokenPipeError:  # `twin recipes | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except typer.TyperException as mistake:
        return _say(mistake.format_message())
    except OSError as mistake:
        place = f"{mistake.filename}: " if mistake.filename else ""
        return _say(f"{place}{mistake.strerror or mistake}")
    except ValueError as mistake:
        from twin.schema import UserError

        if not isinstance(mistake, UserError):
            raise
        return _say(str(mistake))
    finally:
        log.removeHandler(spoken)
        log.propagate = True


def _say(message: str) -> int:
    if message:  # empty where the help has been shown instead
        typer.echo(" ".join(message.split()), err=True)
    return 2


if __name__ == "__main__":
    sys.exit(main())
