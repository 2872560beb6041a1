"""Noise, inverse variance, S/N and density of an exposure; what is masked; instruments and their telemetry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.observatory.spectrograph.config import find_spectrograph, list_spectrographs
from twin.observatory.spectrograph.exposure import noise
from twin.observatory.spectrograph.state import SpectrographState
from twin.observatory.spectrograph.telescope import Spectrograph, load_spectrograph
from twin.schema import UserError, parse_yaml

N = 512


@pytest.fixture(scope="module")
def lamost():
    """H-alpha's 140 pixels, and a State without anything random beyond the noise."""
    instrument = load_spectrograph("lamost-lrs", (6518.0, 6733.0))
    centre = jnp.asarray([channel.centre for channel in instrument.telemetry_channels], jnp.float32)
    state = instrument.state(centre)
    quiet = replace(
        state, flat=0 * state.flat, fringe=0 * state.fringe, sky_residual=0 * state.sky_residual,
        crosstalk=jnp.float32(0), cosmic_rays=jnp.float32(0), bad_pixels=jnp.float32(0),
        line_mask=jnp.float32(jnp.inf), snr=jnp.float32(25),
    )  # fmt: skip
    return instrument, state, quiet


def many(instrument, expected, state, n=N):
    keys = jax.random.split(jax.random.key(5), n)
    draw = jax.jit(jax.vmap(lambda key: instrument.expose(key, expected, state)))
    return tuple(np.asarray(part) for part in draw(keys))


def test_noise_is_what_ivar_says_and_the_snr_what_was_asked(lamost):
    instrument, _, quiet = lamost
    expected = 300.0 * jnp.ones(instrument.pixels.count)
    flux, ivar, good = many(instrument, expected, quiet)
    assert good.all()
    pull = (flux - 300.0) * np.sqrt(ivar)
    assert abs(pull.std() - 1) < 0.03  # ivar is estimated from the noisy flux, as a pipeline must
    assert abs(pull.mean()) < 0.03
    assert np.median(flux * np.sqrt(ivar)) == pytest.approx(25, rel=0.06)
    doubled = many(instrument, expected, replace(quiet, ivar_scale=jnp.float32(2.25)), 64)
    assert ((doubled[0] - 300.0) * np.sqrt(doubled[1])).std() == pytest.approx(1.5, rel=0.05)  # a wrong ivar is seen


def test_the_density_is_that_of_the_draws(lamost):
    """Chi-square of the draws is N; the true sigma and mean have the highest likelihood; hits included."""
    instrument, state, quiet = lamost
    expected = 100.0 * jnp.ones(instrument.pixels.count)
    hit = replace(quiet, cosmic_rays=jnp.float32(0.05), cosmic_caught=jnp.float32(0.3), snr=jnp.float32(10))
    flux, _, good = many(instrument, expected, hit)
    assert good.mean() == pytest.approx(1 - 0.05 * 0.3, abs=0.003)

    def total(scale: float, given) -> float:
        each = jax.jit(jax.vmap(lambda f, g: instrument.log_prob(f, scale * expected, given, g)))
        return float(each(jnp.asarray(flux), jnp.asarray(good)).sum())

    truth = total(1.0, hit)
    others = (
        total(1.02, hit), total(0.98, hit), total(1.0, replace(hit, snr=jnp.float32(13))),
        total(1.0, replace(hit, snr=jnp.float32(8))), total(1.0, replace(hit, cosmic_rays=jnp.float32(0.02))),
        total(1.0, replace(hit, cosmic_charge=jnp.float32(3000))),
    )  # fmt: skip
    assert all(truth > other + 10 for other in others)


def test_the_density_integrates_to_one(lamost):
    instrument, _, quiet = lamost
    hit = replace(quiet, cosmic_rays=jnp.float32(0.2), cosmic_caught=jnp.float32(0.0), cosmic_charge=jnp.float32(300))
    expected = 100.0 * jnp.ones(instrument.pixels.count)
    values = jnp.linspace(0.0, 600.0, 6001)
    one = jnp.arange(instrument.pixels.count) == 70
    density = jax.jit(jax.vmap(lambda v: jnp.exp(instrument.log_prob(jnp.full(one.shape, v), expected, hit, one))))(
        values
    )
    assert float(density.sum() * 0.1) == pytest.approx(1, abs=2e-3)


def test_the_mask_of_lines_is_kept_out_of_good(lamost):
    """A strong line loses its ivar, keeps its flux, and `good` does not tell."""
    instrument, _, quiet = lamost
    line = 100 * (1 + 3 * jnp.exp(-0.5 * ((jnp.arange(instrument.pixels.count) - 30) / 2.5) ** 2))
    flux, ivar, good = many(instrument, line, replace(quiet, line_mask=jnp.float32(20)), 32)
    assert (ivar[:, 28:33] == 0).all()
    assert (ivar[:, 60:] > 0).all()
    assert good.all()
    assert (flux[:, 30] > 300).all()
    weak = 100 * (1 + 0.2 * jnp.exp(-0.5 * ((jnp.arange(instrument.pixels.count) - 30) / 2.5) ** 2))
    assert (many(instrument, weak, replace(quiet, line_mask=jnp.float32(20)), 32)[1] > 0).all()


def test_sky_residuals_and_crosstalk_are_where_they_belong():
    instrument = load_spectrograph("lamost-lrs", (6250.0, 6420.0))
    centre = jnp.asarray([channel.centre for channel in instrument.telemetry_channels], jnp.float32)
    state = replace(instrument.state(centre), crosstalk=jnp.float32(0), sky_residual=jnp.asarray([0.05, 0, 0]))
    none = replace(state, sky_residual=jnp.zeros(3))
    expected = jnp.ones(instrument.pixels.count)
    mean = jax.jit(lambda given: noise(expected, given, instrument.tables).mean)
    left = mean(state) - mean(none)
    peak = instrument.pixels.centres[int(jnp.argmax(left))]
    assert abs(peak - 6302.05) < 1.5  # [OI] 6300.304 in air
    assert float(left.max()) > 5 * float(jnp.median(left))
    more = replace(none, crosstalk=jnp.float32(0.02), neighbour=jnp.asarray([3.0, 0.0]))
    extra = mean(more) - mean(none)
    assert np.allclose(np.asarray(extra), 0.06, rtol=1e-3)


def test_air_takes_light_in_its_bands_only():
    instrument = load_spectrograph("perek-ccd700", (6500.0, 6600.0))
    grid = instrument.grid(4)
    centre = jnp.asarray([channel.centre for channel in instrument.telemetry_channels], jnp.float32)
    state = instrument.state(centre)
    out = np.asarray(instrument.air(grid)(jnp.ones(grid.count), state))
    assert 0.7 < out.min() < 0.95
    assert (out[grid.centres > 6590] == 1).all()
    without = replace(state, air_left=jnp.zeros(2))
    assert (np.asarray(instrument.air(grid)(jnp.ones(grid.count), without)) == 1).all()


def test_telemetry_sets_the_width_in_angstrom():
    instrument = load_spectrograph("perek-ccd700")
    names = instrument.channel_names
    row = np.array([channel.centre for channel in instrument.telemetry_channels], np.float32)

    of = jax.jit(instrument.state)

    def width(**values: float) -> float:
        given = row.copy()
        for name, value in values.items():
            given[names.index(name)] = value
        state = of(given)
        return float(jnp.sqrt(state.lsf_sigma[0] ** 2 + state.lsf_blur))

    usual = width()
    assert usual * 2.3548 == pytest.approx(0.505, rel=0.02)
    assert width(arc_fwhm=0.606) == pytest.approx(1.2 * usual, rel=0.01)
    assert width(camera_focus=200.0) == pytest.approx(np.hypot(usual, 0.2), rel=1e-3)
    assert width(seeing=0.8) < width(seeing=3.0) < width(seeing=9.0)


@pytest.mark.parametrize("name", list_spectrographs())
def test_every_instrument_exposes(name):
    instrument = load_spectrograph(name)
    part = load_spectrograph(name, (6520.0, 6620.0))
    centre = np.array([channel.centre for channel in instrument.telemetry_channels], np.float32)
    state = jax.jit(instrument.state)(centre)
    for field in SpectrographState.__dataclass_fields__:
        assert getattr(state, field).dtype == jnp.float32
    assert part.span == instrument.span
    expected = jnp.ones(part.pixels.count)
    flux, ivar, good = jax.jit(part.expose)(jax.random.key(1), expected, state)
    assert np.isfinite(np.asarray(flux)).all()
    assert (np.asarray(ivar) >= 0).all()
    assert good.dtype == bool
    wide = instrument.config.lsf.width / np.diff(part.pixels.edges).mean()
    assert 1.5 < wide < 8  # lines are sampled


def test_missing_channels_are_drawn_and_said(tmp_path, caplog):
    path = tmp_path / "t.csv"
    path.write_text("snr,arc_fwhm\n,Angstrom\n12,4.4\n30,4.0\n")
    instrument = load_spectrograph("lamost-lrs")
    found = instrument.read_exposures(path)
    assert np.isfinite(found).all()
    assert found[:, instrument.channel_names.index("snr")].tolist() == [12, 30]
    assert found[0, instrument.channel_names.index("arc_fwhm")] == pytest.approx(4.4)
    assert "airglow" in caplog.text
    assert "drawn from lamost-lrs's prior" in caplog.text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("log_step: 1e-4", "step: 1 AA, log_step: 1e-4", "needs either step or log_step"),
        ("fwhm: 3.", "resolution: 1800\n  fwhm: 3.", "needs either resolution or fwhm"),
        ("reference: 6564.6 AA", "reference: 9900 AA", "lies outside the pixels"),
        ("shape: [1, 0.42, 0]", "shape: [1, 1.42, 0]", "width negative"),
        ("[5500 AA, 7000 AA]", "[7500 AA, 7000 AA]", "window ends before it begins"),
        ("airglow: ", "dimmsee: ", "dimmsee"),
        ("airglow: ", "outer_scale: ", "no channel of a spectrograph"),
        ("  snr: ", "  # snr: ", '"snr" is missing'),
    ],
)
def test_mistakes_are_named(old, new, message):
    node = find_spectrograph("lamost-lrs")
    text = Path(node.file).read_text(encoding="utf-8")
    assert old in text
    with pytest.raises(UserError, match=message):
        Spectrograph(parse_yaml(text.replace(old, new, 1), "mine.yaml"))


def test_unknown_instruments_and_empty_parts_are_named():
    with pytest.raises(UserError, match="lamost-lrs"):
        load_spectrograph("lamost-lsr")
    with pytest.raises(UserError, match="no whole pixel"):
        load_spectrograph("lamost-lrs", (9500.0, 9600.0))
