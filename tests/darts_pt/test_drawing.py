"""Drawings: what overlaps, and what is refused."""

from __future__ import annotations

import itertools
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from darts_pt.drawing import Cell, _figure, save_drawing
from darts_pt.run.errors import UserError

CELL = Cell(
    [(0, 2, "sep_conv_3x3"), (1, 2, "skip_connect"), (2, 3, "max_pool_3x3"), (0, 3, "none")], {0: "in", 1: "in"}
)


@st.composite
def cells(draw: st.DrawFn):  # type: ignore[no-untyped-def]
    names = st.sampled_from(["none", "skip_connect", "max_pool_3x3", "conv_7x1_1x7", "sep_conv_5x5"])
    edges = [
        (source, target, draw(names))
        for target in range(2, 6)
        for source in draw(st.sets(st.integers(0, target - 1), min_size=1))
    ]
    return Cell(edges, {0: "$c_{k-2}$", 1: "$c_{k-1}$"}, (2, 3, 4, 5), "$c_k$")


@given(cells(), cells())
@settings(max_examples=8)
def test_no_words_lie_on_one_another_or_outside_the_page(first, second) -> None:  # type: ignore[no-untyped-def]
    figure = _figure({"Normal cell": first, "Reduction cell": second})
    FigureCanvasAgg(figure).draw()
    boxes = [text.get_window_extent() for text in figure.findobj(Text) if text.get_text()]
    assert len(boxes) > 12
    for box, other in itertools.combinations(boxes, 2):
        assert not box.overlaps(other)
    for box in boxes:
        assert figure.bbox.contains(box.x0, box.y0)
        assert figure.bbox.contains(box.x1, box.y1)


@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf", ".SVG"])
def test_equal_drawings_give_equal_files(tmp_path: Path, suffix: str) -> None:
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    for path in (first, second):
        save_drawing({"Cell": CELL}, path, description="a cell")
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size > 1000


def test_an_svg_is_well_formed_and_says_what_it_shows(tmp_path: Path) -> None:
    save_drawing({"Cell": CELL}, tmp_path / "cell.svg", description="Genotype(<&>)")
    text = (tmp_path / "cell.svg").read_text(encoding="utf-8")
    ElementTree.fromstring(text)
    assert "Genotype(&lt;&amp;&gt;)" in text


def test_an_unknown_format_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ends in \.svg, \.png, \.pdf"):
        save_drawing({"Cell": CELL}, tmp_path / "cell.gif")
    assert not list(tmp_path.iterdir())


def test_an_edge_back_is_refused() -> None:
    with pytest.raises(ValueError, match="later one"):
        Cell([(2, 1, "skip_connect")], {})
