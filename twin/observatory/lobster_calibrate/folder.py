"""What `twin calibrate` writes of a lobster eye, and reads again: the instrument as fitted, and how well that is
known."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from twin.io.atomic import write_bytes, write_json, write_text
from twin.observatory.lobster.telescope import Lobster, load_lobster
from twin.observatory.lobster_calibrate.fit import Fit
from twin.schema import UserError

FILE, INSTRUMENT, KIND, FORMAT = "calibration.json", "instrument.yaml", "lobster-calibration", 2


@dataclass(frozen=True)
class LobsterCalibration:
    """folder; telescope with fitted YAML; values of all fitted parameters by name; about: calibration.json"""

    folder: Path
    telescope: Lobster
    values: dict[str, float]
    about: dict[str, Any]

    @classmethod
    def load(cls, folder: str | Path) -> LobsterCalibration:
        """A folder that `twin calibrate` wrote. Raises UserError that names what is missing or damaged."""
        folder = Path(folder)
        for name in (FILE, INSTRUMENT):
            if not (folder / name).is_file():
                raise UserError("is missing: this is no folder that `twin calibrate ep-wxt` wrote", file=folder / name)
        try:
            about = json.loads((folder / FILE).read_text(encoding="utf-8"))
            right = about["kind"] == KIND and about["format"] == FORMAT
            values = {name: float(entry["value"]) for name, entry in about["parameters"].items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            right, values = False, {}
        if not right or not np.isfinite(list(values.values())).all():
            raise UserError("is damaged, or no calibration of a lobster eye", file=folder / FILE)
        return cls(folder, load_lobster(folder / INSTRUMENT), values, about)


def instrument_yaml(telescope: Lobster, values: dict[str, float]) -> dict[str, Any]:
    """The instrument's YAML with fitted values in place of its own: `load_lobster` reads it, so the simulator does."""
    made: dict[str, Any] = copy.deepcopy(telescope.node.value)
    optics, detector = made["optics"], made["detector"]
    optics["pore_length"] = f"{values['pore_ratio'] * telescope.config.optics.pore_width * 1e-3:.5g} mm"
    optics["efficiency"] = round(values["efficiency"], 5)
    optics["scatter"] = round(values["scatter"], 5)
    optics["scatter_width"] = f"{values['scatter_width']:.5g} arcmin"
    optics["second_order"] = f"{values['second_order']:.5g} arcmin"
    optics.setdefault("coating", {})["roughness"] = f"{values['roughness']:.5g} nm"
    optics["plates"] |= {
        "pitch": f"{values['plate_pitch']:.6g} mm",
        "gap": f"{values['plate_gap']:.5g} mm",
        "tilt": f"{values['tilt']:.5g} arcmin",
        "ratio_spread": round(values["ratio_spread"], 5),
    }
    detector["centre"] = [f"{values['centre_x']:.6g} arcmin", f"{values['centre_y']:.6g} arcmin"]
    detector["roll"] = f"{values['roll']:.5g} deg"
    # above 1 the source was brighter than its spectrum says, or the optic is more open: the latter has room
    throughput = values["throughput"] * float(optics["open_area"])
    optics["open_area"] = round(min(throughput, 1.0), 5)
    detector["throughput"] = round(throughput / optics["open_area"], 5) if throughput > 1 else 1.0
    detector["throughput"] = min(detector["throughput"], 1.0)
    return made


def save(folder: Path, telescope: Lobster, about: dict[str, Any], found: Fit) -> None:
    """Write calibration.json and instrument.yaml into an existing folder."""
    whole = {"kind": KIND, "format": FORMAT, "instrument": telescope.name, **about}
    whole["correlation"] = {"names": [law.name for law in found.laws], "covariance": found.covariance.tolist()}
    text = yaml.safe_dump(instrument_yaml(telescope, found.values), sort_keys=False, allow_unicode=True)
    write_text(folder / INSTRUMENT, text)
    write_json(folder / FILE, whole)


def picture(path: Path, counts: np.ndarray, found: Fit) -> None:
    """PNG: the frame, the model, and what is left in standard deviations, bin by bin and smoothed."""
    import io

    from matplotlib.figure import Figure

    from twin.observatory.lobster_calibrate.run import smoothed

    m = found.expected
    figure = Figure(figsize=(11, 10), layout="constrained")
    axes = figure.subplots(2, 2).ravel()
    shown = (
        ("frame, log10 counts", np.log10(counts + 0.1), -1, 3, "viridis"),
        ("model, log10 counts", np.log10(m + 0.01), -1, 3, "viridis"),
        ("residual, standard deviations", (counts - m) / np.sqrt(m + 0.05), -5, 5, "RdBu_r"),
        ("the same, smoothed by 1.5 bins", smoothed(counts, m), -5, 5, "RdBu_r"),
    )
    for axis, (title, data, low, high, colours) in zip(axes, shown, strict=True):
        drawn = axis.imshow(data, origin="lower", vmin=low, vmax=high, cmap=colours)
        axis.set_title(title)
        figure.colorbar(drawn, ax=axis, shrink=0.8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    write_bytes(path, buffer.getvalue())
