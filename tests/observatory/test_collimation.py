"""Alignment -> Zernikes: geometric optics, a matrix by hand, NumPy's Zernikes, and the map of DECam as designed."""

import csv
import gzip

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.numerics.zernike import zernike
from twin.observatory import collimation
from twin.observatory.effects import Collimation
from twin.observatory.modes import double_zernike, fit_double_zernike, zernikes
from twin.schema import UserError, parse_yaml, validate


def alignment(text: str) -> collimation.Alignment:
    node = parse_yaml(f"collimation: {text}", "toy.yaml")
    return collimation.Alignment(validate(Collimation, node.at("collimation")), node)


def test_zernikes_of_the_field_are_numpys(rng):
    x, y = rng.uniform(-1.2, 1.2, (2, 50))
    found = np.asarray(zernikes(45, jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)))
    for j in range(1, 46):
        assert found[:, j - 1] == pytest.approx(zernike(j, x, y), rel=2e-4, abs=2e-4), j
    slope = jax.jacobian(lambda x: zernikes(11, x, jnp.float32(0)))(jnp.float32(0.0))
    assert np.all(np.isfinite(slope))
    assert slope[1] == pytest.approx(2)  # Z2 = 2 x on the axis too


def test_matrix_donuts_truss_and_field_add():
    text = """
  sensitivity:
    focus_offset: {z4: 4 nm/um}
    hexapod_x: {z8: 0.2 nm/um, z5: -0.1 nm/um}
    hexapod_tilt_y: {z8: 3 nm/arcsec}
  truss: {drift: 50 um, reference: 10 deg_C, corrected: 0.8}
  donuts: true
  field: {radius: 0.5 deg, terms: {z5: [10 nm, 0 nm, 6 nm], z13: [0 nm, 4 nm]}}
"""
    aligned = alignment(text)
    assert aligned.count == 10
    values = {
        "focus_offset": 5.0, "hexapod_x": 100.0, "hexapod_tilt_y": 2.0, "truss_temperature": 12.0, "field_x": 0.1,
        "field_y": -0.3, "donut_z4": 7.0, "donut_z6": -9.0,
    }  # fmt: skip
    given = {name: name in values for name in aligned.channels}
    found = np.asarray(aligned.zernikes(lambda name: jnp.float32(values[name]), given)) * 1e9
    expected = np.zeros(10)
    expected[0] = 4 * (5 + 0.2 * 50 * 2) + 7  # z4
    expected[1] = -0.1 * 100 + 10 + 6 * 2 * (-0.6)  # z5: Z1 = 1, Z3 = 2 y
    expected[2] = -9
    expected[4] = 0.2 * 100 + 3 * 2  # z8
    expected[9] = 4 * 2 * 0.2  # z13: Z2 = 2 x
    assert found == pytest.approx(expected, abs=1e-4)


def test_focus_is_that_of_geometric_optics():
    """A defocus of dz in a beam of focal ratio N has an rms of dz / (16 sqrt 3 N^2): 2.26 nm/um at f/4, by brute force;
    the 172.4 um that DECam's donuts have for a wave of 700 nm are those of f/2.98."""
    radius = np.sqrt((np.arange(200000) + 0.5) / 200000)
    sag = 1000.0 / (8 * 4.0**2) * radius**2  # nm a micrometre of focus, over an f/4 pupil
    assert np.std(sag) == pytest.approx(2.2553, rel=1e-3)
    assert np.std(sag) * 4.0**2 * (172.4 / 700) == pytest.approx(2.98**2, rel=5e-3)


def test_outside_the_map_the_edge_stands():
    aligned = alignment("{field: {radius: 1 deg, terms: {z4: [0 nm, 0 nm, 0 nm, 10 nm]}}}")
    at = lambda x: float(aligned.zernikes(lambda n: jnp.float32(x if n == "field_x" else 0), {})[0])  # noqa: E731
    assert at(1.0) == pytest.approx(3**0.5 * 1e-8, rel=1e-5)
    assert at(2.5) == pytest.approx(at(1.0), rel=1e-5)
    assert at(0.5) == pytest.approx(3**0.5 * -0.5e-8, rel=1e-5)


def test_a_map_needs_points_enough(rng):
    x, y = rng.uniform(-0.7, 0.7, (2, 200))
    table = rng.standard_normal((4, 15))
    values = np.stack(
        [[sum(c * zernike(k + 1, a, b) for k, c in enumerate(row)) for row in table] for a, b in zip(x, y, strict=True)]
    )
    assert fit_double_zernike(x, y, values, 15) == pytest.approx(table, abs=1e-9)
    assert np.asarray(double_zernike(table, x, y)) == pytest.approx(values, rel=1e-3, abs=2e-3)
    with pytest.raises(ValueError, match="determine"):
        fit_double_zernike(x[:10], y[:10], values[:10], 15)


def test_a_table_of_field_points():
    """Points of a known map give it back; too few, too far, unlike each other: named."""
    node = lambda at: f"{{x: {at[0]} deg, y: {at[1]} deg, zernikes: {{z4: {3 + 20 * at[0]} nm, z7: {-8 * at[1]} nm}}}}"  # noqa: E731
    places = [(0, 0), (0.3, 0), (-0.3, 0.1), (0.1, 0.4), (0, -0.4)]
    text = f"{{field: {{radius: 0.5 deg, count: 3, points: [{', '.join(map(node, places))}]}}}}"
    aligned = alignment(text)
    where = {"field_x": jnp.float32(0.2), "field_y": jnp.float32(-0.1)}
    found = np.asarray(aligned.zernikes(where.__getitem__, {})) * 1e9
    assert found == pytest.approx([7, 0, 0, 0.8], abs=1e-4)
    for change, message in (
        (("count: 3", "count: 6"), "points: 5 points of the field determine 5 terms of a map, not 6"),
        (("x: 0.3 deg", "x: 3 deg"), "points.1: lies beyond the radius of the map"),
        (("z4: 9.0 nm, z7", "z4: 9.0 nm, z8"), "points.1: has other Zernikes than the first"),
        (("count: 3", "terms: {z4: [1 nm]}"), "field: needs either terms or points"),
    ):
        assert change[0] in text
        with pytest.raises(UserError, match=message):
            alignment(text.replace(*change, 1))


@pytest.mark.real
def test_map_of_decam(real_data):
    """1649 points, z4 .. z11: 0.305 wave rms; 28 field terms leave 0.024, 15 leave 0.075; decam.yaml says the same map.

    Turned by what the map's symmetry is: coma grows along the field's own axes, so pupil and focal plane agree.
    """
    from twin.observatory.imager import load_instrument

    path = real_data / "telemetry" / "des_piff" / "decam_2012_nominal_zernike_z4_z37.csv.gz"
    with gzip.open(path, "rt") as stream:
        rows = list(csv.DictReader(stream))
    waves = np.array([[float(row[f"z{j}"]) for j in range(4, 12)] for row in rows])
    x, y = (np.array([float(row[name]) for row in rows]) * 17.557 / 3600 for name in ("xfp", "yfp"))  # mm to deg
    left = {}
    for count in (15, 28):
        table = fit_double_zernike(x / 1.15, y / 1.15, waves, count)
        modes = np.stack([zernike(k, x / 1.15, y / 1.15) for k in range(1, count + 1)], -1)
        left[count] = np.sqrt(((waves - modes @ table.T) ** 2).sum(1).mean())
    assert np.sqrt((waves**2).sum(1).mean()) == pytest.approx(0.305, abs=0.002)
    assert left[15] == pytest.approx(0.0747, abs=1e-3)
    assert left[28] == pytest.approx(0.0244, abs=1e-3)
    decam = load_instrument("decam")
    shipped = collimation.field_table(decam.config.collimation, decam.node)
    inside = np.hypot(x, y) < 1.15
    model = np.asarray(double_zernike(shipped, x[inside] / 1.15, y[inside] / 1.15)) / 700e-9
    assert np.sqrt(((waves[inside] - model) ** 2).sum(1).mean()) == pytest.approx(left[28], abs=1e-3)
