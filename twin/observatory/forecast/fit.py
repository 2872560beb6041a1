"""Learning the forecast's parameters from measured exposures: the maximum of the posterior, and how sure it is.

The likelihood is a composite one (Varin, Reid & Firth 2011, Statistica Sinica 21, 5): the mean of three ln scores an
exposure, of its forecast from the exposure before, from what is at least 30 minutes old, and from what is at least a
drawn age of 30 to 90 minutes old; so the slow processes are learnt as well as the fast. Its curvature H overstates what
the data say, so the covariance is Godambe's H^-1 J H^-1 with J from the scores of whole nights.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree
from scipy.optimize import minimize

from twin.observatory.forecast import kalman, model
from twin.observatory.forecast.folder import Forecast
from twin.observatory.forecast.table import MINUTES, Exposures, last_visible
from twin.schema import UserError

log = logging.getLogger("twin")

MIN_ROWS, MIN_NIGHTS = 100, 3
MIN_BAND = 30  # exposures that give a band an offset of its own
AGES = (30.0, 90.0)  # minutes
HIGHEST_FLOOR = 0.8  # of the FWHM that one exposure in a hundred undercuts
ITERATIONS = 100
DRAWS = 64
STEP = 1e-4  # of differences, in widths of the prior


def fit(
    exposures: Exposures,
    seed: int = 0,
    iterations: int = ITERATIONS,
    draws: int = DRAWS,
    say: Callable[[str], None] = log.info,
) -> Forecast:
    """The forecast that these exposures teach. Deterministic: `seed` draws the ages and the posterior's draws.

    iterations  steps of the search at most; draws: of the posterior, 0: its maximum alone

    Raises UserError for fewer than 100 exposures or 3 nights.
    """
    nights = len(np.unique(exposures.night))
    if len(exposures) < MIN_ROWS or nights < MIN_NIGHTS:
        raise UserError(
            f"a forecast needs {MIN_ROWS} exposures of {MIN_NIGHTS} nights: there are {len(exposures)} of {nights}"
        )
    names, count = np.unique(exposures.band, return_counts=True)
    bands = tuple(names[count >= MIN_BAND].tolist())
    highest = HIGHEST_FLOOR * float(np.quantile(exposures.fwhm, 0.01))
    say(f"learning the forecast from {len(exposures):,} exposures of {nights} nights")
    with jax.enable_x64():
        mean, sd = model.prior_arrays(len(bands))
        start, unravel = ravel_pytree(jax.tree.map(jnp.asarray, mean))
        width = ravel_pytree(jax.tree.map(jnp.asarray, sd))[0]
        data = _data(exposures, bands, np.random.default_rng([seed, 1]))

        def by_night(x: Array, data: dict[str, Any]) -> Array:
            return jax.ops.segment_sum(ln_scores(unravel(x), data, highest), data["night"], nights)

        def loss(x: Array, data: dict[str, Any]) -> Array:
            return -by_night(x, data).sum() + 0.5 * (((x - start) / width) ** 2).sum()

        both = jax.jit(jax.value_and_grad(loss))

        def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
            value, slope = both(jnp.asarray(x), data)
            return float(value), np.asarray(slope)

        found = minimize(
            objective, np.asarray(start), jac=True, method="L-BFGS-B", options={"maxiter": iterations, "maxcor": 20}
        )
        if not np.isfinite(found.fun):
            raise UserError("the forecast cannot be fitted to these exposures: the likelihood is not finite")
        best = jnp.asarray(found.x)
        drawn = np.empty((0, len(best)))
        if draws:
            nightly = jax.jit(by_night)
            curvature = _slopes(lambda x: objective(x)[1], found.x, np.asarray(width))
            slopes = _slopes(lambda x: np.asarray(nightly(jnp.asarray(x), data)), found.x, np.asarray(width))
            covariance = _covariance(curvature, slopes, np.asarray(width))
            rng = np.random.default_rng([seed, 2])
            drawn = rng.multivariate_normal(np.asarray(best), covariance, draws, method="eigh")
        rows = [{k: np.asarray(v) for k, v in unravel(jnp.asarray(x)).items()} for x in [np.asarray(best), *drawn]]
    say(f"  {found.nit} steps, ln score an exposure {-found.fun / len(exposures):.3f}")
    stacked = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    about = {
        "exposures": len(exposures), "nights": nights, "steps": int(found.nit),
        "first_mjd": float(exposures.mjd[0]), "last_mjd": float(exposures.mjd[-1]),
    }  # fmt: skip
    return Forecast(stacked, bands, highest, about)


def _data(exposures: Exposures, bands: tuple[str, ...], rng: np.random.Generator) -> dict[str, Any]:
    """Arrays of the fit: the model's columns, lanes of the filter, and the three histories (rows, -1 for none)."""
    e = exposures
    columns = model.columns(e.airmass, e.wavelength, e.exptime, e.band, bands)
    packing = kalman.pack(e.night)
    age = rng.uniform(*AGES, len(e))
    last = np.stack([last_visible(e, 0.0), last_visible(e, AGES[0]), last_visible(e, age)])
    use = last >= 0
    use[0] = True  # the first exposure of a night teaches too
    minutes = np.where(last >= 0, (e.mjd - e.mjd[np.maximum(last, 0)]) * MINUTES, 0.0)
    slew = np.abs(columns["ln_airmass"] - columns["ln_airmass"][np.maximum(last, 0)])
    lanes = {
        "slew": packing.fill(kalman.slews(columns["ln_airmass"]), 0.0),
        "gap": packing.fill(kalman.gaps(e.mjd, e.night), kalman.FAR),
        "valid": packing.fill(np.ones(len(e), bool), False),
        "row": packing.fill(np.arange(len(e)), 0),
    }
    night = np.unique(e.night, return_inverse=True)[1]
    everything = columns | {"ln_fwhm": np.log(e.fwhm), "night": night, "last": last, "use": use}
    everything |= {"minutes": minutes, "slew": slew}
    arrays = {name: jnp.asarray(values) for name, values in everything.items()}
    arrays["lane"], arrays["slot"] = jnp.asarray(packing.lane), jnp.asarray(packing.slot)
    return arrays | {f"lanes_{name}": jnp.asarray(values) for name, values in lanes.items()}


def ln_scores(p: model.Parameters, data: dict[str, Any], highest: float) -> Array:
    """(n,) mean of the three ln scores of ln FWHM of each exposure."""
    each = kalman.law(p)
    s, ln_slope = model.atmosphere(data["ln_fwhm"], model.floor_of(p, highest))
    residual = s - model.mean_level(p, data)
    noise = model.noise_variance(p, data["exptime"])
    lanes = {"residual": residual[data["lanes_row"]], "noise": noise[data["lanes_row"]],
             "exptime": data["exptime"][data["lanes_row"]],
             "gap": data["lanes_gap"], "slew": data["lanes_slew"], "valid": data["lanes_valid"]}  # fmt: skip
    states = jax.tree.map(lambda a: a[data["lane"], data["slot"]], kalman.run(each, lanes))
    total = jnp.zeros(len(residual))
    for k in range(3):
        last = data["last"][k]
        seen = jax.tree.map(lambda a, last=last: a[jnp.maximum(last, 0)], states)
        mean, variance, weight = kalman.ahead(
            each, seen, data["minutes"][k], data["slew"][k], last >= 0, noise, data["exptime"]
        )
        ln_p = weight - 0.5 * (kalman.LN_2PI + jnp.log(variance) + ((residual - mean) ** 2)[:, None] / variance)
        total = total + jnp.where(data["use"][k], jax.nn.logsumexp(ln_p, axis=1) + ln_slope, 0.0)
    return total / 3


def _slopes(function: Callable[[np.ndarray], np.ndarray], x: np.ndarray, width: np.ndarray) -> np.ndarray:
    """(m, P) derivatives of function (m,) by central differences, in double precision as good as exact ones and without
    their compilation."""
    columns = []
    for k, step in enumerate(STEP * width):
        moved = np.where(np.arange(len(x)) == k, step, 0.0)
        columns.append((function(x + moved) - function(x - moved)) / (2 * step))
    return np.stack(columns, 1)


def _covariance(curvature: np.ndarray, slopes: np.ndarray, prior_sd: np.ndarray) -> np.ndarray:
    """Godambe's covariance with the prior's information in both parts; never wider than the prior.

    curvature (P, P) of the negative ln posterior, slopes (nights, P) of the ln likelihood.
    """
    values, vectors = np.linalg.eigh((curvature + curvature.T) / 2 * np.outer(prior_sd, prior_sd))
    inverse = (vectors / np.maximum(values, 1.0)) @ vectors.T  # in units of the prior's width
    scaled = slopes * prior_sd
    centred = scaled - scaled.mean(0)
    middle = centred.T @ centred * len(slopes) / max(len(slopes) - 1, 1) + np.eye(len(prior_sd))
    found = inverse @ middle @ inverse
    widest = np.sqrt(np.maximum(np.diag(found), 1.0))  # sd over the prior's, where it is larger
    return found / np.outer(widest, widest) * np.outer(prior_sd, prior_sd)
