"""The page: one file, nothing from elsewhere, nothing unescaped, every figure in it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import numpy as np
import pytest

from neon_edge.profile.axes import Axis, decade_marks, figure, octave_marks, round_marks
from neon_edge.profile.compare import Before
from neon_edge.profile.markup import join, tag
from neon_edge.profile.page import draw_page, write_page
from neon_edge.profile.plots import Shade, merged, strip_plot
from neon_edge.profile.report import compared
from tests.profile.runs import observed, report, run_report


@pytest.fixture(scope="module")
def page() -> str:
    seen = observed()
    return draw_page(report(seen), seen, "2026-01-01 00:00 UTC")


def test_the_page_is_well_formed_and_needs_nothing_else(page: str) -> None:
    tree = ET.fromstring(page.removeprefix("<!doctype html>\n"))
    elements = {element.tag for element in tree.iter()}
    assert not elements & {"script", "link", "img", "iframe", "object", "foreignObject"}
    written = {name for element in tree.iter() for name in element.attrib}
    assert not {name for name in written if name.startswith("on") or name in ("href", "src")}
    assert not re.search(r"https?:|url\(|@import", page)


def test_hostile_strings_are_text(page: str) -> None:
    assert "<script" not in page
    assert "<b>" not in page
    assert "<i>" not in page
    tree = ET.fromstring(page.removeprefix("<!doctype html>\n"))
    text = "".join(tree.itertext())
    for words in ("sim<b>&", "<script>alert(1)</script>", "<i>warned</i>", "<no GPU> & sons"):
        assert words in text


def test_both_schemes_and_every_section_are_there(page: str) -> None:
    assert "prefers-color-scheme:dark" in page
    for words in (
        "Every stage", "Over time", "Wake-up lateness", "Feature age",
        "Where the heads should run", "Warnings", "the robot held", "missed",
    ):  # fmt: skip
        assert words in page


def test_a_comparison_is_a_section_of_the_page() -> None:
    seen = observed()
    made = report(seen)
    was = msgspec.json.decode(msgspec.json.encode(made), type=Before)
    slow = msgspec.structs.replace(was, board="<old> board", rate_hz=1000.0)
    drawn = draw_page(compared(made, slow, 5.0), seen, "")
    text = "".join(ET.fromstring(drawn.removeprefix("<!doctype html>\n")).itertext())
    assert "Before and after" in text
    assert "not the same board: <old> board before" in text
    assert "worse by more than 5 %: rate rate" in text
    assert "worse than before" in text
    assert "Before and after" not in draw_page(made, seen, "")


def test_the_table_holds_the_reports_figures(page: str) -> None:
    made = report(observed())
    for name in ("tick", "heads", "backbone", "publish"):
        spread = made.stages_us[name]
        for value in (spread.p50, spread.p99, spread.max):
            assert f">{value / 1e3:.3f}<" in page, name


def test_a_run_with_nothing_in_it_still_has_a_page(tmp_path: Path) -> None:
    seen = observed()
    for name in ("ticks", "passes", "wakes", "trials"):
        setattr(seen, name, getattr(seen, name)[:0])
    write_page(tmp_path / "out.html", report(seen), seen)
    assert "nothing measured" in (tmp_path / "out.html").read_text(encoding="utf-8")
    assert run_report(seen).ticks == 0


def test_markup_escapes_text_and_attributes() -> None:
    made = tag("p", "a<b & c", tag("b", "bold"), title='"quoted" <x>', x1=1.0, stroke_width=2.5)
    assert made == (
        '<p title="&quot;quoted&quot; &lt;x&gt;" x1="1" stroke-width="2.5">'
        "a&lt;b &amp; c<b>bold</b></p>"
    )
    assert join("<", tag("br")) == "&lt;<br/>"


def test_no_spike_is_lost_where_many_ticks_share_a_pixel() -> None:
    values = np.ones(100_000)
    values[54_321] = 10.0
    drawn = strip_plot(np.arange(100_000) / 1e3, values, None, [], span_s=100.0)
    path = re.search(r'd="([^"]*)" class="strip"', drawn)
    assert path is not None
    heights = [float(point.split()[1]) for point in path[1].lstrip("M").split("L")]
    assert len(heights) <= 4 * 1000
    # The axis ends 15 % above the spike, which stands where 10 of 11.5 must.
    assert min(heights) == pytest.approx(122 - 110 * 10 / 11.5, abs=0.1)


def test_axes_put_values_where_they_belong() -> None:
    assert Axis(0, 10, 0, 100).at(2.5) == 25
    assert Axis(1, 100, 0, 100, log=True).at(10) == pytest.approx(50)
    assert Axis(0, 10, 0, 100).at(99) == 100
    assert round_marks(2.6) == [0, 1, 2]
    assert round_marks(0.5) == [0, 0.2, 0.4]
    assert decade_marks(2500) == [1, 10, 100, 1000]
    assert octave_marks(30, 300) == [32, 48, 64, 96, 128, 192, 256]
    assert octave_marks(1, 65_536) == [2.0**power for power in range(0, 17, 2)]
    assert [figure(value) for value in (0, 0.1234, 12.34, 1234.5)] == [
        "0", "0.123", "12.3", "1\u202f234",
    ]  # fmt: skip


def test_intervals_closer_than_a_pixel_are_one() -> None:
    shade = [Shade(at, at + 0.01, "missed") for at in (0.0, 0.02, 0.04, 5.0)]
    shade.append(Shade(0.03, 0.05, "held"))
    assert merged(shade, 0.1) == [
        Shade(0.0, 0.05, "missed"), Shade(5.0, 5.01, "missed"), Shade(0.03, 0.05, "held"),
    ]  # fmt: skip
