"""Which exposure a sample has: its telemetry, the exposure's number, and the names and units of the channels."""

from __future__ import annotations

from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest

from twin.recipe import Recipe, load_recipe


@pytest.fixture(scope="module", params=["ps1-lens", "csst-lens"])
def recipe(request: pytest.FixtureRequest) -> Recipe:
    """A recipe that draws no frames."""
    made = load_recipe(request.param)
    made._batches = SimpleNamespace(run=lambda *_: {})  # type: ignore[assignment]
    return made


def test_drawn_exposures_are_numbered(recipe: Recipe) -> None:
    second = recipe.shard(7, 1, 30)
    assert second["exposure_id"] == pytest.approx(recipe.spec.shard_samples + np.arange(30))
    assert np.all(second["telemetry"] == recipe.instrument.draw_exposures(7, 30, recipe.spec.shard_samples))


def test_exposures_of_a_table_are_its_rows(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples take the rows in turn; two samples of one row have one exposure and are two objects."""
    table = recipe.instrument.draw_exposures(0, 5)
    monkeypatch.setattr(recipe, "table", table)
    shard = recipe.shard(7, 1, 12)
    assert set(shard["exposure_id"]) == set(range(5))
    assert np.all(shard["telemetry"] == table[shard["exposure_id"]])
    assert len(set(shard["object_id"])) == 12


def test_channels_have_names_and_units(recipe: Recipe) -> None:
    array = recipe.spec["telemetry"]
    assert array.coords["channel"] == recipe.instrument.channel_names
    named = dict(zip(array.coords["channel"], array.coords["channel_unit"], strict=True))
    assert all(unit == "" or u.Unit(unit, format="vounit") for unit in named.values())
    assert (named["exptime_g"], named["z4"], named["sky_brightness_r"]) == ("s", "nm", "mag/arcsec2")
