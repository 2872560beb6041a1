"""The separable PSF against the Monte-Carlo table of ideal optics: 4M rays each, 1 keV, iridium, roughness 0.55 nm,
OAR 0.65."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from tests.observatory.lobster.common import IRIDIUM, area_table, both, fractions, ideal, separable, within

# L/w, tilt ['], focus, arms, diffuse, unreflected, FWHM ['], share within 9.1', A_focus [cm2]
TABLE = [
    (52.0, 0.0, 0.248, 0.500, 0.252, 0.086, 0.9, 0.288, 3.94),
    (52.0, 1.0, 0.248, 0.500, 0.252, 0.085, 4.75, 0.287, 3.94),
    (52.0, 2.0, 0.248, 0.500, 0.252, 0.085, 9.5, 0.264, 3.94),
    (62.5, 0.0, 0.250, 0.500, 0.250, 0.069, 1.0, 0.293, 3.39),
    (62.5, 1.0, 0.249, 0.500, 0.251, 0.069, 4.8, 0.291, 3.39),
    (62.5, 2.0, 0.249, 0.500, 0.251, 0.069, 9.4, 0.267, 3.39),
]


def departures(row: tuple[float, ...], **changes: float) -> list[str]:
    """What of a row the separable PSF does not reach."""
    ratio, tilt, focus, arms, diffuse, unreflected, fwhm, inner, area = row
    state = ideal(**({"pore_ratio": ratio, "tilt": tilt} | changes))
    kinds, _ = separable(state, (0.0, 0.0))
    shares = fractions(kinds)
    found = [f"{shares}"] if np.abs(shares[:3] - (focus, arms, diffuse)).max() > 0.01 else []
    if abs(shares[3] - unreflected) > 0.005:
        found.append(f"unreflected {shares[3]:.4f}")
    if abs(kinds["focus"] / area - 1) > 0.02:
        found.append(f"focus {kinds['focus']:.3f} cm2")
    if abs(within(state, 9.1) - inner) > 0.01:
        found.append(f"within 9.1' {within(state, 9.1):.4f}")
    if tilt >= 1 and abs(half_width(state) / fwhm - 1) > 0.05:
        found.append(f"FWHM {half_width(state):.2f}'")
    return found


def half_width(state: object) -> float:
    """Full width at half maximum ['] of the focus, in bins of 0.05' between which it is linear."""
    edges = np.arange(-20, 20.01, 0.05).astype(np.float32)
    x, _ = both(state, IRIDIUM, 1.0, jnp.zeros(2), jnp.asarray(edges))  # type: ignore[arg-type]
    line, middle = np.convolve(np.asarray(x.odd), np.ones(5) / 5, "same"), (edges[1:] + edges[:-1]) / 2
    above = np.flatnonzero(line > line.max() / 2)
    left, right = above[0], above[-1]
    half = line.max() / 2
    low = np.interp(half, line[left - 1 : left + 1], middle[left - 1 : left + 1])
    high = np.interp(-half, -line[right : right + 2], middle[right : right + 2])
    return float(high - low)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"L/w {row[0]:g}, tilt {row[1]:g}'")
def test_every_row(row: tuple[float, ...]) -> None:
    assert departures(row) == []


def test_a_wrong_optic_fails() -> None:
    """L/w off by 5 %, bounces that lose 5 %, a tilt 15 % too large."""
    row = TABLE[1]
    assert departures(row, pore_ratio=52 * 1.05) != []
    assert departures(row, efficiency=0.95) != []
    assert departures(row, tilt=1.15) != []


@pytest.mark.parametrize(("energy", "area"), [(0.5, 3.82), (1, 3.39), (2, 1.63), (3, 1.05), (4, 0.88)])
def test_area_of_the_focus_by_energy(energy: float, area: float) -> None:
    """Analytic areas for L/w 62.5 without filter and detector."""
    found = float(area_table(ideal(), IRIDIUM, energy, jnp.zeros(2))["focus"])
    assert abs(found / area - 1) < 0.02


@pytest.mark.parametrize("ratio", [52.0, 62.5])
def test_arms_have_a_dark_node(ratio: float) -> None:
    """At 2 w/L, within one bin of 4.5'."""
    edges = np.arange(0, 300.1, 1.5).astype(np.float32)
    x, _ = both(ideal(pore_ratio=ratio), IRIDIUM, 1.0, jnp.zeros(2), jnp.asarray(edges))
    arm, middle = np.asarray(x.zero + x.many), (edges[1:] + edges[:-1]) / 2
    near = (middle > 40) & (middle < 180)
    dark = middle[near][arm[near].argmin()]
    assert abs(dark - 2 / ratio * 180 * 60 / np.pi) < 4.5
    assert arm[near].min() < 0.05 * arm[:5].mean()
