"""Air and vacuum, against published line lists."""

from __future__ import annotations

import numpy as np
import pytest

from twin.io.spectra import air_to_vacuum, vacuum_to_air

# air and vacuum wavelengths of H-alpha, H-beta, [O III], [O I] as the SDSS table of lines has them (rounded to 0.01 A)
LINES = ((6562.80, 6564.61), (4861.33, 4862.68), (5006.84, 5008.24), (6300.30, 6302.05))


@pytest.mark.parametrize(("air", "vacuum"), LINES)
def test_published_lines(air: float, vacuum: float) -> None:
    assert air_to_vacuum(np.array(air)) == pytest.approx(vacuum, abs=0.016)
    assert vacuum_to_air(np.array(vacuum)) == pytest.approx(air, abs=0.016)


def test_each_undoes_the_other() -> None:
    wave = np.linspace(3000, 11000, 801)
    np.testing.assert_allclose(vacuum_to_air(air_to_vacuum(wave)), wave, rtol=0, atol=1e-5)
    index = air_to_vacuum(wave) / wave - 1
    assert (np.diff(index) < 0).all()
    assert index[0] == pytest.approx(2.9e-4, rel=0.02)
