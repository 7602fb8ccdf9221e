"""The figure and the table of gains of methods under selections: of whatever there is, the figure also in words."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from benchmarks.methods import gains
from benchmarks.methods_figure import Point, _lowest, picture
from report.style import LIGHT, save


def test_every_method_and_selection_is_drawn_and_told(tmp_path: Path) -> None:
    points = [Point("darts", "pt", seed, 90.0 + seed) for seed in range(5)]
    points += [Point("darts", "magnitude", 1, 80.0), Point("none", "zero-cost-pt", 1, 85.5)]
    figure = picture(points, ["magnitude", "pt", "oneshot", "zero-cost-pt"])
    assert figure.alt.endswith("darts: magnitude 80.00, pt 92.00; none: zero-cost-pt 85.50.")
    save(figure, tmp_path)
    starts = {path.name: path.read_bytes()[:5] for path in tmp_path.iterdir()}
    assert starts == {"methods.png": b"\x89PNG\r", "methods.svg": b"<?xml", "methods.pdf": b"%PDF-"}
    first = (tmp_path / "methods.svg").read_bytes()
    assert ElementTree.fromstring(first).tag.endswith("svg")
    save(figure, tmp_path)
    assert (tmp_path / "methods.svg").read_bytes() == first


def test_a_seed_far_below_all_others_does_not_stretch_the_axis() -> None:
    assert _lowest([90.0, 91.0, 92.0, 93.0]) == 90.0
    points = [Point("darts", "pt", seed, accuracy) for seed, accuracy in enumerate((10.0, *range(88, 96)))]
    assert 60 < _lowest([point.accuracy for point in points]) < 80
    figure = picture(points, ["pt"])
    assert figure.alt.endswith("darts: pt 91.00.")
    (axes,) = figure.draw(LIGHT).axes
    assert axes.get_xlim()[0] > 60
    assert "10.0" in axes.texts[0].get_text()


def test_gains_are_over_magnitude_from_the_same_supernet() -> None:
    accuracies = {"magnitude": (90.0, 91.0, 92.0), "pt (acc)": (92.0, 91.0, 91.0, 50.0), "oneshot": (95.0,)}
    points = [
        Point("darts", selection, seed, accuracy)
        for selection, values in accuracies.items()
        for seed, accuracy in enumerate(values)
    ]
    _, _, *lines = gains(points).splitlines()
    assert lines == ["| darts | pt (acc) | +0.33 | -3.46 to +4.13 | 1, 1, 1 | 0.742 |"]
    assert gains([point for point in points if point.selection != "magnitude"]) == ""
