"""The exposure as a whole: nothing changes where nothing is on, every effect reaches the frame, flags are the truth."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.observatory.detector.common import WELL, detector, state
from twin.numerics.poisson import poisson
from twin.observatory.detector import FLAGS, DetectorConfig, expose, expose_single, flags
from twin.observatory.detector.place import at
from twin.observatory.imager import load_instrument
from twin.observatory.state import ImagerState
from twin.schema import UserError, parse_yaml

TRAPS = [{"density": 1.0, "release": "2 px"}]
EFFECTS = {
    "amplifiers": {"columns": 2, "gain": ["1.9 e-/ct", "2.1 e-/ct"]},
    "bias_pattern": {"pixel": "2 ct"},
    "overscan": {"columns": 8, "subtract": True},
    "flat_field": {"prnu": 0.02},
    "dark_pattern": {"hot": 0.01},
    "nonlinearity": (-0.05,),
    "bleeding": {},
    "brighter_fatter": {"strength": 4e-6},
    "transfer": {"parallel": TRAPS},
    "cosmic_rays": {"rate": "20 /cm2/s", "thickness": "50 um"},
    "persistence": {"amplitude": "5 e-/s/px", "knee": "90000 e-", "width": "18000 e-", "stars": 5},
    "adc": {"bits": 12},
}


PLAIN = jax.jit(expose_single)


def scene(side: int = 48) -> jax.Array:
    """A star that saturates and one that does not."""
    r = np.arange(side) - side // 2
    blob = np.exp(-0.5 * (r[:, None] ** 2 + r[None, :] ** 2) / 1.5**2)
    return jnp.asarray((6e4 * blob + 4000 * np.roll(blob, (12, 9), (0, 1)))[None], jnp.float32)


def plainly(key: jax.Array, expected: jax.Array, of: ImagerState) -> jax.Array:
    """The exposure without effects, as it has always been."""
    gain = of.gain[:, None, None]
    photon_key, read_key = jax.random.split(key)
    rate = (jnp.maximum(expected, 0) + of.sky[:, None, None]) * gain + of.dark[:, None, None]
    electrons = poisson(photon_key, rate)
    electrons = electrons + of.read_noise[:, None, None] * jax.random.normal(read_key, expected.shape, jnp.float32)
    counts = electrons / gain + of.bias[:, None, None]
    return jnp.round(jnp.clip(counts, 0.0, of.saturation[:, None, None]))


def test_without_effects_not_a_bit_changes(key: jax.Array) -> None:
    csst = load_instrument("csst")
    of = csst.state(jnp.asarray(csst.draw_exposures(3, 1)[0]))
    expected = jnp.broadcast_to(scene(), (7, 48, 48))
    truth = np.asarray(jax.jit(plainly)(key, expected, of))
    plain = detector(position=(3, 4), pixel="10 um")
    for config in (None, csst.config.detector, plain):
        assert np.array_equal(jax.jit(lambda k, c=config: expose(k, expected, of, c))(key), truth)
    assert np.array_equal(jax.jit(expose_single)(key, expected, of), truth)


@pytest.mark.parametrize("name", EFFECTS)
def test_each_effect_is_switched_by_its_key(key: jax.Array, name: str) -> None:
    """The frame changes, stays one of whole counts, and the photons stay those that fell without the effect."""
    config = detector(pixel="10 um", **{name: EFFECTS[name]})
    assert config.effects == (name,)
    of = state(sky=100.0, dark=20.0)
    place = at([[230, 100]], 48, 48)
    found = np.asarray(jax.jit(lambda k: expose_single(k, scene(), of, config, place))(key))[0]
    plain = np.asarray(PLAIN(key, scene(), of))[0]
    assert np.all(found == np.round(found))
    assert np.any(found != plain)
    assert np.corrcoef(np.sqrt(found.ravel()), np.sqrt(plain.ravel()))[0, 1] > 0.8


def test_all_at_once_in_a_batch(key: jax.Array) -> None:
    config, of = detector(pixel="10 um", **EFFECTS), state(2, sky=100.0, dark=20.0)
    expected = jnp.broadcast_to(scene(), (2, 48, 48))
    frames = np.asarray(jax.jit(jax.vmap(lambda k: expose(k, expected, of, config)))(jax.random.split(key, 5)))
    assert frames.shape == (5, 2, 48, 48)
    assert np.all(np.isfinite(frames))
    assert frames.min() >= 0
    assert len({frame.tobytes() for frame in frames}) == 5
    assert frames.max() <= 65535


def test_flags_are_the_frames_truth(key: jax.Array) -> None:
    """Flagged pixels stand out against the same exposure without the effect; the others do not."""
    of, place = state(sky=20.0, dark=10.0), at([[100, 60]], 48, 48)
    dark = jnp.zeros((1, 48, 48))
    plain = np.asarray(expose_single(key, dark, of))[0]
    for name, effect, sign in (
        ("cosmic", {"cosmic_rays": EFFECTS["cosmic_rays"]}, 1),
        ("hot", {"dark_pattern": {"hot": 0.02, "hot_factor": 500}}, 1),
        ("dead", {"flat_field": {"dead": 0.02}}, -1),
        ("persistent", {"persistence": EFFECTS["persistence"]}, 1),
    ):
        config = detector(pixel="10 um", **effect)
        found = np.asarray(expose_single(key, dark, of, config, place))[0]
        bits = np.asarray(flags(key, dark, of, config, place))[0]
        flagged = (bits & FLAGS[name]) > 0
        assert 5 < flagged.sum() < 1500, name
        assert np.all(bits[~flagged] == 0)
        change = sign * (found - plain)
        assert np.mean(change[flagged] > 5) > 0.95, name
        assert np.abs(change[~flagged]).max() < 15, name


def test_saturated_pixels_are_flagged_bled_ones_too(key: jax.Array) -> None:
    of = state(sky=20.0)
    for effects in ({}, {"bleeding": {}}, {"adc": {"bits": 12}}):
        config = detector(**effects)
        found, bits = (np.asarray(f(key, scene(), of, config, at([[0, 0]], 48, 48)))[0] for f in (expose_single, flags))
        top = 4095 if "adc" in effects else WELL / 2 + 300
        saturated = bits == FLAGS["saturated"]
        assert np.all(found[saturated] > top - 40)  # read noise of a full well
        assert np.all(found[~saturated] < top)
        across = saturated.any(0).sum(), saturated.any(1).sum()
        assert (across[1] > across[0] + 3) == ("bleeding" in effects)


def test_hot_pixels_follow_the_dark_current_of_the_state(key: jax.Array) -> None:
    config, place = detector(dark_pattern={"hot": 0.02, "hot_factor": 50, "hot_sigma": 0}), at([[0, 0]], 48, 48)
    dark = jnp.zeros((1, 48, 48))
    hot = np.asarray(flags(key, dark, state(), config, place))[0] == FLAGS["hot"]
    for electrons in (4.0, 40.0):
        found = np.asarray(expose_single(key, dark, state(dark=electrons), config, place), float)[0]
        assert found[hot].mean() - found[~hot].mean() == pytest.approx(49 * electrons / 2, rel=0.03)


def test_a_frame_larger_than_the_detector_is_a_mistake(key: jax.Array) -> None:
    with pytest.raises(UserError, match="detector.size: 600 x 600 pixels do not fit on 512 x 256"):
        expose(key, jnp.zeros((1, 600, 600)), state(), detector(flat_field={"prnu": 0.01}))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"size": None, "flat_field": {"prnu": 0.01}}, "size is missing: flat_field"),
        ({"cosmic_rays": {"rate": "1 /cm2/s", "thickness": "10 um"}}, "pixel is missing"),
        ({"amplifiers": {"columns": 2, "gain": ["1 e-/ct"]}}, "gain needs one value for each of 2 amplifiers, not 1"),
        ({"amplifiers": {"columns": 2, "crosstalk": [[0, 0], [0]]}}, "crosstalk needs 2 rows of 2"),
        ({"amplifiers": {"columns": 2, "crosstalk": [[1e-3, 0], [0, 0]]}}, "with itself must be 0"),
        ({"amplifiers": {"columns": 3}}, "size must be a multiple"),
        ({"position": (600, 0)}, "position is not on the detector"),
        ({"size": None, "position": (6, 0)}, "size is missing: position"),
        ({"size": (0, 5)}, "size must be from 1 to 32768"),
        ({"masks": {"pitch": "10 px", "gap": "10 px"}}, "gap must be smaller than the pitch of 10 px"),
        ({"cosmic_rays": {"rate": "1", "thickness": "10 um"}}, "unit"),
        ({"flat_field": {"prnu": "nan"}}, "finite"),
    ],
)
def test_mistakes_are_named(wrong: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        detector(**wrong)


def test_unknown_effects_are_refused() -> None:
    with pytest.raises(ValueError, match="Extra inputs"):
        DetectorConfig.model_validate({"read_noise": "5 e-", "saturation": "1 e-", "fringes": {}})


def test_what_the_documentation_shows_can_be_read() -> None:
    """Every example of docs/detector.md; together they name every key."""
    text = (Path(__file__).parents[3] / "docs" / "detector.md").read_text()
    examples = [parse_yaml(part.split("```")[0], "docs").value["detector"] for part in text.split("```yaml\n")[1:]]
    for example in examples:
        DetectorConfig.model_validate(example)
    named = set().union(*examples) | {"position"}
    assert named == set(DetectorConfig.model_fields)
