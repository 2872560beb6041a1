"""The canonical telemetry channels: name, unit, the value that switches an effect off, and the physics each drives."""

from __future__ import annotations

import math
from dataclasses import dataclass

from twin.observatory.spectral_kinds import SPECTRAL


@dataclass(frozen=True)
class Kind:
    """A canonical channel.

    unit     VOUnit string, "" for pure numbers
    neutral  value that switches its effect off; NaN = none does
    limits   what any site on Earth or in orbit can have, in `unit`: beyond it a value is a mistake
    ucd      UCD1+ word
    meaning  one line
    drives   the physics that it feeds, "" where it is no input of the State
    by_band  it is a measurement in one filter, and says nothing of the others
    """

    unit: str
    neutral: float
    limits: tuple[float, float]
    ucd: str
    meaning: str
    drives: str
    by_band: bool = False


NOLL = {
    4: "defocus",
    5: "oblique astigmatism",
    6: "vertical astigmatism",
    7: "vertical coma",
    8: "horizontal coma",
    9: "vertical trefoil",
    10: "oblique trefoil",
    11: "spherical aberration",
}

_AIR, _DOME, _DETECTOR = "phys.temperature;obs.atmos", "phys.temperature;instr.obsty", "phys.temperature;instr.det"
_NONE, _ALWAYS = math.nan, (-math.inf, math.inf)
_TURN, _DEGREES = (-360.0, 360.0), (-90.0, 90.0)
_WARMTH = (-90.0, 60.0)  # of air and of telescopes on the ground [deg_C]

KINDS: dict[str, Kind] = {
    # The atmosphere.
    "seeing": Kind(
        "arcsec",
        _NONE,
        (0.1, 15.0),
        "instr.obsty.seeing",
        "0.976 lambda / r0 at 500 nm and zenith, as a DIMM gives it",
        "Fried parameter r0 of the long-exposure PSF",
    ),
    "seeing_scatter": Kind(
        "",
        0.0,
        (0.0, 2.0),
        "stat.stdev;instr.obsty.seeing",
        "standard deviation of ln seeing between the epochs",
        "r0 of a stack's epochs",
    ),
    "outer_scale": Kind(
        "m",
        _NONE,
        (0.5, 1000.0),
        "phys.size",
        "outer scale L0 of the turbulence",
        "core and wings of the PSF",
    ),
    "tau0": Kind(
        "s",
        _NONE,
        (1e-5, 0.2),
        "time.scale;obs.atmos",
        "coherence time 0.314 r0 / V at 500 nm",
        "speckles that a finite exposure leaves: ellipticity",
    ),
    **{
        f"speckle_{k}": Kind(
            "",
            0.0,
            (-10.0, 10.0),
            "stat.stdev",
            f"standard normal deviate of the modulation a{k} that a finite exposure left",
            "speckles that a finite exposure leaves: ellipticity",
        )
        for k in (1, 2)
    },
    "wind_200mb": Kind(
        "m/s",
        _NONE,
        (0.0, 150.0),
        "phys.veloc;obs.atmos",
        "wind speed at 200 mbar, the jet stream",
        "tau0, the speed of the layers",
    ),
    "airmass": Kind(
        "",
        1.0,
        (0.99, 40.0),
        "obs.airMass",
        "airmass of the pointing",
        "r0, extinction, refraction, sky",
    ),
    "elevation": Kind(
        "deg",
        _NONE,
        _DEGREES,
        "pos.az.alt",
        "height of the pointing above the horizon",
        "airmass where none is given; flexure, refraction",
    ),
    "azimuth": Kind(
        "deg",
        _NONE,
        _TURN,
        "pos.az.azi",
        "azimuth of the pointing, from north over east",
        "wind against the telescope",
    ),
    "parallactic_angle": Kind(
        "deg",
        _NONE,
        _TURN,
        "pos.posAng",
        "direction of the zenith at the pointing, from north over east",
        "direction of differential refraction",
    ),
    "pressure": Kind(
        "hPa",
        _NONE,
        (300.0, 1100.0),
        "phys.pressure;obs.atmos",
        "air pressure at the site",
        "refractivity of the air",
    ),
    "humidity": Kind(
        "",
        _NONE,
        (0.0, 1.05),
        "obs.atmos.humidity",
        "relative humidity outside, a share of one",
        "refractivity of the air, throughput",
    ),
    "outside_temperature": Kind(
        "deg_C",
        _NONE,
        _WARMTH,
        _AIR,
        "air outside the dome",
        "dome seeing, refractivity of the air",
    ),
    "transparency": Kind(
        "",
        1.0,
        (0.0, 1.5),
        "phys.transmission",
        "share of the clear sky's light that arrives",
        "throughput",
    ),
    # The telescope.
    "wind_speed": Kind(
        "m/s",
        0.0,
        (0.0, 80.0),
        "phys.veloc;obs.atmos",
        "wind outside the dome",
        "wind shake, flushing of the dome",
    ),
    "wind_direction": Kind(
        "deg",
        _NONE,
        _TURN,
        "pos.posAng;obs.atmos",
        "where that wind comes from, from north over east",
        "wind shake along the telescope's axes",
    ),
    "dome_temperature": Kind("deg_C", _NONE, _WARMTH, _DOME, "air inside the dome", "dome seeing"),
    "mirror_temperature": Kind("deg_C", _NONE, _WARMTH, _DOME, "surface of the primary mirror", "mirror seeing"),
    "mirror_air_temperature": Kind("deg_C", _NONE, _WARMTH, _DOME, "air above the primary mirror", "mirror seeing"),
    "truss_temperature": Kind("deg_C", _NONE, _WARMTH, _DOME, "structure that holds the secondary", "focus drift"),
    "hexapod_x": Kind("um", 0.0, (-2e4, 2e4), "pos.cartesian.x;instr.tel", "decentre along x", "coma, astigmatism"),
    "hexapod_y": Kind("um", 0.0, (-2e4, 2e4), "pos.cartesian.y;instr.tel", "decentre along y", "coma, astigmatism"),
    "hexapod_z": Kind("um", 0.0, (-5e4, 5e4), "pos.cartesian.z;instr.tel", "focus position", "defocus"),
    "hexapod_tilt_x": Kind(
        "arcsec", 0.0, (-3600.0, 3600.0), "pos.posAng;instr.tel", "tilt about x", "coma, astigmatism"
    ),
    "hexapod_tilt_y": Kind(
        "arcsec", 0.0, (-3600.0, 3600.0), "pos.posAng;instr.tel", "tilt about y", "coma, astigmatism"
    ),
    "focus_offset": Kind("um", 0.0, (-1e4, 1e4), "instr.offset", "how far from best focus it was", "defocus"),
    **{
        f"z{j}": Kind(
            "nm",
            0.0,
            (-2e4, 2e4),
            "instr.setup",
            f"{name}: Noll z{j} of the full pupil, optical path",
            "wavefront of the telescope",
        )
        for j, name in NOLL.items()
    },
    **{
        f"donut_z{j}": Kind(
            "nm",
            0.0,
            (-2e4, 2e4),
            "instr.setup",
            f"{name}: z{j} that the wavefront sensors saw, best focus as zero",
            f"correction of z{j}",
        )
        for j, name in NOLL.items()
    },
    **{
        f"donut_{name}": Kind(unit, 0.0, limits, ucd, f"{what} that the wavefront sensors saw", "coma, astigmatism")
        for name, unit, limits, ucd, what in (
            ("x", "um", (-2e4, 2e4), "pos.cartesian.x;instr.tel", "decentre along x"),
            ("y", "um", (-2e4, 2e4), "pos.cartesian.y;instr.tel", "decentre along y"),
            ("tilt_x", "arcsec", (-3600.0, 3600.0), "pos.posAng;instr.tel", "tilt about x"),
            ("tilt_y", "arcsec", (-3600.0, 3600.0), "pos.posAng;instr.tel", "tilt about y"),
        )
    },
    "jitter_rms": Kind(
        "arcsec",
        0.0,
        (0.0, 10.0),
        "stat.stdev;pos",
        "image motion and other Gaussian blur, an axis",
        "covariance of image motion",
    ),
    "jitter_ellipticity": Kind(
        "",
        0.0,
        (0.0, 1.0),
        "src.ellipticity",
        "(a^2 - b^2) / (a^2 + b^2) of that blur",
        "covariance of image motion",
    ),
    "jitter_angle": Kind(
        "deg",
        0.0,
        _TURN,
        "pos.posAng",
        "direction of its long axis, from x to y",
        "covariance of image motion",
    ),
    "guider_rms": Kind(
        "arcsec",
        0.0,
        (0.0, 10.0),
        "stat.stdev;pos",
        "motion of the guide star, an axis",
        "covariance of image motion",
    ),
    "field_x": Kind(
        "deg", 0.0, (-10.0, 10.0), "pos.cartesian.x;instr.det", "place in the field, x", "field map of aberrations"
    ),
    "field_y": Kind(
        "deg", 0.0, (-10.0, 10.0), "pos.cartesian.y;instr.det", "place in the field, y", "field map of aberrations"
    ),
    "orbit_phase": Kind(
        "", _NONE, (0.0, 1.0), "time.phase", "share of the orbit since its node", "focus breathing, earthshine"
    ),
    # The sky.
    "sky_brightness": Kind(
        "mag/arcsec2",
        _NONE,
        (2.0, 30.0),
        "phot.mag.sb;instr.skyLevel",
        "AB sky at the pointing, moon included",
        "background and its shot noise",
        True,
    ),
    "moon_illumination": Kind(
        "", 0.0, (0.0, 1.0), "phys.size;arith.ratio", "lit share of the moon's disc", "moonlight"
    ),
    "moon_altitude": Kind("deg", -90.0, _DEGREES, "pos.az.alt", "height of the moon above the horizon", "moonlight"),
    "moon_separation": Kind("deg", _NONE, (0.0, 180.0), "pos.angDistance", "moon to pointing", "moonlight"),
    "sun_altitude": Kind("deg", -90.0, _DEGREES, "pos.az.alt", "height of the sun above the horizon", "twilight"),
    "ecliptic_latitude": Kind("deg", _NONE, _DEGREES, "pos.ecliptic.lat", "of the pointing", "zodiacal light"),
    "ecliptic_longitude": Kind(
        "deg", _NONE, _TURN, "pos.ecliptic.lon", "of the pointing, from the sun", "zodiacal light"
    ),
    "galactic_latitude": Kind("deg", _NONE, _DEGREES, "pos.galactic.lat", "of the pointing", "diffuse starlight"),
    "solar_flux": Kind(
        "sfu",
        _NONE,
        (50.0, 500.0),
        "phot.flux.density;em.radio",
        "sun at 10.7 cm",
        "airglow",
    ),
    # The detector and the frame.
    "detector_temperature": Kind("K", _NONE, (20.0, 330.0), _DETECTOR, "temperature of the detector", "dark current"),
    "exptime": Kind(
        "s",
        _NONE,
        (1e-4, 1e6),
        "time.duration;obs.exposure",
        "exposure time, all epochs together",
        "counts, speckles",
    ),
    "resampling": Kind(
        "px",
        0.0,
        (0.0, 5.0),
        "instr.det.psf",
        "standard deviation of the kernel that put epochs on one grid",
        "correlation of the noise",
    ),
    "offset_x": Kind(
        "arcsec", 0.0, (-60.0, 60.0), "pos.cartesian.x", "misregistration of the band along x", "registration"
    ),
    "offset_y": Kind(
        "arcsec", 0.0, (-60.0, 60.0), "pos.cartesian.y", "misregistration of the band along y", "registration"
    ),
    "background": Kind(
        "",
        0.0,
        _ALWAYS,
        "instr.background",
        "sky left after subtraction, in pixel noises before resampling",
        "background of the frame",
    ),
    "background_x": Kind(
        "",
        0.0,
        _ALWAYS,
        "instr.background",
        "its change across the frame along x, in the same unit",
        "background of the frame",
    ),
    "background_y": Kind(
        "",
        0.0,
        _ALWAYS,
        "instr.background",
        "its change across the frame along y, in the same unit",
        "background of the frame",
    ),
    # What only spectrographs have.
    **{name: Kind(*values) for name, values in SPECTRAL.items()},
    # What the image showed: it judges a twin, and never enters its State.
    "measured_fwhm": Kind(
        "arcsec",
        _NONE,
        (0.01, 60.0),
        "phys.angSize;instr.det.psf",
        "FWHM of the stars on the image",
        "",
        True,
    ),
}


def kind_of(name: str) -> tuple[str, str]:
    """("seeing", "g") of "seeing_g", ("wind_speed", "") of "wind_speed"."""
    if name in KINDS:
        return name, ""
    kind, _, band = name.rpartition("_")
    return (kind, band) if kind in KINDS else (name, "")
