"""DS9 regions: boxes and outlines of arcs, positions of lensed images; each frame as FITS beside them.

In image coordinates pixel j of the frame is centred at j + 1 (FITS counts from 1). Frames whose place on the sky is
known (`ra`, `dec` of the catalogue) have their regions in fk5. https://ds9.si.edu/doc/ref/region.html
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from twin.data.export.arcs import ARRAYS, arcs_of
from twin.data.export.outline import outlines
from twin.data.export.truth import Sky, lens_images
from twin.data.inspect import counts
from twin.data.load import Dataset
from twin.io.atomic import write_text
from twin.io.fits import write_images
from twin.schema import UserError

HEAD = "# Region file format: DS9 version 4.1\nglobal color=green width=1 select=1\n"


def writer(dataset: Dataset, indices: np.ndarray) -> Callable[[Path], None]:
    """What writes a .reg and a .fits file a frame. Raises UserError for a dataset with neither arcs nor images."""
    arcs = arcs_of(dataset, indices) if all(name in dataset for name in ARRAYS) else None
    images = lens_images(dataset, indices)
    if arcs is None and images is None:
        raise UserError("has no arcs (label/box) and no lensed images: no region to draw", file=dataset.path)
    place = Sky(dataset)

    def write(folder: Path) -> None:
        for i, index in enumerate(indices):
            wcs, cards = place.of(int(index))
            lines = ["image" if wcs is None else "fk5"]
            for k, arc in enumerate(arcs[i] if arcs else []):
                lines.append(_box(arc.box, wcs) + f" # text={{arc {k + 1}}}")
                lines += [_polygon(corners - 0.5, wcs) + " # color=cyan" for corners in outlines(arc.mask)]
            for k, (x, y) in enumerate(images[i] if images else []):
                point = ",".join(_numbers([(x, y)], wcs))
                lines.append(f"point({point}) # point=cross color=red text={{image {k + 1}}}")
            write_text(folder / f"{index:08d}.reg", HEAD + "\n".join(lines) + "\n")
            bands = dataset.attrs.get("bands") or [str(k) for k in range(dataset.shape("frame")[0])]
            frame = counts(dataset, np.array([index]))[0]
            write_images(
                folder / f"{index:08d}.fits", dict(zip(bands, frame, strict=True)), dict.fromkeys(bands, cards)
            )

    return write


def _numbers(points: Any, wcs: Any) -> list[str]:
    """x and y of frame pixels, counted from 0, as DS9 wants them: in turn, as text."""
    at = np.asarray(points, float)
    if wcs is None:
        return [f"{v:.3f}" for v in (at + 1).ravel()]
    return [f"{v:.8f}" for v in np.stack(wcs.wcs_pix2world(*at.T, 0), -1).ravel()]


def _box(edges: np.ndarray, wcs: Any) -> str:
    """A box in the image; on the sky, where boxes have angles of their own, its four corners."""
    x0, y0, x1, y1 = edges
    if wcs is not None:
        return _polygon(np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]), wcs)
    centre = _numbers([((x0 + x1) / 2, (y0 + y1) / 2)], None)
    return f"box({centre[0]},{centre[1]},{x1 - x0:.3f},{y1 - y0:.3f},0)"


def _polygon(corners: np.ndarray, wcs: Any) -> str:
    return f"polygon({','.join(_numbers(corners, wcs))})"
