import base64
import re
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from twin.evaluate import plots
from twin.evaluate.report import render


class Outside(HTMLParser):
    """Collects everything that a browser would fetch, and whether tags close."""

    def __init__(self):
        super().__init__()
        self.sources, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.sources += [value for key, value in attrs if key in ("src", "href", "srcset", "data", "action")]
        if tag not in ("img", "meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_self_contained_and_shows_pictures(oracle_result):
    page = render(oracle_result, {"model": "<oracle>"})
    outside = Outside()
    outside.feed(page)
    assert outside.open == []
    assert len(outside.sources) == 3 + 5 * 8
    assert all(source.startswith("data:image/png;base64,") for source in outside.sources)
    assert not re.search(r"https?://|url\(|<script|@import", page)
    assert "&lt;oracle&gt;" in page
    assert "<oracle>" not in page
    for source in outside.sources:
        assert base64.b64decode(source.split(",")[1])[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_page_names_protocol_metrics_and_what_was_set_aside(oracle_result):
    page = render(oracle_result, {})
    assert "recentred on its r-band peak" in page
    assert "Set aside: Q003 (made up)." in page
    for name in oracle_result.metrics:
        assert f"<td>{name}</td>" in page


def test_a_cutout_is_north_up_in_true_colours(tmp_path):
    crop = np.zeros((3, 40, 40), np.float32)
    crop[2, 35, 20] = 1000.0  # only the reddest band, near the top
    (tmp_path / "c.png").write_bytes(plots.cutout(crop, np.ones(3)))
    pixels = np.asarray(Image.open(tmp_path / "c.png")).astype(int)
    assert pixels.shape == (160, 160, 3)
    y, x = np.unravel_index(pixels[..., 0].argmax(), pixels.shape[:2])
    assert (y // 4, x // 4) == (4, 20)
    assert pixels[y, x, 0] > 200
    assert pixels[y, x, 2] < 100
