"""Physics that a YAML switches on: each switch changes what it should, and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.observatory import air, shake, speckle
from twin.observatory.imager import Imager, load_instrument
from twin.observatory.psf import psf_image
from twin.observatory.state import STATE_FIELDS
from twin.schema import UserError, parse_yaml

RADIAN = 206264.80624709636  # arcsec
CHANNELS = {
    "seeing": "0.9 arcsec", "outer_scale": "25 m", "airmass": "1.6", "transparency": "0.9", "exptime": "30 s",
    "parallactic_angle": "30 deg", "azimuth": "80 deg", "pressure": "770 hPa", "humidity": "0.3",
    "outside_temperature": "10 deg_C", "dome_temperature": "12 deg_C", "mirror_air_temperature": "11 deg_C",
    "mirror_temperature": "13 deg_C", "truss_temperature": "14 deg_C", "wind_speed": "12 m/s",
    "wind_direction": "20 deg", "guider_rms": "0.2 arcsec", "jitter_rms": "0.1 arcsec", "speckle_1": "1.5",
    "speckle_2": "-0.5", "focus_offset": "20 um", "hexapod_x": "100 um", "donut_z5": "40 nm", "field_x": "0.3 deg",
    "field_y": "-0.4 deg", "z4": "10 nm", "z5": "-20 nm", "moon_illumination": "0.7", "moon_altitude": "40 deg",
    "moon_separation": "60 deg", "sun_altitude": "-15 deg", "ecliptic_latitude": "20 deg",
    "ecliptic_longitude": "100 deg", "orbit_phase": "0.1", "detector_temperature": "183 K",
}  # fmt: skip
LOW, HIGH = (
    "height: 0 m, weight: 2, wind: 8 m/s, direction: 20 deg",
    "height: 9 km, weight: 1, wind: 20 m/s, direction: 90 deg",
)
LAYERS = f"[{{{LOW}}}, {{{HIGH}}}]"


def toy(extra: str = "", without: tuple[str, ...] = (), sky: bool = True, atmosphere: bool = True) -> Imager:
    values = {**CHANNELS, **({"sky_brightness": "21 mag/arcsec2"} if sky else {})}
    laws = []
    for name, value in values.items():
        number, _, unit = value.partition(" ")
        ends = f"{float(number) - 500} {unit}, {float(number) + 500} {unit}"
        if name not in without:
            laws.append(f"  {name}: {{range: [{ends}], law: constant, value: {value}}}")
    text = f"""
name: toy
kind: imager
description: two bands
diameter: 1.2 m
atmosphere: {str(atmosphere).lower()}
pixel_scale: 0.3 arcsec
bands:
  g: {{wavelength: 480 nm, width: 140 nm, zero_point: 25 mag, extinction: 0.17 mag, exposure: 1 h}}
  i: {{wavelength: 760 nm, width: 150 nm, zero_point: 24.5 mag, extinction: 0.05 mag, exposure: 1 h}}
detector: {{gain: 2 e-/ct, read_noise: 3 e-, bias: 30 ct, dark: 0.1 e-/s/px, saturation: 60000 e-}}
channels:
{chr(10).join(laws)}
{extra}"""
    return Imager(parse_yaml(text, "toy.yaml"))


def state_of(imager: Imager):
    return imager.state(jnp.asarray(imager.draw_exposures(0, 1)[0]))


BASE = state_of(toy())
SWITCHES = {
    "air: {airmass_exponent: 0.35, wavelength_exponent: -0.3}": {"r0"},
    "air: {mirror: {coefficient: 0.4 arcsec}}": {"r0"},
    "air: {dome: {coefficient: 0.1 arcsec, exponent: 1}}": {"r0"},
    "air: {refraction: {rotation: 90 deg}}": {"jitter"},
    "air: {refraction: {rotation: 90 deg, reference: 620 nm}}": {"jitter", "offset"},
    f"speckle: {{layers: {LAYERS}}}": {"anisotropy"},
    "shake: {wind: {rms: 0.05 arcsec, shelter: 0.5, ellipticity: 0.3}}": {"jitter"},
    "shake: {guider: 0.5}": {"jitter"},
    "collimation: {sensitivity: {focus_offset: {z4: 4 nm/um}, hexapod_x: {z8: 0.2 nm/um}}}": {"aberration"},
    "collimation: {donuts: true}": {"aberration"},
    "collimation: {field: {radius: 1 deg, terms: {z6: [0 nm, 30 nm]}}}": {"aberration"},
    "dark_current: {reference: 173 K}": {"dark"},
    "orbit: {amplitude: 20 nm, phase: 0.2}": {"aberration"},
}


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_switch_changes_what_it_should(switch):
    state = state_of(toy(switch))
    for field in STATE_FIELDS:
        before, after = np.asarray(getattr(BASE, field)), np.asarray(getattr(state, field))
        assert np.all(np.isfinite(after)), field
        if field in SWITCHES[switch]:
            assert before.shape != after.shape or not np.array_equal(before, after), field
        else:
            assert before.tobytes() == after.tobytes(), field


def test_seeing_of_mirror_and_dome():
    state = state_of(toy("air: {mirror: {coefficient: 0.4 arcsec}, dome: {coefficient: 0.1 arcsec}}"))
    mirror, dome, night = 0.4 * 2**1.2, 0.1 * 2**1.2, 0.9 * 1.6**0.6
    fwhm = (night ** (5 / 3) + mirror ** (5 / 3) + dome ** (5 / 3)) ** 0.6 * (np.array([480, 760]) / 500) ** -0.2
    assert 0.976 * np.array([480e-9, 760e-9]) / np.asarray(state.r0[:, 0]) * RADIAN == pytest.approx(fwhm, rel=1e-4)


def test_motion_adds_up():
    refraction = "air: {refraction: {rotation: 90 deg}}"
    wind = "shake: {wind: {rms: 0.05 arcsec, shelter: 0.5}, guider: 0.5}"
    state = state_of(toy(f"{refraction}\n{wind}"))
    spread = air.refraction_spread(
        jnp.asarray([480e-9, 760e-9]), jnp.asarray([140e-9, 150e-9]), jnp.float32(1.6), 770.0, 10.0, 0.3
    )
    zenith = np.radians(120.0)
    around = (0.05 * 1.44 * (0.5 + 0.5 * np.cos(np.radians(60)))) ** 2 + 0.5 * 0.04
    expected = np.asarray(BASE.jitter) + around * np.array([1, 1, 0])
    way = np.array([np.cos(zenith) ** 2, np.sin(zenith) ** 2, np.cos(zenith) * np.sin(zenith)])
    expected = expected + np.asarray(spread)[:, None] * way
    assert np.asarray(state.jitter) == pytest.approx(expected, rel=1e-4, abs=1e-7)
    assert spread[0] > 10 * spread[1]  # blue light is drawn out most


def test_bands_are_set_apart_along_the_zenith():
    state = state_of(toy("air: {refraction: {rotation: 90 deg, reference: 760 nm}}"))
    shift = np.asarray(state.offset)
    assert shift[1] == pytest.approx([0, 0], abs=1e-4)
    # Filippenko 1982: 0.875 arcsec from 480 to 760 nm at 600 Torr and 7 deg_C, airmass 1.6
    assert np.hypot(*shift[0]) == pytest.approx(0.875 * 770 / 799.9 * 280.15 / 283.15, abs=0.02)
    assert np.degrees(np.arctan2(*shift[0][::-1])) == pytest.approx(120, abs=0.1)  # blue stands nearer to the zenith


def test_what_a_finite_exposure_leaves():
    state = state_of(toy(f"speckle: {{layers: {LAYERS}}}", without=("wind_speed",)))
    layers = speckle.Layers((0.0, 9000.0), (2 / 3, 1 / 3), (8.0, 20.0), (20.0, 90.0))
    covariance = [speckle.residual(layers, 1.2, state.r0[b, 0], jnp.float32(25), jnp.float32(30))[0] for b in (0, 1)]
    expected = speckle.anisotropy(jnp.asarray([1.5, -0.5]), jnp.stack(covariance))
    assert np.asarray(state.anisotropy) == pytest.approx(np.asarray(expected), rel=1e-3)
    assert 0.005 < np.abs(state.anisotropy).max() < 0.3
    assert toy(f"speckle: {{layers: {LAYERS}}}").optics.speckle
    assert not toy().optics.speckle


def test_the_sky_is_the_sum_of_its_sources():
    """Alone and together: intensities add; each source makes the sky brighter."""
    parts = {
        "airglow": "airglow: {g: 22.4 mag/arcsec2, i: 20.5 mag/arcsec2}",
        "zodiacal": "",
        "moon": "",
        "twilight": "",
        "earthshine": "earthshine: 23 mag/arcsec2",
    }
    alone = {}
    for part, extra in parts.items():
        comma = ", " if extra else ""
        imager = toy(f"sky: {{parts: [{part}]{comma}{extra}}}", sky=False)
        alone[part] = np.asarray(state_of(imager).sky, float)
        assert np.all(alone[part] > 0)
    text = f"sky: {{parts: [{', '.join(parts)}], {parts['airglow']}, {parts['earthshine']}}}"
    together = state_of(toy(text, sky=False))
    assert np.asarray(together.sky) == pytest.approx(sum(alone.values()), rel=1e-4)
    for field in set(STATE_FIELDS) - {"sky", "sky_residual"}:
        assert np.asarray(getattr(together, field)).tobytes() == np.asarray(getattr(BASE, field)).tobytes()


def test_dark_current_and_orbit():
    assert float(state_of(toy("dark_current: {reference: 183 K}")).dark[0]) == pytest.approx(float(BASE.dark[0]))
    warm = state_of(toy("dark_current: {reference: 173 K}"))
    assert 7 < float(warm.dark[0] / BASE.dark[0]) < 14  # silicon, ten kelvin
    state = state_of(toy("orbit: {amplitude: 20 nm, phase: 0.35}"))
    assert np.asarray(state.aberration) == pytest.approx([1e-8, -2e-8], abs=1e-12)  # a quarter of an orbit away


@pytest.mark.parametrize(
    ("extra", "without", "message"),
    [
        ("air: {mirror: {coefficient: 0.4 arcsec}}", ("mirror_temperature",), "air.mirror: needs the channel"),
        ("air: {refraction: {}}", ("pressure",), r'air.refraction: needs the channel "pressure"'),
        ("air: {mirror: {coefficient: 0.4 K}}", (), r"air.mirror.coefficient: the unit"),
        ("air: {miror: {coefficient: 0.4 arcsec}}", (), r"air.miror: unknown key.*mirror"),
        (f"speckle: {{layers: {LAYERS}}}", ("speckle_2",), r'speckle: needs the channel "speckle_2"'),
        ("speckle: {layers: []}", (), "speckle.layers: needs at least 1"),
        ("shake: {wind: {rms: 0.1 arcsec, shelter: 0.5}}", ("azimuth",), r'shake.wind: needs the channel "azimuth"'),
        ("sky: {parts: [moon]}", (), "sky: says the sky a second time"),
        ("collimation: {truss: {drift: 60 um, reference: 10 deg_C}}", (), "needs the sensitivity of focus_offset"),
        ("collimation: {sensitivity: {hexapod_w: {z4: 1 nm/um}}}", (), "hexapod_w: is no channel of alignment"),
        ("collimation: {sensitivity: {hexapod_x: {z4: 1 nm/arcsec}}}", (), r"hexapod_x.z4: the unit"),
        ("collimation: {sensitivity: {hexapod_y: {z4: 1 nm/um}}}", (), 'hexapod_y: needs the channel "hexapod_y"'),
        ("collimation: {donuts: true}", ("donut_z5",), "collimation.donuts: needs a channel donut_z4"),
        ("collimation: {sensitivity: {hexapod_x: {coma: 1 nm/um}}}", (), "coma: must be a Zernike, z4 to z37"),
        ("collimation: {field: {radius: 1 deg, terms: {z99: [1 nm]}}}", (), "z99: must be a Zernike"),
        ("dark_current: {reference: 173 K}", ("detector_temperature",), "dark_current: needs the channel"),
        ("orbit: {amplitude: 5 nm}", ("orbit_phase",), "orbit: needs the channel"),
    ],
)  # fmt: skip
def test_mistakes_are_named(extra, without, message):
    with pytest.raises(UserError, match=message):
        toy(extra, without)


def test_mistakes_of_the_sky_and_of_space():
    for extra, message in (
        ("sky: {parts: [airglow]}", "airglow must stand both as a part and with its brightness"),
        ("sky: {parts: [airglow], airglow: {g: 22 mag/arcsec2}}", "sky.airglow: has no value for the band i"),
        ("sky: {parts: [airglow], airglow: {g: 22 mag/arcsec2, x: 22 mag/arcsec2}}", "airglow.x: unknown band"),
        ("sky: {parts: [aurora]}", "must be one of airglow"),
    ):
        with pytest.raises(UserError, match=message):
            toy(extra, sky=False)
    with pytest.raises(UserError, match="needs atmosphere: true"):
        toy("sky: {parts: [moon]}", sky=False, atmosphere=False)
    with pytest.raises(UserError, match="needs atmosphere: true"):
        toy("air: {mirror: {coefficient: 0.4 arcsec}}", atmosphere=False)
    with pytest.raises(UserError, match="air.refraction: needs atmosphere: true"):
        toy("air: {refraction: {}}", atmosphere=False)
    light = "sky: {parts: [zodiacal, earthshine], earthshine: 23 mag/arcsec2}"
    space = state_of(toy(light, sky=False, atmosphere=False))
    assert np.all(np.isfinite(space.sky))


def test_a_difference_to_another_channel(tmp_path):
    """Drawn domes follow the night; a table's outside air is what a drawn dome counts from."""
    generic = load_instrument("generic")
    names = list(generic.channel_names)
    outside, dome = names.index("outside_temperature"), names.index("dome_temperature")
    rows = generic.draw_exposures(3, 6000)
    difference = rows[:, dome] - rows[:, outside]
    assert difference.mean() == pytest.approx(0.5, abs=0.15)
    assert difference.std() == pytest.approx(0.8, abs=0.1)
    assert rows[:, outside].std() > 3
    table = tmp_path / "cold.csv"
    table.write_text("outside_temperature,airmass\ndeg_C,\n" + "-15,1.2\n" * 40)
    read = generic.read_exposures(table)
    assert read[:, dome].mean() == pytest.approx(-14.5, abs=0.5)
    with pytest.raises(UserError, match=r"dome_temperature.above: no channel in deg_C before this one"):
        toy("  dome_temperature: {above: airmass, range: [-9 deg_C, 9 deg_C], law: constant, value: 0 deg_C}",
            without=("dome_temperature",))  # fmt: skip


@pytest.mark.parametrize("name", ["decam", "generic"])
def test_shipped_instruments_with_physics(name):
    """500 exposures of drawn nights: finite, positive-definite motion, different nights differ; a PSF has no NaN."""
    imager = load_instrument(name)
    rows = jnp.asarray(imager.draw_exposures(1, 500))
    batch = jax.jit(jax.vmap(imager.state))(rows)
    for field in STATE_FIELDS:
        values = np.asarray(getattr(batch, field))
        assert values.dtype == np.float32
        assert np.all(np.isfinite(values)), field
    determinant = batch.jitter[..., 0] * batch.jitter[..., 1] - batch.jitter[..., 2] ** 2
    assert np.all(determinant > 0)
    assert np.all(np.hypot(batch.anisotropy[..., 0], batch.anisotropy[..., 1]) < 1)
    assert np.linalg.norm(batch.aberration, axis=-1).max() < 1.5 * imager.optics.stroke
    assert np.all(np.asarray(batch.sky) < np.asarray(batch.saturation))
    one = jax.tree.map(lambda leaf: leaf[7], batch)
    draw_psf = jax.jit(lambda state: psf_image(imager.optics, state, 32, imager.pixel_scale))
    image = np.asarray(draw_psf(one))
    assert np.all(np.isfinite(image))
    assert np.all(image.sum((1, 2)) > 0.85)


def test_state_has_gradients():
    """Every field with respect to every channel, with all physics on; where telemetry is silent too."""
    imager = load_instrument("generic")
    values = {channel.name: channel.at(0.3) for channel in imager.telemetry_channels}
    values |= {"azimuth": values["wind_direction"] + 40, "outside_temperature": 8.0, "dome_temperature": 10.0}
    row = jnp.asarray(list(values.values()), jnp.float32)

    def all_fields(row):
        return sum(jnp.sum(v / (1 + jax.lax.stop_gradient(jnp.abs(v).max()))) for v in vars(imager.state(row)).values())

    slope = np.asarray(jax.jit(jax.grad(all_fields))(row))
    assert np.all(np.isfinite(slope))
    silent = {name for name, value in zip(imager.channel_names, slope, strict=True) if value == 0}
    assert not silent


def test_drawn_exposures_of_decam_are_as_sharp_as_real_ones():
    """FWHM of the quick look's training nights: 25, 50, 75 % of them below g 1.12, 1.27, 1.48, r 1.04, 1.21, 1.43,
    z 0.96, 1.08, 1.29 arcsec. Sixty nights are too few for the tails."""
    imager = load_instrument("decam")
    rows = jnp.asarray(imager.draw_exposures(2, 80 * 60)[::80])
    scale = imager.pixel_scale / 2
    optics = imager.optics

    def one(row):
        return psf_image(optics, imager.state(row), 64, scale, pixel=imager.pixel_scale)

    stamps = np.asarray(jax.jit(lambda rows: jax.lax.map(one, rows))(rows))[:, [1, 2, 4]]
    # area within the half-maximum contour, as wide as a circle
    half = stamps > stamps.max((-2, -1), keepdims=True) / 2
    fwhm = 2 * np.sqrt(half.sum((-2, -1)) / np.pi) * scale
    found = np.percentile(fwhm, [25, 50, 75], axis=0).T
    assert found == pytest.approx(np.array([[1.12, 1.27, 1.48], [1.04, 1.21, 1.43], [0.96, 1.08, 1.29]]), rel=0.12)


def test_motion_of_sensors_becomes_channels_of_a_table(rng):
    """From accelerometers to jitter_rms, jitter_ellipticity, jitter_angle and back to the State's covariance."""
    covariance = np.array([0.03, 0.012, 0.006])
    said = shake.jitter_channels(covariance)
    laws = "\n".join(
        f"  {name}: {{range: [-500 {unit}, 500 {unit}], law: constant, value: {float(value)} {unit}}}"
        for (name, value), unit in zip(said.items(), ("arcsec", "", "deg"), strict=True)
    )
    state = state_of(toy(laws, without=("jitter_rms",)))
    assert np.asarray(state.jitter[0]) == pytest.approx(covariance, rel=1e-4)
