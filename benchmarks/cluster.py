"""A cluster field, 256x256 in three bands with a hundred members: time against lenstronomy drawing the same, residuals
of the two, and what members cost.

    python benchmarks/cluster.py

The sky is drawn from `legacy-cluster-arcs`: an elliptical NFW halo with shear, dPIE members, their light, intracluster
light, field galaxies, and three sources at redshifts of their own. Both draw it with one Gaussian PSF a band, without
stars and noise. What members cost is measured in the same field without its field galaxies. lenstronomy
(NFW_ELLIPSE_POTENTIAL, PJAFFE, SERSIC_ELLIPSE) samples each pixel 3x3 and convolves the pixels, `fft_static`, as its
users do. CPU seconds of the process, medians.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from _report import cpu_seconds, figure

from twin.numerics.devices import setup_devices

setup_devices(1)  # before JAX reads its environment

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
from numpyro import handlers  # noqa: E402

from twin.numerics.fourier import Spectrum  # noqa: E402
from twin.observatory.state import ImagerState  # noqa: E402
from twin.simulators.base import Canvas  # noqa: E402

FWHM = (1.29, 1.18, 1.11)  # arcsec, in g, r, z
KERNEL = 33  # pixels
RUNS = 7
Truth = dict[str, Any]


@dataclass(frozen=True)
class Fixed(Canvas):
    """A canvas whose telescope is a Gaussian PSF a band."""

    def transfer(self, state: ImagerState) -> Spectrum:
        f2 = self.grid.fx[None, :] ** 2 + self.grid.fy[:, None] ** 2
        blur = [np.exp(-2 * (np.pi * fwhm / 2.354820) ** 2 * f2) for fwhm in FWHM]
        return jnp.asarray(np.stack(blur), jnp.float32), jnp.zeros((len(FWHM), *f2.shape), jnp.float32)


def sky(recipe: Any) -> Truth:
    """A truth with 300 members and three sources, without stars."""
    from twin.priors.laws import quantile_draws
    from twin.simulators.cluster.lens import place

    program = recipe.simulator.truth("arcs", recipe.laws)
    draw = handlers.substitute(program, substitute_fn=quantile_draws(jax.random.key(4), recipe._draws["arcs"]))
    truth = draw()
    # the halo of an ordinary cluster: members are counted here, not its mass
    truth = truth | {"halo_Rs": jnp.asarray([45.0, 20.0]), "halo_alpha_Rs": jnp.asarray([32.0, 0.0])}
    truth["star_mag"] = jnp.full_like(truth["star_mag"], jnp.nan)
    return place(truth, recipe.laws.half_side)


def with_members(truth: Truth, count: int) -> Truth:
    there = jnp.arange(len(truth["member_x"])) < count
    return truth | {
        "members": jnp.float32(count),
        "member_b0": jnp.where(there, truth["member_b0"], 0.0),
        "member_mag": jnp.where(there[:, None], truth["member_mag"], jnp.nan),
    }


def lenstronomy_bands(truth: Truth, state: ImagerState, recipe: Any, samples: int, exact: bool) -> list[Any]:
    """For each band a function that draws it; `exact` convolves the samples, not the pixels."""
    from lenstronomy.Data.imaging_data import ImageData
    from lenstronomy.Data.psf import PSF
    from lenstronomy.ImSim.image_model import ImageModel
    from lenstronomy.LensModel.lens_model import LensModel
    from lenstronomy.LightModel.light_model import LightModel
    from lenstronomy.Util.param_util import phi_q2_ellipticity

    from twin.simulators.cluster import light
    from twin.simulators.cluster.simulator import counts

    t = {name: np.asarray(value, float) for name, value in truth.items()}
    npix, scale = recipe.config.frame.npix, recipe.pixel_scale

    def ellipse(name: str, k: int | tuple[()]) -> dict[str, float]:
        e1, e2 = phi_q2_ellipticity(t[f"{name}_angle"][k], t[f"{name}_q"][k])
        return {"e1": e1, "e2": e2, "center_x": t[f"{name}_x"][k], "center_y": t[f"{name}_y"][k]}

    names = ["NFW_ELLIPSE_POTENTIAL"] * 2 + ["SHEAR"]
    lens: list[dict[str, float]] = [
        {"Rs": t["halo_Rs"][k], "alpha_Rs": t["halo_alpha_Rs"][k], **ellipse("halo", k)} for k in range(2)
    ]
    lens.append({"gamma1": t["gamma1"], "gamma2": t["gamma2"], "ra_0": t["halo_x"][0], "dec_0": t["halo_y"][0]})
    for k in range(int(t["members"])):
        core, cut = t["member_core"][k], t["member_cut"][k]
        names.append("PJAFFE")
        lens.append({
            "sigma0": t["member_b0"][k] / (2 * core), "Ra": core, "Rs": cut,
            "center_x": t["member_x"][k], "center_y": t["member_y"][k],
        })  # fmt: skip

    def sersics(name: str) -> tuple[list[dict[str, float]], np.ndarray]:
        """Parameters of those that shine, and their fluxes (B, K) over the surface brightness at R_e."""
        columns = ("x", "y", "radius", "sersic", "q", "angle")
        rows = np.asarray(light.rows(*(truth[f"{name}_{c}"] for c in columns)), float)
        flux = np.asarray(counts(truth[f"{name}_mag"], state), float) * np.exp(rows[:, 7] - rows[:, 6])
        shining = np.flatnonzero(flux[0] > 0)
        each = [
            {"R_sersic": t[f"{name}_radius"][k], "n_sersic": t[f"{name}_sersic"][k], **ellipse(name, int(k))}
            for k in shining
        ]
        return each, flux[:, shining]

    first = {f"icl_{c}": truth[f"member_{c}"][:1] for c in ("x", "y", "q", "angle")}
    truth = truth | first | {
        "icl_radius": truth["icl_radius"][None], "icl_sersic": jnp.ones(1), "icl_mag": truth["icl_mag"][None],
    }  # fmt: skip
    t |= {name: np.asarray(value, float) for name, value in truth.items()}
    galaxies, amplitude = [], []
    for name in ("member", "field", "icl"):
        each, flux = sersics(name)
        galaxies += each
        amplitude.append(flux)
    amplitudes = np.concatenate(amplitude, 1)
    sources, source_amplitudes = sersics("source")
    behind = LightModel(
        ["SERSIC_ELLIPSE"] * len(sources), deflection_scaling_list=list(t["source_efficiency"][: len(sources)])
    )
    corner = -(npix - 1) / 2 * scale
    data = ImageData(
        np.zeros((npix, npix)), ra_at_xy_0=corner, dec_at_xy_0=corner, transform_pix2angle=np.eye(2) * scale,
        background_rms=1.0, exposure_time=100.0,
    )  # fmt: skip
    drawers = []
    for band, fwhm in enumerate(FWHM):
        fine = samples if exact else 1
        half = (KERNEL * fine) // 2
        grid = np.arange(-half, half + 1) * scale / fine
        kernel = np.exp(-0.5 * (grid[:, None] ** 2 + grid**2) / (fwhm / 2.354820) ** 2)
        psf = PSF("PIXEL", kernel_point_source=kernel / kernel.sum(), point_source_supersampling_factor=fine)
        numerics = {
            "supersampling_factor": samples, "supersampling_convolution": exact, "convolution_type": "fft_static",
        }  # fmt: skip
        model = ImageModel(
            data, psf, LensModel(names), behind, LightModel(["SERSIC_ELLIPSE"] * len(galaxies)),
            kwargs_numerics=numerics,
        )  # fmt: skip
        shown = [g | {"amp": a} for g, a in zip(galaxies, amplitudes[band], strict=True)]
        lensed = [s | {"amp": a} for s, a in zip(sources, source_amplitudes[band], strict=True)]
        drawers.append(partial(model.image, lens, lensed, shown))
    return drawers


def main() -> None:
    from twin.recipe import load_recipe
    from twin.simulators.cluster.simulator import _draw

    recipe = load_recipe(
        "legacy-cluster-arcs", ("prior.richness={law: uniform, low: 380, high: 390}", "scene.faintest=7",
                                "prior.sources={law: uniform, low: 2.9, high: 3.1}"),
    )  # fmt: skip
    canvas = Fixed(**{name: getattr(recipe.canvas, name) for name in ("grid", "cells", "subsamples", "optics")})
    state = recipe.state(jnp.asarray(recipe.exposures(1, 0, 1)[0]))
    state = replace(state, offset=jnp.zeros_like(state.offset))
    truth = jax.jit(lambda: sky(recipe))()
    assert int(truth["members"]) == 300
    draw = jax.jit(partial(_draw, canvas))
    cost = {}
    empty = truth | {"field_mag": jnp.full_like(truth["field_mag"], jnp.nan)}
    for count in (0, 10, 100, 300):
        of = with_members(empty, count)
        cost[count] = cpu_seconds(partial(lambda of: jax.block_until_ready(draw(of, state)), of), 1, RUNS)
    compiled = draw._cache_size()
    hundred = with_members(truth, 100)
    frame = np.asarray(draw(hundred, state)["expected"], float)
    taken = cpu_seconds(lambda: jax.block_until_ready(draw(hundred, state)), 1, RUNS)

    figure("cluster_frames_per_cpu_second", 1 / taken, "1/s")
    figure("cluster_member_cost", cost[300] / cost[10], "")
    figure("cluster_member_cost_alone", (cost[300] - cost[0]) / max(cost[10] - cost[0], 1e-6), "")
    figure("cluster_ms_of_one_member", 1e3 * (cost[300] - cost[0]) / 300, "ms")
    figure("cluster_ms_without_members", 1e3 * cost[0], "ms")
    figure("cluster_compilations", compiled, "")
    if not find_spec("lenstronomy"):
        return
    bands = lenstronomy_bands(hundred, state, recipe, 3, False)
    theirs: list[np.ndarray] = []

    def three() -> None:
        theirs[:] = [draw_band() for draw_band in bands]

    seconds = cpu_seconds(three, 1, 1)
    figure("cluster_vs_lenstronomy", 1 / taken, "1/s", "lenstronomy ImageModel S=3 fft_static", 1 / seconds)
    inner = (slice(16, -16), slice(16, -16))  # within half a kernel of the edge both miss light from outside
    peak = frame.max()
    figure("cluster_residual_lenstronomy", float(np.max(np.abs(frame - np.stack(theirs))[:, *inner]) / peak), "of peak")
    finest = lenstronomy_bands(hundred, state, recipe, 7, True)[1]()
    ours, coarse = (np.abs(f - finest)[inner] for f in (frame[1], theirs[1]))
    figure(
        "cluster_error",
        float(ours.max() / peak),
        "of peak",
        "lenstronomy S=3",
        float(coarse.max() / peak),
        less_is_better=True,
    )
    rms = [float(np.sqrt((e**2).mean()) / peak) for e in (ours, coarse)]
    figure("cluster_error_rms", rms[0], "of peak", "lenstronomy S=3", rms[1], less_is_better=True)


if __name__ == "__main__":
    main()
