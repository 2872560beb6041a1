"""The fields that this room looks at, drawn once."""

from __future__ import annotations

import pytest

from tests.priors import draws
from twin.priors import fields

LAWS = draws.shipped_laws()


@pytest.fixture(scope="session")
def priors() -> dict[str, draws.Noting]:
    """The shipped prior, once for each class: it notes which laws the class asked for."""
    return {name: draws.prior(LAWS) for name in fields.CLASSES}


@pytest.fixture(scope="session")
def drawn(priors: dict[str, draws.Noting]) -> draws.Drawn:
    """(truth, sites) of each class, draws.N fields, as recipes draw them."""
    return {name: draws.by_quantiles(draws.program(priors[name], name), seed=1) for name in fields.CLASSES}
