"""Calibration of a lobster eye on a frame of a bright source."""

import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.io.xray import CountImage, Tangent, write_count_image
from twin.observatory.lobster import psf as optics
from twin.observatory.lobster.telescope import load_lobster
from twin.observatory.lobster_calibrate import run
from twin.observatory.lobster_calibrate.bands import EDGES, bands
from twin.observatory.lobster_calibrate.fit import Problem, fit, parts
from twin.observatory.lobster_calibrate.folder import FORMAT, KIND, LobsterCalibration, instrument_yaml
from twin.observatory.lobster_calibrate.frame import Window, grid_of
from twin.observatory.lobster_calibrate.model import Figure, Spectrum, expected
from twin.observatory.lobster_calibrate.regions import NAMES, regions, shares
from twin.priors.xray.spectra import CRAB
from twin.schema import Node, UserError

N = 128
SKY = Tangent((64.9, 64.1), (83.0, 22.8), ((-0.075, 0.0), (0.0, 0.075)))


@pytest.fixture(scope="module")
def telescope():
    return load_lobster("ep-wxt")


def frame(counts=None, **options):
    counts = np.zeros((N, N), np.int32) if counts is None else counts
    return CountImage(counts, **({"axes": "sky", "exposure": 500.0, "sky": SKY} | options))


@pytest.fixture(scope="module")
def setup(telescope):
    return run.begin(telescope, frame(), CRAB.photons)


def test_without_twist_and_halo_it_is_the_optics_own_psf(telescope, setup):
    state = replace(telescope.state(), roll=jnp.float32(1.0))
    half = setup.half
    window = Window(jnp.float32(0), jnp.array([[-half, half]] * 2), jnp.array([[-half, half]] * 2))
    figure = Figure(jnp.float32(1e-5), jnp.float32(0), jnp.float32(5), jnp.zeros(2), jnp.float32(1), jnp.float32(1))
    one = Spectrum(jnp.array([1.0]), jnp.array([1.0]))
    made = jax.jit(
        lambda at, figure: expected(state, telescope.coating, figure, one, at, jnp.zeros(2), window, setup.grid)
    )
    mine = np.asarray(made(jnp.zeros(2), figure))
    x, y = (
        np.append(v - s / 2, v[-1] + s / 2) for v, s in zip((setup.grid.x, setup.grid.y), setup.grid.side, strict=True)
    )
    p = optics.profile(state, telescope.coating, 1.0)
    area = optics.optic_area(state) * optics.transmission(state, telescope.coating, 1.0)
    theirs = np.asarray(optics.rolled(state, p, jnp.zeros(2), x, y, area))
    inside = np.s_[8:-8, 8:-8]
    assert np.abs(mine - theirs)[inside].sum() < 0.03 * theirs.sum()
    assert mine[inside].sum() == pytest.approx(theirs[inside].sum(), rel=0.01)
    # half of what neither axis focuses: core and first-order arms keep all but what lies below them
    fainter = mine - np.asarray(made(jnp.zeros(2), replace(figure, patch=jnp.float32(0.5))))
    x, y = np.meshgrid(setup.grid.x, setup.grid.y)
    core, patch = np.hypot(x, y) < 6, (np.abs(x) > 30) & (np.abs(y) > 30) & (np.hypot(x, y) < 80)
    assert fainter.min() > -1e-3 * mine[patch].mean()
    assert fainter[core].sum() < 0.01 * mine[core].sum()
    # the wing of what is focused lies there, too
    assert 0.43 < fainter[patch].sum() / mine[patch].sum() < 0.5
    # wider gaps along one axis darken as much as along the other, but elsewhere
    tall, wide = (np.asarray(made(jnp.zeros(2), replace(figure, gap_ratio=jnp.float32(r)))) for r in (9, 1 / 9))
    assert tall.sum() == pytest.approx(wide.sum(), rel=0.01)
    assert np.abs(tall - wide).sum() > 0.02 * mine.sum()


def test_bands_see_what_the_detector_sees(telescope):
    energy, number = bands(telescope, CRAB.photons)
    fine = np.linspace(0.5, 4, 1001)
    seen = CRAB.photons(fine[:-1], fine[1:]) * np.asarray(
        optics.transmission(telescope.state(), telescope.coating, (fine[1:] + fine[:-1]) / 2)
    )
    coarse = number * np.asarray(optics.transmission(telescope.state(), telescope.coating, energy))
    assert coarse.sum() == pytest.approx(seen.sum(), rel=0.01)
    assert ((energy > EDGES[:-1]) & (energy < EDGES[1:])).all()


def cross(rng, angle=2.4, at=(54.6, 52.1)):
    """Counts of a bright cross, by hand."""
    y, x = np.indices((N, N))
    a = np.radians(angle)
    u = np.cos(a) * (x - at[0]) + np.sin(a) * (y - at[1])
    v = np.cos(a) * (y - at[1]) - np.sin(a) * (x - at[0])
    mean = 3000 * np.exp(-0.5 * (u**2 + v**2)) / (2 * np.pi)
    mean += 40 * (np.exp(-0.5 * u**2 - np.abs(v) / 15) + np.exp(-0.5 * v**2 - np.abs(u) / 15)) + 0.12
    return rng.poisson(mean)


@pytest.mark.parametrize("angle", [-20.0, 0.0, 2.4, 33.0])
def test_the_source_and_its_arms_are_located(angle):
    place, found = run.locate(cross(np.random.default_rng(0), angle))
    np.testing.assert_allclose(place, (54.6, 52.1), atol=0.2)
    assert found == pytest.approx(angle, abs=0.6)


def test_regions_share_the_light_out(setup):
    counts = cross(np.random.default_rng(1))
    masks = regions(setup.grid, setup.grid.place(np.array([54.6, 52.1])), 2.4, np.ones((N, N), bool))
    assert tuple(masks) == NAMES
    assert (sum(mask.astype(int) for mask in masks.values()) == 1).all()
    found = shares(counts, masks, 0.12)
    turned = shares(
        counts, regions(setup.grid, setup.grid.place(np.array([54.6, 52.1])), 12.4, np.ones((N, N), bool)), 0.12
    )
    assert found[0] + found[1] + found[2] > 0.9
    assert found[1] > turned[1] + 0.1


def test_misfit_and_goodness_tell_a_wrong_model():
    rng = np.random.default_rng(2)
    source = np.full((N, N), 40.0)
    every = np.ones((N, N), bool)
    right, wrong = rng.poisson(source), rng.poisson(source * (1 + 0.2 * rng.standard_normal((N, N))).clip(0))
    assert run.misfit(right, source, source, every) < 0.03
    assert run.misfit(wrong, source, source, every) == pytest.approx(0.2, abs=0.02)
    assert run.goodness(right, source, every) == pytest.approx(1, abs=0.15)
    assert run.goodness(wrong, source, every) > 2


def test_the_fitted_yaml_is_an_instrument_and_a_folder_that_loads(telescope, setup, tmp_path):
    values = setup.prior(np.zeros(2)) | {"efficiency": 0.77, "plate_pitch": 43.1, "plate_gap": 1.9, "throughput": 1.3}
    made = instrument_yaml(telescope, values)
    import yaml

    (tmp_path / "instrument.yaml").write_text(yaml.safe_dump(made))
    about = {"kind": KIND, "format": FORMAT, "parameters": {k: {"value": v} for k, v in values.items()}}
    (tmp_path / "calibration.json").write_text(json.dumps(about))
    found = LobsterCalibration.load(tmp_path)
    state = found.telescope.state()
    assert float(state.efficiency) == pytest.approx(0.77)
    assert float(state.plate_pitch) == pytest.approx(0.0431)
    assert float(state.open_area * state.throughput) == pytest.approx(
        1.3 * float(telescope.state().open_area), rel=1e-3
    )
    assert float(state.pore_ratio) == pytest.approx(values["pore_ratio"], rel=1e-4)
    assert found.values["plate_gap"] == 1.9
    (tmp_path / "calibration.json").write_text('{"kind": "calibration"}')
    with pytest.raises(UserError, match="damaged"):
        LobsterCalibration.load(tmp_path)
    with pytest.raises(UserError, match="is missing"):
        LobsterCalibration.load(tmp_path / "none")
    assert isinstance(telescope.node, Node)


def test_detector_coordinates_are_taken_too(telescope, setup):
    image = frame(axes="detector", sky=None, bin=32.0)
    grid = grid_of(image, telescope)
    assert grid.side[0] == pytest.approx(32 * telescope.pixel_scale)
    np.testing.assert_allclose(grid.column(grid.place(np.array([3.0, 7.5]))), (3.0, 7.5))
    assert grid.x.mean() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (frame(np.zeros((8, 8), np.int32)), "8 x 8 bins"),
        (frame(sky=Tangent((64, 64), (0, 0), ((-0.01, 0), (0, 0.01)))), "not a picture of the whole detector"),
        (frame(axes="detector", sky=None, bin=3.0), "not a picture of the whole detector"),
        (frame(), "counts in 5 x 5 bins"),
    ],
)
def test_frames_of_no_use_end_in_one_line(telescope, image, says):
    with pytest.raises(UserError, match=says):
        run.calibrate(telescope, image, CRAB.photons)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"EXPOSURE": 0.0}, "nothing was exposed"),
        ({"CTYPE1": None, "CTYPE2": None}, "neither sky nor detector"),
        ("negative", "negative pixels"),
        ("nan", "no numbers"),
    ],
)
def test_files_of_no_use_end_in_one_line(tmp_path, change, says):
    from astropy.io import fits

    path = tmp_path / "frame.fits"
    write_count_image(path, frame(np.ones((N, N), np.int32)))
    with fits.open(path) as opened:
        header, data = opened[0].header, opened[0].data.astype(np.float32)
    if change == "negative":
        data[3, 3] = -1
    elif change == "nan":
        data[3, 3] = np.nan
    else:
        for key, value in change.items():
            header.remove(key)
            if value is not None:
                header[key] = value
    fits.writeto(
        path,
        data,
        fits.Header({k: header[k] for k in header if k[:5] not in ("CHECK", "DATAS", "BITPI")}),
        overwrite=True,
    )
    with pytest.raises(UserError, match=says) as mistake:
        run.calibrate_image("ep-wxt", tmp_path / "out", path, CRAB.photons)
    assert "frame.fits" in str(mistake.value)
    assert "\n" not in str(mistake.value)
    assert not (tmp_path / "out").exists()


def test_seams_are_found_far_from_where_the_fit_left_them():
    """A cost that knows pitch, middle and gaps, in place of a frame."""
    pitch, middle, both = 42.5, (300.0, 262.0), (0.5, 2.0)

    def cost(values, every):
        gap_x, gap_y = run.gaps(values)
        apart = [values["centre_x"] - middle[0], values["centre_y"] - middle[1]]
        seam = [min(abs(v), 20) + 10 * abs(values["plate_pitch"] - pitch) for v in apart]
        return sum(seam) + 3 * abs(np.log(gap_x / both[0])) + 3 * abs(np.log(gap_y / both[1]))

    optics = SimpleNamespace(radius=760.0)
    frame = SimpleNamespace(counts=np.zeros((4, 4)), telescope=SimpleNamespace(config=SimpleNamespace(optics=optics)))
    problem = SimpleNamespace(setup=frame, at=cost, free=lambda values: values)
    begin = {"plate_pitch": 41.7, "centre_x": 284.0, "centre_y": 280.0, "plate_gap": 0.5, "gap_ratio": 1.0}
    found = run.seams(problem, begin)
    assert found["plate_pitch"] == pytest.approx(pitch, abs=0.4)
    assert found["centre_x"] == pytest.approx(middle[0], abs=2.1)
    assert found["centre_y"] == pytest.approx(middle[1], abs=2.1)
    np.testing.assert_allclose(run.gaps(found), both)
    np.testing.assert_allclose(run.gaps(run.with_gap(begin, 0, 3.0)), (3.0, 0.5))


@pytest.mark.slow
def test_a_fit_recovers_what_a_frame_was_made_with(setup):
    truth = setup.prior(np.array([-41.0, -49.0])) | {
        "efficiency": 0.8, "tilt": 0.7, "plate_pitch": 42.5, "plate_gap": 2.0, "twist": 1.1, "scatter": 0.15,
        "turn": 2.4,
    }  # fmt: skip
    mean = np.asarray(sum(parts(setup, truth).values()))
    made = replace(setup, counts=np.random.default_rng(3).poisson(mean))
    begin = setup.prior(np.array([-40.0, -48.0])) | {"turn": 2.0, "plate_pitch": 42.4, "plate_gap": 1.7}
    found = fit(Problem(made, begin), begin)
    errors = found.errors
    for name in ("efficiency", "tilt", "twist", "plate_gap", "turn", "source_x", "source_y", "pore_ratio"):
        assert abs(found.values[name] - truth[name]) < 4 * errors[name], (name, found.values[name], errors[name])
    assert run.goodness(made.counts, found.expected, np.ones((N, N), bool)) < 1.3


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.skipif("TWIN_REAL_DATA" not in os.environ, reason="no real observations")
def test_the_real_frame_gives_the_regions_of_the_crab(tmp_path):
    path = Path(os.environ["TWIN_REAL_DATA"]) / "xray/heapy_wxt/EP_WXT44_13600003859_image.fits"
    about = run.calibrate_image("ep-wxt", tmp_path / "out", path, CRAB.photons).about
    measured, model = (np.array(list(about["regions"][name].values())) for name in ("frame", "model"))
    np.testing.assert_allclose(measured, (0.295, 0.393, 0.169, 0.086, 0.058), atol=0.01)
    assert np.abs(model - measured).max() < 0.03
    assert all(half["worst"] < 0.04 for half in about["halves"].values())
