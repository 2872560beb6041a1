"""Units as observatories spell them; temperatures with their zero."""

import numpy as np
import pytest
from astropy import units as u

from twin.io.units import convert, same_kind, unit


@pytest.mark.parametrize(
    ("text", "value", "wanted", "expected"),
    [
        ("deg C", 12.5, "K", 285.65),
        ("C", 12.5, "deg_C", 12.5),
        ("F", 50.0, "deg_C", 10.0),
        ("deg_F", -40.0, "deg_C", -40.0),
        ("K", 0.0, "deg_C", -273.15),
        ("Torr", 760.0, "hPa", 1013.25),
        ("mmHg", 760.0, "hPa", 1013.25),
        ("inHg", 29.92, "hPa", 1013.21),
        ("mb", 780.0, "hPa", 780.0),
        ("mph", 10.0, "m/s", 4.4704),
        ("KPH", 36.0, "m/s", 10.0),
        ("km / h", 36.0, "m/s", 10.0),
        ("knots", 10.0, "m/s", 5.14444),
        ("%", 45.0, "", 0.45),
        ("700 nm", 0.5, "nm", 350.0),
        ("0.263 arcsec", 4.0, "arcsec", 1.052),
        ("microns", 3.0, "nm", 3000.0),
        ("sfu", 120.0, "Jy", 1.2e6),
        ("degrees", 180.0, "rad", np.pi),
        ("mag/arcsec2", 21.0, "mag/arcsec**2", 21.0),
        ("px", 2.0, "pix", 2.0),
    ],
)
def test_conversions(text, value, wanted, expected):
    assert convert(np.array([value]), unit(text), unit(wanted))[0] == pytest.approx(expected, rel=1e-4)


def test_kinds():
    assert same_kind(u.K, unit("deg_C"))
    assert not same_kind(unit("m"), unit("arcsec"))
    with pytest.raises(ValueError, match='^the unit "m" is not one of a pure number$'):
        convert(np.ones(1), unit("m"), unit(""))
    with pytest.raises(ValueError, match='^unknown unit "arcsek"$'):
        unit("arcsek")
