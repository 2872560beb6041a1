"""Physics that an instrument's YAML may switch on. A key that it does not name is off, and changes nothing."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from twin.schema import UserError, quantity

Share = Annotated[float, quantity("", ge=0, le=1)]
Angle = Annotated[float, quantity("deg", ge=-360, le=360)]
Brightness = Annotated[float, quantity("mag/arcsec2", ge=2, le=40)]
Part = Literal["airglow", "zodiacal", "moon", "twilight", "earthshine"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Warmth(_Strict):
    """Seeing FWHM = coefficient (dT / K)^exponent where something is dT warmer than the air that it meets."""

    coefficient: Annotated[float, quantity("arcsec", ge=0, le=10)]
    exponent: Annotated[float, quantity("", ge=1, le=3)] = 1.2


class Refraction(_Strict):
    """Differential refraction: light of a band is drawn out along the direction of the zenith (see Band.width).

    rotation   direction of north on the detector, from x to y
    parity     1: from north over east turns like x to y;  -1: the other way
    reference  wavelength that the bands' positions are counted from; None = each band is centred on itself
    """

    rotation: Angle = 0.0
    parity: Literal[1, -1] = 1
    reference: Annotated[float, quantity("nm", gt=200, lt=5000)] | None = None


class Air(_Strict):
    """The atmosphere beyond its seeing.

    airmass_exponent, wavelength_exponent  of the FWHM: 0.6 and -0.2 are Kolmogorov's; a calibration refits them
    mirror      mirror_temperature over mirror_air_temperature (0.4 arcsec and 6/5: Racine+ 1991, PASP 103, 1020)
    dome        dome_temperature over outside_temperature (0.1 arcsec and 6/5: the same)
    """

    airmass_exponent: Annotated[float, quantity("", ge=0, le=2)] = 0.6
    wavelength_exponent: Annotated[float, quantity("", ge=-1, le=1)] = -0.2
    mirror: Warmth | None = None
    dome: Warmth | None = None
    refraction: Refraction | None = None


class Layer(_Strict):
    """A turbulent layer: height over the telescope, weight (made to sum to 1), wind and where it blows to, x to y."""

    height: Annotated[float, quantity("m", ge=0, le=40000)]
    weight: Annotated[float, quantity("", gt=0)]
    wind: Annotated[float, quantity("m/s", gt=0, le=150)]
    direction: Angle


class Speckle(_Strict):
    """The residual of a finite exposure (twin.observatory.speckle). Winds follow the channels tau0, wind_speed and
    wind_200mb where the instrument has them."""

    layers: tuple[Layer, ...] = Field(min_length=1, max_length=64)


class Sky(_Strict):
    """The sky from its sources, in place of a channel sky_brightness. A part needs its channels.

    airglow     AB brightness at the zenith, by band, while the sun's 10.7 cm flux is `solar_flux`
    earthshine  AB brightness in V of the earth's scattered light at its brightest, and the orbit's phase of that
    """

    parts: tuple[Part, ...] = Field(min_length=1)
    airglow: dict[str, Brightness] | None = None
    solar_flux: Annotated[float, quantity("sfu", ge=50, le=500)] = 130.0
    earthshine: Brightness | None = None
    earthshine_phase: Share = 0.0

    @model_validator(mode="after")
    def _complete(self) -> Sky:
        for name in ("airglow", "earthshine"):
            if (name in self.parts) != (getattr(self, name) is not None):
                raise UserError(f"{name} must stand both as a part and with its brightness, or not at all")
        return self


class WindShake(_Strict):
    """Image motion = rms (V / 10 m/s)^2 an axis, times shelter + (1 - shelter) max(0, cos(wind - pointing)).

    ellipticity  (a^2 - b^2) / (a^2 + b^2), its long axis along the direction of the zenith on the detector
    rotation, parity  of the detector, as for refraction
    """

    rms: Annotated[float, quantity("arcsec", ge=0, le=10)]
    shelter: Share = 1.0
    ellipticity: Annotated[float, quantity("", ge=0, lt=1)] = 0.0
    rotation: Angle = 0.0
    parity: Literal[1, -1] = 1


class Shake(_Strict):
    """Image motion beyond jitter_rms. guider: the share of guider_rms (squared) that the image has too."""

    wind: WindShake | None = None
    guider: Annotated[float, quantity("", ge=0, le=2)] = 0.0


class Truss(_Strict):
    """Focus moves by `drift` for each kelvin that the truss is warmer than `reference`; corrected is the share that
    the observatory takes out."""

    drift: Annotated[float, quantity("um")]  # per kelvin
    reference: Annotated[float, quantity("deg_C", ge=-90, le=60)]
    corrected: Share = 0.0


Slope = str | float


class FieldPoint(_Strict):
    """A point of the field whose Zernikes are known: {z4: 30 nm, ...}."""

    x: Annotated[float, quantity("deg")]
    y: Annotated[float, quantity("deg")]
    zernikes: dict[str, Annotated[float, quantity("nm")]] = Field(min_length=1)


class FieldMap(_Strict):
    """Aberrations over the field as double Zernikes: z_j = sum_k c[j][k] Z_k(x / radius, y / radius), k = 1, 2, ...

    terms   {z4: [c1, c2, ...], ...}: optical path in nm
    points  in place of terms: a table of field points, to which `count` terms are fitted
    """

    radius: Annotated[float, quantity("deg", gt=0, le=20)]
    terms: dict[str, tuple[Annotated[float, quantity("nm")], ...]] | None = Field(None, min_length=1)
    points: tuple[FieldPoint, ...] | None = Field(None, min_length=1)
    count: int = Field(6, ge=1, le=45)

    @model_validator(mode="after")
    def _one_of_both(self) -> FieldMap:
        if (self.terms is None) == (self.points is None):
            raise UserError("needs either terms or points")
        return self


class Collimation(_Strict):
    """Alignment -> Zernikes.

    sensitivity  {channel: {z4: 4.1 nm/um, ...}}: optical path for a unit of a hexapod's channel or of focus_offset
    truss        focus drift with temperature; enters through the sensitivity of focus_offset
    donuts       donut_z4 ... are added to z4 ...
    field        the map at field_x, field_y
    """

    sensitivity: dict[str, dict[str, Slope]] = {}
    truss: Truss | None = None
    donuts: bool = False
    field: FieldMap | None = None


class DarkCurrent(_Strict):
    """detector.dark holds at `reference`; elsewhere it goes as T^1.5 exp(-Eg / 2kT) with Eg of silicon, or `gap`."""

    reference: Annotated[float, quantity("K", ge=20, le=330)]
    gap: Annotated[float, quantity("eV", gt=0, lt=5)] | None = None


class Orbit(_Strict):
    """Focus breathing of a telescope in orbit: z4 += amplitude cos 2 pi (orbit_phase - phase)."""

    amplitude: Annotated[float, quantity("nm", ge=0)]
    phase: Share = 0.0
