"""`twin calibrate`: measured FWHM and stars in, a folder with what they say of the telescope out."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import twin
from twin.io.atomic import atomic_folder, check_target
from twin.observatory.calibrate import closure, seeing
from twin.observatory.calibrate.exposures import Exposures, held_out, read_exposures
from twin.observatory.calibrate.field import FieldFit, Prior, fit_field, physics_of
from twin.observatory.calibrate.folder import Calibration, save
from twin.observatory.calibrate.report import write_report
from twin.observatory.calibrate.stars import Cuts, Stars, read_stars
from twin.observatory.imager import Imager, load_instrument
from twin.schema import UserError

log = logging.getLogger("twin")
FRESH = 400  # draws of what stars say


def calibrate(
    instrument: str | Path,
    out: str | Path,
    telemetry: str | Path | None = None,
    stars: Sequence[str | Path] = (),
    forecast: bool = False,
    seed: int = 0,
    draws: int = 200,
    warmup: int = 200,
    say: Callable[[str], None] = log.info,
) -> Calibration:
    """Fit what telemetry does not tell and write the calibration folder `out`: calibration.json, posterior.npz,
    instrument.yaml, report.html and report.png; with `forecast` also what twin.observatory.forecast writes.

    telemetry  table of exposures with a measured FWHM (see exposures.read_exposures). One night in five, by the SHA-256
               of its number, is left out of the fit; what the fit says is held to those nights in the report
    stars      catalogues of single exposures (see stars.read_stars)
    All input is read before anything is fitted; the folder appears whole or not at all.
    Raises UserError for wrong input, nothing to fit, or a folder that exists.
    """
    out = Path(out)
    if telemetry is None and not stars:
        raise UserError("give --telemetry, a table with measured FWHM, or --stars, or both")
    if forecast and telemetry is None:
        raise UserError("needs --telemetry", key="--forecast")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError("exists already: a calibration is written into a folder of its own", file=out)
    check_target(out / "calibration.json")
    imager = load_instrument(instrument)
    if not imager.config.atmosphere:
        raise UserError(f"{imager.name} has no atmosphere: seeing cannot be fitted", key="instrument")
    exposures = read_exposures(telemetry, imager) if telemetry is not None else None
    fields = [read_stars(path, imager) for path in stars]
    given = [("telemetry", Path(telemetry))] if telemetry is not None else []
    given += [("stars", Path(path)) for path in stars]
    inputs = [{"role": role, "name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
              for role, path in given]  # fmt: skip
    about: dict[str, Any] = {"twin": twin.__version__, "seed": seed, "inputs": inputs, "use": {}}
    found: dict[str, np.ndarray] = {}
    posterior = None
    if exposures is not None:
        posterior, kept = _fit_seeing(exposures, imager, telemetry, seed, draws, warmup, say)
        found |= {name: posterior[name] for name in posterior.names}
        about |= _about_seeing(posterior, exposures, kept)
        reference = "telemetry" if np.isfinite(kept.seeing).any() else "prior"
        about["use"] = closure.law_of(imager, posterior, reference, _median_seeing(imager))
    fits: list[tuple[Stars, FieldFit]] = []
    for one in fields:
        say(f"fitting the field of {one.name}: {len(one)} stars")
        for reason, ids in one.left.items():
            shown = ", ".join(map(str, ids[:8])) + (", .." if len(ids) > 8 else "")
            say(f"  left out, {reason}: {len(ids)} ({shown})")
        fits.append((one, fit_field(one, imager)))
    if fits:
        size = len(next(iter(found.values()))) if found else FRESH
        static, known = static_terms(fits, imager, size, seed)
        found |= static
        about["use"]["static"] = known
        if len(fits) == 1:
            say("one exposure of stars: what is always so and what was so then cannot be told apart; give more")
        about["stars"] = {"prior": asdict(Prior()), "cuts": asdict(Cuts()),
                          "exposures": [_about_field(one, fit, imager) for one, fit in fits]}  # fmt: skip
    with atomic_folder(out) as part:
        calibration = Calibration(part, {"instrument": imager.name, **about}, found)
        if posterior is not None:
            say("comparing the twin's own PSFs with what the posterior says")
            closure.close(imager, calibration, seed)
        save(part, imager, about, found)
        if forecast:
            _forecast(imager, telemetry, part, seed, say)
        write_report(part, imager, calibration, exposures, posterior, fits)
    return Calibration.load(out)


def _median_seeing(imager: Imager) -> float:
    """[arcsec] of the instrument's law, the middle of its bands."""
    return float(np.median([c.centre for c in imager.telemetry_channels if c.kind == "seeing"]))


def _fit_seeing(
    exposures: Exposures, imager: Imager, path: Any, seed: int, draws: int, warmup: int, say: Callable[[str], None]
) -> tuple[seeing.Posterior, Exposures]:
    for reason, n in exposures.dropped.items():
        say(f"{n:,} rows left out: {reason}")
    hidden = held_out(exposures.night)
    kept = exposures.take(np.flatnonzero(~hidden))
    if hidden.any():
        say(f"{hidden.sum():,} exposures of {len(np.unique(exposures.night[hidden]))} nights are held out")
    if len(kept) < seeing.MIN_ROWS:
        raise UserError(f"only {len(kept)} exposures to fit, {seeing.MIN_ROWS} are needed", file=path)
    return seeing.fit(kept, _median_seeing(imager), seed, draws, warmup, say=say), kept


def _about_seeing(posterior: seeing.Posterior, exposures: Exposures, kept: Exposures) -> dict[str, Any]:
    return {
        "exposures": len(kept), "nights": len(np.unique(kept.night)), "held_out_exposures": len(exposures) - len(kept),
        "dropped": exposures.dropped,
        "parameters": {
            name: {"mean": float(posterior[name].mean()), "sd": float(posterior[name].std()), "unit": unit,
                   "prior_sd": float(posterior.prior_sd[k]), "rhat": float(posterior.rhat[k]),
                   "constrained": posterior.constrained(name)}
            for k, (name, unit) in enumerate(zip(posterior.names, posterior.units, strict=True))
        },
    }  # fmt: skip


def _about_field(one: Stars, fit: FieldFit, imager: Imager) -> dict[str, Any]:
    unknowns = physics_of(one, imager, Prior()).unknowns
    residual = one.shape - fit.predicted
    return {
        "name": one.name, "band": one.band, "stars": len(one), "left_out": one.counts, "hyper": fit.hyper.tolist(),
        "brighter_fatter": fit.beta, "outliers": len(fit.outliers),
        "theta": dict(zip(unknowns.names, fit.theta.tolist(), strict=True)),
        "theta_sd": dict(zip(unknowns.names, np.sqrt(np.diag(fit.covariance)).tolist(), strict=True)),
        "fitted_rms": dict(zip(("e1", "e2", "size"), np.sqrt((residual**2).mean(0)).tolist(), strict=True)),
    }  # fmt: skip


def static_terms(
    fits: Sequence[tuple[Stars, FieldFit]], imager: Imager, size: int, seed: int
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Draws (size,) of the jitter and Zernikes that every exposure has, and the names of those that stars constrain.

    The precision-weighted mean of what the exposures' fields say, with its posterior's covariance and, from two
    exposures on, their own scatter over sqrt(number). A parameter is constrained where its standard deviation is below
    half of the prior's; only such a one is used.
    """
    names = physics_of(fits[0][0], imager, Prior()).unknowns
    keep = [k for k, name in enumerate(names.names) if name.startswith("jitter") or name[1:].isdecimal()]
    prior = np.diag(1 / names.prior_sd[keep] ** 2)
    precision, pull = prior.copy(), np.zeros(len(keep))
    for _, fit in fits:
        own = np.linalg.inv(fit.covariance[np.ix_(keep, keep)])
        precision += own - prior
        pull += own @ fit.theta[keep]
    covariance = np.linalg.inv(precision)
    if len(fits) > 1:
        covariance += np.diag(np.var([fit.theta[keep] for _, fit in fits], axis=0, ddof=1) / len(fits))
    mean = np.linalg.solve(precision, pull)
    rng = np.random.default_rng([seed, len(fits)])
    drawn = rng.multivariate_normal(mean, 0.5 * (covariance + covariance.T), size, method="cholesky")
    spread = np.sqrt(np.diag(covariance)) / names.prior_sd[keep]
    known = [names.names[k] for i, k in enumerate(keep) if spread[i] < 0.5]
    return {names.names[k]: drawn[:, i] for i, k in enumerate(keep)}, known


def _forecast(imager: Imager, telemetry: Any, folder: Path, seed: int, say: Callable[[str], None]) -> None:
    from twin.observatory.forecast import write

    write(imager, telemetry, folder, seed=seed, say=say)
