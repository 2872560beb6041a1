"""COCO object detection: images as 8-bit colour PNG, annotations.json with a box and a mask for every arc.

https://cocodataset.org/#format-data. Pictures have their first row on top: north, y of the frame, is up as in the
contact sheets, so picture row r is row ny - 1 - r of the frame. Boxes are [left, top, width, height] from the upper
left corner of the picture; masks are uncompressed run lengths down the picture's columns.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from twin.data.export.arcs import Arc, arcs_of
from twin.data.export.outline import run_lengths
from twin.data.inspect import colour, counts
from twin.data.load import Dataset
from twin.io.atomic import write_json

CATEGORY = {"id": 1, "name": "arc", "supercategory": "lensed"}


def writer(dataset: Dataset, indices: np.ndarray) -> Callable[[Path], None]:
    """What writes the images and annotations.json into a folder. Raises UserError for a dataset without arcs."""
    arcs = arcs_of(dataset, indices)

    def write(folder: Path) -> None:
        from PIL import Image

        (folder / "images").mkdir()
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        bands = dataset.attrs.get("bands") or [str(k) for k in range(dataset.shape("frame")[0])]
        for index, found in zip(indices, arcs, strict=True):
            picture = colour(counts(dataset, np.array([index])), dataset.read("noise/rms", [index]), bands)[0, ::-1]
            name = f"images/{index:08d}.png"
            Image.fromarray(np.ascontiguousarray(picture)).save(folder / name)
            ny, nx = picture.shape[:2]
            images.append({"id": int(index), "file_name": name, "width": nx, "height": ny})
            annotations += [_annotation(len(annotations) + k + 1, int(index), arc) for k, arc in enumerate(found)]
        info = {"description": f"{dataset.path.name}: picture row r is row height - 1 - r of the frame"}
        content = {"info": info, "images": images, "annotations": annotations, "categories": [CATEGORY]}
        write_json(folder / "annotations.json", content)

    return write


def _annotation(number: int, image: int, arc: Arc) -> dict[str, Any]:
    ny, nx = arc.mask.shape
    left, bottom, right, top = (float(v) + 0.5 for v in arc.box)
    return {
        "id": number,
        "image_id": image,
        "category_id": CATEGORY["id"],
        "bbox": [left, ny - top, right - left, top - bottom],
        "area": int(arc.mask.sum()),
        "segmentation": {"counts": run_lengths(arc.mask[::-1]), "size": [ny, nx]},
        "iscrowd": 0,
    }
