"""How figures look: colours that the colour-blind can tell apart, light and dark, and their rendering to files.

Categories have a marker beside their colour, so that no figure depends on colour alone. Colours are those of Okabe and
Ito (jfly.uni-koeln.de/color), lightened for dark pages; values over a plane use cividis.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import cycle
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
STYLE_SHEET = Path(__file__).with_name("templates") / "figure.mplstyle"


@dataclass(frozen=True)
class Theme:
    """Colours of a light or a dark page."""

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
    "#ffffff", "#1d2733", "#66727f", "#e3e7ec", "#0072b2", "#c98500", "#00805d", "#d55e00", "#b3568a", "#3a9bd4"
)
DARK = Theme(
    "#161b22", "#e6ebf1", "#93a1b0", "#2b333d", "#58a9e0", "#f0b13c", "#2fc39a", "#ff8650", "#e59ac4", "#8cd0f5"
)
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


def operation_looks(names: Iterable[str], theme: Theme) -> dict[str, tuple[str, str]]:
    """Colour and marker of every operation of a figure; those of a user's own model get what is left over."""
    looks = {name: operation_look(name, theme) for name in names}
    own = [name for name, look in looks.items() if look == operation_look("", theme)]
    used = {looks[name][0] for name in looks.keys() - set(own)}
    free = [look for look in zip(theme.cycle, MARKERS, strict=True) if look[0] not in used]
    return looks | dict(zip(own, cycle(free), strict=False))


@dataclass(frozen=True)
class Picture:
    """A figure that can be drawn for any theme; it is drawn, and turned into each kind of file, at most once.

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
    files: dict[str, bytes] = field(default_factory=dict, init=False, compare=False, repr=False)

    @cached_property
    def figure(self) -> Figure:
        """The figure of a light page, with its parts in their places: finding these takes as long as two drawings."""
        with themed(LIGHT):
            figure = self.draw(LIGHT)
            engine = figure.get_layout_engine()
            if engine is not None:
                engine.execute(figure)
                figure.set_layout_engine(None)
        return figure


def themed(theme: Theme) -> AbstractContextManager[None]:
    """matplotlib's settings inside a `with` statement, whatever the user's own are."""
    import matplotlib as mpl

    colours = (
        (theme.background, "figure.facecolor axes.facecolor savefig.facecolor"),
        (theme.ink, "text.color axes.labelcolor axes.titlecolor xtick.labelcolor ytick.labelcolor legend.labelcolor"),
        (theme.muted, "axes.edgecolor xtick.color ytick.color"),
        (theme.grid, "grid.color"),
    )
    settings: Any = {name: colour for colour, names in colours for name in names.split()}
    return mpl.rc_context(settings, fname=STYLE_SHEET)


def new_figure(width: float = COLUMN, height: float = HEIGHT) -> Figure:
    """An empty figure that keeps its parts apart by itself."""
    from matplotlib.figure import Figure

    return Figure((width, height), layout="constrained")


def epoch_figure(xlabel: str, ylabel: str, height: float = HEIGHT) -> tuple[Figure, Axes]:
    """A figure with one panel, for curves over epochs."""
    figure = new_figure(height=height)
    axes = figure.add_subplot(xlabel=xlabel, ylabel=ylabel)
    whole_epochs(axes)
    return figure, axes


def row_figure(
    names: Sequence[str], xlabel: str, width: float, height: float, above: float = 0.5
) -> tuple[Figure, Axes]:
    """A figure with one panel, for marks in named rows: row 0 at the top, with `above` rows of room over it."""
    figure = new_figure(width, height)
    axes = figure.add_subplot(xlabel=xlabel)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -above)
    axes.yaxis.grid(False)
    return figure, axes


def legend_above(figure: Figure, looks: Mapping[str, tuple[str, str]]) -> None:
    """Names a figure's colours and markers above its panels."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=c, marker=m, linestyle="", label=name) for name, (c, m) in looks.items()]
    figure.legend(handles=handles, loc="outside upper left", ncols=5 if len(handles) < 6 else 4)


def whole_epochs(axes: Axes) -> None:
    """Ticks at whole numbers only: there is no half epoch."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))


def render(picture: Picture, fmt: str) -> bytes:
    """The picture, for a light page, as the content of an SVG, PNG or PDF file."""
    if fmt not in picture.files:
        metadata: dict[str, Any] = {"Title": picture.title}
        metadata |= {"Date": None} if fmt == "svg" else {"CreationDate": None} if fmt == "pdf" else {}
        buffer = io.BytesIO()
        with themed(LIGHT):
            picture.figure.savefig(buffer, format=fmt, dpi=DOTS_PER_INCH, metadata=metadata)
        picture.files[fmt] = buffer.getvalue()
    return picture.files[fmt]


def darkened(svg: bytes) -> bytes:
    """The SVG of a picture with the colours of a dark page."""
    dark = {getattr(LIGHT, name).encode(): getattr(DARK, name).encode() for name in LIGHT.__dataclass_fields__}
    return re.sub(rb"#[0-9a-f]{6}\b", lambda colour: dark.get(colour[0], colour[0]), svg)


def save(picture: Picture, folder: Path, formats: Sequence[str] = FORMATS) -> None:
    """Writes the picture, for a light page, into `folder` in each of the formats."""
    for fmt in formats:
        atomic_write(folder / f"{picture.name}.{fmt}", render(picture, fmt))
