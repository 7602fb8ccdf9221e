"""Figures as parts of a page: data inside the page, with a text alternative, for light and dark."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from report.cells import Drawing
from report.style import Picture, darkened, render


@dataclass(frozen=True)
class Image:
    """A figure as a page shows it.

    Attributes:
        light, dark: the image as a data: URL; dark is None for one that looks the same everywhere.
        width, height: in CSS pixels, so that the page need not move when it appears.
    """

    title: str
    alt: str
    light: str
    dark: str | None
    width: int
    height: int
    wide: bool


def embed(picture: Picture) -> Image:
    """A picture drawn for both kinds of page."""
    light = render(picture, "svg")
    return Image(picture.title, picture.alt, _url(light), _url(darkened(light)), *_size(light), picture.wide)


def embed_drawing(drawing: Drawing) -> Image:
    """A drawing of a cell, on white."""
    return Image(drawing.caption, drawing.alt, _url(drawing.svg), None, *_size(drawing.svg), wide=False)


def _url(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def _size(svg: bytes) -> tuple[int, int]:
    """Width and height that matplotlib's SVG states, in CSS pixels: 96 an inch, where a point is 1/72."""
    found = re.search(rb'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    width, height = map(float, found.groups()) if found else (480.0, 320.0)
    return round(width * 96 / 72), round(height * 96 / 72)
