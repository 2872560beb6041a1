"""caustics draws the task of lens_peers.py in an environment of its own: python _caustics.py TASK.npz ANSWER.npz"""

from __future__ import annotations

import sys
from typing import Any

import caustics
import numpy as np
import torch
from _report import cpu_seconds

# Parameters as its modules ask for them.
COLUMNS = (
    *("lens_x", "lens_y", "lens_q", "lens_angle", "theta_E"),
    *("lens_x", "lens_y", "gamma1", "gamma2"),
    *("source_x", "source_y", "source_q", "source_angle", "source_n", "source_R_sersic", "source_amp"),
    *("lens_x", "lens_y", "light_q", "light_angle", "light_n", "light_R_sersic", "light_amp"),
)
BATCHES = (4, 8, 16)  # more leave the cache of a core


class Simulator(caustics.Module):
    """A simulator as its tutorial builds one, but with an FFT, which is faster here than its conv2d.

    Its own LensSource samples pixels beyond the edge too, 96x96 here, and by Gauss and Legendre's rule: it takes twice
    as long and draws another frame than lenstronomy.
    """

    def __init__(self, lens: Any, source: Any, light: Any, psf: np.ndarray, side: int, pixel: float, fine: int) -> None:
        super().__init__("simulator")
        self.lens, self.source, self.light = lens, source, light
        self.side, self.fine, self.half = side, fine, len(psf) // 2
        self.x, self.y = caustics.utils.meshgrid(pixel / fine, side * fine)
        self.shape = (side + len(psf) - 1,) * 2
        self.transfer = torch.fft.rfft2(torch.as_tensor(psf, dtype=torch.float32), self.shape)

    @caustics.forward
    def __call__(self) -> torch.Tensor:
        behind = self.source.brightness(*self.lens.raytrace(self.x, self.y))
        light = behind + self.light.brightness(self.x, self.y)
        pixels = torch.nn.functional.avg_pool2d(light[None, None], self.fine)[0, 0]
        blurred = torch.fft.irfft2(torch.fft.rfft2(pixels, self.shape) * self.transfer, self.shape)
        inner = slice(self.half, self.half + self.side)
        return blurred[inner, inner]


def simulator(task: dict[str, Any]) -> Any:
    cosmology = caustics.FlatLambdaCDM(name="cosmology")
    cosmology.to_static()
    lenses = [caustics.SIE(cosmology, name="lens"), caustics.ExternalShear(cosmology, name="shear")]
    lens = caustics.SinglePlane(cosmology, lenses, z_l=0.5, z_s=1.5, name="plane")
    source, light = (caustics.Sersic(name=name, use_lenstronomy_k=True) for name in ("source", "light"))
    return Simulator(lens, source, light, task["psf"], int(task["side"]), float(task["pixel"]), int(task["midpoints"]))


def main() -> None:
    torch.set_num_threads(1)
    task = dict(np.load(sys.argv[1]))
    for name in ("source", "light"):  # its radius is that of the major axis; its brightness is one of the pixel
        task[f"{name}_R_sersic"] = task[f"{name}_R_sersic"] / np.sqrt(task[f"{name}_q"])
        task[f"{name}_amp"] = task[f"{name}_amp"] * task["pixel"] ** 2
    rows = torch.as_tensor(np.stack([task[name] for name in COLUMNS], 1), dtype=torch.float32)
    many = torch.vmap(simulator(task))

    def seconds(draw: Any, batch: int) -> float:
        def run() -> None:
            for some in rows.split(batch):
                frames = draw(some)
                frames += 1e-4 * torch.randn(frames.shape)

        return cpu_seconds(run, len(rows))

    with torch.no_grad():
        answer = {"frames": many(rows[: int(task["checked"])]).numpy()}
        taken = {batch: seconds(many, batch) for batch in BATCHES}
        best = min(taken, key=lambda batch: taken[batch])
        answer["seconds"] = np.asarray(taken[best])
        try:  # beyond its documentation; needs a C++ compiler
            compiled = torch.compile(many)
            frames = torch.cat([compiled(some) for some in rows.split(best)])
            answer["compiled_frames"] = frames[: int(task["checked"])].numpy()
            answer["compiled_seconds"] = np.asarray(seconds(compiled, best))
        except RuntimeError as error:
            print(f"torch.compile: {error}", file=sys.stderr)
    np.savez(sys.argv[2], **answer)


if __name__ == "__main__":
    main()
