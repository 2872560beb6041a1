"""Photon transfer: gain and read noise of every amplifier are found again, with every effect in the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from twin.observatory.detector import DetectorConfig
from twin.observatory.detector.place import transfers
from twin.observatory.detector.transfer import photon_transfer, windows, write_flats
from twin.schema import UserError

RNG = np.random.default_rng(4)
AMPLIFIERS = 16
GAINS, NOISES = RNG.uniform(1.0, 1.25, AMPLIFIERS), RNG.uniform(4.0, 6.5, AMPLIFIERS)
BARE = {"gain": "1.1 e-/ct", "read_noise": "5 e-", "bias": "500 ct", "saturation": "90000 e-", "size": (4096, 4096)}
FULL = BARE | {
    "pixel": "10 um",
    "amplifiers": {
        "columns": 8,
        "rows": 2,
        "serial": "outward",
        "gain": [f"{g} e-/ct" for g in GAINS],
        "read_noise": [f"{r} e-" for r in NOISES],
        "offset": [f"{o} ct" for o in RNG.uniform(-30, 30, AMPLIFIERS)],
        "crosstalk": [[0 if a == b else 1e-5 for a in range(AMPLIFIERS)] for b in range(AMPLIFIERS)],
    },
    "bias_pattern": {"pixel": "1 ct", "column": "2 ct", "row": "3 ct", "row_correlation": 0.5},
    "flat_field": {"prnu": 0.01, "dead": 1e-4},
    "dark_pattern": {"sigma": 0.2, "hot": 1e-3},
    "nonlinearity": [-0.01],
    "bleeding": {},
    "brighter_fatter": {"strength": 1.5e-6},
    "transfer": {"parallel": [{"density": 0.05, "release": "2 px"}]},
    "cosmic_rays": {"rate": "5 /cm2/s", "thickness": "30 um"},
    "adc": {"bits": 16},
}


def test_gain_and_read_noise_of_all_amplifiers() -> None:
    """Within 1 % and 2 %, and within the errors that it states; brighter-fatter bends the curve as it must."""
    found = photon_transfer(DetectorConfig.model_validate(FULL), levels=10, pairs=3)
    assert found.true_gain == pytest.approx(GAINS)
    assert found.gain / GAINS == pytest.approx(np.ones(AMPLIFIERS), abs=0.01)
    assert found.read_noise / NOISES == pytest.approx(np.ones(AMPLIFIERS), abs=0.02)
    assert np.std((found.gain - GAINS) / found.gain_error) == pytest.approx(1, abs=0.6)
    assert np.std((found.read_noise - NOISES) / found.read_noise_error) == pytest.approx(1, abs=0.6)
    # V = mu / g + a00 mu^2 less what the curve of the response takes: 3 c2 mu^2 / w
    bend = np.mean(found.curve[:, 2])
    assert bend == pytest.approx(-1.5e-6 - 3 * 0.01 / 90000, rel=0.15)
    assert found.level.shape == (AMPLIFIERS, 10)


def test_windows_lie_where_amplifiers_are_read() -> None:
    place = windows(DetectorConfig.model_validate(FULL), 100)
    assert place.shape == (AMPLIFIERS, 100, 100)
    serial, parallel = (np.abs(v) for v in transfers(place, DetectorConfig.model_validate(FULL)))
    assert np.all(serial.min(1) == 1)
    assert np.all(parallel.min(1) == 1)
    assert parallel.max() == serial.max() == 100
    assert len(np.unique(np.asarray(place.x)[:, 0] // 512 + 8 * (np.asarray(place.y)[:, 0] // 2048))) == AMPLIFIERS


def test_a_wrong_gain_would_show() -> None:
    """One amplifier without effects: a straight line, and a truth that lies 2 % off is ruled out."""
    found = photon_transfer(DetectorConfig.model_validate(BARE), seed=3, levels=10)
    assert abs(found.gain[0] - 1.1) < 4 * found.gain_error[0]
    assert found.gain_error[0] < 0.005
    assert abs(found.gain[0] - 1.122) > 4 * found.gain_error[0]
    assert abs(found.curve[0, 2]) < 1e-7
    assert found.read_noise[0] == pytest.approx(5, abs=4 * found.read_noise_error[0])


def test_a_bias_that_cuts_the_noise_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="too low"):
        photon_transfer(DetectorConfig.model_validate(BARE | {"bias": "10 ct"}))
    with pytest.raises(UserError, match=r"ps1\.yaml:.*detector.bias.* too low"):
        write_flats("ps1", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_it_writes(tmp_path: Path) -> None:
    from astropy.table import QTable

    written = write_flats("csst", tmp_path / "flats")
    table = QTable.read(tmp_path / "flats" / "flats.ecsv")
    assert len(table) == written.level.size
    assert table["gain"][0].to_value("electron / adu") == pytest.approx(written.gain[0], rel=1e-4)
    assert abs(written.gain[0] - 1) < 0.01
    assert (tmp_path / "flats" / "flats.png").stat().st_size > 10_000
