"""Galaxy-scale lens frames against lenstronomy: 64^2 pixels of 0.074", SIE with shear, elliptical Sersic light of lens
and source, a 33^2 PSF, noise. One core, CPU seconds, every frame new.

    python benchmarks/lens.py

- `lens_vs_lenstronomy`: one PSF for all frames, as the peer (ImageModel, `fft_static`, 3x3 midpoints a pixel) has it.
  Light is sampled at pixel centres and integrated anew by Gauss and Legendre's rule where it bends most.
- `lens_error_ratio`: how far these frames are from the peer's own at 12x12 midpoints, in units of the peer's error at
  3x3, median and worst; `lens_same_quadrature` the largest difference at equal 3x3 midpoints.
- `lens_psf_vs_lenstronomy`: a new PSF for every frame, from telemetry of the CSST survey camera in its i band, through
  frequencies beyond the pixel's Nyquist limit, Poisson and read noise; the peer still has one PSF.
- `lens_two_core_efficiency`: frames a second of one process on both cores, against two processes of one core each.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from importlib.util import find_spec
from typing import Any

import numpy as np
from _report import cpu_seconds, figure

from twin.numerics.devices import cpu_cores, setup_devices

SIDE, PIXEL, KERNEL = 64, 0.074, 33
BATCH, CHECKED = 512, 48
# Blocks that are integrated anew, Gauss-Legendre points a side of their pixels, the same for cusps, pixels a side.
SOURCE = (12, 2, (3, 5), 8)
LIGHT = (16, 3, (4, 10), 4)
SECONDS = 4.0  # for each side of the comparison of one process with two


def draw(n: int, seed: int) -> dict[str, np.ndarray]:
    """n lenses: lengths in arcsec, angles in rad; light of unit flux for the source and `ratio` for the lens."""
    rng = np.random.default_rng(seed)
    theta, phi = rng.uniform(0.5, 1.3, n), rng.uniform(0, 2 * np.pi, n)
    depth = 0.35 * theta * np.sqrt(rng.uniform(0, 1, n))
    rows = {
        "theta_E": theta, "lens_q": rng.uniform(0.5, 0.95, n), "lens_angle": rng.uniform(0, np.pi, n),
        "lens_x": rng.uniform(-0.05, 0.05, n), "lens_y": rng.uniform(-0.05, 0.05, n),
        "gamma1": rng.normal(0, 0.04, n), "gamma2": rng.normal(0, 0.04, n),
        "source_x": depth * np.cos(phi), "source_y": depth * np.sin(phi), "source_radius": rng.uniform(0.1, 0.4, n),
        "source_n": rng.uniform(0.8, 2.0, n), "source_q": rng.uniform(0.4, 1.0, n),
        "source_angle": rng.uniform(0, np.pi, n),
        "light_radius": rng.uniform(0.5, 1.2, n), "light_n": rng.uniform(3.0, 5.0, n),
        "light_q": rng.uniform(0.5, 0.95, n), "light_angle": rng.uniform(0, np.pi, n), "ratio": rng.uniform(1, 10, n),
    }  # fmt: skip
    return {name: value.astype(np.float32) for name, value in rows.items()}


def kernel() -> np.ndarray:
    """(KERNEL, KERNEL) the mean PSF of CSST's i band, on pixels."""
    import jax

    from twin.observatory.imager import load_instrument
    from twin.observatory.psf import psf_image

    csst = load_instrument("csst")
    band = csst.bands.index("i")
    state = jax.vmap(csst.state)(csst.draw_exposures(0, 16))
    stamps = jax.vmap(lambda s: psf_image(csst.optics, s, KERNEL, PIXEL, 3))(state)
    mean = np.asarray(stamps[:, band], float).mean(0)
    return mean / mean.sum()


def brightness(row: dict[str, Any]) -> tuple[Any, Any]:
    """Surface brightness functions of x and y [1/arcsec^2]: the lensed source, the lens's own light."""
    from twin.numerics.sersic import brightness as sersic_light
    from twin.simulators import lensing

    names = ("theta_E", "lens_q", "lens_angle", "lens_x", "lens_y", "gamma1", "gamma2")
    lens = lensing.SIE(*(row[name] for name in names))

    def source(x: Any, y: Any) -> Any:
        ax, ay = lensing.deflection(lens, x, y)
        at = row["source_x"], row["source_y"]
        shape = (row[f"source_{name}"] for name in ("radius", "q", "angle", "n"))
        return sersic_light(x - ax, y - ay, at, *shape)[None]

    def light(x: Any, y: Any) -> Any:
        shape = (row[f"light_{name}"] for name in ("radius", "q", "angle", "n"))
        return row["ratio"] * sersic_light(x, y, (row["lens_x"], row["lens_y"]), *shape)[None]

    return source, light


def shared_psf(psf: np.ndarray, noise: bool, midpoints: int = 0) -> Any:
    """Frames (n, SIDE, SIDE) of keys and rows, by one PSF; `midpoints` a side of each pixel, or what is fastest."""
    import jax
    import jax.numpy as jnp

    from twin.numerics.fourier import Grid, image, product, spectrum
    from twin.simulators.quadrature import bin_cells, integrate

    grid = Grid(SIDE, PIXEL, pad=97 / SIDE)  # enough for a frame and half a kernel; odd: no Nyquist frequency to halve
    at = (np.arange(KERNEL) - KERNEL // 2) * PIXEL
    wave_y, wave_x = (np.exp(-2j * np.pi * np.outer(f, at)) for f in (grid.fy, grid.fx))
    transfer = wave_y @ psf @ wave_x.T
    re, im = jnp.asarray(transfer.real, jnp.float32), jnp.asarray(transfer.imag, jnp.float32)

    def frame(grain: Any, row: dict[str, Any]) -> Any:
        source, light = brightness(row)
        if midpoints:
            fine = [integrate(part, midpoints * SIDE, PIXEL / midpoints, 0, 1) for part in (source, light)]
            total = bin_cells(fine[0] + fine[1], midpoints)[0]
        else:
            total = (integrate(source, SIDE, PIXEL, *SOURCE) + integrate(light, SIDE, PIXEL, *LIGHT))[0]
        return grain + image(grid, product((re, im), spectrum(grid, total)))

    def grains(key: Any) -> Any:
        return 1e-4 * jax.random.normal(key, (SIDE, SIDE)) if noise else jnp.zeros((), jnp.float32)

    def some(keys: Any, rows: dict[str, Any]) -> Any:
        # random numbers in a loop of their own: in one with the frame, XLA draws them three times over
        return jax.lax.map(lambda a: frame(*a), (jax.lax.map(grains, keys, batch_size=8), rows), batch_size=8)

    def frames(keys: Any, rows: dict[str, Any]) -> Any:
        cut = jax.tree.map(lambda v: v.reshape(-1, 32, *v.shape[1:]), (keys, rows))  # as many as fit in the cache
        return jax.lax.map(lambda a: some(*a), cut).reshape(-1, SIDE, SIDE)

    return jax.jit(frames)


def own_psf() -> tuple[Any, Any]:
    """Frames of keys, rows and telemetry, each through the PSF of its exposure; and the telemetry (BATCH, C)."""
    import jax
    import jax.numpy as jnp

    from twin.observatory import detector
    from twin.recipe import load_recipe
    from twin.simulators.quadrature import integrate
    from twin.simulators.scene import LightMap, Scene, Sersics, render

    recipe = load_recipe("csst-lens", ["bands=[i]"])
    canvas = recipe.canvas
    side, cell = SIDE * canvas.cells, PIXEL / canvas.cells

    def frame(key: Any, row: dict[str, Any], exposure: Any) -> Any:
        state = recipe.state(exposure)
        source, _ = brightness(row)
        samples = integrate(source, side, cell, canvas.blocks, canvas.points)[0]
        own = (row[name][None] for name in ("lens_x", "lens_y", "light_radius", "light_q", "light_angle", "light_n"))
        scene = Scene(Sersics(*own, 2e4 * row["ratio"].reshape(1, 1)), None, LightMap(samples, jnp.full((1,), 2e4)))
        expected = render(canvas.grid, canvas.transfer(state), scene)
        return detector.expose(key, expected, state, recipe.instrument.config.detector, recipe.stacked)[0]

    many = jax.jit(lambda *p: jax.lax.map(lambda a: frame(*a), p, batch_size=8))
    return many, jnp.asarray(recipe.exposures(0, 0, BATCH))


class Peer:
    """lenstronomy's ImageModel with `midpoints` a side of each pixel."""

    def __init__(self, psf: np.ndarray, midpoints: int) -> None:
        from lenstronomy.Data.imaging_data import ImageData
        from lenstronomy.Data.psf import PSF
        from lenstronomy.ImSim.image_model import ImageModel
        from lenstronomy.LensModel.lens_model import LensModel
        from lenstronomy.LightModel.light_model import LightModel

        corner = -(SIDE - 1) / 2 * PIXEL
        data = ImageData(
            np.zeros((SIDE, SIDE)), ra_at_xy_0=corner, dec_at_xy_0=corner, transform_pix2angle=np.eye(2) * PIXEL,
            background_rms=1.0, exposure_time=100.0,
        )  # fmt: skip
        light = LightModel(["SERSIC_ELLIPSE"])
        numerics = {"supersampling_factor": midpoints, "supersampling_convolution": False}
        self.model = ImageModel(
            data, PSF("PIXEL", kernel_point_source=psf, pixel_size=PIXEL), LensModel(["SIE", "SHEAR"]), light, light,
            kwargs_numerics=numerics | {"convolution_type": "fft_static"},
        )  # fmt: skip
        self.rng = np.random.default_rng(0)

    def frame(self, row: dict[str, float], noise: bool = True) -> np.ndarray:
        from lenstronomy.Util.param_util import phi_q2_ellipticity

        x, y = row["lens_x"], row["lens_y"]
        e1, e2 = phi_q2_ellipticity(row["lens_angle"], row["lens_q"])
        lens = [
            {"theta_E": row["theta_E"], "e1": e1, "e2": e2, "center_x": x, "center_y": y},
            {"gamma1": row["gamma1"], "gamma2": row["gamma2"], "ra_0": x, "dec_0": y},
        ]
        both = [self.sersic(row, "source", row["source_x"], row["source_y"], 1.0)]
        both.append(self.sersic(row, "light", x, y, row["ratio"]))
        image: np.ndarray = self.model.image(lens, [both[0]], [both[1]])
        return image + 1e-4 * self.rng.normal(size=image.shape) if noise else image

    @staticmethod
    def sersic(row: dict[str, float], name: str, x: float, y: float, flux: float) -> dict[str, float]:
        """lenstronomy's b_n is 1.9992 n - 0.3271: the radius with which that makes the same profile; its amplitude is
        the brightness there."""
        from lenstronomy.Util.param_util import phi_q2_ellipticity
        from scipy.special import gamma, gammaincinv

        n, radius = row[f"{name}_n"], row[f"{name}_radius"]
        exact, theirs = gammaincinv(2 * n, 0.5), 1.9992 * n - 0.3271
        total = 2 * np.pi * n * np.exp(exact) * exact ** (-2 * n) * gamma(2 * n) * radius**2
        amplitude = flux / total * np.exp(exact - theirs)
        e1, e2 = phi_q2_ellipticity(row[f"{name}_angle"], row[f"{name}_q"])
        return {
            "amp": amplitude, "R_sersic": radius * (theirs / exact) ** n, "n_sersic": n, "e1": e1, "e2": e2,
            "center_x": x, "center_y": y,
        }  # fmt: skip


def against_lenstronomy(psf: np.ndarray, mine: float, own: float, frames: dict[str, np.ndarray], rows: Any) -> None:
    count = iter(range(10**6))

    def one(k: int) -> dict[str, float]:
        return {name: float(value[k % BATCH]) for name, value in rows.items()}

    coarse, fine = Peer(psf, 3), Peer(psf, 12)
    theirs = cpu_seconds(lambda: [coarse.frame(one(next(count))) for _ in range(40)], 40)
    figure("lens_vs_lenstronomy", 1 / mine, "1/s", "lenstronomy ImageModel fft_static, 3x3 midpoints", 1 / theirs)
    peer = "lenstronomy ImageModel fft_static, 3x3 midpoints, one PSF for all frames"
    figure("lens_psf_vs_lenstronomy", 1 / own, "1/s", peer, 1 / theirs)
    errors: dict[str, list[float]] = {"fast": [], "peer": [], "same": []}
    for k in range(CHECKED):
        exact, third = fine.frame(one(k), False), coarse.frame(one(k), False)
        for name, image, to in (
            ("fast", frames["fast"][k], exact),
            ("peer", third, exact),
            ("same", frames["same"][k], third),
        ):
            errors[name].append(float(np.abs(image - to).max() / exact.max()))
    of, words = "of lenstronomy's error at 3x3 midpoints", "lenstronomy, 3x3 midpoints"
    for name, pick in (("", statistics.median), ("_worst", max)):
        ours, peers = pick(errors["fast"]), pick(errors["peer"])
        figure(f"lens_error{name}", ours, "of the peak", words, peers, less_is_better=True)
        figure(f"lens_error_ratio{name}", ours / peers, of)
    figure("lens_same_quadrature", max(errors["same"]), "of the peak")


def throughput(devices: int) -> None:
    """Print frames a second of this process on so many devices, over SECONDS after a start on a full second."""
    setup_devices(devices)
    import jax
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    many = shared_psf(kernel(), True)
    mesh = Mesh(np.array(jax.local_devices()), ("batch",))
    spread = PartitionSpec("batch")
    program = jax.jit(
        jax.shard_map(many, mesh=mesh, in_specs=(spread, spread), out_specs=spread, check_vma=False)
    )  # fmt: skip
    n = BATCH * devices
    here = NamedSharding(mesh, spread)
    keys, rows = jax.device_put((jax.random.split(jax.random.key(0), n), draw(n, 0)), here)
    program(keys, rows).block_until_ready()
    print("ready", flush=True)
    sys.stdin.readline()
    begin, frames = time.perf_counter(), 0
    while (spent := time.perf_counter() - begin) < SECONDS:
        program(keys, rows).block_until_ready()
        frames += n
    print(frames / spent, flush=True)


def processes(count: int, devices: int) -> float:
    """Frames a second of so many processes at once, each on so many cores of its own."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    running = []
    for k in range(count):
        command = [sys.executable, __file__, "--throughput", str(devices)]
        mine = set(cores[k * devices : (k + 1) * devices])
        pinned = (lambda mine=mine: os.sched_setaffinity(0, mine)) if mine else None
        running.append(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=pinned)
        )
    for process in running:  # all of them compiled before any is timed
        assert process.stdout is not None
        while process.stdout.readline().strip() != "ready":
            if process.poll() is not None:
                raise RuntimeError("a process of the comparison ended before it began")
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return sum(float(process.communicate()[0]) for process in running)


def main() -> None:
    cores = cpu_cores()
    if cores >= 2:  # before this process is bound to one core
        pairs = [(processes(1, 2), processes(2, 1)) for _ in range(3)]
        one, two = (statistics.median(side) for side in zip(*pairs, strict=True))
        figure("lens_two_core_efficiency", one, "1/s", "two processes of one core each", two)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    setup_devices(1)
    import jax

    psf, rows, keys = kernel(), draw(BATCH, 0), jax.random.split(jax.random.key(0), BATCH)
    noisy = shared_psf(psf, True)
    mine = cpu_seconds(lambda: noisy(keys, rows).block_until_ready(), BATCH)
    figure("lens_frames_per_second", 1 / mine, "1/s")
    telescope, exposures = own_psf()
    own = cpu_seconds(lambda: telescope(keys, rows, exposures).block_until_ready(), BATCH)
    figure("lens_psf_frames_per_second", 1 / own, "1/s")
    if find_spec("lenstronomy"):
        made = {name: shared_psf(psf, False, m) for name, m in (("fast", 0), ("same", 3))}
        against_lenstronomy(psf, mine, own, {name: np.asarray(f(keys, rows)) for name, f in made.items()}, rows)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--throughput"]:
        throughput(int(sys.argv[2]))
    else:
        main()
