"""Benchmark `decam-seeing`: the FWHM of real exposures before they are taken, a forecast against persistence."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import t as student

import twin
from twin.evaluate.catalogue import write_catalogue
from twin.evaluate.config import DecamSeeing
from twin.evaluate.decam_seeing_page import render, seeing_columns
from twin.evaluate.result import scores_json
from twin.io.atomic import make_folder, plain_disk_errors, write_text
from twin.metrics import Estimate, bootstrap
from twin.observatory.calibrate.exposures import held_out
from twin.observatory.forecast import Exposures, Forecast, Mixture, last_visible, read_exposures
from twin.schema import UserError

CLASSES = ("recent", "hidden30", "aged")
LEVELS = (0.68, 0.95)
WRONG = 1.5  # factor of the sd that coverage must tell from the right one
MIN_NIGHTS = 5  # of a class: a bootstrap over fewer says nothing
Metrics = dict[str, Estimate]


@dataclass(frozen=True)
class Scored:
    """One class: rows of the table that it scores (n,), the last row each may see, the forecast, persistence [arcsec]
    and its scale and degrees of freedom of ln FWHM."""

    name: str
    row: np.ndarray
    last: np.ndarray
    forecast: Mixture
    persistence: np.ndarray
    scale: float
    freedom: float


@dataclass(frozen=True)
class Found:
    """What the benchmark found: metrics by name, counts, sentences for the report, the exposures and the classes."""

    metrics: Metrics
    counts: dict[str, int]
    notes: tuple[str, ...]
    exposures: Exposures
    classes: tuple[Scored, ...]

    @property
    def n(self) -> int:
        """Exposures of the first class."""
        return len(self.classes[0].row)

    def as_json(self, benchmark: str) -> str:
        """The JSON of the benchmark, see `scores_json`."""
        return scores_json(benchmark, self.n, self.metrics, self.counts)


def judge(
    folder: str | Path, config: DecamSeeing, where: Path, out: Path, json_path: Path, say: Callable[[str], None] = print
) -> Found:
    """Score a forecast; write report.html, forecasts.parquet and forecasts.fits into `out` and the metrics as JSON.

    folder  what `twin calibrate --forecast` wrote
    where   folder of real observations (or of the table). Raises UserError as `run` does.
    """
    forecast = Forecast.load(folder)
    place = where / config.folder if (where / config.folder).is_dir() else where
    exposures = read_exposures(place / config.table, config.bands, say)
    test = held_out(exposures.night, config.folds, config.fold)
    found = score(forecast, exposures, test, config, say)
    about = {"calibration": Path(folder).name, "twin": twin.__version__}
    page = render(config.title, config.protocol, found, about)
    columns = seeing_columns(found)
    with plain_disk_errors(out):
        make_folder(out)
    write_text(out / "report.html", page)
    for ending in ("parquet", "fits"):
        write_catalogue(out / f"forecasts.{ending}", columns, {**about, "benchmark": config.benchmark})
    write_text(json_path, found.as_json(config.benchmark))
    return found


def score(
    forecast: Forecast, exposures: Exposures, test: np.ndarray, config: DecamSeeing,
    say: Callable[[str], None] = lambda text: None,
) -> Found:  # fmt: skip
    """All metrics of the exposures where `test` (n,) holds; of the others only persistence's width is learnt.

    Raises UserError where a class has test exposures of fewer than five nights, or no others.
    """
    ages: dict[str, float | np.ndarray] = {
        "recent": 0.0,
        "hidden30": config.hidden,
        "aged": hashed_ages(exposures.name, config.aged),
    }
    metrics: Metrics = {}
    counts = {"exposures": len(exposures), "test exposures": int(test.sum())}
    counts["test nights"] = len(np.unique(exposures.night[test]))
    classes, notes = [], []
    for name in CLASSES:
        last = last_visible(exposures, ages[name])
        use = last >= 0
        if name == "recent":
            use &= (exposures.mjd - exposures.mjd[np.maximum(last, 0)]) * 1440 < config.recent
        one = _scored(name, forecast, exposures, last, use, test, config)
        found = metrics_of(one, exposures)
        metrics |= {f"{name}_{key}": value for key, value in found.items()}
        counts[f"{name}: exposures"] = len(one.row)
        counts[f"{name}: nights"] = len(np.unique(exposures.night[one.row]))
        notes.append(_sentence(name, found, counts))
        say(notes[-1])
        classes.append(one)
    fitted = forecast.about
    notes.append(
        f"The forecast was fitted to {fitted.get('exposures', 0):,} exposures of {fitted.get('nights', 0)} nights; "
        f"{fitted.get('held_out_exposures', 0):,} exposures of its table were held out."
    )
    return Found(metrics, counts, tuple(notes), exposures, tuple(classes))


def hashed_ages(names: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
    """(n,) ages [minutes] between `ends` [minutes], uniform by the SHA-256 of "age<name>": the same in every run."""
    low, high = ends
    digests = [hashlib.sha256(f"age{_number(name)}".encode()).hexdigest() for name in names.tolist()]
    return low + (high - low) * np.array([int(digest, 16) / 2**256 for digest in digests])


def _number(name: str) -> str:
    """An exposure number as tables write it: 554119.0 is 554119."""
    return name.removesuffix(".0")


def persist(exposures: Exposures, last: np.ndarray, config: DecamSeeing) -> np.ndarray:
    """(n,) FWHM [arcsec] of the last exposure seen, scaled to the airmass and wavelength of each."""
    e, before = exposures, np.maximum(last, 0)
    airmass = (e.airmass / e.airmass[before]) ** config.airmass_exponent
    return e.fwhm[before] * airmass * (e.wavelength / e.wavelength[before]) ** config.wavelength_exponent


def _scored(
    name: str, forecast: Forecast, e: Exposures, last: np.ndarray, use: np.ndarray, test: np.ndarray,
    config: DecamSeeing,
) -> Scored:  # fmt: skip
    persistence = persist(e, last, config)
    learn, row = np.flatnonzero(use & ~test), np.flatnonzero(use & test)
    if len(np.unique(e.night[row])) < MIN_NIGHTS or len(learn) < MIN_NIGHTS:
        raise UserError(
            f"the class {name} has {len(row)} test exposures of {len(np.unique(e.night[row]))} nights and {len(learn)} "
            f"others: {MIN_NIGHTS} nights are needed"
        )
    freedom, _, scale = student.fit(np.log(e.fwhm[learn] / persistence[learn]), floc=0.0)
    mixture = forecast.predict(e, last).take(row)
    return Scored(name, row, last[row], mixture, persistence[row], float(scale), float(freedom))


def metrics_of(one: Scored, exposures: Exposures) -> Metrics:
    """Errors, ln scores and coverage of one class, with intervals by bootstrap over nights."""
    truth, nights = exposures.fwhm[one.row], exposures.night[one.row]
    error = np.abs(truth - one.forecast.quantile(0.5))
    peer = np.abs(truth - one.persistence)
    nll = -one.forecast.log_pdf(truth)
    miss = np.log(truth / one.persistence)
    peer_nll = np.log(truth) - student.logpdf(miss, one.freedom, 0.0, one.scale)

    def over_nights(statistic: Callable[[np.ndarray], float]) -> Estimate:
        return bootstrap(statistic, len(truth), groups=nights)

    found = {}
    for key, average in (("mae", np.mean), ("median", np.median)):
        found[f"{key}_ratio"] = over_nights(lambda i, f=average: float(f(error[i]) / f(peer[i])))  # type: ignore[misc]
        word = "mae" if key == "mae" else "median_error"
        found[word] = over_nights(lambda i, f=average: float(f(error[i])))  # type: ignore[misc]
        found[f"{word}_persistence"] = over_nights(lambda i, f=average: float(f(peer[i])))  # type: ignore[misc]
    found["nll_gain"] = over_nights(lambda i: float((peer_nll - nll)[i].mean()))
    found["nll"] = over_nights(lambda i: float(nll[i].mean()))
    found["nll_persistence"] = over_nights(lambda i: float(peer_nll[i].mean()))
    for suffix, mixture in (
        ("", one.forecast),
        (f"_x{WRONG}", one.forecast.widened(WRONG)),
        (f"_over{WRONG}", one.forecast.widened(1 / WRONG)),
    ):
        pit = mixture.cdf(truth)
        for level in LEVELS:
            inside = np.abs(pit - 0.5) <= level / 2
            found[f"cover{100 * level:.0f}{suffix}"] = over_nights(lambda i, v=inside: float(v[i].mean()))  # type: ignore[misc]
    return found


def _sentence(name: str, found: Metrics, counts: dict[str, int]) -> str:
    covers = "; ".join(
        f"{100 * level:.0f} % interval covers {got.value:.3f} [{got.low:.3f}, {got.high:.3f}] "
        f"({'holds' if got.low <= level <= got.high else 'does not hold'})"
        for level in LEVELS
        for got in (found[f"cover{100 * level:.0f}"],)
    )
    return (
        f"{name}: {counts[f'{name}: exposures']:,} exposures of {counts[f'{name}: nights']} nights; over persistence: "
        f"mean absolute error {found['mae_ratio'].value:.3f}, median error {found['median_ratio'].value:.3f}, ln score "
        f"{found['nll_gain'].value:+.3f} an exposure; {covers}."
    )
