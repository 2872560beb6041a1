"""What was exported, read back and held to an independent reading of each format's conventions."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from PIL import Image

from tests.data.fake import SmallSpec, arrays, small
from twin.cli import main
from twin.data import Dataset, simulate
from twin.data.export import coolest, export
from twin.data.export.outline import outlines, run_lengths
from twin.io.fits import stamp_wcs
from twin.io.layout import ArraySpec
from twin.recipe import Recipe, load_recipe
from twin.schema import UserError
from twin.simulators import lensing, optical

NPIX, ARCS = 8, 2


class ArcRecipe:
    """Frames of 8 x 8 pixels with two arcs, one of them with a hole, on a sky of noise."""

    name, sha256, bands, pixel_scale = "arcs", "b" * 64, ("g", "r", "i"), 0.5
    node = small().node
    spec = SmallSpec(
        (
            *(a for a in arrays(NPIX) if not a.name.startswith("label/")),
            ArraySpec("label/n", (), "uint8"),
            ArraySpec("label/arc_mask", (NPIX, NPIX), "uint8", ("y", "x")),
            ArraySpec("label/box", (4, 4), "float32", ("arc", "corner")),
        ),
        {"classes": ["arcs"]},
    )

    @staticmethod
    def mask() -> np.ndarray:
        found = np.zeros((NPIX, NPIX), np.uint8)
        found[1:4, 2:6] = 1
        found[2, 3] = 0
        found[6, 0:3] = 2
        return found

    def shard(self, seed: int, shard: int, count: int) -> dict[str, np.ndarray]:
        made = small().shard(seed, shard, count)
        box = np.full((count, 4, 4), np.nan, np.float32)
        box[:, :ARCS] = [[1.5, 0.5, 5.5, 3.5], [-0.5, 5.5, 2.5, 6.5]]
        made = {name: made[name] for name in made if not name.startswith("label/")}
        mask = np.broadcast_to(self.mask(), (count, NPIX, NPIX)).copy()
        return made | {"label/n": np.full(count, ARCS, np.uint8), "label/arc_mask": mask, "label/box": box}


@pytest.fixture(scope="module")
def arcs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("arcs") / "arcs.zarr"
    simulate(ArcRecipe(), path, 5, seed=1, progress=False)
    return path


# outlines and run lengths


def area(polygon: np.ndarray) -> float:
    """Positive for one that runs counter-clockwise."""
    x, y = polygon.T
    return 0.5 * float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))


def filled(polygons: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Pixels whose centres lie inside: winding numbers."""
    from matplotlib.path import Path as Outline

    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    at = np.stack([x.ravel(), y.ravel()], -1)
    return (sum(Outline(p).contains_points(at).astype(int) for p in polygons) % 2 == 1).reshape(shape)


def random_masks() -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.random((9, 7)) < share for share in (0.1, 0.3, 0.5, 0.7, 0.9)] * 3


def test_outlines_hold_the_pixels_of_a_mask() -> None:
    for mask in random_masks():
        polygons = outlines(mask)
        assert sum(area(p) for p in polygons) == mask.sum()
        np.testing.assert_array_equal(filled(polygons, mask.shape), mask)


def test_a_square_with_a_hole_has_two_outlines() -> None:
    mask = np.ones((3, 3), bool)
    mask[1, 1] = False
    outer, inner = sorted(outlines(mask), key=area, reverse=True)
    assert {tuple(p) for p in outer} == {(0, 0), (3, 0), (3, 3), (0, 3)}
    assert area(inner) == -1


def decoded(counts: list[int], size: list[int]) -> np.ndarray:
    """COCO's run lengths as its own tools read them."""
    flat = np.concatenate([np.full(n, k % 2, bool) for k, n in enumerate(counts)])
    return flat.reshape(size, order="F")


def test_run_lengths() -> None:
    for mask in [*random_masks(), np.zeros((4, 3), bool), np.ones((4, 3), bool)]:
        np.testing.assert_array_equal(decoded(run_lengths(mask), list(mask.shape)), mask)


# COCO


def test_coco(arcs: Path, tmp_path: Path) -> None:
    export(arcs, tmp_path / "coco", "coco", [3, 1])
    content = json.loads((tmp_path / "coco" / "annotations.json").read_text())
    assert [image["id"] for image in content["images"]] == [3, 1]
    assert len(content["annotations"]) == 2 * ARCS
    assert len({a["id"] for a in content["annotations"]}) == 2 * ARCS
    mask = ArcRecipe.mask()
    for k, annotation in enumerate(content["annotations"][:ARCS]):
        seen = decoded(**annotation["segmentation"])  # type: ignore[arg-type]
        np.testing.assert_array_equal(seen[::-1], mask == k + 1)
        assert annotation["area"] == seen.sum()
        rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
        left, top, width, height = annotation["bbox"]
        assert (left, top) == (columns[0], rows[0])
        assert (left + width, top + height) == (columns[-1] + 1, rows[-1] + 1)
        assert annotation["category_id"] in {c["id"] for c in content["categories"]}
    picture = np.asarray(Image.open(tmp_path / "coco" / content["images"][0]["file_name"])).astype(int).sum(-1)
    frame = Dataset(arcs).read("frame", [3])[0].sum(0)
    assert np.corrcoef(picture.ravel(), frame[::-1].ravel())[0, 1] > 0.9  # the first row is the highest y


# DS9


def regions(text: str) -> list[tuple[str, np.ndarray]]:
    found = re.findall(r"^(box|polygon|point)\(([^)]*)\)", text, re.MULTILINE)
    return [(kind, np.array([float(v) for v in numbers.split(",")])) for kind, numbers in found]


def test_ds9_in_pixels(arcs: Path, tmp_path: Path) -> None:
    export(arcs, tmp_path / "ds9", "ds9", [2])
    text = (tmp_path / "ds9" / "00000002.reg").read_text()
    assert text.splitlines()[2] == "image"
    found = regions(text)
    boxes = [v for kind, v in found if kind == "box"]
    np.testing.assert_allclose(boxes[0], [4.5, 3.0, 4, 3, 0])  # centre of x 2..5, y 1..3 counted from 0, plus 1
    polygons = [v.reshape(-1, 2) - 0.5 for kind, v in found if kind == "polygon"]  # pixel 1 begins at 0.5
    np.testing.assert_array_equal(filled(polygons[:2], (NPIX, NPIX)), ArcRecipe.mask() == 1)
    with fits.open(tmp_path / "ds9" / "00000002.fits") as file:
        assert file["R"].data.shape == (NPIX, NPIX)


def test_ds9_on_the_sky(arcs: Path, tmp_path: Path) -> None:
    """A catalogue gives each frame a place: regions in fk5, which astropy's WCS of the exported frame brings back."""
    import shutil

    import pyarrow
    import zarr
    from pyarrow import parquet

    path = Path(shutil.copytree(arcs, tmp_path / "sky.zarr"))
    parquet.write_table(pyarrow.table({"ra": [10.0] * 5, "dec": [40.0] * 5}), path / "catalogue.parquet")
    zarr.open_group(path, mode="r+").attrs["wcs"] = stamp_wcs((NPIX, NPIX), 0.5)
    export(path, tmp_path / "ds9", "ds9", [0])
    text = (tmp_path / "ds9" / "00000000.reg").read_text()
    assert text.splitlines()[2] == "fk5"
    corners = regions(text)[0][1].reshape(-1, 2)
    with fits.open(tmp_path / "ds9" / "00000000.fits") as file:
        x, y = WCS(file["R"].header).all_world2pix(*corners.T, 0)
    np.testing.assert_allclose(sorted(x), [1.5, 1.5, 5.5, 5.5], atol=1e-3)
    np.testing.assert_allclose(sorted(y), [0.5, 0.5, 3.5, 3.5], atol=1e-3)
    assert corners[np.argmin(x), 0] > corners[np.argmax(x), 0]  # east is left


# COOLEST


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe("ps1-lens", ["frame.npix=16", "frame.subsamples=1", "classes={lens_galaxy: 0.75, star: 0.25}"])


@pytest.fixture(scope="module")
def lenses(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lenses") / "lenses.zarr"
    simulate(recipe, path, 4, seed=2, progress=False)
    return path


def values(profile: dict) -> dict[str, float]:
    return {name: parameter["point_estimate"]["value"] for name, parameter in profile["parameters"].items()}


def test_coolest_in_lenstronomys_reading(recipe: Recipe, lenses: Path, tmp_path: Path) -> None:
    """lenstronomy translates COOLEST's angles for its own x to the left; its rays must come from where ours do."""
    pytest.importorskip("lenstronomy")
    from lenstronomy.LensModel.lens_model import LensModel
    from lenstronomy.Util.coolest_read_util import (
        gamma_phi_coolest_to_g1_g2_lenstronomy,
        qphi_coolest_to_e1e2_lenstronomy,
    )

    export(lenses, tmp_path / "out", "coolest")
    files = sorted((tmp_path / "out").glob("*_r.json"))
    assert len(files) == 3  # the star is no lens
    dataset = Dataset(lenses)
    rng = np.random.default_rng(0)
    for file in files:
        content = json.loads(file.read_text())
        field, lens, source = content["lensing_entities"]
        shear, sie, light = (
            values(field["mass_model"][0]),
            values(lens["mass_model"][0]),
            values(source["light_model"][0]),
        )
        assert [e["type"] for e in (field, lens, source)] == ["MassField", "Galaxy", "Galaxy"]
        assert lens["mass_model"][0]["type"] == "SIE"
        g1, g2 = gamma_phi_coolest_to_g1_g2_lenstronomy(shear["gamma_ext"], shear["phi_ext"])
        e1, e2 = qphi_coolest_to_e1e2_lenstronomy(sie["q"], sie["phi"])
        x, y = rng.uniform(-2, 2, (2, 50))
        centre = {"center_x": -sie["center_x"], "center_y": sie["center_y"]}  # its x axis points to the left
        theirs = [
            {"theta_E": sie["theta_E"], "e1": e1, "e2": e2, **centre},
            {"gamma1": g1, "gamma2": g2, "ra_0": 0.0, "dec_0": 0.0},
        ]
        bx, by = LensModel(["SIE", "SHEAR"]).ray_shooting(-x, y, theirs)
        index = content["meta"]["sample"]
        truth = recipe.unflatten("lens_galaxy", dataset.read("truth", [index])[0])
        images = np.reshape(content["meta"]["images"], (-1, 2)).T
        assert images.shape[1] >= 2
        beta, (ax, ay) = deflected(truth, np.float32([[*x, *np.resize(images[0], 4)], [*y, *np.resize(images[1], 4)]]))
        ours = np.stack([x - ax[:50], y - ay[:50]]) - np.reshape(beta, (2, 1))
        np.testing.assert_allclose([-bx - light["center_x"], by - light["center_y"]], ours, atol=2e-5)
        seen = np.stack([np.resize(images[0], 4) - ax[50:], np.resize(images[1], 4) - ay[50:]])
        np.testing.assert_allclose(seen, np.broadcast_to(np.reshape(beta, (2, 1)), (2, 4)), atol=1e-3)


@jax.jit
def deflected(truth: Any, at: jax.Array) -> tuple[Any, Any]:
    """Source position and deflections at x, y (2, N), of the simulator."""
    return optical.source_position(truth), lensing.deflection(optical.sie(truth), at[0], at[1])


def test_coolests_light(recipe: Recipe, lenses: Path, tmp_path: Path) -> None:
    """I_eff integrates to the magnitude, the frame is in e-/s, and the major axis lies where phi says."""
    export(lenses, tmp_path / "out", "coolest", [0, 1, 2, 3])
    file = sorted((tmp_path / "out").glob("*_r.json"))[0]
    content = json.loads(file.read_text())
    light = values(content["lensing_entities"][1]["light_model"][0])
    index, zero_point = content["meta"]["sample"], content["observation"]["mag_zero_point"]
    dataset = Dataset(lenses)
    truth = recipe.unflatten("lens_galaxy", dataset.read("truth", [index])[0])
    n, b_n = light["n"], 1.9992 * light["n"] - 0.3271  # COOLEST's own

    def brightness(r: np.ndarray) -> np.ndarray:
        return light["I_eff"] * np.exp(-b_n * ((r / light["theta_eff"]) ** (1 / n) - 1))

    log_r = np.linspace(-14, 10, 4000)
    total = 2 * np.pi * np.sum(brightness(np.exp(log_r)) * np.exp(2 * log_r)) * (log_r[1] - log_r[0])
    assert zero_point - 2.5 * np.log10(total) == pytest.approx(float(truth["lens_mag"][1]), abs=0.01)
    axis = (np.arange(400) + 0.5 - 200) * 0.02
    x, y = np.meshgrid(axis, axis)
    phi = np.radians(light["phi"])
    along, across = np.cos(phi) * y - np.sin(phi) * x, np.cos(phi) * x + np.sin(phi) * y  # phi from y towards -x
    shape = brightness(np.hypot(along * np.sqrt(light["q"]), across / np.sqrt(light["q"])))
    shape = np.where(np.hypot(x, y) < 4, shape, 0)
    angle = 0.5 * np.arctan2(2 * (shape * x * y).sum(), (shape * (x**2 - y**2)).sum())
    assert np.sin(angle - float(truth["light_angle"])) == pytest.approx(0, abs=0.01)
    with fits.open(file.with_suffix(".fits")) as image, fits.open(str(file).replace(".json", "_psf.fits")) as psf:
        assert image["SCI"].data.shape == (16, 16)
        assert psf["PSF"].data.sum() == pytest.approx(1)
    assert content["instrument"]["band"] == "r"
    assert content["observation"]["pixels"]["fits_file"]["path"] == file.with_suffix(".fits").name


def test_lenses_that_coolest_has_no_profile_for(
    lenses: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = {"theta_E": np.float32(1), "subhalo_x": np.zeros(3), "los_x": np.zeros(3)}
    monkeypatch.setattr(coolest, "lens_truths", lambda dataset, indices: (recipe, [("lens", truth), ("star", None)]))
    with pytest.raises(UserError, match="several planes, truncated NFW subhalos"):
        export(lenses, tmp_path / "out", "coolest")
    assert not (tmp_path / "out").exists()


def test_power_laws_sheets_and_components() -> None:
    """A lens of `galaxy-lens`: the deflection about the origin that COOLEST means shifts the source by Gamma lens."""
    pytest.importorskip("lenstronomy")
    from lenstronomy.LensModel.lens_model import LensModel

    truth = {
        "theta_E": 1.1, "slope": 1.9, "kappa": 0.1, "gamma1": 0.05, "gamma2": -0.03, "lens_q": 0.7, "lens_angle": 0.4,
        "lens_x": 0.2, "lens_y": -0.1, "z_lens": 0.5, "z_source": 2.0, "light_q": 0.8, "light_angle": 0.5,
        "lens_mag": [[18.0], [19.0]], "lens_radius": [0.5, 2.0], "lens_n": [4.0, 1.0], "source_x": [0.1, 0.15],
        "source_y": [0.0, 0.02], "source_radius": [0.2, 0.05], "source_n": [1.0, 1.0], "source_q": [0.5, 0.9],
        "source_angle": [0.1, 0.2], "source_mag": [[23.0], [np.nan]],
    }  # fmt: skip
    field, lens, source = coolest.entities({k: np.asarray(v, float) for k, v in truth.items()}, 0, 25.0)  # type: ignore[misc]
    assert [p["type"] for p in field["mass_model"]] == ["ExternalShear", "ConvergenceSheet"]
    assert lens["mass_model"][0]["type"] == "PEMD"
    assert len(lens["light_model"]) == 2
    assert len(source["light_model"]) == 1  # the other is not there
    at = values(source["light_model"][0])
    x, y = np.array([0.7, -1.2]), np.array([0.3, 0.9])
    g1, g2, kappa = 0.05, -0.03, 0.1
    about_lens, about_origin = (
        LensModel(["SHEAR", "CONVERGENCE"]).alpha(
            x, y, [{"gamma1": g1, "gamma2": g2, "ra_0": ra, "dec_0": dec}, {"kappa": kappa, "ra_0": ra, "dec_0": dec}]
        )
        for ra, dec in ((0.2, -0.1), (0.0, 0.0))
    )
    shift = [about_lens[k] - about_origin[k] for k in (0, 1)]
    np.testing.assert_allclose([[at["center_x"] - 0.1] * 2, [at["center_y"] - 0.0] * 2], shift, atol=1e-12)


def test_position_angles() -> None:
    for degrees, phi in ((90, 0), (0, 90), (180, 90), (135, 45), (45, -45), (-45, 45)):
        assert coolest.position_angle(np.radians(degrees)) == pytest.approx(phi)


# bad input


@pytest.mark.parametrize("form", ["ds9", "coco", "coolest"])
def test_a_dataset_without_what_is_asked(dataset: Path, tmp_path: Path, form: str, folder: Path) -> None:
    import zarr

    zarr.open_group(dataset, mode="r+").attrs["kind"] = "ingested"
    with pytest.raises(UserError, match="no arcs|was not simulated"):
        export(dataset, tmp_path / "out", form)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_samples_that_are_no_lenses(recipe: Recipe, lenses: Path, tmp_path: Path) -> None:
    star = int(np.flatnonzero(Dataset(lenses).read("label/class") == 1)[0])
    with pytest.raises(UserError, match="no lens of galaxy scale"):
        export(lenses, tmp_path / "out", "coolest", [star])


def test_mistakes(arcs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "x").write_text("")
    for words, said in (
        (["--format", "coko"], "did you mean"),
        (["--format", "coco", "--index", "5"], "has samples 0 to 4"),
        (["--format", "coco", "-o", str(tmp_path / "taken")], "exists already"),
    ):
        out = [] if "-o" in words else ["-o", str(tmp_path / "new")]
        assert main(["export", str(arcs), *out, *words]) == 2
        assert said in capsys.readouterr().err
        assert not (tmp_path / "new").exists()


def test_the_command(arcs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(arcs), "-o", str(tmp_path / "ds9"), "--format", "ds9", "-n", "2"]) == 0
    assert "2 frames" in capsys.readouterr().out
    assert len(list((tmp_path / "ds9").glob("*.reg"))) == 2
