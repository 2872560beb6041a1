"""SIE with external shear by lenstronomy: rays, the cut, images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np


@cache
def _model(*kinds: str) -> Any:
    from lenstronomy.LensModel.lens_model import LensModel

    return LensModel(list(kinds))


@dataclass(frozen=True)
class Lens:
    """theta_E [arcsec], axis ratio, angle of the major axis [rad], centre [arcsec], shear about that centre."""

    theta_E: float
    q: float
    angle: float
    x: float
    y: float
    gamma1: float
    gamma2: float

    @cached_property
    def arguments(self) -> list[dict[str, float]]:
        """lenstronomy's kwargs of SIE and SHEAR."""
        from lenstronomy.Util.param_util import phi_q2_ellipticity

        e1, e2 = phi_q2_ellipticity(self.angle, self.q)
        return [
            {"theta_E": self.theta_E, "e1": e1, "e2": e2, "center_x": self.x, "center_y": self.y},
            {"gamma1": self.gamma1, "gamma2": self.gamma2, "ra_0": self.x, "dec_0": self.y},
        ]

    def shoot(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where rays seen at x, y come from [arcsec]."""
        bx, by = _model("SIE", "SHEAR").ray_shooting(x.ravel(), y.ravel(), self.arguments)
        return bx.reshape(x.shape), by.reshape(x.shape)

    def cut(self, phi: float) -> tuple[float, float]:
        """Where the rays come from that pass the centre of the SIE on the side of direction phi."""
        ax, ay = _model("SIE").alpha(self.x + np.cos(phi), self.y + np.sin(phi), self.arguments[:1])
        return self.x - float(ax), self.y - float(ay)

    def images(self, bx: float, by: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x, y [arcsec] and signed magnification of all images of a point, by direction from the lens, from +x on."""
        from lenstronomy.LensModel.Solver.lens_equation_solver import LensEquationSolver

        model = _model("SIE", "SHEAR")
        x, y = LensEquationSolver(model).image_position_from_source(
            bx, by, self.arguments, solver="analytical", magnification_limit=None
        )
        order = np.argsort(np.arctan2(y - self.y, x - self.x) % (2 * np.pi))
        x, y = x[order], y[order]
        return x, y, model.magnification(x, y, self.arguments)
