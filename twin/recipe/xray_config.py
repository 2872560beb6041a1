"""What the YAML of an X-ray recipe may say, and what is checked of it beyond its types."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_serializer

from twin.observatory.lobster.config import list_lobsters
from twin.observatory.lobster.telescope import Lobster, load_lobster
from twin.observatory.xray import BackgroundConfig, SensorConfig
from twin.priors.laws import Law
from twin.priors.sites import misfit
from twin.priors.xray.config import CLASSES, SkyConfig
from twin.schema import Node, UserError, load_yaml, quantity, suggest, validate
from twin.simulators.lobster.field import CONDITIONS, OPTICS


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class FrameConfig(_Strict):
    """bins a side over the detector; times: slices of the exposure beside the energy bands (`input/times`), or in place
    of them (axis: time); psf: bins a side of the PSF image, each cut into `fine` along both axes; pileup: events that
    touch in one read-out are one (`twin.observatory.xray.pileup`)."""

    bins: int = Field(128, ge=8, le=1024)
    axis: Literal["energy", "time"] = "energy"
    times: int = Field(0, ge=0, le=256)
    psf: int = Field(129, ge=3, le=513)
    fine: int = Field(2, ge=1, le=8)
    pileup: bool = False

    @model_serializer(mode="wrap")
    def _without_options(self, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        # a recipe without pile-up is the same recipe as before there was any
        return {name: value for name, value in handler(self).items() if name != "pileup" or value}


class ListConfig(_Strict):
    """label/sources: room for `sources`, of a mean flux of `faintest` [mCrab] at the least."""

    sources: int = Field(32, ge=1, le=250)
    faintest: float = Field(0.2, gt=0)


class PointingConfig(_Strict):
    """samples: frames that share the telescope's optics, as the exposures of one pointing of one module do."""

    samples: int = Field(32, ge=1, le=4096)


Band = tuple[Annotated[float, quantity("keV", ge=0.3, le=12)], Annotated[float, quantity("keV", ge=0.3, le=12)]]


class XrayConfig(_Strict):
    """An X-ray recipe.

    bands      names and energies of the frame's first axis
    events     whether the events themselves are kept, as Parquet
    response   RMF file in place of the sensor's built one
    classes    shares of fields: `field`, `crab` (with a Crab-bright source), `stray` (with one just outside)
    telemetry  laws of the channels; optics without a law are as the instrument's YAML has them. `table`: a file of
               exposures, whose columns stand in place of the laws of their names (`twin.recipe.xray_exposures`)
    outside    laws in place of those in telemetry, in every second pointing: for frozen test recipes
    pixels     flickering pixels that a frame may have
    """

    name: str
    description: str = ""
    instrument: str
    bands: dict[str, Band] = Field(min_length=1)
    frame: FrameConfig = FrameConfig()
    events: bool = False
    response: str | None = None
    classes: dict[str, float]
    pointing: PointingConfig = PointingConfig()
    telemetry: dict[str, Law | str]
    outside: dict[str, Law] = {}
    sky: SkyConfig
    background: BackgroundConfig = BackgroundConfig()
    sensor: SensorConfig = SensorConfig()
    pixels: int = Field(2, ge=0, le=64)
    list: ListConfig = ListConfig()
    train: dict[str, Any] = {}

    @property
    def laws(self) -> dict[str, Law]:
        """Of the telemetry."""
        return {name: law for name, law in self.telemetry.items() if not isinstance(law, str)}

    @property
    def table(self) -> str | None:
        """The file of exposures."""
        found = self.telemetry.get("table")
        return found if isinstance(found, str) else None


def is_xray(node: Node) -> bool:
    """Whether a recipe's instrument is a lobster eye; where there is none of its name, whether bands have energies."""
    name = node.value.get("instrument") if isinstance(node.value, dict) else None
    if not isinstance(name, str):
        return False
    if name in list_lobsters():
        return True
    path = instrument_path(node, name)
    if path is not None and path.is_file():
        return bool(load_yaml(path).value.get("kind") == "lobster")
    return isinstance(node.value.get("bands"), dict)


def instrument_path(node: Node, name: str) -> Path | None:
    """The file that a recipe names as its instrument, beside itself; None for a shipped one."""
    if Path(name).suffix not in (".yaml", ".yml") and len(Path(name).parts) < 2:
        return None
    said_in = node.where(("instrument",))[0]
    return (Path() if said_in == "--set" else Path(said_in).parent) / name


def read_xray(node: Node) -> XrayConfig:
    """The validated recipe of a YAML node. Raises UserError with file, line and key for whatever is wrong in it."""
    config = validate(XrayConfig, node)
    for name, share in config.classes.items():
        if name not in CLASSES:
            raise node.error("unknown class", ("classes", name), suggest(name, CLASSES))
        if not 0 <= share < float("inf"):
            raise node.error(f"must be a finite share, at least 0, not {share:g}", ("classes", name))
    if not sum(config.classes.values()) > 0:
        raise node.error("the shares of the classes add up to 0", ("classes",))
    sites = OPTICS | CONDITIONS
    for section in ("telemetry", "outside"):
        for name, law in getattr(config, section).items():
            if (section, name) == ("telemetry", "table") and isinstance(law, str):
                continue
            if name not in sites:
                raise node.error("unknown key", (section, name), suggest(name, [*sites, "table"]))
            if isinstance(law, str):
                raise node.error(f'must be a mapping of keys to values, not "{law}"', (section, name))
            problem = misfit(sites[name], law)
            if problem is not None:
                raise node.error(problem, (section, name))
    for name in config.outside:
        if name not in config.laws:
            raise node.error("has no law in telemetry that it could be outside of", ("outside", name))
    last = 0.0
    for name, (low, high) in config.bands.items():
        if not low < high:
            raise node.error(f"ends at {high:g} keV, before it begins", ("bands", name))
        if low < last:
            raise node.error("overlaps the band before it", ("bands", name))
        last = high
    if config.frame.axis == "time" and not config.frame.times:
        raise node.error("axis: time needs times", ("frame", "axis"))
    if config.frame.psf % 2 == 0:
        raise node.error(f"must be odd, not {config.frame.psf}: the source is in the middle", ("frame", "psf"))
    return config


def read_telescope(node: Node, config: XrayConfig) -> Lobster:
    """The recipe's instrument; bins and sensor must fit it."""
    path = instrument_path(node, config.instrument)
    try:
        telescope = load_lobster(config.instrument if path is None else path.absolute())
    except UserError as mistake:
        if mistake.file is not None:  # the mistake is in the instrument's own file
            raise
        raise node.error(mistake.problem, ("instrument",), mistake.suggestion) from None
    detector, energies = telescope.config.detector, telescope.config.energies
    if detector.npix % config.frame.bins:
        problem = f"{config.frame.bins} bins do not divide the {detector.npix} pixels of {telescope.name}"
        raise node.error(problem, ("frame", "bins"))
    if config.sensor.side != detector.npix or config.sensor.pixel != detector.pixel:
        raise node.error(f"side and pixel are not those of {telescope.name}", ("sensor",))
    for name, (low, high) in config.bands.items():
        if low < energies[0] or high > energies[1]:
            limits = f"{energies[0]:g}-{energies[1]:g} keV"
            raise node.error(f"reaches outside the {limits} of {telescope.name}", ("bands", name))
    if energies != (0.5, 4.0):
        raise node.error(
            f"{telescope.name} has {energies[0]:g}-{energies[1]:g} keV: fields are made for 0.5-4 keV", ("instrument",)
        )
    return telescope
