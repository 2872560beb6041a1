"""Masks as polygons along the edges of their pixels, and as COCO's run lengths."""

from __future__ import annotations

import numpy as np

Point = tuple[int, int]

# the edges of a pixel at (0, 0), which reaches from corner (0, 0) to (1, 1), with the pixel on their left
_EDGES = {(0, -1): ((0, 0), (1, 0)), (1, 0): ((1, 0), (1, 1)), (0, 1): ((1, 1), (0, 1)), (-1, 0): ((0, 1), (0, 0))}


def outlines(mask: np.ndarray) -> list[np.ndarray]:
    """Closed polygons (V, 2) of corners x, y of a mask (y, x): counter-clockwise about it, clockwise about its holes.

    Corner (0, 0) is where pixel (0, 0) begins, half a pixel before its centre. Pixels that touch at a corner alone are
    apart.
    """
    inside = np.pad(np.asarray(mask, bool), 1)
    leaving: dict[Point, list[Point]] = {}
    for y, x in zip(*np.nonzero(inside), strict=True):
        for (dx, dy), (start, end) in _EDGES.items():
            if not inside[y + dy, x + dx]:
                corner = (int(x) - 1, int(y) - 1)
                a, b = ((corner[0] + p[0], corner[1] + p[1]) for p in (start, end))
                leaving.setdefault(a, []).append(b)
    found = []
    while leaving:
        first = min(leaving)
        path, here = [first], leaving[first].pop()
        came = (here[0] - first[0], here[1] - first[1])
        while here != first:
            path.append(here)
            ways = leaving[here]
            # where two pixels touch at this corner, turn left: back along the same pixel
            left = (here[0] - came[1], here[1] + came[0])
            there = ways.pop(ways.index(left)) if left in ways else ways.pop()
            came, here = (there[0] - here[0], there[1] - here[1]), there
        leaving = {corner: ways for corner, ways in leaving.items() if ways}
        found.append(_straightened(np.array(path)))
    return found


def _straightened(path: np.ndarray) -> np.ndarray:
    """Without the corners at which it does not turn."""
    before, after = path - np.roll(path, 1, 0), np.roll(path, -1, 0) - path
    return path[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]


def run_lengths(mask: np.ndarray) -> list[int]:
    """COCO's uncompressed run lengths: of 0 and of 1 in turn, down the columns, the first of 0."""
    flat = np.asarray(mask, bool).ravel(order="F")
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat, [False]]).astype(np.int8)))
    runs = np.diff(np.concatenate([[0], edges, [len(flat)]]))
    return [int(n) for n in (runs if len(edges) == 0 or runs[-1] else runs[:-1])]
