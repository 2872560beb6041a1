"""JAXtronomy draws the task of lens_peers.py in an environment of its own: python _jaxtronomy.py TASK.npz ANSWER.npz"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import Any

import numpy as np
from _report import cpu_seconds

if version("jaxlib") == "0.10.1":  # the flag that twin sets with this release, worth 5 % here
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_prefer_vector_width=512")

import jax
import jax.numpy as jnp
from jaxtronomy.Data.imaging_data import ImageData
from jaxtronomy.ImSim.image_model import ImageModel
from jaxtronomy.LensModel.lens_model import LensModel
from jaxtronomy.LightModel.light_model import LightModel
from lenstronomy.Data.psf import PSF
from lenstronomy.Util.param_util import phi_q2_ellipticity

BATCHES = (1, 4, 16)  # more leave the cache of a core


def model(task: dict[str, Any]) -> Any:
    side, pixel = int(task["side"]), float(task["pixel"])
    corner = -(side - 1) / 2 * pixel
    data = ImageData(
        np.zeros((side, side)), ra_at_xy_0=corner, dec_at_xy_0=corner, transform_pix2angle=np.eye(2) * pixel,
        background_rms=1.0, exposure_time=100.0,
    )  # fmt: skip
    psf = PSF("PIXEL", kernel_point_source=task["psf"], pixel_size=pixel)
    light = LightModel(["SERSIC_ELLIPSE"])
    numerics = {
        "supersampling_factor": int(task["midpoints"]), "supersampling_convolution": False, "convolution_type": "fft",
    }  # fmt: skip
    return ImageModel(data, psf, LensModel(["SIE", "SHEAR"]), light, light, kwargs_numerics=numerics)


def main() -> None:
    task = dict(np.load(sys.argv[1]))
    image = model(task)
    columns = {name: value for name, value in task.items() if value.ndim == 1}
    for name in ("lens", "source", "light"):
        e1, e2 = phi_q2_ellipticity(columns[f"{name}_angle"], columns[f"{name}_q"])
        columns |= {f"{name}_e1": e1, f"{name}_e2": e2}
    # In single precision: its documentation advises double, in which it is half as fast, but these frames agree.
    rows = {name: jnp.asarray(value, jnp.float32) for name, value in columns.items()}
    keys = jax.random.split(jax.random.key(0), len(rows["theta_E"]))

    def frame(row: dict[str, Any]) -> Any:
        at = {"center_x": row["lens_x"], "center_y": row["lens_y"]}
        lens = [
            {"theta_E": row["theta_E"], "e1": row["lens_e1"], "e2": row["lens_e2"], **at},
            {"gamma1": row["gamma1"], "gamma2": row["gamma2"], "ra_0": row["lens_x"], "dec_0": row["lens_y"]},
        ]
        source, light = (
            {key: row[f"{name}_{key}"] for key in ("amp", "R_sersic", "e1", "e2")} | {"n_sersic": row[f"{name}_n"]}
            for name in ("source", "light")
        )
        behind = {"center_x": row["source_x"], "center_y": row["source_y"]}
        return image.image(lens, [source | behind], [light | at])

    def noisy(key: Any, row: dict[str, Any]) -> Any:
        out = frame(row)
        return out + 1e-4 * jax.random.normal(key, out.shape)

    def seconds(batch: int) -> float:
        many = jax.jit(lambda keys, rows: jax.lax.map(lambda a: noisy(*a), (keys, rows), batch_size=batch))
        return cpu_seconds(lambda: many(keys, rows).block_until_ready(), len(keys))

    frames = jax.jit(jax.vmap(frame))({name: value[: int(task["checked"])] for name, value in rows.items()})
    np.savez(sys.argv[2], frames=frames, seconds=min(seconds(batch) for batch in BATCHES))


if __name__ == "__main__":
    main()
