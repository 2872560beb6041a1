"""The optional physics of an instrument: which channels each part needs, and what it makes of their values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import jax
import jax.numpy as jnp
from jax import Array

from twin.observatory import air, effects, shake, sky, space, speckle
from twin.observatory.collimation import Alignment
from twin.observatory.config import InstrumentConfig
from twin.schema import Node

Channel = Callable[[str], Array]  # (B,) values of a channel
_WEATHER = ("pressure", "outside_temperature", "humidity")
_SKY = {
    "airglow": (),
    "zodiacal": ("ecliptic_latitude", "ecliptic_longitude"),
    "moon": ("moon_illumination", "moon_altitude", "moon_separation"),
    "twilight": ("sun_altitude",),
    "earthshine": ("orbit_phase",),
}


def needs(config: InstrumentConfig) -> Iterator[tuple[tuple[str | int, ...], tuple[str, ...]]]:
    """(key of the YAML, channels that it cannot do without)."""
    if config.air.mirror:
        yield ("air", "mirror"), ("mirror_temperature", "mirror_air_temperature")
    if config.air.dome:
        yield ("air", "dome"), ("dome_temperature", "outside_temperature")
    if config.air.refraction:
        yield ("air", "refraction"), ("airmass", "parallactic_angle", *_WEATHER)
    if config.speckle:
        yield ("speckle",), ("speckle_1", "speckle_2")
    for k, part in enumerate(config.sky.parts if config.sky else ()):
        yield ("sky", "parts", k), _SKY[part]
    if wind := config.shake.wind:
        turned = ("wind_direction", "azimuth") if wind.shelter < 1 else ()
        yield ("shake", "wind"), ("wind_speed", *turned, *(("parallactic_angle",) if wind.ellipticity else ()))
    if config.shake.guider:
        yield ("shake", "guider"), ("guider_rms",)
    for channel in config.collimation.sensitivity:
        if channel != "focus_offset" or not config.collimation.truss:  # the truss alone may move the focus
            yield ("collimation", "sensitivity", channel), (channel,)
    if config.collimation.truss:
        yield ("collimation", "truss"), ("truss_temperature",)
    if config.collimation.field:
        yield ("collimation", "field"), ("field_x", "field_y")
    if config.dark_current:
        yield ("dark_current",), ("detector_temperature",)
    if config.orbit:
        yield ("orbit",), ("orbit_phase",)


def _layers(layers: tuple[effects.Layer, ...]) -> speckle.Layers:
    whole = sum(layer.weight for layer in layers)
    return speckle.Layers(
        tuple(layer.height for layer in layers),
        tuple(layer.weight / whole for layer in layers),
        tuple(layer.wind for layer in layers),
        tuple(layer.direction for layer in layers),
    )


class Physics:
    """The optional physics of one instrument, checked against its channels.

    channels    kinds that the instrument's telemetry has
    zernikes    how many Zernikes from z4 it needs, 0 = the channels z4 .. say all
    """

    def __init__(self, config: InstrumentConfig, channels: Collection[str], node: Node) -> None:
        """Raises UserError at the key of a part that lacks a channel, or that the instrument has no use for."""
        self.config, self._given = config, frozenset(channels)
        self.alignment = Alignment(config.collimation, node)
        for path, wanted in needs(config):
            for name in wanted:
                if name not in self._given:
                    raise node.error(f'needs the channel "{name}"', path)
        if config.collimation.donuts and not any(name.startswith("donut_z") for name in self._given):
            raise node.error("needs a channel donut_z4 .. donut_z11", ("collimation", "donuts"))
        grounded: dict[tuple[str, ...], object] = {
            ("air", "mirror"): config.air.mirror,
            ("air", "dome"): config.air.dome,
            ("air", "refraction"): config.air.refraction,
            ("speckle",): config.speckle,
        }
        for ground in (key for key, value in grounded.items() if value and not config.atmosphere):
            raise node.error("needs atmosphere: true", ground)
        self._check_sky(node)
        self.zernikes = max(self.alignment.count, 1 if config.orbit else 0)
        self.layers = _layers(config.speckle.layers) if config.speckle else None
        self._wavelengths = tuple(band.wavelength * 1e-9 for band in config.bands.values())

    def _check_sky(self, node: Node) -> None:
        config = self.config.sky
        if config is None:
            return
        if "sky_brightness" in self._given:
            raise node.error("says the sky a second time: the channel sky_brightness has it", ("sky",))
        if not self.config.atmosphere:
            for k, part in enumerate(config.parts):
                if part in ("airglow", "moon", "twilight"):
                    raise node.error("needs atmosphere: true", ("sky", "parts", k))
        for band in config.airglow or {}:
            if band not in self.config.bands:
                raise node.error("unknown band", ("sky", "airglow", band))
        for band in self.config.bands if config.airglow else ():
            if band not in config.airglow:  # type: ignore[operator]
                raise node.error(f"has no value for the band {band}", ("sky", "airglow"))

    def near_seeing(self, r0: Array, channel: Channel) -> Array:
        """r0 (B, E) with mirror and dome seeing."""
        for warmth, warm, cold in (
            (self.config.air.mirror, "mirror_temperature", "mirror_air_temperature"),
            (self.config.air.dome, "dome_temperature", "outside_temperature"),
        ):
            if warmth:
                fwhm = air.warm_seeing(channel(warm), channel(cold), warmth.coefficient, warmth.exponent)
                r0 = air.add_seeing(r0, fwhm, self._wavelengths)
        return r0

    def motion(self, channel: Channel) -> Array | None:
        """Covariance (B, 3) [arcsec^2] of refraction within the bands, wind and guider; None where none is on."""
        parts = []
        if refraction := self.config.air.refraction:
            wavelength = jnp.asarray(self._wavelengths, jnp.float32)
            width = jnp.asarray([band.width * 1e-9 for band in self.config.bands.values()], jnp.float32)
            weather = (channel(name) for name in _WEATHER)
            spread = air.refraction_spread(wavelength, width, channel("airmass"), *weather)
            zenith = air.towards_zenith(channel("parallactic_angle"), refraction.rotation, refraction.parity)
            parts.append(air.along(zenith, spread))
        if wind := self.config.shake.wind:
            into = channel("wind_direction") - channel("azimuth") if wind.shelter < 1 else 0.0
            rms = shake.wind_shake(channel("wind_speed"), wind.rms, wind.shelter, into)
            q = channel("parallactic_angle") if wind.ellipticity else jnp.zeros_like(rms)
            zenith = air.towards_zenith(q, wind.rotation, wind.parity)
            parts.append(shake.elliptical(rms, jnp.float32(wind.ellipticity), zenith))
        if self.config.shake.guider:
            variance = self.config.shake.guider * channel("guider_rms") ** 2
            parts.append(shake.elliptical(jnp.sqrt(variance), jnp.float32(0), jnp.float32(0)))
        return sum(parts[1:], parts[0]) if parts else None

    def anisotropy(self, channel: Channel, r0: Array, weight: Array, exptime: Array) -> Array:
        """(B, 2) of what a finite exposure leaves: deviates of the channels speckle_1, speckle_2 times the covariance
        that the layers give; zero where it is not asked for. Epochs count together."""
        layers = self.layers
        if layers is None:
            return jnp.zeros((len(self._wavelengths), 2), jnp.float32)

        def told(kind: str) -> Array:
            return channel(kind)[0] if kind in self._given else jnp.float32(jnp.nan)

        zenith = 0.976 * air.REFERENCE / air.ARCSEC / channel("seeing")[0]
        speeds = speckle.winds(layers, zenith, told("tau0"), told("wind_speed"), told("wind_200mb"))
        mean = jnp.sum(weight * r0 ** (-5 / 3), -1) ** -0.6

        def one(r0: Array, outer_scale: Array, exptime: Array) -> Array:
            return speckle.residual(layers, self.config.diameter, r0, outer_scale, exptime, speeds)[0]

        covariance = jax.vmap(one)(mean, channel("outer_scale"), exptime)
        return speckle.anisotropy(jnp.stack([channel("speckle_1"), channel("speckle_2")], -1), covariance)

    def shift(self, channel: Channel) -> Array | None:
        """(B, 2) [arcsec] by which refraction sets the bands apart; None where it is not asked for."""
        refraction = self.config.air.refraction
        if refraction is None or refraction.reference is None:
            return None
        wavelength = jnp.asarray(self._wavelengths, jnp.float32)
        weather = (channel(name) for name in _WEATHER)
        up = air.refraction_shift(wavelength, refraction.reference * 1e-9, channel("airmass"), *weather)
        zenith = air.towards_zenith(channel("parallactic_angle"), refraction.rotation, refraction.parity)
        return jnp.stack([up * jnp.cos(zenith), up * jnp.sin(zenith)], -1)

    def sky_brightness(self, channel: Channel) -> Array:
        """AB mag/arcsec^2 (B,) of the sky as it is seen at the pointing."""
        config = self.config.sky
        if config is None:
            return channel("sky_brightness")
        airmass, bands = channel("airmass"), self._wavelengths
        extinction = jnp.asarray([band.extinction for band in self.config.bands.values()], jnp.float32)
        total = jnp.zeros(len(bands), jnp.float32)
        for part in config.parts:
            if part == "airglow":
                zenith = jnp.asarray([config.airglow[b] for b in self.config.bands], jnp.float32)  # type: ignore[index]
                flux = channel("solar_flux") if "solar_flux" in self._given else jnp.float32(config.solar_flux)
                activity = sky.solar_activity(flux, config.solar_flux)
                total += sky.airglow_intensity(zenith, activity, airmass, extinction)
            elif part == "zodiacal":
                where = channel("ecliptic_longitude"), channel("ecliptic_latitude")
                light = sky.zodiacal_intensity(*where, bands)
                if self.config.atmosphere:
                    light = light * sky.diffuse_throughput(sky.zodiacal(*where), extinction, airmass)
                total += light
            elif part == "moon":
                lit, altitude, separation = (channel(name) for name in _SKY["moon"])
                total += sky.moon_intensity(lit, altitude, separation, airmass, extinction, bands)
            elif part == "twilight":
                total += sky.twilight_intensity(channel("sun_altitude"), bands)
            else:
                share = space.daylight(channel("orbit_phase"), config.earthshine_phase)
                total += sky.earthshine_intensity(config.earthshine, share, bands)  # type: ignore[arg-type]
        return -2.5 * jnp.log10(total)

    def aberration(self, measured: Array, channel: Channel) -> Array:
        """(J,) optical path [m] of z4 ..: what telemetry measured, alignment, field and orbit together."""
        count = max(self.zernikes, len(measured))
        total = jnp.zeros(count, jnp.float32).at[: len(measured)].add(measured)
        if self.alignment.count:
            given = {name: name in self._given for name in self.alignment.channels}
            terms = self.alignment.zernikes(lambda name: channel(name)[0], given)
            total = total.at[: self.alignment.count].add(terms)
        if orbit := self.config.orbit:
            breath = space.breathing(channel("orbit_phase")[0], orbit.amplitude, orbit.phase)
            total = total.at[0].add(breath)
        return total

    def dark_ratio(self, channel: Channel) -> Array | float:
        """Dark current over that of the YAML."""
        if (dark := self.config.dark_current) is None:
            return 1.0
        return space.dark_ratio(channel("detector_temperature"), dark.reference, dark.gap)
