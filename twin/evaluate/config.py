"""A benchmark as data: the YAML files of `twin/configs/benchmarks`, validated."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from twin.schema import UserError, load_yaml, quantity, suggest, validate

Arcsec = Annotated[float, quantity("arcsec", gt=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Quasars(_Strict):
    """Which lenses are scored: class, inclusive range of catalogue separation, lower limit of r-band S/N."""

    sled_class: str
    separation: tuple[Arcsec, Arcsec]
    snr_r: Annotated[float, Field(gt=0)]


class SetAside(_Strict):
    """An entry whose catalogue value is contradicted by its own frame, and why."""

    name: str
    reason: str


class Matching(_Strict):
    """Greedy one-to-one pairing in r magnitude, and the list it gave (beside the YAML file)."""

    tolerance: Annotated[float, Field(gt=0)]
    seed: int
    pairs: str


class Concentration(_Strict):
    """Radii of the two apertures whose flux ratio is the concentration."""

    inner: Arcsec
    outer: Arcsec


class RealLenses(_Strict):
    """A benchmark on real lenses and the objects beside them."""

    benchmark: str
    function: Literal["ps1_lenses"]
    title: str
    source: str
    folder: str
    bands: tuple[str, ...]
    centre_band: str
    crop: Annotated[int, Field(gt=0)]
    pixel_scale: Arcsec
    quasars: Quasars
    set_aside: tuple[SetAside, ...]
    matching: Matching
    concentration: Concentration
    protocol: str


class Simulated(_Strict):
    """A benchmark on fresh simulations of the model's own recipe."""

    benchmark: str
    function: Literal["simulated"]
    title: str
    n: Annotated[int, Field(ge=100)]
    seed: int
    protocol: str


class StarCuts(_Strict):
    """What counts as a star: twin.observatory.calibrate.stars.Cuts."""

    snr: Annotated[float, Field(gt=0)]
    spread: Annotated[float, Field(gt=0)]
    star: Annotated[float, Field(ge=0, lt=1)]
    linear: Annotated[float, Field(gt=0)]


class DecamStars(_Strict):
    """A benchmark of a calibration on catalogues of stars."""

    benchmark: str
    function: Literal["decam_stars"]
    title: str
    folder: str
    catalogues: str
    folds: Annotated[int, Field(ge=2)]
    block: Annotated[float, Field(gt=0)]
    cuts: StarCuts
    protocol: str


Minutes = Annotated[float, quantity("min", gt=0)]


class DecamSeeing(_Strict):
    """A benchmark of a forecast on a table of exposures."""

    benchmark: str
    function: Literal["decam_seeing"]
    title: str
    folder: str
    table: str
    folds: Annotated[int, Field(ge=2)]
    fold: Annotated[int, Field(ge=0)]
    recent: Minutes
    hidden: Minutes
    aged: tuple[Minutes, Minutes]
    airmass_exponent: float
    wavelength_exponent: float
    bands: dict[str, Annotated[float, quantity("nm", gt=0)]]
    protocol: str


Arcmin = Annotated[float, quantity("arcmin", gt=0)]


class XrayFields(_Strict):
    """A benchmark of a detector on a recipe's simulated fields.

    ceiling  fields that the likelihood ratio looks at, too;  radius  of a match;  flux  edges [mCrab]
    bright   [mCrab] from which a source has arms;  arms  distance from which a place is away from them
    limit    [mCrab] of the figures of purity and completeness
    """

    benchmark: str
    function: Literal["xray_fields"]
    title: str
    recipe: str
    n: Annotated[int, Field(ge=1)]
    seed: int
    ceiling: Annotated[int, Field(ge=0)]
    radius: Arcmin
    arms: Arcmin
    bright: Annotated[float, Field(gt=0)]
    flux: tuple[Annotated[float, Field(gt=0)], ...]
    limit: Annotated[float, Field(gt=0)]
    protocol: str


class TransientFiles(_Strict):
    """Event lists and spectra of a source and its background; width of a light curve's bins [s]; energy [keV] between
    soft and hard."""

    events: str
    background_events: str
    spectrum: str
    background_spectrum: str
    bin: Annotated[float, quantity("s", gt=0)]
    split: Annotated[float, quantity("keV", gt=0)]


class EpWxt44(_Strict):
    """A benchmark on a real frame of a lobster eye: a calibrated telescope, and a trained detector, search it.

    transient   bin (x, y), counted from 0;  transient_counts  in 5 x 5 bins about it;  sky  its RA, Dec [deg]
    circle      within which the effective area's counts lie
    fluxes      [mCrab] of injected sources;  injections  off and on the arms, in each of `frames` a flux
    apart       [bin] between them;  on_arm, off_arm  nearer and further than which a place is on, off the Crab's arms
    alarms      false alarms a field that thresholds allow, in simulated `fields`;  clumps  their background's variance
                over its mean
    """

    benchmark: str
    function: Literal["ep_wxt44"]
    title: str
    folder: str
    image: str
    arf: str
    transient: tuple[float, float]
    transient_counts: Annotated[int, Field(gt=0)]
    sky: tuple[float, float]
    transient_files: TransientFiles
    circle: Arcmin
    fluxes: tuple[Annotated[float, Field(gt=0)], ...]
    injections: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]]
    frames: Annotated[int, Field(ge=1)]
    apart: Annotated[float, Field(gt=0)]
    on_arm: Arcmin
    off_arm: Arcmin
    alarms: Annotated[float, Field(gt=0)]
    fields: Annotated[int, Field(ge=1)]
    clumps: Annotated[float, Field(ge=1)]
    seed: int
    protocol: str


Benchmark = EpWxt44 | XrayFields | RealLenses | Simulated | DecamStars | DecamSeeing
KINDS: dict[str, type[Benchmark]] = {
    "ps1_lenses": RealLenses,
    "simulated": Simulated,
    "decam_stars": DecamStars,
    "decam_seeing": DecamSeeing,
    "ep_wxt44": EpWxt44,
    "xray_fields": XrayFields,
}


def folder() -> Path:
    """Where the shipped benchmarks lie."""
    return Path(str(files("twin") / "configs" / "benchmarks"))


def names() -> list[str]:
    """Names of the shipped benchmarks."""
    return sorted(path.stem for path in folder().glob("*.yaml"))


def load(name: str) -> Benchmark:
    """The benchmark of that name. Raises UserError for an unknown one, with the nearest name."""
    if name not in names():
        raise UserError(
            f'no benchmark "{name}"; there are {", ".join(names())}', key="benchmark", suggestion=suggest(name, names())
        )
    node = load_yaml(folder() / f"{name}.yaml")
    kind = node.at("function").value
    if kind not in KINDS:
        raise node.error(f"must be one of {', '.join(KINDS)}", ("function",), suggest(str(kind), KINDS))
    return validate(KINDS[kind], node)
