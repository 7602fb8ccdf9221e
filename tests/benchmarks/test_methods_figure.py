"""The figure of methods under selections is drawn of whatever there is, and says in words what it shows."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from benchmarks.methods_figure import Point, draw


def test_every_method_and_selection_is_drawn_and_told(tmp_path: Path) -> None:
    points = [Point("darts", "pt", seed, 90.0 + seed) for seed in range(5)]
    points += [Point("darts", "magnitude", 1, 80.0), Point("none", "zero-cost-pt", 1, 85.5)]
    words = draw(points, ["magnitude", "pt", "oneshot", "zero-cost-pt"], tmp_path / "methods")
    assert words.endswith("darts: magnitude 80.00, pt 92.00; none: zero-cost-pt 85.50.")
    starts = {path.suffix: path.read_bytes()[:5] for path in tmp_path.iterdir()}
    assert starts == {".png": b"\x89PNG\r", ".svg": b"<?xml", ".pdf": b"%PDF-"}
    first = (tmp_path / "methods.svg").read_bytes()
    assert ElementTree.fromstring(first).tag.endswith("svg")
    draw(points, ["magnitude", "pt", "oneshot", "zero-cost-pt"], tmp_path / "methods")
    assert (tmp_path / "methods.svg").read_bytes() == first
