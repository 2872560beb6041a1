"""A forecast: its parameters with their draws, on disk and at work."""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.io.atomic import write_bytes, write_json
from twin.io.tables import read_table
from twin.observatory.calibrate.exposures import BANDS, held_out, wavelengths
from twin.observatory.forecast import kalman, model
from twin.observatory.forecast.mixture import Mixture
from twin.observatory.forecast.table import EXPTIME, MINUTES, Exposures, last_visible, read_exposures
from twin.observatory.imager import Imager
from twin.schema import UserError

log = logging.getLogger("twin")

FILE, DRAWS, KIND, FORMAT = "forecast.json", "forecast.npz", "forecast", 1
MIXED = 0  # draws of the parameters that a distribution is mixed of


@dataclass(frozen=True)
class Forecast:
    """What was learnt of one telescope's seeing in time.

    draws    unconstrained parameters by name, (S + 1, ..): the maximum of the posterior, then draws
    bands    with an offset of their own
    highest  [arcsec] that the floor stays below
    about    what it was fitted to
    """

    draws: Mapping[str, np.ndarray]
    bands: tuple[str, ...]
    highest: float
    about: dict[str, Any]

    def predict(self, exposures: Exposures, last: np.ndarray | None = None, mixed: int = MIXED) -> Mixture:
        """The distribution of each exposure's FWHM from the rows of its night up to `last` (n,), -1 for none.

        Of the exposure itself only time, airmass, wavelength, band and exposure time are used. Default of `last`: the
        exposure before. `mixed` draws of the parameters are mixed, so that their uncertainty widens it; 0: the
        maximum of the posterior alone (after a hundred nights the calibrated choice: the weather is uncertain).
        Raises ValueError where `last` is not an earlier row of the same night.
        """
        e = exposures
        last = last_visible(e, 0.0) if last is None else np.asarray(last)
        row = np.arange(len(e))
        if last.shape != row.shape or (last >= row).any() or (last < -1).any():
            raise ValueError("`last` holds an earlier row for every exposure, or -1")
        if (e.night[np.maximum(last, 0)] != e.night)[last >= 0].any():
            raise ValueError("`last` holds a row of another night")
        now = model.columns(e.airmass, e.wavelength, e.exptime, e.band, self.bands)
        minutes = np.where(last >= 0, (e.mjd - e.mjd[np.maximum(last, 0)]) * MINUTES, 0.0)
        return self._mix(e, now, last, minutes, mixed)

    def next_exposure(
        self,
        history: Exposures | None,
        mjd: np.ndarray,
        airmass: np.ndarray,
        wavelength: np.ndarray,
        band: np.ndarray,
        exptime: np.ndarray | None = None,
        mixed: int = MIXED,
    ) -> Mixture:
        """The distributions of the FWHM of n exposures to come, from all of `history`, one night; None: its first.

        mjd [d], airmass, wavelength [nm], band, exptime [s; default 100] (n,) of them.
        Raises ValueError for a time before the history's last or a history of several nights.
        """
        mjd = np.atleast_1d(np.asarray(mjd, float))
        exptime = np.full(len(mjd), EXPTIME) if exptime is None else exptime
        now = model.columns(airmass, wavelength, exptime, np.atleast_1d(band), self.bands)
        if history is None or len(history) == 0:
            none = np.full(len(mjd), -1)
            return self._mix(None, now, none, np.zeros(len(mjd)), mixed)
        if history.night[0] != history.night[-1]:
            raise ValueError("the history of a forecast is one night")
        if (mjd <= history.mjd[-1]).any():
            raise ValueError("a forecast is of a time after its history")
        last = np.full(len(mjd), len(history) - 1)
        return self._mix(history, now, last, (mjd - history.mjd[-1]) * MINUTES, mixed)

    def _mix(
        self, e: Exposures | None, now: dict[str, np.ndarray], last: np.ndarray, minutes: np.ndarray, mixed: int
    ) -> Mixture:
        size = len(next(iter(self.draws.values())))
        chosen = slice(1, 1 + min(mixed, size - 1)) if mixed else slice(0, 1)
        means, sds, weights, floors = [], [], [], []
        with jax.enable_x64():
            target = {name: jnp.asarray(values) for name, values in now.items()} | {
                "last": jnp.asarray(last),
                "minutes": jnp.asarray(minutes),
                "slew": jnp.zeros(len(last)),
            }
            if e is not None:
                before = np.log(e.airmass)[np.maximum(last, 0)]
                target["slew"] = jnp.asarray(np.where(last >= 0, np.abs(now["ln_airmass"] - before), 0.0))
            lanes, place = None, (jnp.zeros(1, int), jnp.zeros(1, int))
            if e is not None:
                packing = kalman.pack(e.night)
                columns = model.columns(e.airmass, e.wavelength, e.exptime, e.band, self.bands)
                columns["slew"] = kalman.slews(columns["ln_airmass"])
                columns |= {"ln_fwhm": np.log(e.fwhm), "gap": kalman.gaps(e.mjd, e.night)}
                lanes = {
                    name: jnp.asarray(packing.fill(v, 1 if name == "exptime" else 0)) for name, v in columns.items()
                }
                lanes["valid"] = jnp.asarray(packing.fill(np.ones(len(e), bool), False))
                place = (jnp.asarray(packing.lane), jnp.asarray(packing.slot))
            for k in range(size)[chosen]:
                p = {name: jnp.asarray(values[k], jnp.float64) for name, values in self.draws.items()}
                found = _compiled()(p, self.highest, lanes, place, target)
                mean, variance, weight, floor = (np.asarray(a) for a in found)
                means.append(np.broadcast_to(mean[:, None], variance.shape))
                sds.append(np.sqrt(variance))
                weights.append(weight)
                floors.append(np.full(variance.shape[1], float(floor)))
        share = np.log(len(means))
        return Mixture(np.hstack(means), np.hstack(sds), np.hstack(weights) - share, np.concatenate(floors))

    def save(self, folder: Path) -> None:
        """Write forecast.json and forecast.npz into an existing folder."""
        buffer = io.BytesIO()
        np.savez(buffer, **{name: np.asarray(v, float) for name, v in self.draws.items()})  # type: ignore[arg-type]
        data = buffer.getvalue()
        write_bytes(folder / DRAWS, data)
        whole = {"kind": KIND, "format": FORMAT, "bands": list(self.bands), "highest_floor": self.highest}
        whole |= {"sha256": hashlib.sha256(data).hexdigest(), "about": self.about, "parameters": self.summary()}
        write_json(folder / FILE, whole)

    def summary(self) -> dict[str, Any]:
        """Maximum of the posterior and sd of the draws of each parameter (unconstrained; see model.PRIORS)."""
        return {name: {"best": values[0].tolist(), "sd": values[1:].std(0).tolist() if len(values) > 1 else None}
                for name, values in self.draws.items()}  # fmt: skip

    @classmethod
    def load(cls, folder: str | Path) -> Forecast:
        """The forecast in a calibration folder. Raises UserError that names what is missing or damaged."""
        folder = Path(folder)
        if not folder.is_dir():
            raise UserError("no such calibration folder", file=folder)
        for name in (FILE, DRAWS):
            if not (folder / name).is_file():
                raise UserError("is missing: calibrate with --forecast", file=folder / name)
        data = (folder / DRAWS).read_bytes()
        try:
            stated = json.loads((folder / FILE).read_text(encoding="utf-8"))
            right = stated["kind"] == KIND and stated["format"] == FORMAT
            right = right and stated["sha256"] == hashlib.sha256(data).hexdigest()
            bands, highest, about = (
                tuple(map(str, stated["bands"])),
                float(stated["highest_floor"]),
                dict(stated["about"]),
            )
        except (ValueError, KeyError, TypeError):
            right = False
        if not right:
            raise UserError("is damaged, or from another version of twin", file=folder / FILE)
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            draws = {name: arrays[name] for name in arrays.files}
        shapes = {name: np.shape(value) for name, value in model.prior_arrays(len(bands))[0].items()}
        if {name: v.shape[1:] for name, v in draws.items()} != shapes or not all(
            np.isfinite(v).all() for v in draws.values()
        ):
            raise UserError("is damaged", file=folder / DRAWS)
        return cls(draws, bands, highest, about)


@lru_cache(maxsize=1)
def _compiled() -> Callable[..., tuple[Array, Array, Array, Array]]:
    return jax.jit(_forward)


def _forward(
    p: model.Parameters, highest: float, lanes: dict[str, Array] | None, place: tuple[Array, Array],
    target: dict[str, Array],
) -> tuple[Array, Array, Array, Array]:  # fmt: skip
    """Mean of s (n,), variances and ln weights (n, 3K), floor [arcsec] of one draw of the parameters."""
    each = kalman.law(p)
    floor = model.floor_of(p, highest)
    last = target["last"]
    if lanes is None:
        n, d = len(last), len(each.times)
        seen = kalman.State(jnp.zeros((n, d)), jnp.zeros((n, d, d)), jnp.zeros(n))
    else:
        s, _ = model.atmosphere(lanes["ln_fwhm"], floor)
        rows = {name: lanes[name] for name in ("exptime", "gap", "slew", "valid")}
        rows |= {"residual": s - model.mean_level(p, lanes), "noise": model.noise_variance(p, lanes["exptime"])}
        states = kalman.run(each, rows)
        row = jnp.maximum(last, 0)
        seen = jax.tree.map(lambda a: a[place[0][row], place[1][row]], states)
    noise = model.noise_variance(p, target["exptime"])
    mean, variance, weight = kalman.ahead(
        each, seen, target["minutes"], target["slew"], last >= 0, noise, target["exptime"]
    )
    return mean + model.mean_level(p, target), variance, weight, floor


def write(
    imager: Imager, telemetry: str | Path, folder: Path, seed: int = 0, say: Callable[[str], None] = log.info
) -> Forecast:
    """Fit a forecast to a table of exposures and write it into the calibration folder; what `calibrate` calls.

    Nights held out (`held_out`: one in five by the SHA-256 of their number, those of the benchmark decam-seeing) are
    left out of the fit, and `say` hears it.
    """
    from twin.observatory.forecast.fit import fit

    names = _band_names(telemetry)
    known = dict(zip(names, wavelengths(np.array(names), imager).tolist(), strict=True))
    exposures = read_exposures(telemetry, known, say)
    hidden = held_out(exposures.night)
    if hidden.any():
        nights = len(np.unique(exposures.night[hidden]))
        say(f"forecast: {hidden.sum():,} exposures of {nights} nights are held out, as decam-seeing has them")
    found = fit(exposures.take(np.flatnonzero(~hidden)), seed=seed, say=say)
    found.about.update(
        instrument=imager.name,
        file_sha256=hashlib.sha256(Path(telemetry).read_bytes()).hexdigest(),
        held_out_exposures=int(hidden.sum()),
    )
    found.save(folder)
    return found


def _band_names(path: str | Path) -> list[str]:
    table = read_table(path, bare=True)
    name = next((column for column in table.colnames if column.lower() in BANDS), None)
    if name is None:
        raise UserError("the column band is missing", file=path)
    return np.unique([str(value).strip() for value in table[name]]).tolist()
