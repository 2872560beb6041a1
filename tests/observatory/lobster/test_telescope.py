"""Lobster-eye instruments: what ships loads, mistakes are named, the real effective area has the twin's shape."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from astropy.io import fits

from twin.observatory.lobster.config import list_lobsters
from twin.observatory.lobster.psf import areas, transmission
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
    ("depletion: 12 um", "depletion: 12 s", "depletion"),
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
def _area(energy: jax.Array) -> jax.Array:
    telescope = load_lobster("ep-wxt")
    state = telescope.state()
    focus = jax.vmap(lambda e: areas(state, telescope.coating, e, jnp.zeros(2))["focus"])(energy)
    return focus * transmission(state, telescope.coating, energy)


@pytest.mark.real
def test_shape_of_the_real_area(real_data: Path) -> None:
    """The ARF of CMOS44 at a source in its field, over the value at 1 keV: within 25 % from 0.5 to 4 keV."""
    with fits.open(real_data / "xray" / "heapy_wxt" / "ep_wxt.arf") as file:
        table = file[1].data
        middle = (table["ENERG_LO"] + table["ENERG_HI"]) / 2
        energy = np.array([0.5, 0.6, 0.7, 0.85, 1.0, 1.2, 1.49, 1.74, 1.95, 2.5, 3.0, 3.5, 4.0])
        real = np.interp(energy, middle, table["SPECRESP"])
    found = np.asarray(_area(jnp.asarray(energy, jnp.float32)), float)
    ratio = (found / found[4]) / (real / real[4])
    print(np.round(ratio, 3), found[4] / real[4])
    assert np.abs(ratio - 1).max() < 0.25
