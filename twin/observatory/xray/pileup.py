"""Pile-up in a list of events: those whose pixels touch in one frame are one event, and often no X-ray's."""

from __future__ import annotations

import numpy as np

from twin.observatory.xray.charge import _AROUND, _GRADES, REFUSED

_MIDDLE = 1 << _AROUND.index((0, 0))
# pixels of each grade 0-12, its own among them; of the patterns that share a grade the first
_PIXELS = np.array([int(np.flatnonzero(_GRADES == grade)[0]) | _MIDDLE for grade in range(13)])


def pile_up(
    frame: np.ndarray, x: np.ndarray, y: np.ndarray, pi: np.ndarray, grade: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(kept, pi, grade): indices of the events that are left, in their order, and all events' channels and grades.

    frame, x, y  integers (n,): an event's frame and pixel;  pi  channel from 0 eV;  grade  0-12, as
    `twin.observatory.xray.charge` numbers them

    Of two events within 3 x 3 pixels of each other in one frame the stronger one stays: its channel is the sum of both
    (charge that falls outside its 3 x 3 pixels is not taken off), its grade that of all their pixels together. Of two
    further apart each has the other's pixels in its pattern that lie in its own 3 x 3. Where a grade is no X-ray's any
    more the event is lost. exp(-9 r) of photons have no other in their 3 x 3, r photons a pixel and frame.
    """
    order = np.lexsort((np.arange(len(pi)), -np.asarray(pi), frame))
    f, u, v = (np.asarray(values, np.int64)[order] for values in (frame, x, y))
    pairs = [np.zeros((0, 2), int)]
    most = int(np.unique(f, return_counts=True)[1].max()) if len(f) else 0
    for step in range(1, most):
        near = (np.abs(u[step:] - u[:-step]) <= 2) & (np.abs(v[step:] - v[:-step]) <= 2)
        first = np.flatnonzero((f[step:] == f[:-step]) & near)
        pairs.append(np.stack([first, first + step], 1))
    found = np.concatenate(pairs)
    own = _PIXELS[np.asarray(grade, int)][order]  # of single events, before any merge
    sums, pixels, gone = np.array(pi, np.int64)[order], own.copy(), np.zeros(len(f), bool)
    for a, b in found[np.lexsort((found[:, 1], found[:, 0]))]:  # the strongest of a frame first
        if gone[a] or gone[b]:
            continue
        across, along = int(u[b] - u[a]), int(v[b] - v[a])
        pixels[a] |= _moved(own[b], across, along)
        if max(abs(across), abs(along)) <= 1:
            gone[b] = True
            sums[a] += sums[b]
        else:
            pixels[b] |= _moved(own[a], -across, -along)
    changed = pixels != own
    grades, channels = np.array(grade), np.empty(len(f), np.int64)
    grades[order[changed]] = _GRADES[pixels[changed] & ~_MIDDLE]
    channels[order] = sums
    kept = np.ones(len(f), bool)
    kept[order[gone]] = False
    return np.flatnonzero(kept & (grades != REFUSED)), channels, grades


def _moved(pixels: int, across: int, along: int) -> int:
    """What a pattern has of the 3 x 3 pixels about a place that it is `across` columns and `along` rows away from."""
    found = 0
    for bit, (dy, dx) in enumerate(_AROUND):
        place = (along + dy, across + dx)
        if pixels >> bit & 1 and place in _AROUND:
            found |= 1 << _AROUND.index(place)
    return found
