"""Deflection of a cluster held to lenstronomy, and sources that lie where they are asked to."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twin.priors import cluster
from twin.simulators.cluster import lens as cluster_lens

M = cluster.MEMBERS
alpha = jax.jit(lambda t, x, y: cluster_lens.deflection(cluster_lens.lens(t), x, y))


def truth(rng: np.random.Generator, members: int, halo: str = "dpie") -> dict[str, Any]:
    """A cluster in a frame of 60 arcsec with so many members; what is beyond them would deflect if it were taken."""
    pads = rng.uniform(-30, 30, (2, M)).astype(np.float32)
    light = rng.uniform(0.05, 2, M).astype(np.float32)
    where = {
        "halo_x": [1.0, 12.0], "halo_y": [-2.0, 5.0], "halo_q": [0.75, 0.9], "halo_angle": [0.4, 2.0],
        "gamma1": 0.03, "gamma2": -0.02, "members": float(members),
    }  # fmt: skip
    profile = (
        {"halo_b0": [25.0, 6.0], "halo_core": [6.0, 4.0], "halo_cut": [200.0, 90.0]}
        if halo == "dpie"
        else {"halo_Rs": [60.0, 40.0], "halo_alpha_Rs": [30.0, 8.0]}
    )
    there = np.arange(M) < members
    member = {
        "member_x": pads[0], "member_y": pads[1], "member_b0": np.where(there, 1.1 * np.sqrt(light), 0),
        "member_core": 0.02 * np.sqrt(light), "member_cut": 5 * np.sqrt(light),
    }  # fmt: skip
    return {k: jnp.asarray(v, jnp.float32) for k, v in (where | profile | member).items()}


def by_lenstronomy(t: dict[str, Any], x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from lenstronomy.LensModel.lens_model import LensModel
    from lenstronomy.Util.param_util import phi_q2_ellipticity

    names, values = (
        ["SHEAR"],
        [{"gamma1": t["gamma1"], "gamma2": t["gamma2"], "ra_0": t["halo_x"][0], "dec_0": t["halo_y"][0]}],
    )
    for k in range(2):
        e1, e2 = phi_q2_ellipticity(t["halo_angle"][k], t["halo_q"][k])
        at = {"center_x": t["halo_x"][k], "center_y": t["halo_y"][k], "e1": e1, "e2": e2}
        core, cut = t["halo_core"][k], t["halo_cut"][k]
        b = t["halo_b0"][k] * cut / (cut - core)
        for sign, s in ((1, core), (-1, cut)):
            names.append("NIE")
            values.append({"theta_E": sign * b, "s_scale": s, **at})
    for k in range(int(t["members"])):
        core, cut = t["member_core"][k], t["member_cut"][k]
        names.append("PJAFFE")
        values.append({
            "sigma0": t["member_b0"][k] / (2 * core), "Ra": core, "Rs": cut,
            "center_x": t["member_x"][k], "center_y": t["member_y"][k],
        })  # fmt: skip
    return LensModel(names).alpha(x, y, [{key: float(v) for key, v in kw.items()} for kw in values])


@pytest.mark.parametrize("members", [0, 1, 37])
def test_deflection_is_lenstronomys(rng: np.random.Generator, members: int) -> None:
    pytest.importorskip("lenstronomy")
    t = truth(rng, members)
    x, y = rng.uniform(-30, 30, (2, 500)).astype(np.float32)
    ours = alpha(t, x, y)
    theirs = by_lenstronomy({k: np.asarray(v, float) for k, v in t.items()}, x.astype(float), y.astype(float))
    for a, b in zip(ours, theirs, strict=True):
        assert np.max(np.abs(a - b)) < 1e-5 * np.max(np.abs(b))


def test_members_deflect_as_the_mass_kernel_says(rng: np.random.Generator) -> None:
    """The short formula of a round member is that of `mass.dpie`, also at its very centre."""
    from twin.simulators.mass import dpie

    x = np.append(rng.uniform(-3, 3, 200), 0.5).astype(np.float32)
    y = np.append(rng.uniform(-3, 3, 200), -0.2).astype(np.float32)
    b0, core, cut = 1.3, 0.03, 4.0
    row = jnp.asarray([0.5, -0.2, b0 * cut / (cut - core), core, cut], jnp.float32)
    ours = cluster_lens._member(row, x, y)
    one = dpie.DPIE(*(jnp.float32(v) for v in (b0, core, cut, 1.0, 0.0, 0.5, -0.2)))
    theirs = dpie.deflection(one, x, y)
    for a, b in zip(ours, theirs, strict=True):
        assert np.allclose(a, b, rtol=1e-5, atol=2e-6)
    assert ours[0][-1] == ours[1][-1] == 0


def test_b0_and_lenstools_sigma_give_the_same_mass() -> None:
    """6 pi (sigma_LT / c)^2 with sigma_LT^2 = 2/3 sigma^2 (Bergamini+ 2019, App. C); without it a third is missing."""
    sigma = 250.0
    lenstool = 6 * np.pi * 206264.806 * (np.sqrt(2 / 3) * sigma / 299792.458) ** 2
    assert float(cluster.strength(jnp.float32(sigma))) == pytest.approx(lenstool, rel=1e-6)


def test_sources_map_from_beside_the_critical_curve(rng: np.random.Generator) -> None:
    """On the curve (offset 0) the image is stretched by orders of magnitude, at offset 0.5 by a few."""
    t = truth(rng, 20)
    k = cluster.SOURCES
    t |= {
        "source_phi": jnp.linspace(0.3, 6.0, k), "source_efficiency": jnp.linspace(0.5, 0.8, k),
        "source_offset": jnp.asarray([0.0] * (k // 2) + [0.5] * (k - k // 2)),
    }  # fmt: skip
    placed = jax.jit(lambda t: cluster_lens.place(t, 30.0))(t)
    of = cluster_lens.lens(t)
    radius = cluster_lens.critical_radius(
        of, t["halo_x"][0], t["halo_y"][0], t["source_phi"], t["source_efficiency"], 27.0
    )
    radius = radius * (1 + t["source_offset"])
    x = t["halo_x"][0] + radius * jnp.cos(t["source_phi"])
    y = t["halo_y"][0] + radius * jnp.sin(t["source_phi"])
    f = t["source_efficiency"]
    ax, ay = cluster_lens.deflection(of, x, y)
    assert np.allclose(x - f * ax, placed["source_x"], atol=5e-3)
    assert np.allclose(y - f * ay, placed["source_y"], atol=5e-3)
    along = [(jnp.ones(k), jnp.zeros(k)), (jnp.zeros(k), jnp.ones(k))]
    (xx, xy), (yx, yy) = (jax.jvp(lambda x, y: cluster_lens.deflection(of, x, y), (x, y), v)[1] for v in along)
    mu = 1 / np.abs((1 - f * xx) * (1 - f * yy) - f * f * xy * yx)
    assert np.all(mu[: k // 2] > 20)
    assert np.all(mu[k // 2 :] < 10)
