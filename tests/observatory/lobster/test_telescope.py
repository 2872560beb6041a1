"""Lobster-eye instruments: what ships loads, mistakes are named, the real effective area has the twin's shape."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from astropy.io import fits

from twin.observatory.lobster.config import list_lobsters
from twin.observatory.lobster.psf import areas, transmission
from twin.observatory.lobster.state import LobsterState
from twin.observatory.lobster.telescope import Lobster, load_lobster
from twin.schema import UserError, parse_yaml


def test_what_ships() -> None:
    assert list_lobsters() == ("ep-wxt", "generic-lobster", "leia")
    for name in list_lobsters():
        telescope = load_lobster(name)
        state = telescope.state()
        assert telescope.name == name
        assert all(getattr(state, f.name).dtype == jnp.float32 for f in fields(state))
        x, y = telescope.edges(128)
        assert x.shape == y.shape == (129,)


def test_pixels_are_those_of_the_headers() -> None:
    """0.00226146 deg."""
    assert load_lobster("ep-wxt").pixel_scale / 60 == pytest.approx(0.00226146, rel=1e-4)


MISTAKES = [
    ("pore_width: 40 um", "pore_widht: 40 um", "pore_widht"),
    ("element: Ir", "element: Os", "element"),
    ("gap: 1.5 mm", "gap: 45 mm", "optics.plates.gap: the gap leaves nothing open"),
    ("energies: [0.5 keV, 4 keV]", "energies: [4 keV, 0.5 keV]", "energies: the band ends before it begins"),
    ("depletion: 11.4 um", "depletion: 11.4 s", "depletion"),
]


@pytest.mark.parametrize(("right", "wrong", "said"), MISTAKES, ids=lambda text: text.partition(":")[0])
def test_mistakes_are_named(right: str, wrong: str, said: str) -> None:
    text = Path(str(load_lobster("ep-wxt").node.file)).read_text()
    assert right in text
    with pytest.raises(UserError) as caught:
        Lobster(parse_yaml(text.replace(right, wrong), "mine.yaml"))
    assert said in str(caught.value)


def test_an_unknown_name_is_answered() -> None:
    with pytest.raises(UserError, match="ep-wxt"):
        load_lobster("ep-wtx")


@jax.jit
def _area(state: LobsterState, energy: jax.Array) -> jax.Array:
    """Area of the focus behind the films, in the silicon, of a source in the middle of the field."""
    coating = load_lobster("ep-wxt").coating
    focus = jax.lax.map(lambda e: areas(state, coating, e, jnp.zeros(2))["focus"], energy)
    return focus * transmission(state, coating, energy)


def _real_area(real_data: Path, energy: np.ndarray) -> np.ndarray:
    """The ARF of CMOS44 at a source in its field."""
    with fits.open(real_data / "xray" / "heapy_wxt" / "ep_wxt.arf") as file:
        table = file[1].data
        return np.interp(energy, (table["ENERG_LO"] + table["ENERG_HI"]) / 2, table["SPECRESP"])


@pytest.mark.real
def test_shape_of_the_real_area(real_data: Path) -> None:
    """Over the value at 1 keV: within 25 % from 0.5 to 4 keV."""
    energy = np.array([0.5, 0.6, 0.7, 0.85, 1.0, 1.2, 1.49, 1.74, 1.95, 2.5, 3.0, 3.5, 4.0])
    real = _real_area(real_data, energy)
    found = np.asarray(_area(load_lobster("ep-wxt").state(), jnp.asarray(energy, jnp.float32)), float)
    ratio = (found / found[4]) / (real / real[4])
    print(np.round(ratio, 3), found[4] / real[4])
    assert np.abs(ratio - 1).max() < 0.25


@pytest.mark.real
@pytest.mark.parametrize(
    ("below", "above", "film"),
    [
        ((0.360, 0.395), (0.415, 0.450), "nitride"),
        ((0.490, 0.525), (0.555, 0.590), "oxide"),
        ((1.505, 1.540), (1.575, 1.610), "filter_al"),
        ((1.795, 1.830), (1.850, 1.885), "depletion"),
    ],
)
def test_steps_of_the_real_area(
    below: tuple[float, float], above: tuple[float, float], film: str, real_data: Path
) -> None:
    """At the K edges of nitrogen, oxygen, aluminium and silicon: the films that the State names, within 3.5 %."""
    energy = np.concatenate([np.linspace(lo, hi, 8) for lo, hi in (below, above)])
    real = np.log(_real_area(real_data, energy))

    def departure(state: LobsterState) -> float:
        rest = (np.log(np.asarray(_area(state, jnp.asarray(energy, jnp.float32)), float)) - real).reshape(2, -1).mean(1)
        return abs(float(rest[1] - rest[0]))

    state = load_lobster("ep-wxt").state()
    print(film, departure(state))
    assert departure(state) < 0.035
    factor = 1.3 if film in ("depletion", "filter_al") else 0.0
    assert departure(replace(state, **{film: getattr(state, film) * factor})) > 0.06
