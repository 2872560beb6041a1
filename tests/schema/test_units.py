"""Unit conversions against astropy, which the package itself does not need for them."""

import pytest

from twin.schema import units


@pytest.mark.parametrize(
    "unit",
    ["arcsec", "mas", "arcmin", "deg", "rad", "km s-1 Mpc-1", "nm", "Angstrom", "h", "yr", "keV", "um2", "s-1", "kpc"],
)
def test_factors_agree_with_astropy(unit):
    from astropy import units as u

    base = u.Unit(unit)
    factor, powers = units.parse_unit(unit)
    product = u.dimensionless_unscaled
    for name, power in powers.items():
        product = product * u.Unit(name) ** power
    assert factor == pytest.approx(base.to(product), rel=1e-12)


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("0.25 arcsec", "arcsec", 0.25),
        ("0.25arcsec", "mas", 250.0),
        ("21.5 mag/arcsec2", "mag/arcsec^2", 21.5),
        ("21.5 mag / arcsec**2", "mag/arcsec2", 21.5),
        ("3 e-/s/px", "electron/s/pixel", 3.0),
        ("1.05 e-/ct", "e-/ct", 1.05),
        ("39 %", "", 0.39),
        (0.39, "", 0.39),
        ("-1.5e2 nm", "nm", -150.0),
    ],
)
def test_quantities(text, unit, expected):
    assert units.parse_quantity(text, unit) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        ("1 m", "arcsec", 'the unit "m" is not one of arcsec'),
        ("1 m", "", 'the unit "m" is not one of a pure number'),
        ("one m", "m", 'needs a number and a unit, for example "1 m", not "one m"'),
        ("1 m!", "m", 'the unit "m!" cannot be read'),
        ("1", "m", 'has no unit: write "1 m"'),
        (True, "m", 'needs a number and a unit, for example "1 m"'),
        (None, "", "must be a number"),
        ("1 mm2", "m", 'the unit "mm2" is not one of m'),
    ],
)
def test_bad_quantities(value, unit, expected):
    with pytest.raises(ValueError) as caught:
        units.parse_quantity(value, unit)
    assert str(caught.value) == expected
