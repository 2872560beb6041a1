"""What an instrument's YAML may say of its detector. An effect that it does not name is off."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from twin.schema import UserError, quantity

Share = Annotated[float, quantity("", ge=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Amplifiers(_Strict):
    """Amplifiers in `columns` x `rows` equal parts of the detector, numbered along x, then along y.

    Charge moves along y to the lower edge (of two rows, the upper one's to the upper edge), then along x: to the left,
    to the right, or outward from the middle. gain, read_noise and offset (of the bias) are one value an amplifier; the
    detector's own where absent. crosstalk[v][a] is the share of amplifier a's signal that appears in amplifier v.
    """

    columns: int = Field(1, ge=1, le=64)
    rows: Literal[1, 2] = 1
    serial: Literal["left", "right", "outward"] = "left"
    gain: tuple[Annotated[float, quantity("e-/ct", gt=0)], ...] | None = None
    read_noise: tuple[Annotated[float, quantity("e-", ge=0)], ...] | None = None
    offset: tuple[Annotated[float, quantity("ct")], ...] | None = None
    crosstalk: tuple[tuple[Annotated[float, quantity("", gt=-1, lt=1)], ...], ...] | None = None

    @property
    def count(self) -> int:
        return self.columns * self.rows

    @model_validator(mode="after")
    def _one_each(self) -> Amplifiers:
        for name in ("gain", "read_noise", "offset", "crosstalk"):
            values = getattr(self, name)
            if values is not None and len(values) != self.count:
                raise UserError(f"{name} needs one value for each of {self.count} amplifiers, not {len(values)}")
        matrix = self.crosstalk or ()
        if any(len(row) != self.count for row in matrix):
            raise UserError(f"crosstalk needs {self.count} rows of {self.count} numbers")
        if any(matrix[a][a] != 0 for a in range(len(matrix))):
            raise UserError("crosstalk of an amplifier with itself must be 0")
        return self


class BiasPattern(_Strict):
    """Structure of the bias: of each pixel, of each column (both fixed), and of each row (new in every read)."""

    pixel: Annotated[float, quantity("ct", ge=0)] = 0.0
    column: Annotated[float, quantity("ct", ge=0)] = 0.0
    row: Annotated[float, quantity("ct", ge=0)] = 0.0
    row_correlation: Annotated[float, quantity("", ge=0, lt=1)] = 0.0  # of a row's level with the one before


class Overscan(_Strict):
    """Virtual pixels read after each row; `subtract`: their mean over the row is taken off the frame, and the nominal
    bias put back."""

    columns: int = Field(ge=1, le=1024)
    subtract: bool = False


class FlatField(_Strict):
    """Response of each pixel: mean 1 and standard deviation `prnu`; a share of them is dead."""

    prnu: Annotated[float, quantity("", ge=0, le=0.2)] = 0.0
    dead: Share = 0.0


class DarkPattern(_Strict):
    """Dark current of each pixel over the mean: a lognormal of this standard deviation of its logarithm; a share of the
    pixels is hot, with `hot_factor` as the median and `hot_sigma` as the logarithm's standard deviation."""

    sigma: Annotated[float, quantity("", ge=0, le=3)] = 0.0
    hot: Share = 0.0
    hot_factor: Annotated[float, quantity("", gt=1)] = 100.0
    hot_sigma: Annotated[float, quantity("", ge=0, le=3)] = 1.0


class Bleeding(_Strict):
    """Charge above the full well runs along the column; the share `up` to higher y."""

    up: Share = 0.5


class BrighterFatter(_Strict):
    """Antilogus' coefficients a_ij, a power law in distance: see `brighter_fatter.coefficients`."""

    strength: Annotated[float, quantity("", ge=0, le=1e-4)]  # -a_00, shrinking of a pixel for an electron in it
    slope: Annotated[float, quantity("", gt=2, le=8)] = 3.0
    reach: int = Field(8, ge=2, le=16)


class Traps(_Strict):
    """A species of traps: how many a pixel has, after how many transfers a share 1 - 1/e of them is empty again."""

    density: Annotated[float, quantity("", ge=0)]
    release: Annotated[float, quantity("px", gt=0)]


class Transfer(_Strict):
    """Charge-transfer inefficiency: traps of the parallel and the serial transfers; the volume that a charge packet
    fills grows as (electrons / full well) ** fill."""

    parallel: tuple[Traps, ...] = ()
    serial: tuple[Traps, ...] = ()
    fill: Annotated[float, quantity("", gt=0, le=1)] = 0.58


class CosmicRays(_Strict):
    """Charged particles through the silicon. `muons`: the zenith law of the ground (intensity as cos^2) in place of
    isotropy."""

    rate: Annotated[float, quantity("/cm2/s", ge=0)]
    thickness: Annotated[float, quantity("um", gt=0, le=2000)]
    muons: bool = False


class Persistence(_Strict):
    """Afterglow of an infrared array (see `persistence.rate`), of stars that the exposure before had saturated.

    amplitude  after 1000 s, for a pixel that had been filled far beyond `knee`
    stars      mean number in a frame, per 10^4 pixels
    since      time from the end of the exposure before
    """

    amplitude: Annotated[float, quantity("e-/s/px", ge=0)]
    knee: Annotated[float, quantity("e-", gt=0)]
    width: Annotated[float, quantity("e-", gt=0)]
    slope: Annotated[float, quantity("", ge=0, le=2)] = 0.2
    decay: Annotated[float, quantity("", gt=0, le=3)] = 1.0
    since: Annotated[float, quantity("s", gt=0)] = 300.0
    stars: Annotated[float, quantity("", ge=0)] = 0.0
    fwhm: Annotated[float, quantity("px", gt=0)] = 3.0
    brightest: Annotated[float, quantity("e-", gt=0)] = 1e7  # in a pixel; numbers fall as its inverse


class Adc(_Strict):
    """The converter of one read: whole counts from 0 to 2^bits - 1."""

    bits: int = Field(16, ge=8, le=24)


class Masks(_Strict):
    """What a stack's `epochs` exposures lack: gaps between cells of the mosaic, at a random place and angle in each,
    and rejected discs (ghosts, satellites' ends, cores of bright stars), `discs` in the mean in an exposure's frame."""

    epochs: int = Field(12, ge=1, le=200)
    pitch: Annotated[float, quantity("px", gt=0)]
    gap: Annotated[float, quantity("px", ge=0)]
    discs: Annotated[float, quantity("", ge=0, le=2)] = 0.0
    radius: Annotated[float, quantity("px", gt=0)] = 10.0

    @model_validator(mode="after")
    def _gap_in_pitch(self) -> Masks:
        if self.gap >= self.pitch:
            raise UserError(f"gap must be smaller than the pitch of {self.pitch:g} px")
        return self


_EFFECTS = (
    "amplifiers",
    "bias_pattern",
    "overscan",
    "flat_field",
    "dark_pattern",
    "nonlinearity",
    "bleeding",
    "brighter_fatter",
    "transfer",
    "cosmic_rays",
    "persistence",
    "adc",
)
_PLACED = ("amplifiers", "bias_pattern", "flat_field", "dark_pattern", "transfer")


class DetectorConfig(_Strict):
    """The detector, for one exposure; effects that are absent are off.

    size      pixels along x and y; needed where something belongs to a place on the detector
    serial    which detector of its kind: another one has other maps of pixels
    position  (x, y) of the frame's first pixel; absent = drawn in every exposure
    nonlinearity  (c2, c3, ...): q electrons read as q (1 + c2 q/w + c3 (q/w)^2 + ...), w the full well (`saturation`)
    masks, resampling  for stacks alone; all others are for single exposures
    resampling  how the State's Gaussian kernel correlates a stack's noise. band-limited: up to the pixel's Nyquist
              frequency, as it blurs the PSF. sampled: its values at whole pixels, which below 0.5 px correlate too
              little and leave too much noise (at 0.33 px 0.02 in place of 0.20, and 1.31 times). isotropic: up to a
              circle about as wide as Nyquist's square, as exposures lie at any angle (see `noise.response`)
    """

    gain: Annotated[float, quantity("e-/ct", gt=0)] = 1.0
    read_noise: Annotated[float, quantity("e-", ge=0)]
    bias: Annotated[float, quantity("ct", ge=0)] = 0.0  # keeps the read noise of a dark pixel above zero counts
    dark: Annotated[float, quantity("e-/s/px", ge=0)] = 0.0
    saturation: Annotated[float, quantity("e-", gt=0)]
    diffusion: Annotated[float, quantity("px", ge=0)] = 0.0  # standard deviation of the charge's sideways drift
    size: tuple[int, int] | None = None
    serial: int = Field(0, ge=0, lt=2**32)
    position: tuple[int, int] | None = None
    pixel: Annotated[float, quantity("um", gt=0)] | None = None  # side of a pixel
    amplifiers: Amplifiers | None = None
    bias_pattern: BiasPattern | None = None
    overscan: Overscan | None = None
    flat_field: FlatField | None = None
    dark_pattern: DarkPattern | None = None
    nonlinearity: tuple[Annotated[float, quantity("", gt=-1, lt=1)], ...] = Field((), max_length=8)
    bleeding: Bleeding | None = None
    brighter_fatter: BrighterFatter | None = None
    transfer: Transfer | None = None
    cosmic_rays: CosmicRays | None = None
    persistence: Persistence | None = None
    adc: Adc | None = None
    masks: Masks | None = None
    resampling: Literal["sampled", "band-limited", "isotropic"] = "sampled"

    @property
    def effects(self) -> tuple[str, ...]:
        """Those of a single exposure that are on."""
        return tuple(name for name in _EFFECTS if getattr(self, name))

    @model_validator(mode="after")
    def _complete(self) -> DetectorConfig:
        placed = [name for name in _PLACED if getattr(self, name) is not None]
        if placed and self.size is None:
            raise UserError(f"size is missing: {placed[0]} belongs to places on the detector")
        if self.cosmic_rays is not None and self.pixel is None:
            raise UserError("pixel is missing: cosmic rays come per area")
        if self.size is not None and not all(1 <= side <= 2**15 for side in self.size):
            raise UserError("size must be from 1 to 32768 pixels a side")
        amplifiers = self.amplifiers
        if amplifiers is not None and self.size is not None:
            if self.size[0] % amplifiers.columns or self.size[1] % amplifiers.rows:
                raise UserError("size must be a multiple of the amplifiers' columns and rows")
        if self.position is not None:
            if self.size is None:
                raise UserError("size is missing: position is one on the detector")
            if not all(0 <= at < side for at, side in zip(self.position, self.size, strict=True)):
                raise UserError("position is not on the detector")
        return self
