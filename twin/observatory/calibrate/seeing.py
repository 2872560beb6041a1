"""What measured FWHM say of a telescope beyond its telemetry: a NumPyro posterior by NUTS.

FWHM^2 = atmosphere^2 + floor^2 (Gaussian blurs add in quadrature), in arcsec, of exposure i of night n:
  atmosphere = (epsilon^(5/3) + dome^(5/3))^(3/5) (lambda / 500 nm)^b sqrt(1 - 2.183 (r0 / L0)^0.356)
  epsilon    = s_i exp(offset + night_n) X^a
with s_i the seeing that telemetry reports (500 nm, zenith), or where it reports none the median of the instrument's
own law; dome = c dT^1.2 for a mirror dT kelvin warmer than its air (exponent: Racine+ 1991, PASP 103, 1020), r0 of the
same atmosphere at lambda (Tokovinin 2002, PASP 114, 1156, eq. 19). The unbounded turbulence of Kolmogorov has a = 0.6
and b = -0.2. What is left of ln FWHM fades with time within a night and has the tails of Student's t:
  r_i | r_(i-1) ~ t(nu, rho r_(i-1), s sqrt(1 - rho^2)),  rho = kappa exp(-dt / tau).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array
from numpyro.infer import MCMC, NUTS, init_to_value

from twin.observatory.calibrate.exposures import Exposures
from twin.observatory.psf import ARCSEC

log = logging.getLogger("twin")

REFERENCE = 500e-9  # wavelength at which seeing is quoted [m]
GAP = 0.25  # exposures farther apart [d] do not know of each other
CHUNK = 100  # draws between two lines of progress
MIXED = 1.1  # split R-hat beyond which chains have not found the same posterior
MIN_ROWS = 20  # exposures that a fit needs


@dataclass(frozen=True)
class Parameter:
    """What is fitted: its unit, its prior and what it means."""

    name: str
    unit: str
    prior: dist.Distribution
    meaning: str

    @property
    def prior_sd(self) -> float:
        """Standard deviation of the prior; how much narrower the posterior is says whether data constrain it."""
        return float(np.std(np.asarray(self.prior.sample(jax.random.key(0), (4000,)))))


def parameters(thermal: bool = False, sharpest: float = 10.0) -> tuple[Parameter, ...]:
    """All that is fitted; the dome's term only where telemetry has the mirror's and its air's temperature.

    sharpest  [arcsec] FWHM that hardly an exposure undercuts: the floor lies below it
    """
    floor = dist.TruncatedNormal(0.0, 0.4, low=0.0, high=sharpest)
    fitted = [
        Parameter("offset", "", dist.Normal(0.0, 0.5), "ln of the seeing in the telescope over the telemetry's"),
        Parameter("airmass_exponent", "", dist.Normal(0.6, 0.2), "of the airmass in the atmosphere's FWHM"),
        Parameter("wavelength_exponent", "", dist.Normal(-0.2, 0.1), "of the wavelength in the same, beside L0"),
        Parameter("outer_scale", "m", dist.LogNormal(np.log(22.0), 0.5), "outer scale L0 of the turbulence"),
        Parameter("floor", "arcsec", floor, "FWHM of what no weather changes: dome, optics, jitter"),
        Parameter("night_sd", "", dist.HalfNormal(0.3), "sd of ln seeing between nights"),
        Parameter("scatter", "", dist.HalfNormal(0.3), "scale of ln FWHM within a night"),
        Parameter("persistence", "", dist.Beta(8.0, 2.0), "correlation of two exposures at once"),
        Parameter("memory", "h", dist.LogNormal(np.log(1.5), 0.7), "time in which that fades"),
        Parameter("tails", "", dist.Gamma(4.0, 0.8), "degrees of freedom of Student's t"),
    ]
    if thermal:
        law = dist.HalfNormal(0.5)
        fitted.append(Parameter("dome", "arcsec", law, "seeing of a mirror 1 K warmer than its air, grows as dT^1.2"))
    return tuple(fitted)


def ln_fwhm(p: dict[str, Array], level: Array, data: dict[str, Array]) -> Array:
    """ln FWHM [arcsec] (n,) of exposures, equation at the top of the file; `level` (n,) is offset + night."""
    kelvin = jnp.maximum(data["warm"], 1e-3)
    epsilon = data["seeing"] * jnp.exp(level) * data["airmass"] ** p["airmass_exponent"]
    dome = p.get("dome", jnp.float32(0.0)) * kelvin**1.2
    whole = (epsilon ** (5 / 3) + dome ** (5 / 3)) ** 0.6
    r0 = 0.976 * REFERENCE / ARCSEC / whole * data["colour"] ** 1.2
    outer = jnp.maximum(1 - 2.183 * (r0 / p["outer_scale"]) ** 0.356, 0.05)
    return 0.5 * jnp.log(whole**2 * data["colour"] ** (2 * p["wavelength_exponent"]) * outer + p["floor"] ** 2)


def arrays(exposures: Exposures, median_seeing: float) -> dict[str, Array]:
    """What the model conditions on, in time order: see Exposures; `step` [h] to the exposure before, 1e5 at a start."""
    order = np.argsort(exposures.mjd, kind="stable")
    e = exposures.take(order)
    nights, index = np.unique(e.night, return_inverse=True)
    step = np.diff(e.mjd, prepend=-np.inf)
    step[(index != np.concatenate([[-1], index[:-1]])) | (step > GAP)] = np.inf
    seeing = np.where(np.isfinite(e.seeing), e.seeing, median_seeing)
    warm = np.where(np.isfinite(e.warm), e.warm, 0.0)
    columns = {"ln_fwhm": np.log(e.fwhm), "airmass": e.airmass, "colour": e.wavelength * 1e-9 / REFERENCE,
               "step": np.minimum(step * 24, 1e5), "seeing": seeing, "warm": warm}  # fmt: skip
    out = {name: jnp.asarray(values, jnp.float32) for name, values in columns.items()}
    middle = [np.median(v) for v in (seeing, e.airmass, columns["colour"], e.fwhm)]
    out["median"] = jnp.asarray(middle, jnp.float32)
    return out | {"night": jnp.asarray(index, jnp.int32), "nights": jnp.zeros(len(nights), jnp.float32)}


def model(data: dict[str, Array], fitted: tuple[Parameter, ...], sigma: float | None = None) -> None:
    """The NumPyro program; `sigma` fixes the scatter (a test's deliberately too narrow likelihood)."""
    sampled = [one for one in fitted if one.name != "offset" and (one.name != "scatter" or sigma is None)]
    p = {one.name: numpyro.sample(one.name, one.prior) for one in sampled}
    scatter = p["scatter"] if sigma is None else sigma
    shift = _level_of_median(p, data)  # floor, L0 and b move all nights together: without that, chains mix badly
    about = numpyro.sample("about", dist.ImproperUniform(dist.constraints.real, (), ()))
    p["offset"] = numpyro.deterministic("offset", about + shift)
    numpyro.factor("offset_prior", fitted[0].prior.log_prob(p["offset"]))
    with numpyro.plate("nights", len(data["nights"])):
        level = shift + numpyro.sample("level", dist.Normal(about, p["night_sd"]))
    numpyro.deterministic("night", level - p["offset"])
    rest = data["ln_fwhm"] - ln_fwhm(p, level[data["night"]], data)
    rho = p["persistence"] * jnp.exp(-data["step"] / p["memory"])
    before = jnp.concatenate([jnp.zeros(1), rest[:-1]])
    law = dist.StudentT(1.0 + p["tails"], 0.0, scatter * jnp.sqrt(1 - rho**2))
    numpyro.factor("fwhm", law.log_prob(rest - rho * before).sum())


def _level_of_median(p: dict[str, Array], data: dict[str, Array]) -> Array:
    """The level at which an exposure of median seeing, airmass and colour has the median FWHM."""
    seeing, airmass, colour, fwhm = (data["median"][k] for k in range(4))
    atmosphere = jnp.maximum(fwhm**2 - p["floor"] ** 2, 0.01 * fwhm**2)
    whole = jnp.sqrt(atmosphere)
    for _ in range(3):
        r0 = 0.976 * REFERENCE / ARCSEC / whole * colour**1.2
        outer = jnp.maximum(1 - 2.183 * (r0 / p["outer_scale"]) ** 0.356, 0.05)
        whole = jnp.sqrt(atmosphere / outer) * colour ** -p["wavelength_exponent"]
    return jnp.log(whole / seeing) - p["airmass_exponent"] * jnp.log(airmass)


@dataclass(frozen=True)
class Posterior:
    """Draws (S, P) of `names` with `units`, the nights' effects (S, N) and split R-hat (P,)."""

    names: tuple[str, ...]
    units: tuple[str, ...]
    draws: np.ndarray
    night: np.ndarray
    rhat: np.ndarray
    prior_sd: np.ndarray

    def __getitem__(self, name: str) -> np.ndarray:
        """(S,) draws of a parameter."""
        return self.draws[:, self.names.index(name)]

    def constrained(self, name: str) -> bool:
        """The data, not the prior, say what it is: its standard deviation is below half of the prior's."""
        k = self.names.index(name)
        return bool(self.draws[:, k].std() < 0.5 * self.prior_sd[k])


def fit(
    exposures: Exposures,
    median_seeing: float,
    seed: int = 0,
    draws: int = 200,
    warmup: int = 300,
    chains: int = 2,
    sigma: float | None = None,
    say: Callable[[str], None] = log.info,
) -> Posterior:
    """Posterior of `parameters` given measured FWHM: NUTS, `chains` chains of `draws` draws.

    median_seeing  [arcsec] of the instrument's law, for exposures whose telemetry has no seeing
    Raises ValueError for fewer than 20 exposures.
    """
    if len(exposures) < MIN_ROWS:
        raise ValueError(f"{len(exposures)} exposures are too few, {MIN_ROWS} are needed")
    sharpest = 0.95 * float(np.quantile(exposures.fwhm, 0.01))
    fitted = parameters(bool(np.isfinite(exposures.warm).any()), sharpest)
    data = arrays(exposures, median_seeing)
    start = {"about": 0.0, "floor": min(0.3, 0.5 * sharpest), "night_sd": 0.15, "scatter": 0.1,
             "persistence": 0.9, "memory": 1.0, "tails": 4.0, "outer_scale": 22.0, "level": data["nights"]}  # fmt: skip
    together = [
        tuple(one.name for one in fitted if one.name not in (() if sigma is None else ("scatter",)) + ("offset",))
    ]
    kernel = NUTS(model, init_strategy=init_to_value(values=start), max_tree_depth=7, dense_mass=together)
    mcmc = MCMC(kernel, num_warmup=warmup, num_samples=CHUNK, num_chains=chains, chain_method="vectorized",
                progress_bar=False)  # fmt: skip
    begun = time.monotonic()
    say(f"fitting {len(exposures):,} exposures of {len(data['nights'])} nights: {warmup} steps to tune")
    mcmc.warmup(jax.random.key(seed), data, fitted, sigma)
    parts: list[dict[str, np.ndarray]] = []
    done = 0
    while done < draws:
        mcmc.run(mcmc.post_warmup_state.rng_key, data, fitted, sigma)
        mcmc.post_warmup_state = mcmc.last_state
        parts.append({k: np.asarray(v) for k, v in mcmc.get_samples(group_by_chain=True).items()})
        done += CHUNK
        spent = time.monotonic() - begun
        say(f"  {done} of {draws} draws of {chains} chains, {spent:.0f} s")
    whole = {k: np.concatenate([part[k] for part in parts], 1)[:, :draws] for k in parts[0]}
    kept = [one for one in fitted if one.name in whole]
    rhat = [float(numpyro.diagnostics.split_gelman_rubin(whole[one.name])) for one in kept]
    if max(rhat) > MIXED:
        worst = kept[int(np.argmax(rhat))].name
        say(f"  the chains do not agree (R-hat of {worst} {max(rhat):.2f}): do not trust this posterior")
    flat = {k: v.reshape(-1, *v.shape[2:]) for k, v in whole.items()}
    table = np.stack([flat[one.name] for one in kept], 1)
    table[:, [one.name == "tails" for one in kept]] += 1.0  # the law's own degrees of freedom
    return Posterior(
        tuple(one.name for one in kept), tuple(one.unit for one in kept), table, flat["night"], np.array(rhat),
        np.array([one.prior_sd for one in kept]),
    )  # fmt: skip
