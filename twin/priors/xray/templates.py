"""Real light curves in place of formulae: a folder of them as tables, read between their points."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.io.xray.light_curves import LightCurve, is_light_curve, read_light_curve
from twin.schema import UserError

POINTS = 512  # of a table
_MEANS = POINTS // 2  # points at the most, neighbours averaged, before gaps are bridged
_ENDINGS = (".txt", ".dat", ".data", ".csv")


@dataclass(frozen=True)
class Templates:
    """Light curves of several kinds of transients.

    names   (n,) file names without their endings
    time    (n, POINTS) [s] from the first point on;  rate (n, POINTS), 1 at the most
    held    (n,) whether the first and last rates go on before and after; of others nothing is seen there
    span    kind -> (first, number) of its curves
    """

    names: tuple[str, ...]
    time: np.ndarray
    rate: np.ndarray
    held: np.ndarray
    span: Mapping[str, tuple[int, int]]

    def rates(self, index: Array, since: Array) -> Array:
        """(n, t) relative rates of the curves `index` (n,), `since` (n, t) [s] after their first points."""

        def one(k: Array, t: Array) -> Array:
            time, rate = jnp.asarray(self.time, jnp.float32)[k], jnp.asarray(self.rate, jnp.float32)[k]
            inside = (t >= 0) & (t <= time[-1]) | jnp.asarray(self.held)[k]
            return jnp.where(inside, jnp.interp(t, time, rate), 0.0)

        return jax.vmap(one)(index, since)

    @property
    def length(self) -> np.ndarray:
        """(n,) from the first point to the last [s]."""
        return self.time[:, -1]


def read_templates(folders: Mapping[str, Path], held: tuple[str, ...] = ("flare",)) -> tuple[Templates, list[str]]:
    """The light curves in `folders` (by kind of transient) and below, and the files that were left out.

    Upper limits are left out of a curve, as are curves of less than three measurements and files that hold none of the
    forms known (`twin.io.xray.light_curves`). Raises UserError for a folder without light curves, a damaged curve.
    """
    names: list[str] = []
    tables, keep, span, without = [], [], {}, []
    for kind, folder in folders.items():
        first = len(names)
        for path in sorted(p for p in folder.rglob("*") if p.suffix in _ENDINGS):
            curve = read_light_curve(path, least=0) if is_light_curve(path) else None
            table = None if curve is None else tabled(curve, log=kind not in held)
            if table is None:
                without.append(path.name)
                continue
            names.append(path.stem)
            tables.append(table)
            keep.append(kind in held)
        if len(names) == first:
            raise UserError("holds no light curve of a known form", file=folder)
        span[kind] = first, len(names) - first
    time, rate = (np.stack([table[k] for table in tables]) for k in range(2))
    return Templates(tuple(names), time, rate, np.array(keep), span), without


def tabled(curve: LightCurve, log: bool = True) -> tuple[np.ndarray, np.ndarray] | None:
    """(time, rate), POINTS each, of a light curve: neighbours averaged where there are too many points, gaps of more
    than a fifth of the time since its zero bridged by power laws (where `log`), the largest rate 1. None for a curve of
    less than three measurements, or none above zero."""
    time, rate = curve.time[~curve.limit], curve.rate[~curve.limit]
    if len(time) < 3 or not rate.max() > 0:
        return None
    if len(time) > _MEANS:
        cuts = np.linspace(0, len(time), _MEANS + 1).astype(int)
        time, rate = (np.add.reduceat(v, cuts[:-1]) / np.diff(cuts) for v in (time, rate))
    if log:
        time, rate = _bridged(time, rate, max((POINTS - len(time)) // (len(time) - 1), 0))
    left = POINTS - len(time)
    return np.pad(time - time[0], (0, left), mode="edge"), np.pad(rate / rate.max(), (0, left), mode="edge")


def _bridged(time: np.ndarray, rate: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """With up to `most` points between two, on the power law through them, in steps of a fifth of the time."""
    times, found = [time[:1]], [rate[:1]]
    for t0, t1, r0, r1 in zip(time[:-1], time[1:], rate[:-1], rate[1:], strict=True):
        if min(t0, r0, r1) > 0:
            steps = min(most + 1, math.ceil(math.log(t1 / t0) / math.log(1.2)))
            part = np.arange(1, steps) / steps
            times.append(t0 * (t1 / t0) ** part)
            found.append(r0 * (r1 / r0) ** part)
        times.append(np.array([t1]))
        found.append(np.array([r1]))
    return np.concatenate(times), np.concatenate(found)
