"""Samples of ps1-lens a second, to Zarr on disk: 64x64 in g, r, i, a new PSF for every frame, the whole class mixture.

    python benchmarks/ps1.py

Compiled programs are warm and the first shard is not counted; what is timed is `twin.data.simulate` from start to
fsync. The peer draws one lens alone in three bands with one fixed PSF, no noise and no disk, in as many processes as
there are cores (timed in one and multiplied); without lenstronomy the figure stands alone.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from _report import figure

from twin.numerics.devices import cpu_cores, setup_devices

RUNS, SHARDS = 5, 3


def lenstronomy_samples_per_second(frames: int = 60) -> float:
    """Three-band samples a second on all cores of lenstronomy's ImageModel, 3x supersampling, `fft_static`."""
    from lenstronomy.Data.imaging_data import ImageData
    from lenstronomy.Data.psf import PSF
    from lenstronomy.ImSim.image_model import ImageModel
    from lenstronomy.LensModel.lens_model import LensModel
    from lenstronomy.LightModel.light_model import LightModel

    rng = np.random.default_rng(0)
    data = ImageData(
        np.zeros((64, 64)), ra_at_xy_0=-7.875, dec_at_xy_0=-7.875, transform_pix2angle=np.eye(2) * 0.25,
        background_rms=1.0, exposure_time=100.0,
    )  # fmt: skip
    psf = PSF("GAUSSIAN", fwhm=1.1, pixel_size=0.25, truncation=3)
    light = LightModel(["SERSIC_ELLIPSE"])
    model = ImageModel(
        data, psf, LensModel(["SIE", "SHEAR"]), light, light,
        kwargs_numerics={
            "supersampling_factor": 3, "supersampling_convolution": False, "convolution_type": "fft_static",
        },
    )  # fmt: skip
    begin = time.perf_counter()
    for _ in range(frames):
        e1, e2 = rng.normal(0, 0.1, 2)
        lens = [
            {"theta_E": rng.uniform(0.5, 2), "e1": e1, "e2": e2, "center_x": 0, "center_y": 0},
            {"gamma1": 0.02, "gamma2": -0.01, "ra_0": 0, "dec_0": 0},
        ]
        for _band in range(3):
            sersic = {"amp": 10, "n_sersic": 1.5, "e1": e1, "e2": e2, "center_y": 0.0}
            source, galaxy = sersic | {"R_sersic": 0.25, "center_x": 0.2}, sersic | {"R_sersic": 1.0, "center_x": 0.0}
            model.image(lens, [source], [galaxy])
    return frames / (time.perf_counter() - begin) * cpu_cores()


def main() -> None:
    setup_devices()
    from twin.data import simulate
    from twin.recipe import load_recipe

    recipe = load_recipe("ps1-lens")
    size = recipe.spec.shard_samples
    recipe.shard(0, 0, size)
    rates, cpu = [], []
    folder = Path(tempfile.mkdtemp())
    try:
        for run in range(RUNS):
            busy = time.process_time()
            written = simulate(recipe, folder / f"{run}.zarr", SHARDS * size, seed=run, progress=False)
            cpu.append((time.process_time() - busy) / written.samples)
            rates.append(written.samples_per_second)
            shutil.rmtree(folder / f"{run}.zarr")
    finally:
        shutil.rmtree(folder)
    peer: tuple[str, float] | tuple[()] = ()
    if find_spec("lenstronomy"):
        words = "lenstronomy ImageModel fft_static, one lens, fixed PSF, no noise, no disk"
        peer = (words, lenstronomy_samples_per_second())
    figure("samples_per_second", statistics.median(rates), "1/s", *peer)
    figure("samples_per_second_lowest", min(rates), "1/s")
    figure("samples_per_second_highest", max(rates), "1/s")
    figure("cpu_ms_per_sample", 1e3 * statistics.median(cpu), "ms")


if __name__ == "__main__":
    main()
