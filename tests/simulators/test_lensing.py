"""Deflection, magnification and images of the SIE with shear against lenstronomy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.simulators import lensing

F = jnp.float32


def random_lens(rng: np.random.Generator) -> tuple[lensing.SIE, list[dict[str, float]]]:
    """A lens, and the same in lenstronomy's keywords."""
    param = pytest.importorskip("lenstronomy.Util.param_util")
    q, angle, theta = rng.uniform(0.3, 0.99), rng.uniform(0, np.pi), rng.uniform(0.3, 2.5)
    (g1, g2), (x, y) = rng.normal(size=2) * 0.05, rng.normal(size=2) * 0.1
    e1, e2 = param.phi_q2_ellipticity(angle, q)
    keywords = [
        {"theta_E": theta, "e1": e1, "e2": e2, "center_x": x, "center_y": y},
        {"gamma1": g1, "gamma2": g2, "ra_0": x, "dec_0": y},
    ]
    return lensing.SIE(*(F(v) for v in (theta, q, angle, x, y, g1, g2))), keywords


def lenstronomy() -> Any:
    return pytest.importorskip("lenstronomy.LensModel.lens_model").LensModel(["SIE", "SHEAR"])


def test_deflection_and_magnification(rng: np.random.Generator) -> None:
    model, deflect, magnify = lenstronomy(), jax.jit(lensing.deflection), jax.jit(lensing.magnification)
    for _ in range(100):
        lens, keywords = random_lens(rng)
        x, y = rng.uniform(-4, 4, (2, 200)).astype(np.float32)
        ours, theirs = deflect(lens, x, y), model.alpha(x.astype(float), y.astype(float), keywords)
        for a, b in zip(ours, theirs, strict=True):
            assert np.abs(np.asarray(a) - b).max() < 5e-6
        inverse = 1 / model.magnification(x.astype(float), y.astype(float), keywords)
        assert 1 / np.asarray(magnify(lens, x, y)) == pytest.approx(inverse, abs=1e-4, rel=1e-4)


def test_a_round_lens_deflects_by_its_einstein_radius() -> None:
    lens = lensing.SIE(F(1.2), F(1.0), F(0.3), F(0.0), F(0.0), F(0.0), F(0.0))
    x, y = jnp.asarray([1.0, -0.5, 0.0, 3.0]), jnp.asarray([0.0, 0.5, 2.0, -4.0])
    ax, ay = lensing.deflection(lens, x, y)
    r = np.hypot(x, y)
    # an axis ratio of 0.9999 stands for 1
    assert np.asarray(ax) == pytest.approx(1.2 * np.asarray(x) / r, abs=2e-4)
    assert np.asarray(ay) == pytest.approx(1.2 * np.asarray(y) / r, abs=2e-4)
    assert lensing.deflection(lens, F(0.0), F(0.0)) == (0.0, 0.0)


def test_images_are_those_of_lenstronomys_solver(rng: np.random.Generator) -> None:
    solver_module = pytest.importorskip("lenstronomy.LensModel.Solver.lens_equation_solver")
    model = lenstronomy()
    solver, find = solver_module.LensEquationSolver(model), jax.jit(lensing.images)
    found = missed = extra = 0
    for _ in range(40):
        lens, keywords = random_lens(rng)
        px, py = lensing.cut(lens, F(rng.uniform(0, 2 * np.pi)))
        depth = rng.uniform(0.03, 0.9)
        sx, sy = (float(c + depth * (p - c)) for c, p in ((lens.x, px), (lens.y, py)))
        tx, ty = solver.image_position_from_source(
            sx, sy, keywords, min_distance=0.03, search_window=10, precision_limit=1e-10, num_iter_max=100
        )
        mu = model.magnification(tx, ty, keywords)
        there = np.abs(mu) > 0.1
        tx, ty, mu = tx[there], ty[there], mu[there]
        x, y, ours, exists = (np.asarray(v) for v in find(lens, F(sx), F(sy)))
        assert x.shape == (lensing.MAX_IMAGES,)
        x, y, ours = x[exists], y[exists], ours[exists]
        assert len(x) >= 2  # inside the cut there always are
        distance = np.hypot(tx[:, None] - x, ty[:, None] - y)
        found += len(tx)
        missed += int((distance.min(1) > 1e-2).sum())
        extra += int((distance.min(0) > 1e-2).sum())
        near = distance.min(1) < 1e-2
        assert distance.min(1)[near].max() < 2e-4
        inverse = 1 / ours[distance.argmin(1)[near]]
        assert inverse == pytest.approx(1 / mu[near], abs=2e-3)
    assert found > 80
    assert extra == 0
    assert missed <= 2  # two images about to merge


def test_images_solve_the_lens_equation(rng: np.random.Generator) -> None:
    """Thousands of lenses: what exists maps back onto its source, and parities alternate as an SIE's must."""

    @jax.jit
    @jax.vmap
    def back(lens: lensing.SIE, phi: jax.Array, depth: jax.Array):
        px, py = lensing.cut(lens, phi)
        bx, by = lens.x + depth * (px - lens.x), lens.y + depth * (py - lens.y)
        x, y, mu, exists = lensing.images(lens, bx, by)
        ax, ay = lensing.deflection(lens, x, y)
        return jnp.hypot(x - ax - bx, y - ay - by), mu, exists

    n = 3000
    draw = lambda low, high: jnp.asarray(rng.uniform(low, high, n), F)  # noqa: E731
    lens = lensing.SIE(
        draw(0.3, 3), draw(0.3, 1), draw(0, 3.1), draw(-0.5, 0.5), draw(-0.5, 0.5), draw(-0.1, 0.1), draw(-0.1, 0.1)
    )
    miss, mu, exists = (np.asarray(v) for v in back(lens, draw(0, 6.28), draw(0.03, 0.9)))
    assert miss[exists].max() < 2e-4
    number = exists.sum(1)
    assert set(np.unique(number)) <= {2, 3, 4}
    assert np.mean(number == 3) < 0.005
    assert 0.05 < np.mean(number == 4) < 0.6
    # two images: a minimum and a saddle; four: two of each
    sign = np.where(exists, np.sign(mu), 0).sum(1)
    assert np.all(sign[number != 3] == 0)


def test_source_behind_the_centre_makes_an_einstein_cross() -> None:
    lens = lensing.SIE(F(1.0), F(0.7), F(0.4), F(0.1), F(-0.2), F(0.0), F(0.0))
    x, y, mu, exists = lensing.images(lens, F(0.1), F(-0.2))
    assert bool(exists.all())
    r = np.hypot(np.asarray(x) - 0.1, np.asarray(y) + 0.2)
    assert sorted(np.round(r, 3)) == pytest.approx(np.repeat(np.unique(np.round(r, 3)), 2))
    direct = max(np.hypot(x[i] - x[j], y[i] - y[j]) for i in range(4) for j in range(4))
    assert float(lensing.largest_separation(x, y, exists)) == pytest.approx(direct, rel=1e-6)


def test_largest_separation_counts_existing_images_only() -> None:
    x, y = jnp.asarray([0.0, 3.0, 100.0, 0.0]), jnp.asarray([0.0, 4.0, 0.0, 1.0])
    exists = jnp.asarray([True, True, False, True])
    assert float(lensing.largest_separation(x, y, exists)) == pytest.approx(5)
    assert float(lensing.largest_separation(x, y, jnp.asarray([False, True, False, False]))) == 0


def test_sample_points_tile_the_frame() -> None:
    x, y = lensing.sample_points(5, 0.2, 3)
    assert x.shape == y.shape == (3, 3, 5, 5)
    every = np.sort(x[0, :, 0, :].ravel())
    assert every == pytest.approx((np.arange(15) - 7) * 0.2 / 3, abs=1e-6)
    assert np.all(x[:, 1] == x[0, 1])
    assert y[1, 0, 2, 0] == pytest.approx(0)
    assert np.sort(y[:, 0, :, 0].ravel()) == pytest.approx(every)


def test_images_move_as_their_magnification_says() -> None:
    """det d theta / d beta is the magnification, and moving the lens moves images as differences say: inference follows
    these derivatives through the search for the images."""
    lens = lensing.SIE(F(1.1), F(0.7), F(0.4), F(0.1), F(-0.2), F(0.03), F(-0.05))
    at = jnp.asarray([1.1, 0.3, -0.3])  # theta_E and the source's position

    def places(v: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        x, y, mu, exists = lensing.images(replace(lens, theta_E=v[0]), v[1], v[2])
        return jnp.stack([x, y]), (mu, exists)

    find = jax.jit(places)
    forward, (mu, exists) = jax.jit(jax.jacfwd(places, has_aux=True))(at)
    backward, _ = jax.jit(jax.jacrev(places, has_aux=True))(at)
    there = np.asarray(exists)
    assert there.sum() == 2
    for derivative in (np.asarray(forward), np.asarray(backward)):
        assert np.linalg.det(derivative[:, there, 1:].swapaxes(0, 1)) == pytest.approx(np.asarray(mu)[there], rel=1e-3)
        step = jnp.asarray([0.01, 0.0, 0.0])
        differences = np.asarray(find(at + step)[0] - find(at - step)[0]) / 0.02
        assert derivative[:, there, 0] == pytest.approx(differences[:, there], abs=2e-3)
