"""How figures look: colours that the colour-blind can tell apart, light and dark, and their rendering to files.

Categories have a marker beside their colour, so that no figure depends on colour alone. Colours are those of Okabe and
Ito (jfly.uni-koeln.de/color), lightened for dark pages; values over a plane use cividis.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darts_pt.run.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
DOTS_PER_INCH = 300
COLUMN, WIDE = 3.3, 7.0
"""Inches: a column of a page in print, and the whole page; text has its size in print."""
HEIGHT = 2.25


@dataclass(frozen=True)
class Theme:
    """Colours of a light or a dark page."""

    name: str
    background: str
    ink: str
    muted: str
    grid: str
    blue: str
    orange: str
    green: str
    red: str
    purple: str
    sky: str

    @property
    def cycle(self) -> tuple[str, ...]:
        """For categories, in the order of use."""
        return self.blue, self.red, self.green, self.purple, self.orange, self.sky, self.ink, self.muted


LIGHT = Theme(
    "light",
    "#ffffff",
    "#1d2733",
    "#66727f",
    "#e3e7ec",
    "#0072b2",
    "#c98500",
    "#00805d",
    "#d55e00",
    "#b3568a",
    "#3a9bd4",
)
DARK = Theme(
    "dark", "#161b22", "#e6ebf1", "#93a1b0", "#2b333d", "#58a9e0", "#f0b13c", "#2fc39a", "#ff8650", "#e59ac4", "#8cd0f5"
)
THEMES = (LIGHT, DARK)

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

_OPERATIONS = (
    ("none", "muted", "X"),
    ("skip", "blue", "o"),
    ("nor_conv_1x1", "orange", "v"),
    ("nor_conv_3x3", "red", "s"),
    ("sep_conv_3x3", "red", "s"),
    ("sep_conv_5x5", "orange", "D"),
    ("dil_conv_3x3", "purple", "v"),
    ("dil_conv_5x5", "ink", "^"),
    ("max", "green", "P"),
    ("avg", "sky", "p"),
    ("noise", "muted", "*"),
    ("", "purple", "h"),
)


def operation_look(name: str, theme: Theme) -> tuple[str, str]:
    """Colour and marker of an operation, the same in all figures."""
    colour, marker = next((colour, marker) for start, colour, marker in _OPERATIONS if name.startswith(start))
    return getattr(theme, colour), marker


@dataclass(frozen=True)
class Picture:
    """A figure that can be drawn for any theme.

    Attributes:
        name: stem of its files.
        title: what it shows, in a line.
        alt: what one sees in it, in words, for those who do not see it.
        draw: makes the figure; equal calls give equal figures.
        wide: whether it takes the page's whole width.
    """

    name: str
    title: str
    alt: str
    draw: Callable[[Theme], Figure]
    wide: bool = False


@contextmanager
def themed(theme: Theme) -> Iterator[None]:
    """matplotlib's settings inside a `with` statement; equal figures give equal files."""
    import matplotlib as mpl

    settings: dict[str, Any] = {
        "figure.facecolor": theme.background,
        "axes.facecolor": theme.background,
        "savefig.facecolor": theme.background,
        "text.color": theme.ink,
        "axes.labelcolor": theme.ink,
        "axes.edgecolor": theme.muted,
        "axes.titlecolor": theme.ink,
        "xtick.color": theme.muted,
        "ytick.color": theme.muted,
        "xtick.labelcolor": theme.ink,
        "ytick.labelcolor": theme.ink,
        "grid.color": theme.grid,
        "font.family": "DejaVu Sans",
        "font.size": 7.5,
        "axes.titlesize": 8,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": 7.5,
        "axes.linewidth": 0.6,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.linewidth": 0.5,
        "lines.linewidth": 1.3,
        "lines.markersize": 4,
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
        "xtick.major.width": 0.7,
        "ytick.major.width": 0.7,
        "legend.fontsize": 7,
        "legend.frameon": False,
        "legend.labelcolor": theme.ink,
        "svg.hashsalt": "darts-pt",
        "svg.fonttype": "path",
        "pdf.fonttype": 42,
    }
    with mpl.rc_context(settings):  # pyright: ignore[reportArgumentType]
        yield


def new_figure(width: float = COLUMN, height: float = HEIGHT) -> Figure:
    """An empty figure that keeps its parts apart by itself."""
    from matplotlib.figure import Figure

    return Figure((width, height), layout="constrained")


def whole_epochs(axes: Axes, axis: str = "x") -> None:
    """Ticks at whole numbers only: there is no half epoch."""
    from matplotlib.ticker import MaxNLocator

    getattr(axes, f"{axis}axis").set_major_locator(MaxNLocator(nbins=6, integer=True))


def render(picture: Picture, theme: Theme, fmt: str = "svg") -> bytes:
    """The picture as the content of an SVG, PNG or PDF file."""
    metadata: dict[str, Any] = {"Title": picture.title}
    metadata |= {"Date": None} if fmt == "svg" else {"CreationDate": None} if fmt == "pdf" else {}
    buffer = io.BytesIO()
    with themed(theme):
        picture.draw(theme).savefig(buffer, format=fmt, dpi=DOTS_PER_INCH, metadata=metadata)
    return buffer.getvalue()


def save(picture: Picture, folder: Path, formats: tuple[str, ...] = FORMATS) -> list[Path]:
    """Writes the picture, for a light page, into `folder` in each of the formats; the files' paths."""
    paths = [folder / f"{picture.name}.{fmt}" for fmt in formats]
    for path, fmt in zip(paths, formats, strict=True):
        atomic_write(path, render(picture, LIGHT, fmt))
    return paths
