"""The network beside the likelihood ratio that knows the PSF, a wavelet detector and Source Extractor's way."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from twin.evaluate.config import XrayFields
from twin.evaluate.image_spread import ImageSpread
from twin.evaluate.xray import likelihood, segments, wavelet
from twin.evaluate.xray.detections import Detections
from twin.evaluate.xray_fields import OWN, Field, Found, Tally, away, far
from twin.recipe.xray import XrayRecipe
from twin.train.detector.catalogue import Sources
from twin.train.detector.fields import background_shape
from twin.train.detector.scores import pairs

LEAST = 3.0  # standard deviations from which the others list
PEERS: dict[str, Callable[[np.ndarray, np.ndarray, ImageSpread], Detections]] = {
    "likelihood": lambda frame, known, spread: likelihood.detect(frame, known, LEAST, spread),
    "wavelet": lambda frame, known, spread: wavelet.detect(frame, known, LEAST),
    "sep": lambda frame, known, spread: segments.detect(frame, known, 1.0),
}


def bright_light(recipe: XrayRecipe) -> Callable[[np.ndarray, float, float], np.ndarray]:
    """(telemetry row, x, y [bin]) -> (y, x) light of a source there, over all of it on the frame: the PSF of its own
    place."""
    import jax
    import jax.numpy as jnp

    from twin.observatory.lobster.psf import profile
    from twin.simulators.lobster.energies import NODE_ENERGIES
    from twin.simulators.lobster.optics import boundless_area, psf_image
    from twin.train.detector import front

    simulator, frame = recipe.simulator, recipe.frame
    n, width = frame.bins, frame.side / frame.bins
    corner = jnp.asarray([e[0] for e in frame.edges], jnp.float32)

    @jax.jit
    def light(row: jax.Array, place: jax.Array) -> jax.Array:
        state, coating = simulator.state(row), recipe.instrument.coating
        profiles = jax.lax.map(lambda e: profile(state, coating, e), jnp.asarray(NODE_ENERGIES, jnp.float32))
        photons = jnp.asarray(simulator.reference) * boundless_area(state, coating) * simulator.channels.in_band.sum(1)
        share = photons.reshape(len(NODE_ENERGIES), -1).sum(1)
        at, bins = corner + (place + 0.5) * width, 2 * front.FINE * (n - 1) + 1
        psf = psf_image(state, coating, profiles, share / share.sum(), at, bins, width / front.FINE)
        image = front.source_image(front.kernel(psf, n), place[0], place[1], n)
        return image / image.sum()

    return lambda row, x, y: np.asarray(light(jnp.asarray(row), jnp.asarray([x, y], jnp.float32)), float)


def against(
    kept: list[tuple[Field, Sources, np.ndarray]], recipe: XrayRecipe, config: XrayFields, say: Callable[[str], None]
) -> Found:
    """Completeness by flux, near arms and away, of the network and of each of PEERS with as many false detections.

    All but sep are told the background and the light of every bright source, of both of which the network is told
    nothing; what they list within `OWN` of those sources is not counted.
    """
    shape, width, light = background_shape(recipe), recipe.pixel_scale / 60, None
    allowed = sum(int((of < 0).sum()) for _, _, of in kept)
    tally, told = Tally(), [one.mcrab > config.bright for one, _, _ in kept]
    expected = []
    for (one, _, _), its in zip(kept, told, strict=True):
        known = one.sky * shape
        for x, y, counts in zip(one.x[its], one.y[its], one.counts[its], strict=True):
            light = light or bright_light(recipe)
            known = known + counts * light(one.row, x, y)
        expected.append(known)
    _count(tally, "network", [(one, of, its) for (one, _, of), its in zip(kept, told, strict=True)], config, width)
    for name, detect in PEERS.items():
        lists, began = [], time.monotonic()
        for (one, _, _), its, known in zip(kept, told, expected, strict=True):
            found = detect(one.frame, known, ImageSpread(one.psf, len(shape)))
            found = found.take(far(np.stack([found.x, found.y], 1), one.x[its], one.y[its], OWN / width))
            lists.append((found.significance, pairs(found.x, found.y, one.x, one.y, config.radius / width)))
        order = np.sort(np.concatenate([value[of < 0] for value, of in lists]))[::-1]
        least = float(order[allowed]) if allowed < len(order) else 0.0
        say(
            f"{name}: {len(kept) / (time.monotonic() - began):.1f} fields/s; {allowed} false detections in {len(kept)} "
            f"fields as the network has, from {least:.2f} sigma"
        )
        hits = [(one, of[value > least], its) for (one, _, _), (value, of), its in zip(kept, lists, told, strict=True)]
        _count(tally, name, hits, config, width)
    return tally.metrics()


def _count(
    tally: Tally, who: str, hits: list[tuple[Field, np.ndarray, np.ndarray]], config: XrayFields, width: float
) -> None:
    """Tally completeness of one detector: of each field the numbers of the sources found, and which were told."""
    for one, of, told in hits:
        near = away(one.x, one.y, one, width) <= config.arms
        hit = np.isin(np.arange(len(one.x)), of)
        for low, high in zip(config.flux, config.flux[1:], strict=False):
            inside = (one.mcrab >= low) & (one.mcrab < high) & ~told
            for place, there in (("arms", near), ("away", ~near)):
                tally.add(f"{who}_{place}_{low:g}-{high:g}_mCrab", hit[inside & there])
