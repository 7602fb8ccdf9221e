"""The result of a search or a selection: decisions and all scores, as plain data; in a notebook a table and a plot."""

from __future__ import annotations

import html
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from darts_pt.run.config import as_json
from darts_pt.run.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Table = Mapping[str, Mapping[str, float]]
"""Two names -> a number."""

RESULT_FILE = "result.json"
"""The result in the folder of a search or a selection."""
QUANTITIES = {"acc": "accuracy", "loss": "loss"}
"""Criterion -> the quantity that candidates are compared by; a function's is `criterion`."""


@dataclass(frozen=True)
class Event:
    """One decision of a selection, or of a method that decides during the search.

    Attributes:
        name: of the alpha, or of the MixedInputs.
        kept: the operation, or the places of the inputs.
        epoch: how many epochs of tuning (or search) came before.
        rounds: candidate -> quantity (accuracy in percent, loss, criterion, score) -> value; one table for an operation,
            one per dropped input, none by magnitude. For `pt` it is the supernet *without* the candidate.
    """

    name: str
    kept: str | tuple[int, ...]
    epoch: int
    rounds: tuple[Table, ...] = ()


@dataclass(frozen=True)
class Result:
    """The decisions of a search or a selection, and all that it measured. `print(result)` shows a table.

    Attributes:
        kind: "search", whose decisions are by magnitude, or "selection".
        decisions: alpha's name -> the operation that is kept.
        inputs: name of a MixedInputs -> the places (from 0) of the inputs that are kept; only where some are dropped.
        alpha: alpha's name -> operation -> value.
        weights: the mixing weights at the end, like alpha; a decided edge is one-hot.
        events: the decisions in their order, with all scores; empty if all were by magnitude at the end.
        history: after each epoch its losses and, for class labels, accuracies (%), by name.
        valid: the supernet at the end on `valid`, in eval mode: loss and, for class labels, accuracy (%).
        settings: the arguments of the call, with the values that it filled in.
        version: of darts_pt.
        state: alpha's optimiser and the method's own state, for a selection that goes on from a search.
    """

    kind: Literal["search", "selection"]
    decisions: Mapping[str, str]
    inputs: Mapping[str, tuple[int, ...]]
    alpha: Table
    weights: Table
    events: tuple[Event, ...]
    history: tuple[Mapping[str, float], ...]
    valid: Mapping[str, float]
    settings: Mapping[str, Any]
    version: str
    state: Mapping[str, Any] = field(default_factory=dict, repr=False)

    # Files -------------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write the result to `path` as JSON."""
        atomic_write(Path(path), json.dumps(as_json(asdict(self)), indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Result:
        """The result that :meth:`save` wrote, or that a search or a selection wrote into its folder.

        Raises:
            ValueError: the file holds something else.
        """
        path = Path(path) / RESULT_FILE if Path(path).is_dir() else path
        try:
            return cls.from_plain(json.loads(Path(path).read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is not a result that Result.save has written ({error})") from None

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Result:
        """The result whose fields these are, from JSON."""
        events = tuple(
            Event(**event | {"kept": _restored(event["kept"]), "rounds": _numbers(event["rounds"])})
            for event in plain["events"]
        )
        inputs = {name: tuple(kept) for name, kept in plain["inputs"].items()}
        numbers = {name: _numbers(plain[name]) for name in ("alpha", "weights", "valid", "history")}
        return cls(**plain | numbers | {"events": events, "inputs": inputs})

    # Tables and plots --------------------------------------------------------------------------------------------

    @property
    def quantity(self) -> str:
        """The quantity in the table and the plot: the one that decided, or the mixing weights."""
        scores = next((event.rounds[0] for event in self.events if event.rounds), None)
        if scores is None:
            return "mixing weight"
        measured = next(iter(scores.values()))
        wanted = "criterion" if "criterion" in measured else QUANTITIES.get(str(self.settings.get("criterion")), "")
        return wanted if wanted in measured else next(iter(measured))

    def _rows(self) -> list[tuple[str, str | tuple[int, ...], dict[str, float]]]:
        """(name, kept, candidate -> number) of every decision, in the order of the events or of the model."""
        rows: list[tuple[str, str | tuple[int, ...], dict[str, float]]] = [
            (event.name, event.kept, _column(event, self.quantity)) for event in self.events
        ]
        decided = {name for name, _, _ in rows}
        rows += [
            (name, kept, dict(self.weights[name]) if self.quantity == "mixing weight" else {})
            for name, kept in self.decisions.items()
            if name not in decided
        ]
        rows += [(name, kept, {}) for name, kept in self.inputs.items() if name not in decided]
        return rows

    @property
    def title(self) -> str:
        """The result in one line."""
        how = self.settings["selection"] if self.kind == "selection" else self.settings.get("decide_by", "magnitude")
        own = f" ({self.settings.get('criterion')})" if self.quantity == "criterion" else ""
        valid = f"accuracy {self.valid['accuracy']:.2f} %, " if "accuracy" in self.valid else ""
        return (
            f"{self.settings.get('method')}, decided by {how}; supernet on valid: {valid}loss {self.valid['loss']:.4f}; "
            f"the numbers: {self.quantity}{own}{' without the candidate' if how == 'pt' and self.events else ''}"
        )

    def __str__(self) -> str:
        rows = self._rows()
        candidates = list(dict.fromkeys(name for _, _, numbers in rows for name in numbers))
        lines = [["", "keeps", *candidates]]
        lines += [
            [name, _said(kept), *(f"{numbers[one]:.4g}" if one in numbers else "" for one in candidates)]
            for name, kept, numbers in rows
        ]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        shown = [
            "  ".join(f"{text:<{width}}" for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
        ]
        return "\n".join([self.title, *shown])

    def plot(self) -> Figure:
        """A matplotlib figure: a row per decision, a dot per candidate, the kept one ringed."""
        from matplotlib.figure import Figure

        rows = [row for row in self._rows() if row[2]]
        candidates = list(dict.fromkeys(name for _, _, numbers in rows for name in numbers))
        figure = Figure(figsize=(7, 1.1 + 0.28 * max(1, len(rows))), layout="constrained")
        axes = figure.subplots()
        for index, candidate in enumerate(candidates):
            at = [(numbers[candidate], place) for place, (_, _, numbers) in enumerate(rows) if candidate in numbers]
            axes.scatter(*zip(*at, strict=True), s=28, color=f"C{index % 10}", label=candidate, zorder=3)
        kept = [
            (number, place)
            for place, (_, kept, numbers) in enumerate(rows)
            for one, number in numbers.items()
            if _is_kept(one, kept)
        ]
        if kept:
            axes.scatter(*zip(*kept, strict=True), s=110, facecolors="none", edgecolors="black", label="kept", zorder=4)
        axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
        axes.invert_yaxis()
        axes.grid(axis="y", alpha=0.3)
        without = " of the supernet without the candidate" if self.settings.get("selection") == "pt" else ""
        axes.set_xlabel({"accuracy": "accuracy (%)"}.get(self.quantity, self.quantity) + without)
        if candidates:
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False)
        return figure

    def _repr_html_(self) -> str:
        """Table and plot, for notebooks."""
        rows = self._rows()
        candidates = list(dict.fromkeys(name for _, _, numbers in rows for name in numbers))
        head = "".join(f"<th>{html.escape(text)}</th>" for text in ("", "keeps", *candidates))
        body = ""
        for name, kept, numbers in rows:
            cells = [f"<th style='text-align:left'>{html.escape(name)}</th><td><b>{html.escape(_said(kept))}</b></td>"]
            for one in candidates:
                text = f"{numbers[one]:.4g}" if one in numbers else ""
                cells.append(f"<td>{f'<b>{text}</b>' if _is_kept(one, kept) else text}</td>")
            body += f"<tr>{''.join(cells)}</tr>"
        picture = io.StringIO()
        self.plot().savefig(picture, format="svg")
        svg = picture.getvalue()
        return (
            f"<p>{html.escape(self.title)}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            f"{svg[svg.index('<svg') :]}"
        )


def _said(kept: str | tuple[int, ...]) -> str:
    return kept if isinstance(kept, str) else f"inputs {', '.join(map(str, kept))}"


def _is_kept(candidate: str, kept: str | tuple[int, ...]) -> bool:
    return candidate == kept if isinstance(kept, str) else candidate in {f"input {place}" for place in kept}


def _column(event: Event, quantity: str) -> dict[str, float]:
    return (
        {name: scores[quantity] for name, scores in event.rounds[0].items() if quantity in scores}
        if event.rounds
        else {}
    )


def _restored(kept: Any) -> str | tuple[int, ...]:
    return kept if isinstance(kept, str) else tuple(kept)


def _numbers(value: Any) -> Any:
    """Plain data from JSON with "nan", "inf" and "-inf" as numbers again."""
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_numbers(item) for item in value)
    return float(value) if value in ("nan", "inf", "-inf") else value
