"""What a spectrograph's YAML file may say, and where the shipped ones lie."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from twin.observatory.config import ChannelConfig, Nights
from twin.schema import Node, UserError, load_yaml, quantity, suggest, validate

Share = Annotated[float, quantity("", ge=0, le=1)]
Wavelength = Annotated[float, quantity("AA", gt=1000, lt=30000)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PixelsConfig(_Strict):
    """Pixels from `first`, the centre of the first, by `step` in angstrom or by `log_step` in log10 of the wavelength.

    medium  of these wavelengths: of `first`, and of a linear step
    """

    medium: Literal["vacuum", "air"]
    first: Wavelength
    step: Annotated[float, quantity("AA", gt=0, lt=100)] | None = None
    log_step: Annotated[float, quantity("", gt=0, lt=0.01)] | None = None
    count: int = Field(ge=16, le=100000)

    @model_validator(mode="after")
    def _one_step(self) -> PixelsConfig:
        if (self.step is None) == (self.log_step is None):
            raise UserError("needs either step or log_step")
        if self.log_step is not None and self.medium == "air":
            raise UserError("pixels by log_step are in vacuum")
        return self


class SlitConfig(_Strict):
    """Where the light enters, and what that does to the line-spread function.

    width       diameter of a fibre, width of a slit, on the sky
    share       of the line's variance that is the image of the entrance, evenly lit
    scrambling  how far the image forgets how the entrance was lit: 1 = the seeing does not show in the spectrum
    """

    kind: Literal["fibre", "slit"]
    width: Annotated[float, quantity("arcsec", gt=0, lt=60)]
    share: Share
    scrambling: Share = 1.0


class LsfConfig(_Strict):
    """The line-spread function, see twin.observatory.spectrograph.lsf. Its core's FWHM at `reference` is `fwhm`, or
    the reference over `resolution`; elsewhere it goes with the Legendre series `shape` over the spectrum.

    focus  standard deviation for a unit of camera_focus
    reach  how far a line's light is followed, in standard deviations of the core
    """

    reference: Wavelength
    resolution: Annotated[float, quantity("", gt=50, lt=1e6)] | None = None
    fwhm: Annotated[float, quantity("AA", gt=0, lt=500)] | None = None
    shape: tuple[float, float, float] = (1.0, 0.0, 0.0)
    wing: Annotated[float, quantity("", ge=0, lt=0.5)] = 0.0
    wing_width: Annotated[float, quantity("", gt=1, le=10)] = 2.5
    focus: Annotated[float, quantity("AA/um", ge=0, lt=10)] = 0.0
    reach: Annotated[float, quantity("", ge=4, le=40)] = 6.0

    @model_validator(mode="after")
    def _one_width(self) -> LsfConfig:
        if (self.fwhm is None) == (self.resolution is None):
            raise UserError("needs either resolution or fwhm")
        return self

    @property
    def width(self) -> float:
        """FWHM at the reference [AA]."""
        return self.fwhm if self.fwhm is not None else self.reference / (self.resolution or 1.0)


class SkyConfig(_Strict):
    """The sky in the extracted pixel, in an exposure of `exposure` under `brightness`.

    lines    electrons that a line of 100 rayleigh brings, all its pixels together
    scatter  random error of what was subtracted, a share of the lines
    """

    continuum: Annotated[float, quantity("e-/px", ge=0)]
    lines: Annotated[float, quantity("e-", ge=0)]
    brightness: Annotated[float, quantity("mag/arcsec2", ge=2, le=40)]
    exposure: Annotated[float, quantity("s", gt=0)]
    scatter: Share = 0.0


class ReadoutConfig(_Strict):
    """The detector behind a pixel of the spectrum: `aperture` pixels across it, read `reads` times.

    bad_pixels  share without a value;  cosmic_rays  hits of an extracted pixel a second, with the mean `charge`;
    caught      share of them that the pipeline masks
    line_mask   height over the local continuum, in standard deviations of the noise, from which the pipeline takes an
                emission line for hits and sets ivar = 0 all over it; inf = never
    """

    gain: Annotated[float, quantity("e-/adu", gt=0)]
    read_noise: Annotated[float, quantity("e-", ge=0)]
    aperture: Annotated[float, quantity("px", gt=0, le=1000)]
    reads: int = Field(1, ge=1, le=1000)
    bad_pixels: Share = 0.0
    cosmic_rays: Annotated[float, quantity("/s", ge=0, lt=1)] = 0.0
    charge: Annotated[float, quantity("e-", gt=0)] = 1000.0
    caught: Share = 0.95
    line_mask: Annotated[float, quantity("", gt=0)] = float("inf")


class FringeConfig(_Strict):
    """Fringes of a thinned detector: 2 n d = `thickness`; they set in at `onset` and are full at the red end."""

    thickness: Annotated[float, quantity("um", gt=1, lt=1000)]
    onset: Wavelength


class SpectrographConfig(_Strict):
    """A spectrograph, one fibre or slit of it. See SpectrographState and the channels in docs/spectrograph.md.

    window      where `snr` is measured (median over its pixels)
    throughput  Legendre series of ln(electrons a pixel for flux density), over the spectrum
    """

    name: str = Field(min_length=1)
    kind: Literal["spectrograph"]
    description: str
    pixels: PixelsConfig
    window: tuple[Wavelength, Wavelength]
    slit: SlitConfig
    lsf: LsfConfig
    throughput: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    sky: SkyConfig
    detector: ReadoutConfig
    fringes: FringeConfig | None = None
    nights: Nights = Nights()
    time_keywords: tuple[str, ...] = ("time",)
    channels: dict[str, ChannelConfig]

    @property
    def bands(self) -> tuple[str, ...]:
        """None: channels do not differ by band."""
        return ()


def _shipped() -> dict[str, Path]:
    folder = files("twin") / "configs" / "instruments" / "spectrograph"
    return {Path(str(item)).stem: Path(str(item)) for item in folder.iterdir() if item.name.endswith(".yaml")}


def list_spectrographs() -> tuple[str, ...]:
    """Names of the shipped spectrographs."""
    return tuple(sorted(_shipped()))


def find_spectrograph(name_or_path: str | Path) -> Node:
    """YAML of a shipped spectrograph, or of a file. Raises UserError where there is neither."""
    shipped, text = _shipped(), str(name_or_path)
    if text in shipped:
        return load_yaml(shipped[text])
    if Path(text).suffix in (".yaml", ".yml") or len(Path(text).parts) > 1:
        return load_yaml(text)
    raise UserError(
        f'unknown spectrograph "{text}" (known: {", ".join(sorted(shipped))})', suggestion=suggest(text, shipped)
    )


def read_spectrograph(node: Node) -> SpectrographConfig:
    """The validated instrument of a YAML node. Raises UserError with file, line and key."""
    config = validate(SpectrographConfig, node)
    if not config.window[0] < config.window[1]:
        raise node.error("the window ends before it begins", ("window",))
    return config
