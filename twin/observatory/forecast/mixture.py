"""A distribution of FWHM [arcsec]: a mixture of normal distributions of the atmosphere's part, over a floor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp, ndtr

from twin.observatory.forecast.model import SOFT

STEPS = 46  # bisections of ln FWHM: 1e-13 of the range


@dataclass(frozen=True)
class Mixture:
    """Forecasts of n exposures: component k of exposure i has weight exp(ln_weight[i, k]) and says that
    s = ln(FWHM^2 - floor_k^2) / 2 is normal with mean[i, k], sd[i, k].

    mean, sd, ln_weight (n, K); floor (K,) [arcsec]. Weights of an exposure add up to 1.
    """

    mean: np.ndarray
    sd: np.ndarray
    ln_weight: np.ndarray
    floor: np.ndarray

    def __len__(self) -> int:
        return len(self.mean)

    def take(self, index: np.ndarray) -> Mixture:
        """Forecasts of some of the exposures."""
        return Mixture(self.mean[index], self.sd[index], self.ln_weight[index], self.floor)

    def widened(self, factor: float) -> Mixture:
        """Every standard deviation times `factor`: what a test of coverage must reject."""
        return Mixture(self.mean, self.sd * factor, self.ln_weight, self.floor)

    def cdf(self, fwhm: np.ndarray) -> np.ndarray:
        """(n,) probability that the FWHM is below `fwhm` (n,) [arcsec]: the PIT at the measured one."""
        s, _ = _atmosphere(np.log(np.asarray(fwhm, float))[:, None], self.floor)
        return np.minimum((np.exp(self.ln_weight) * ndtr((s - self.mean) / self.sd)).sum(1), 1.0)

    def log_pdf(self, fwhm: np.ndarray) -> np.ndarray:
        """(n,) ln density of FWHM, per arcsec."""
        ln_fwhm = np.log(np.asarray(fwhm, float))
        s, ln_slope = _atmosphere(ln_fwhm[:, None], self.floor)
        z = (s - self.mean) / self.sd
        ln_p = self.ln_weight - 0.5 * z**2 - np.log(self.sd * np.sqrt(2 * np.pi)) + ln_slope
        return logsumexp(ln_p, axis=1) - ln_fwhm

    def quantile(self, probability: float | np.ndarray) -> np.ndarray:
        """(n,) FWHM [arcsec] below which the measured one will be with `probability`, a number or (n,), in (0, 1)."""
        wanted = np.broadcast_to(np.asarray(probability, float), len(self))
        if not np.all((wanted > 0) & (wanted < 1)):
            raise ValueError("probabilities lie between 0 and 1")
        reach = np.abs(self.mean).max(1) + 12 * self.sd.max(1) + np.log1p(self.floor.max())
        low, high = -reach, reach
        for _ in range(STEPS):
            middle = 0.5 * (low + high)
            above = self.cdf(np.exp(middle)) > wanted
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        return np.exp(0.5 * (low + high))

    def interval(self, level: float) -> tuple[np.ndarray, np.ndarray]:
        """Ends (n,), (n,) of the central interval of probability `level`."""
        return self.quantile(0.5 - level / 2), self.quantile(0.5 + level / 2)

    def sample(self, rng: np.random.Generator, draws: int) -> np.ndarray:
        """(draws, n) FWHM [arcsec]; draws of different exposures are independent."""
        return np.stack([self.quantile(rng.uniform(1e-9, 1 - 1e-9, len(self))) for _ in range(draws)])


def _atmosphere(ln_fwhm: np.ndarray, floor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`model.atmosphere` in NumPy: s and ln ds/dlnF."""
    k = SOFT / floor**2
    square = np.exp(np.minimum(2 * ln_fwhm, 600.0))
    u = k * (square - floor**2)
    part = np.maximum(np.logaddexp(0.0, u), 1e-300) / k
    return 0.5 * np.log(part), _ln_logistic(u) + np.log(square / part)


def _ln_logistic(u: np.ndarray) -> np.ndarray:
    """ln of the logistic function."""
    return -np.logaddexp(0.0, -u)
