"""Light curves of the literature: read, sorted, faults by line, and the real files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from twin.io.xray.light_curves import read_light_curve
from twin.schema import UserError

HEAD = "Time\tT_+ve\tT_-ve\tFlux\tFluxpos\tFluxneg\n"


def test_rows_are_sorted_and_rates_not_negative(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(HEAD + "9 1 -1 -1e-12 0 0\n\n# 3 upper limit\n2 1 -1 4e-10 0 0\n2 1 -1 5e-10 0 0\n")
    found = read_light_curve(path)
    np.testing.assert_array_equal(found.time, [2, 9])
    np.testing.assert_array_equal(found.rate, [4e-10, 0])
    assert found.unit == "erg/cm2/s"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a.txt:1: no light curve of a known form"),
        ("Name z\n1 2\n", 'its first line is "Name z"'),
        (HEAD + "1 1 1 2\n3 x\n", 'a.txt:3: no time and rate in "3 x"'),
        (HEAD + "1 1 1 nan\n", "a.txt:2: a time or rate that is no number"),
        (HEAD + "1 1 1 2\n", "holds 1 points"),
    ],
)
def test_faults_are_told_with_their_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(UserError) as mistake:
        read_light_curve(tmp_path / "a.txt")
    assert said in str(mistake.value)


@pytest.mark.real
def test_the_real_light_curves(real_data: Path) -> None:
    """Of Swift's bursts and XMM's flares nearly all have one of the two forms."""
    folder = real_data / "xray/xraylcs"
    files = [*folder.glob("GRBs/long/*.txt"), *folder.glob("GRBs/short/*.txt"), *folder.glob("CoolStellarFlares/*.txt")]
    read, refused = [], []
    for file in files:
        try:
            read.append(read_light_curve(file))
        except UserError as error:
            refused.append(str(error))
    assert all("known form" in said or "points" in said for said in refused), refused
    assert len(read) > 0.9 * len(files) > 90
    assert all((np.diff(curve.time) > 0).all() for curve in read)
    assert {curve.unit for curve in read} == {"erg/cm2/s", "ct/s"}
