"""docs/observatory.md names every key of the optional physics, says truly what drives what, and its examples run."""

import re
import typing
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import BaseModel

from twin.observatory.config import InstrumentConfig, find_instrument
from twin.observatory.imager import Imager, load_instrument
from twin.observatory.kinds import KINDS
from twin.observatory.state import STATE_FIELDS
from twin.schema import Node, parse_yaml
from twin.schema.model import _unwrap

DOC = (Path(__file__).parents[2] / "docs" / "observatory.md").read_text()
OPTIONAL = ("air", "speckle", "sky", "shake", "collimation", "dark_current", "orbit")


def rows(title: str) -> list[tuple[list[str], list[str]]]:
    """Code words of the first two columns of a section's table."""
    section = DOC.split(f"## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    assert lines
    cells = [line.strip("| ").split(" | ", 1) for line in lines]
    return [(re.findall(r"`([^`]+)`", a), re.findall(r"`([^`]+)`", b)) for a, b in cells]


def leaves(model: type[BaseModel], path: str) -> set[str]:
    found: set[str] = set()
    for name, field in model.model_fields.items():
        kinds = _unwrap([field.annotation])
        kinds += [arg for kind in kinds for arg in _unwrap(typing.get_args(kind))]
        below = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        found |= leaves(below[0], f"{path}.{name}") if below else {f"{path}.{name}"}
    return found


def test_every_key_is_named():
    known: set[str] = set()
    for name in OPTIONAL:
        model = next(k for k in _unwrap([InstrumentConfig.model_fields[name].annotation]) if issubclass(k, BaseModel))
        known |= leaves(model, name)
    named = {word for words, _ in rows("Keys") for word in words}
    assert named == known | {"bands.width", "channels.above"}


def test_what_drives_what():
    """Each channel of generic.yaml is moved by itself; the fields that follow are those of the table."""
    imager = load_instrument("generic")
    values = {channel.name: channel.at(0.3) for channel in imager.telemetry_channels}
    values |= {"azimuth": values["wind_direction"] + 40, "outside_temperature": 8.0, "dome_temperature": 10.0}
    values |= {"mirror_air_temperature": 9.0, "mirror_temperature": 10.0, "sun_altitude": -12.5}
    base = np.array(list(values.values()))
    spans = np.array([channel.high - channel.low for channel in imager.telemetry_channels])
    moved = base + np.diag(np.maximum(0.02 * np.abs(base), 3e-4 * spans))
    states = jax.jit(jax.vmap(imager.state))(jnp.asarray(np.concatenate([base[None], moved]), jnp.float32))
    found: dict[str, set[str]] = {}
    for k, channel in enumerate(imager.telemetry_channels):
        for field in STATE_FIELDS:
            leaf = np.asarray(getattr(states, field))
            if not np.allclose(leaf[0], leaf[k + 1], rtol=1e-6, atol=0):
                found.setdefault(channel.kind, set()).add(field)
    said = {channel: set(fields) for channels, fields in rows("What drives what") for channel in channels}
    assert set(said) <= set(KINDS)
    assert found == said


def test_a_telescope_in_orbit():
    """The YAML of the section, put into csst.yaml: the sky's median is the design's, and it and the focus go round."""
    extra = parse_yaml(re.findall(r"```yaml\n(.*?)```", DOC, re.DOTALL)[0], "doc.yaml").value
    value = dict(find_instrument("csst").value)
    channels = {name: law for name, law in value["channels"].items() if name != "sky_brightness"}
    value |= {**extra, "channels": {**channels, **extra["channels"]}}
    imager = Imager(Node(value, "csst.yaml", {}))
    rows = jnp.asarray(imager.draw_exposures(1, 400))
    batch = jax.jit(jax.vmap(imager.state))(rows)
    assert np.all(np.isfinite(batch.sky))
    usual = load_instrument("csst")
    design = jax.jit(jax.vmap(usual.state))(jnp.asarray(usual.draw_exposures(1, 400)))
    ratio = np.median(batch.sky, 0) / np.median(design.sky, 0)
    assert np.all(np.abs(2.5 * np.log10(ratio[1:])) < 0.8)
    phase = np.asarray(rows[:, imager.channel_names.index("orbit_phase")])
    assert np.corrcoef(np.asarray(batch.aberration[:, 0]), np.cos(2 * np.pi * (phase - 0.4)))[0, 1] > 0.3
    assert batch.sky[np.abs(phase - 0.25) < 0.1].mean() > 1.2 * batch.sky[np.abs(phase - 0.75) < 0.1].mean()


def test_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", DOC, re.DOTALL)
    assert len(examples) == 2
    space: dict[str, typing.Any] = {}
    for example in examples:
        exec(example, space)  # noqa: S102
    assert space["states"].batch_shape == (100,)
    assert space["columns"]["jitter_rms"] > 0
    assert space["columns"]["jitter_ellipticity"] == pytest.approx(0.96, abs=0.05)
