"""One page about a calibrated telescope: telemetry, State, PSF over time, residuals of stars over the field."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from twin.io.atomic import write_bytes, write_text
from twin.observatory.calibrate import panels
from twin.observatory.calibrate.exposures import Exposures, held_out
from twin.observatory.calibrate.field import FieldFit
from twin.observatory.calibrate.folder import Calibration
from twin.observatory.calibrate.seeing import Posterior, ln_fwhm
from twin.observatory.calibrate.stars import Stars
from twin.observatory.imager import Imager

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p, li { max-width: 48rem; } .quiet { opacity: .7; } img { max-width: 100%; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .15rem .8rem; border-bottom: 1px solid #8885; }
th:first-child, td:first-child, td:last-child { text-align: left; }
"""


def predicted_fwhm(imager: Imager, calibration: Calibration, exposures: Exposures) -> np.ndarray:
    """(n,) median FWHM [arcsec] that the calibrated twin expects from telemetry alone: the night's level unknown."""
    use = calibration.about["use"]
    p = {name: jnp.float32(value) for name, value in use["mean"].items()}
    base = np.median([c.centre for c in imager.telemetry_channels if c.kind == "seeing"])
    columns = {"seeing": np.where(np.isfinite(exposures.seeing), exposures.seeing, base), "airmass": exposures.airmass,
               "warm": np.nan_to_num(exposures.warm), "colour": exposures.wavelength / 500.0}  # fmt: skip
    data = {name: jnp.asarray(values, jnp.float32) for name, values in columns.items()}
    return np.exp(np.asarray(ln_fwhm(p, p["offset"], data)))


def write_report(
    folder: Path,
    imager: Imager,
    calibration: Calibration,
    exposures: Exposures | None,
    posterior: Posterior | None,
    fits: Sequence[tuple[Stars, FieldFit]],
) -> None:
    """Write report.png and report.html into `folder`."""
    from matplotlib.figure import Figure

    rows = (2 if exposures is not None else 0) + len(fits) + 1
    figure = Figure(figsize=(12, 3.3 * rows), layout="constrained")
    parts: Any = figure.subfigures(rows, 1, squeeze=False)[:, 0]
    at = 0
    if exposures is not None and posterior is not None:
        panels.exposures(parts[0], imager, exposures, predicted_fwhm(imager, calibration, exposures))
        panels.parameters(parts[1], posterior)
        at = 2
    panels.psf(parts[at], imager, calibration, fits)
    for k, (stars, fit) in enumerate(fits):
        panels.stars(parts[at + 1 + k], stars, fit)
    figure.suptitle(f"{imager.name}: what the twin has learnt", fontsize=13)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    write_bytes(folder / "report.png", buffer.getvalue())
    write_text(folder / "report.html", _page(imager, calibration, exposures, fits, buffer.getvalue()))


def _page(
    imager: Imager, calibration: Calibration, exposures: Exposures | None, fits: Sequence[tuple[Stars, FieldFit]],
    png: bytes,
) -> str:  # fmt: skip
    text, about = html.escape, calibration.about
    inputs = ", ".join(f"{one['name']} (sha256 {one['sha256'][:12]})" for one in about["inputs"])
    facts = f"twin {text(about['twin'])} &middot; seed {about['seed']} &middot; {text(inputs)}"
    body = [f"<h1>{text(imager.name)}: a calibrated twin</h1>", f'<p class="quiet">{facts}</p>']
    body.append(
        f"<ul>{''.join(f'<li>{text(line)}</li>' for line in _headline(imager, calibration, exposures, fits))}</ul>"
    )
    image = base64.b64encode(png).decode()
    body.append(f'<img alt="telemetry, posterior, PSF, residuals" src="data:image/png;base64,{image}">')
    if "parameters" in about:
        body.append("<h2>What telemetry does not tell</h2>" + _parameters(about["parameters"]))
    for one in about.get("stars", {}).get("exposures", []):
        body.append(f"<h2>{text(one['name'])}, band {text(one['band'])}: {one['stars']} stars</h2>" + _theta(one))
        left = "; ".join(f"{n} {text(reason)}" for reason, n in one["left_out"].items())
        body.append(f'<p class="quiet">Left out: {left or "none"}.</p>')
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(imager.name)}: calibrated twin</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(body) + "\n</body></html>\n"
    )  # fmt: skip


def _headline(
    imager: Imager, calibration: Calibration, exposures: Exposures | None, fits: Sequence[tuple[Stars, FieldFit]]
) -> list[str]:
    lines = []
    if exposures is not None:
        hidden = held_out(exposures.night)
        expected = predicted_fwhm(imager, calibration, exposures)
        lines.append(
            f"{(~hidden).sum():,} exposures fitted, median FWHM {np.median(exposures.fwhm[~hidden]):.3f} arcsec."
        )
        # the nights that benchmarks are scored on stay unseen here: only how many there are is told
        if hidden.any():
            lines.append(
                f"{hidden.sum():,} exposures of {len(np.unique(exposures.night[hidden]))} nights were held out."
            )
        error = np.median(np.abs(exposures.fwhm - expected)[~hidden])
        lines.append(f"Without knowing the night, the equation alone is off by {error:.3f} arcsec (median).")
    for stars, fit in fits:
        e1, e2, size = np.sqrt(((stars.shape - fit.predicted) ** 2).mean(0))
        lines.append(
            f"{stars.name}: residual rms of its {len(stars)} stars e1 {e1:.4f}, e2 {e2:.4f}, size {size:.2%} (fitted, "
            f"not held out: `twin evaluate` does that); photons alone {np.sqrt((stars.noise[:, 0] ** 2).mean()):.4f}; "
            f"{len(fit.outliers)} stars disagree with the field and were weighted down."
        )
    return lines


def _parameters(found: dict[str, Any]) -> str:
    rows = [
        f"<tr><td>{html.escape(name)}</td><td>{one['mean']:.4g}</td><td>{one['sd']:.2g}</td>"
        f"<td>{one['prior_sd']:.2g}</td><td>{one['rhat']:.3f}</td><td>{html.escape(one['unit'])}</td>"
        f"<td>{'data' if one['constrained'] else 'mostly the prior'}</td></tr>"
        for name, one in found.items()
    ]
    heads = ("parameter", "mean", "sd", "prior sd", "R-hat", "unit", "said by")
    head = f"<tr>{''.join(f'<th>{word}</th>' for word in heads)}</tr>"
    return f"<table>{head}{''.join(rows)}</table>"


def _theta(one: dict[str, Any]) -> str:
    rows = [
        f"<tr><td>{html.escape(name)}</td><td>{value:.4g}</td><td>{one['theta_sd'][name]:.2g}</td></tr>"
        for name, value in one["theta"].items()
    ]
    return f"<table><tr><th>of the State</th><th>correction</th><th>sd</th></tr>{''.join(rows)}</table>"
