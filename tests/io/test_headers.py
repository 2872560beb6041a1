"""Headers of files and folders: exactly what astropy reads; truncated and hostile files are named."""

import gzip
import logging

import numpy as np
import pytest
from astropy.io import fits

from twin.io import headers
from twin.io.headers import header_of, read_headers
from twin.schema import UserError

CARDS = {
    "INSTRUME": ("DECam", "Instrument"),
    "DATE-OBS": "2016-09-09T01:53:18.515052",
    "EXPTIME": (90.0, "[s] Exposure duration"),
    "EXPNUM": 572501,
    "AOS": True,
    "OBJECT": "it's a 'field' / tile",
    "DIMMSEE": ("NaN", "[arcsec] DIMM Seeing"),
    "TINY": -1.5e-9,
    "EMPTY": None,
    "HIERARCH ESO TEL AMBI FWHM START": (0.81, "seeing"),
    "LONGTEXT": "0123456789" * 12,
}


def hdu_header():
    header = fits.Header()
    for key, value in CARDS.items():
        header[key] = value
    header["COMMENT"] = "DIMMSEE = 7 / a comment that looks like a card"
    return header


def write(path, kind):
    header, data = hdu_header(), np.arange(64, dtype=np.float32).reshape(8, 8)
    if kind == "image":
        fits.PrimaryHDU(data, header).writeto(path)
    elif kind == "extension":
        fits.HDUList([fits.PrimaryHDU(header=header), fits.ImageHDU(data)]).writeto(path)
    elif kind == "compressed":
        fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(data, header)]).writeto(path)
    elif kind == "gzipped":
        fits.PrimaryHDU(data, header).writeto(path.with_suffix(".tmp"))
        path.write_bytes(gzip.compress(path.with_suffix(".tmp").read_bytes()))
    elif kind == "lines":
        path.write_text(header.tostring(sep="\n", endcard=True, padding=False) + "\n")
    else:
        path.write_text("\n".join(line.rstrip() for line in header.tostring(sep="\n", padding=False).split("\n")))
    return path


@pytest.mark.parametrize("kind", ["image", "extension", "compressed", "gzipped", "lines", "short lines"])
def test_cards_are_those_that_astropy_reads(tmp_path, kind):
    found = header_of(write(tmp_path / "x.fits", kind))
    wanted = hdu_header()
    for key in ("INSTRUME", "DATE-OBS", "EXPTIME", "EXPNUM", "AOS", "OBJECT", "TINY", "LONGTEXT"):
        assert found[key][0] == wanted[key], key
    assert found["ESO TEL AMBI FWHM START"] == (0.81, "seeing")
    assert found["EMPTY"][0] is None
    assert found["DIMMSEE"] == ("NaN", "[arcsec] DIMM Seeing")
    assert found["EXPTIME"][1] == "[s] Exposure duration"
    assert "COMMENT" not in found


def test_a_folder_is_a_table(tmp_path, caplog):
    (tmp_path / "deep").mkdir()
    write(tmp_path / "b.fits", "image")
    write(tmp_path / "deep" / "a.txt", "lines")
    write(tmp_path / "c.fits", "image")
    data = (tmp_path / "c.fits").read_bytes()
    (tmp_path / "c.fits").write_bytes(data[:2000])
    (tmp_path / "notes.txt").write_text("nothing\nof the\nkind\nat all\n")
    (tmp_path / "notes.md").write_text("not looked at")
    with caplog.at_level(logging.WARNING, logger="twin"):
        table = read_headers(tmp_path)
    assert table.meta["files"] == ["b.fits", "deep/a.txt"]
    assert list(table["EXPTIME"]) == [90, 90]
    assert table.meta["comments"]["EXPTIME"] == "[s] Exposure duration"
    said = " | ".join(caplog.messages)
    assert "c.fits: is truncated in its header" in said
    assert "notes.txt: is neither a FITS file nor a text dump of a header" in said
    assert len(caplog.messages) == 2


def test_columns_of_mixed_content(tmp_path):
    (tmp_path / "a.txt").write_text("A = 1\nB = 'x'\nC = 2 / [m]\n")
    (tmp_path / "b.txt").write_text("A = 2.5\nB = 7\nD = T\n")
    table = read_headers(tmp_path)
    assert list(table["A"]) == [1.0, 2.5]
    assert list(table["B"]) == ["x", "7"]
    assert np.isnan(table["C"][1])
    assert list(table["D"]) == ["", "True"]


def problem(path) -> str:
    with pytest.raises(UserError) as caught:
        read_headers(path)
    return str(caught.value).removeprefix(str(path))


def test_broken_files(tmp_path, monkeypatch):
    whole = write(tmp_path / "x.fits", "extension").read_bytes()
    bad = tmp_path / "bad.fits"
    for content, expected in (
        (b"", ": the file is empty"),
        (whole[:1000], ": is truncated in its header"),
        (whole[: 2880 + 100], ": is truncated in the header of HDU 1"),
        (b"SIMPLE  =".ljust(80) + bytes(2800), ": is no FITS file: its second card is none"),
        (bytes(range(256)) * 40, ": is neither a FITS file nor a text dump of a header"),
        (gzip.compress(whole)[:100], ": is truncated, or no whole gzip file"),
    ):
        bad.write_bytes(content)
        assert problem(bad) == expected
    endless = (b"SIMPLE  =                    T".ljust(80) + b"COMMENT".ljust(80) * 35) + b"COMMENT".ljust(80) * 36 * 20
    monkeypatch.setattr(headers, "MAX_CARDS", 360)
    bad.write_bytes(endless)
    assert problem(bad) == ": has no END in the first 360 cards of its header"
    assert problem(tmp_path / "none") == ": no such file"
    (tmp_path / "empty").mkdir()
    assert problem(tmp_path / "empty").startswith(": holds no FITS files or header dumps (")
    bad.write_bytes(whole[:1000])
    (tmp_path / "x.fits").unlink()
    assert problem(tmp_path).startswith(": none of 1 files has a readable header: ")


def test_a_data_size_of_terabytes_is_not_read(tmp_path):
    path = write(tmp_path / "x.fits", "image")
    path.write_bytes(path.read_bytes().replace(b"NAXIS1  =                    8", b"NAXIS1  =        9000000000000"))
    assert header_of(path)["EXPTIME"][0] == 90
