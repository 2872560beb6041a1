"""Readers of galaxies, quasars, Euclid lenses and arcs: on made-up files with the same traps, and on the real ones."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from twin.data import contact_sheet, ingest, verify
from twin.data.ingest import READERS
from twin.data.ingest.stamps import background_rms, pad
from twin.schema import UserError


def write_csv(path: Path, rows: list[dict[str, object]]) -> None:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(out.getvalue())


def hst(root: Path, rng: np.random.Generator) -> None:
    """COSMOS: two images, the first without its file; slsim: GAL_HDU says 2 of both; AEGIS: one galaxy in two bands."""
    from astropy.io import fits
    from astropy.table import Table

    root = root / "hst_galaxies_cosmos_aegis"
    root.mkdir(parents=True)

    def catalogue(name: str, idents: list[int], files: list[str], hdus: list[int], images: list[np.ndarray]) -> None:
        n = len(idents)
        table = Table({"IDENT": idents, "RA": [150.0] * n, "DEC": [2.0] * n, "MAG": [22.0] * n, "GAL_FILENAME": files})
        table["GAL_HDU"], table["PIXEL_SCALE"], table["NOISE_VARIANCE"] = hdus, [0.03] * n, [4e-6] * n
        table["stamp_flux"] = [float(image.sum()) for image in images]
        table.write(root / name)

    def file(name: str, images: list[np.ndarray], first: bool) -> None:
        body = [fits.PrimaryHDU(images[0] if first else None), *(fits.ImageHDU(im) for im in images[first:])]
        fits.HDUList(body).writeto(root / name)

    small, large, one, two = (
        rng.uniform(0, 1, shape).astype("f4") for shape in ((30, 31), (200, 210), (41, 40), (50, 50))
    )
    catalogue("paltas__real_galaxy_catalog_23.5.fits.gz", [1, 2, 3], ["a.fits", "a.fits", "gone.fits"], [0, 1, 0],
              [small, large, small])  # fmt: skip
    file("paltas__a.fits.gz", [small, large], True)
    catalogue("slsim__real_galaxy_catalog_23.5.fits.gz", [4, 5], ["b.fits", "b.fits"], [2, 2], [one, two])
    file("slsim__b.fits.gz", [one, two], False)
    for band in ("606", "814"):
        catalogue(f"galsim__AEGIS_F{band}w_catalog.fits.gz", [4], [f"c{band}.fits"], [0], [small])
        file(f"galsim__c{band}.fits.gz", [small], True)


def quasars(root: Path, rng: np.random.Generator) -> None:
    root = root / "samana_lensed_quasars"
    root.mkdir(parents=True)
    rows = [("q1_MIRI540W", "q1", "MIRI", "MIRI540W", 20, 0.1108, 1), ("q1_f814w", "q1", "HST", "f814w", 40, 0.04, 0)]
    pixels = {}
    for key, _, _, _, side, _, noise in rows:
        pixels[f"{key}/image_data"] = rng.normal(0, 2, (side, side)).astype("f4")
        if noise:
            pixels[f"{key}/noise_map"] = np.full((side, side), 3, "f4")
    np.savez(root / "samana_images.npz", **pixels)
    names = ("key", "object", "instrument", "band", "ny", "pixscale_nominal", "has_noise_map")
    write_csv(
        root / "images.csv",
        [dict(zip(names, r, strict=True)) | {"nx": r[4], "z_lens": 0.5, "z_source": ""} for r in rows],
    )


def euclid(root: Path, rng: np.random.Generator) -> None:
    from astropy.io import fits

    root = root / "euclid_q1_lenses"
    root.mkdir(parents=True)
    for name, side, zero, bands in (("a", 100, 30.0, ("VIS_BGSUB", "NIR_H_BGSUB")), ("b", 300, 25.0, ("VIS_FLUX",))):
        hdus = [fits.PrimaryHDU()]
        for band in bands:
            image = fits.ImageHDU(rng.normal(0, 1, (side, side)).astype("f4"), name=band)
            cards = {"MAGZERO": zero, "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 57.0, "CRVAL2": -50.0}
            cards |= {"CRPIX1": side / 2 + 0.5, "CRPIX2": side / 2 + 0.5, "CD1_1": -0.1 / 3600, "CD2_2": 0.1 / 3600}
            image.header.update(cards | {"CD1_2": 0.0, "CD2_1": 0.0})
            hdus.append(image)
            hdus.append(fits.ImageHDU(np.full((side, side), 2, "f4"), name=f"{band.rpartition('_')[0]}_RMS"))
        fits.HDUList(hdus).writeto(root / f"{name}.fits.gz")


def jwst(root: Path, rng: np.random.Generator) -> None:
    root = root / "as1063_jwst_arcs"
    root.mkdir(parents=True)
    names = [f"{band}_image{k}" for k in (1, 2, 3) for band in ("f115w", "f150w", "f200w")]
    np.savez(root / "as1063_system4.npz", **{name: rng.normal(0, 1, (120, 120)).astype("f4") for name in names})


def cfhtls(root: Path, rng: np.random.Generator) -> None:
    root = root / "cluster_arcs"
    (root / "arcs").mkdir(parents=True)
    rows = []
    for name, side, label in (("a", 161, "arc_candidate"), ("b", 440, "non_lens_loners")):
        picture = np.zeros((side, side, 3), np.uint8)
        picture[:8, :, 0] = 250  # red, along the top
        Image.fromarray(picture).save(root / f"arcs/{name}.jpg", quality=95)
        rows.append({"file": f"arcs/{name}.jpg", "label": label, "name": name, "ra": 30.0, "dec": "", "gal_z": ""}
                    | {"expert_grade": 2.0, "npix": side, "arcsec_per_px": 0.187})  # fmt: skip
    write_csv(root / "images.csv", rows)


MADE = {"hst-galaxies": hst, "lensed-quasars": quasars, "euclid-q1": euclid, "as1063-arcs": jwst, "cfhtls-arcs": cfhtls}


@pytest.fixture
def sources(tmp_path, rng):
    root = tmp_path / "imaging"
    for make in MADE.values():
        make(root, rng)
    return root


def test_stamps_keep_their_middle():
    for side, size in ((5, 8), (6, 9), (40, 20), (41, 20)):
        image = np.zeros((side, side), np.float32)
        image[side // 2, side // 2] = 1
        assert pad(image, size)[size // 2, size // 2] == 1


def test_noise_is_measured_beside_the_object(rng):
    image = rng.normal(0, 2, (80, 80))
    image[30:50, 30:50] += 300
    assert background_rms(image) == pytest.approx(2, rel=0.05)
    assert np.isnan(background_rms(np.full((3, 3), np.nan)))


def test_hst_galaxies(tmp_path, sources):
    got = ingest("hst-galaxies", sources, tmp_path / "x.zarr")
    names = got.catalogue()["name"].to_pylist()
    assert names == ["cosmos-1", "cosmos-2", "cosmos-4", "cosmos-5", "aegis-4"]
    assert "1 entries name an image that is not there" in got.attrs["notes"]
    frame, valid = got.read("frame"), got.read("valid")
    assert valid.sum(axis=(2, 3)).tolist() == [[0, 930], [0, 160**2], [0, 41 * 40], [0, 2500], [930, 930]]
    assert frame[3, 1].sum() == pytest.approx(1250, rel=0.05)  # the larger of the two that are both called 2
    rms = got.read("noise/rms")
    np.testing.assert_allclose(rms[:, 1], 0.002, rtol=1e-4)
    assert np.isnan(rms[:4, 0]).all()
    assert len(set(got.read("exposure_id").tolist())) == 5


def test_lensed_quasars(tmp_path, sources):
    got = ingest("lensed-quasars", sources, tmp_path / "x.zarr")
    table = got.catalogue().to_pydict()
    assert table["filter"] == ["F560W", "F814W"]
    assert table["scale_arcsec"] == [0.1108, 0.04]
    assert got.read("exposure_id").tolist() == [0, 0]  # one object
    np.testing.assert_allclose(got.read("noise/rms")[:, 0], [3, 2], rtol=0.1)
    assert got.read("valid").sum(axis=(1, 2, 3)).tolist() == [400, 1600]


def test_euclid(tmp_path, sources):
    got = ingest("euclid-q1", sources, tmp_path / "x.zarr")
    rms, vis = got.read("noise/rms"), got.attrs["bands"].index("VIS")
    np.testing.assert_allclose(rms[:, vis], [2, 200], rtol=1e-3)  # one zero point: 5 mag are a factor of 100
    assert np.isfinite(rms).sum(axis=1).tolist() == [2, 1]
    assert got.read("frame")[1, vis].std() == pytest.approx(100, rel=0.05)
    assert got.catalogue()["ra"].to_pylist() == pytest.approx([57.0, 57.0])


def test_arcs(tmp_path, sources):
    got = ingest("as1063-arcs", sources, tmp_path / "x.zarr")
    assert got.read("exposure_id").tolist() == [0, 0, 0]
    np.testing.assert_allclose(got.read("noise/rms"), 1, rtol=0.05)
    arcs = ingest("cfhtls-arcs", sources, tmp_path / "y.zarr")
    assert arcs.attrs["stretched"]
    assert [arcs.attrs["classes"][k] for k in arcs.read("label/class")] == ["arc", "field"]
    frame = arcs.read("frame")
    assert frame[1, 2, -4:].mean() > 200  # red is i, and the top of a picture is the last row
    assert frame[1, 0].max() < 60
    assert frame[1, 2, :400].max() < 60
    assert arcs.read("valid")[0, 0].sum() == 161**2


@pytest.mark.parametrize("source", MADE)
def test_a_sheet_of_each_beside_another(tmp_path, sources, source):
    got = ingest(source, sources, tmp_path / "x.zarr")
    assert verify(got.path).ok
    other = ingest("euclid-q1", sources, tmp_path / "y.zarr")
    contact_sheet(other.path, tmp_path / "a.png", beside=got.path, per_class=2)
    with Image.open(tmp_path / "a.png") as image:
        sheet = np.asarray(image)
    assert sheet.shape[0] > 100
    assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 20


def bad_image(root: Path) -> None:
    (root / "cluster_arcs/arcs/a.jpg").write_bytes(b"none")


def cut(name: str):
    def change(root: Path) -> None:
        path = root / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return change


def gone(name: str):
    return lambda root: (root / name).unlink()


def edit(name: str, old: str, new: str):
    def change(root: Path) -> None:
        text = (root / name).read_text()
        assert old in text
        (root / name).write_text(text.replace(old, new, 1))

    return change


BAD = {
    "hst: cut": ("hst-galaxies", cut("hst_galaxies_cosmos_aegis/paltas__a.fits.gz"), r"paltas__a\.fits\.gz: cannot be"),
    "hst: gone": (
        "hst-galaxies", gone("hst_galaxies_cosmos_aegis/slsim__real_galaxy_catalog_23.5.fits.gz"), "no such file",
    ),
    "quasars: cut": ("lensed-quasars", cut("samana_lensed_quasars/samana_images.npz"), "cannot be read as npz"),
    "quasars: key": (
        "lensed-quasars", edit("samana_lensed_quasars/images.csv", "q1_f814w", "q2_f814w"), "image_data: has no image",
    ),
    "quasars: instrument": (
        "lensed-quasars", edit("samana_lensed_quasars/images.csv", ",HST", ",SPITZER"), r'csv:3: .*unknown instrument',
    ),
    "euclid: cut": ("euclid-q1", cut("euclid_q1_lenses/a.fits.gz"), r"a\.fits\.gz: cannot be read as FITS"),
    "jwst: cut": ("as1063-arcs", cut("as1063_jwst_arcs/as1063_system4.npz"), "cannot be read as npz"),
    "cfhtls: no picture": ("cfhtls-arcs", bad_image, r"a\.jpg: cannot be read as a picture"),
    "cfhtls: gone": ("cfhtls-arcs", gone("cluster_arcs/arcs/b.jpg"), r"b\.jpg: no such file"),
    "cfhtls: size": ("cfhtls-arcs", edit("cluster_arcs/images.csv", "161", "160"), "has 161x161 pixels"),
    "cfhtls: label": ("cfhtls-arcs", edit("cluster_arcs/images.csv", "arc_c", "lens_c"), "unknown label"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_named_and_nothing_is_written(tmp_path, sources, case):
    source, break_it, message = BAD[case]
    break_it(sources)
    with pytest.raises(UserError, match=message) as caught:
        ingest(source, sources, tmp_path / "x.zarr")
    assert "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["imaging"]


@pytest.mark.parametrize("source", READERS)
def test_another_folder_is_refused(tmp_path, source):
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(UserError, match=f"holds no files of the source {source}"):
        ingest(source, tmp_path / "a" / "b", tmp_path / "x.zarr")


@pytest.mark.slow
@pytest.mark.real
def test_the_real_ones(tmp_path, real_data):
    want = {
        "ps1-neighbours": 222,
        "ps1-quasars": 146,
        "hst-galaxies": 17,
        "lensed-quasars": 46,
        "euclid-q1": 3,
        "as1063-arcs": 3,
        "cfhtls-arcs": 32,
    }
    for source, n in want.items():
        got = ingest(source, real_data, tmp_path / f"{source}.zarr")
        assert got.n == n
        assert np.isfinite(got.read("frame")).all()
        rms = got.read("noise/rms")
        assert (np.isfinite(rms).sum(axis=1) >= 1).all()
        assert (rms[np.isfinite(rms)] > 0).all()
        if source == "ps1-neighbours":
            assert got.read("valid").all()
            assert "neighbour" in set(got.catalogue()["set"].to_pylist())
        contact_sheet(got.path, tmp_path / f"{source}.png", per_class=2)
