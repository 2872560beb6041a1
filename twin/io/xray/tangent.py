"""The tangent-plane projection of pixels on the sky, in NumPy: what X-ray images and event columns are given in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twin.schema import UserError

Cards = Mapping[str, object]


@dataclass(frozen=True)
class Tangent:
    """Gnomonic projection (Calabretta & Greisen 2002, A&A 395, 1077, section 5.1.3), pixels counted from 1.

    reference  pixel (x, y) that lies at `centre`
    centre     right ascension and declination [deg]
    matrix     ((dxi/dx, dxi/dy), (deta/dx, deta/dy)) [deg/pixel], xi to the east and eta to the north
    """

    reference: tuple[float, float]
    centre: tuple[float, float]
    matrix: tuple[tuple[float, float], tuple[float, float]]

    def sky(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Right ascension (0 to 360) and declination [deg] of pixels."""
        dx, dy = np.asarray(x, float) - self.reference[0], np.asarray(y, float) - self.reference[1]
        (a, b), (c, d) = self.matrix
        xi, eta = np.radians(a * dx + b * dy), np.radians(c * dx + d * dy)
        ra, dec = np.radians(self.centre)
        north = np.cos(dec) - eta * np.sin(dec)
        longitude = ra + np.arctan2(xi, north)
        latitude = np.arctan2(np.sin(dec) + eta * np.cos(dec), np.hypot(xi, north))
        return np.degrees(longitude) % 360.0, np.degrees(latitude)

    def pixel(self, ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels of positions [deg]; NaN for those of the other half of the sky."""
        ra, dec = np.radians(np.asarray(ra, float)), np.radians(np.asarray(dec, float))
        ra0, dec0 = np.radians(self.centre)
        cosine = np.sin(dec0) * np.sin(dec) + np.cos(dec0) * np.cos(dec) * np.cos(ra - ra0)
        cosine = np.where(cosine > 0, cosine, np.nan)
        xi = np.degrees(np.cos(dec) * np.sin(ra - ra0) / cosine)
        eta = np.degrees((np.cos(dec0) * np.sin(dec) - np.sin(dec0) * np.cos(dec) * np.cos(ra - ra0)) / cosine)
        inverse = np.linalg.inv(np.array(self.matrix))
        return (
            inverse[0, 0] * xi + inverse[0, 1] * eta + self.reference[0],
            inverse[1, 0] * xi + inverse[1, 1] * eta + self.reference[1],
        )

    def scale(self) -> float:
        """Side of a pixel [deg]: the root of its area at the centre."""
        return math.sqrt(abs(float(np.linalg.det(np.array(self.matrix)))))

    def binned(self, size: float) -> Tangent:
        """The projection of bins of `size` pixels, bin 1 beginning where pixel 1 does."""
        (a, b), (c, d) = self.matrix
        x, y = ((p - 0.5) / size + 0.5 for p in self.reference)
        return Tangent((x, y), self.centre, ((a * size, b * size), (c * size, d * size)))

    def cards(self) -> dict[str, float | str]:
        """The cards of an image with this projection; CDELT alone where the axes are not turned."""
        (a, b), (c, d) = self.matrix
        cards: dict[str, float | str] = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg"}
        cards |= {"CRVAL1": self.centre[0], "CRVAL2": self.centre[1]}
        cards |= {"CRPIX1": self.reference[0], "CRPIX2": self.reference[1]}
        if b == 0 and c == 0:
            return cards | {"CDELT1": a, "CDELT2": d}
        return cards | {"CD1_1": a, "CD1_2": b, "CD2_1": c, "CD2_2": d}


def number(header: Cards, key: str, file: Path, hdu: str, default: float | None = None) -> float:
    """A card's number. Raises UserError where there is none, or no finite one."""
    value = header.get(key, default)
    if value is None:
        raise UserError(f"{key} is missing", file=file, key=hdu)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"{key} must be a finite number, not {value}", file=file, key=hdu)
    return float(value)


def of_columns(header: Cards, x: int, y: int, file: Path, hdu: str) -> Tangent | None:
    """The projection of table columns number x and y (TCTYPn, TCRPXn, TCRVLn, TCDLTn); None where they have none."""
    kinds = [str(header.get(f"TCTYP{n}", "")) for n in (x, y)]
    if not any(kinds):
        return None
    _check_kinds(kinds, f"TCTYP{x}, TCTYP{y}", file, hdu)
    values = {key: [number(header, f"{key}{n}", file, hdu) for n in (x, y)] for key in ("TCRPX", "TCRVL", "TCDLT")}
    turn = number(header, f"TCROT{y}", file, hdu, 0.0)
    return _tangent(values["TCRPX"], values["TCRVL"], values["TCDLT"], turn, f"TCDLT{x}, TCDLT{y}", file, hdu)


def of_image(header: Cards, file: Path, hdu: str) -> Tangent:
    """The projection of an image: CDELT with PC or CROTA2, or CD."""
    _check_kinds([str(header.get(f"CTYPE{n}", "")) for n in (1, 2)], "CTYPE1, CTYPE2", file, hdu)
    reference = [number(header, f"CRPIX{n}", file, hdu) for n in (1, 2)]
    centre = [number(header, f"CRVAL{n}", file, hdu) for n in (1, 2)]
    if "CD1_1" in header:
        m = [[number(header, f"CD{i}_{j}", file, hdu, 0.0) for j in (1, 2)] for i in (1, 2)]
        return _checked(reference, centre, np.array(m), "CD1_1", file, hdu)
    step = [number(header, f"CDELT{n}", file, hdu) for n in (1, 2)]
    if any(f"PC{i}_{j}" in header for i in (1, 2) for j in (1, 2)):
        pc = [[number(header, f"PC{i}_{j}", file, hdu, float(i == j)) for j in (1, 2)] for i in (1, 2)]
        return _checked(reference, centre, np.diag(step) @ np.array(pc), "CDELT1", file, hdu)
    return _tangent(reference, centre, step, number(header, "CROTA2", file, hdu, 0.0), "CDELT1, CDELT2", file, hdu)


def _check_kinds(kinds: list[str], key: str, file: Path, hdu: str) -> None:
    if kinds != ["RA---TAN", "DEC--TAN"]:
        said = ", ".join(kinds)
        raise UserError(f"{key} are {said}: only RA---TAN, DEC--TAN can be read", file=file, key=hdu)


def _tangent(
    reference: list[float], centre: list[float], step: list[float], turn: float, key: str, file: Path, hdu: str
) -> Tangent:
    """With the rotation of the old convention (Calabretta & Greisen 2002, section 6.1)."""
    cosine, sine = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    matrix = np.array([[step[0] * cosine, -step[1] * sine], [step[0] * sine, step[1] * cosine]])
    return _checked(reference, centre, matrix, key, file, hdu)


def _checked(
    reference: list[float], centre: list[float], matrix: np.ndarray, key: str, file: Path, hdu: str
) -> Tangent:
    if np.linalg.det(matrix) == 0:
        raise UserError(f"{key}: pixels of no size", file=file, key=hdu)
    if abs(centre[1]) > 90:
        raise UserError(f"the reference declination is {centre[1]:g} deg", file=file, key=hdu)
    (a, b), (c, d) = matrix.tolist()
    return Tangent((reference[0], reference[1]), (centre[0], centre[1]), ((a, b), (c, d)))
