"""The lens of a truth: its strength, subhalos, and the planes of halos along the line of sight."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.priors.fields import Truth
from twin.priors.galaxy_lens import Scene
from twin.simulators import point_images
from twin.simulators.galaxy_lens import masses
from twin.simulators.mass import multiplane

F = jnp.float32
ONE = {
    "theta_E": 1.1, "lens_q": 0.7, "lens_angle": 0.4, "lens_x": 0.05, "lens_y": -0.1, "gamma1": 0.03, "gamma2": -0.04,
    "kappa": 0.02, "slope": 2.1, "z_lens": 0.4, "z_source": 2.0, "dark_fraction": 0.4, "dark_radius": 8.0,
    "lens_radius": [0.8], "lens_n": [4.0],
}  # fmt: skip


def truth(los: float = 0.0, **changes: Any) -> Truth:
    halos = {"Rs": [0.1, 0.2], "r_trunc": [1.0, 1.0], "x": [0.9, 0.3], "y": [0.5, -1.0]}
    halos["alpha_Rs"] = [los, los]
    return {k: jnp.asarray(v, F) for k, v in (ONE | {f"los_{k}": v for k, v in halos.items()} | changes).items()}


@pytest.mark.parametrize("kind", ["sie", "epl", "nfw_sersic"])
def test_a_round_lens_deflects_by_its_einstein_radius(kind: Any) -> None:
    round_one = truth(lens_q=1.0, gamma1=0.0, gamma2=0.0, kappa=0.0)
    lens = masses.lens(round_one, Scene(mass=kind))
    ax, ay = masses.deflection(lens, round_one["lens_x"], round_one["lens_y"] + 1.1)
    assert (float(ax), float(ay)) == pytest.approx((0, 1.1), abs=1e-4)


@pytest.mark.slow
def test_halos_before_and_behind_the_lens() -> None:
    """Without mass they change nothing; with it, images solve the equation of all planes, and their delays are those
    of the light's paths."""
    scene = Scene(mass="sie", line_of_sight=1, planes=(0.2, 0.6))
    run = jax.jit(lambda at: images_and_times(at, scene))
    alone = jax.jit(lambda at: images_and_times(at, scene.model_copy(update={"line_of_sight": 0})))(truth())
    empty, full = run(truth()), run(truth(0.02))
    for a, b in zip(alone, empty, strict=True):  # absent images alike
        assert np.asarray(b) == pytest.approx(np.asarray(a), abs=2e-5)
    there = np.asarray(full[0])
    assert there.sum() == 4
    assert np.abs(np.asarray(full[1] - empty[1])[:, there]).max() > 1e-3
    assert np.asarray(full[2])[there] == pytest.approx(np.asarray(full[3])[there], abs=2e-3)
    assert np.abs(np.asarray(full[4])).max() < 1e-5


def images_and_times(at: Truth, scene: Scene) -> tuple[jax.Array, ...]:
    lens, beta = masses.lens(at, scene), (F(0.1), F(0.02))
    found = point_images.find(
        masses.deflection, lens, *beta, masses.window(at, *beta), masses.potential, scene.max_images
    )
    days = point_images.time_delays(found.fermat, at["z_lens"], at["z_source"])
    paths = days
    if isinstance(lens, multiplane.Planes):
        paths = multiplane.arrival_time(lens, found.x, found.y)
        paths = jnp.where(found.exists, paths - paths[0], 0.0)
    ax, ay = masses.deflection(lens, found.x, found.y)
    back = jnp.where(found.exists, jnp.stack([found.x - ax - beta[0], found.y - ay - beta[1]]), 0.0)
    return found.exists, jnp.stack([found.x, found.y]), days, paths, back


def test_subhalos_are_part_of_the_lens() -> None:
    halo = {"subhalo_Rs": [0.05], "subhalo_r_trunc": [0.3], "subhalo_x": [1.0], "subhalo_y": [0.0]}
    scene = Scene(mass="sie", subhalos=1)
    x, y = F(1.15), F(-0.1)
    ax = [
        float(masses.deflection(masses.lens(truth(**halo, subhalo_alpha_Rs=[a]), scene), x, y)[0]) for a in (0.0, 0.01)
    ]
    assert 0.001 < ax[1] - ax[0] < 0.02
    assert ax[0] == float(masses.deflection(masses.lens(truth(), Scene(mass="sie")), x, y)[0])
