"""Tables 2 to 4 of the paper, ours beside the paper's numbers; a cell that has not been run is empty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from paper.numbers import COLUMNS, DARTS_SPACE, MORE_SPACES, S1_TO_S4, Published
from report.comparison import Aggregate, aggregate
from report.content import duration, space_name
from runs.costs import costs
from runs.making import Maker


@dataclass(frozen=True)
class Cell:
    """Our test errors (%) of one method in one space, over seeds, and the processor seconds that its runs took together.

    The seconds are None where they were not counted.
    """

    errors: tuple[float, ...]
    seconds: float | None

    @property
    def text(self) -> str:
        return _text(aggregate([-error for error in self.errors])) if self.errors else ""


def _text(total: Aggregate | None) -> str:
    if total is None:
        return ""
    best = f" (best {-total.best:.2f})" if total.seeds > 1 else ""
    return f"{-total.mean:.2f}" + (f" ± {total.std:.2f}" if total.std is not None else "") + best


def cell_of(maker: Maker, method: str, selection: str) -> Cell:
    """What there is of a method, over the maker's seeds."""
    errors: list[float] = []
    seconds: float | None = 0.0
    for seed in maker.seeds:
        searched = maker.search(method, seed)
        selected = maker.selection(searched, selection, seed)
        if searched is None or selected is None:
            continue
        worth = maker.worth(selected, seed)
        if maker.dataset in worth.accuracies:
            errors.append(100.0 - worth.accuracies[maker.dataset])
            folders = [folder for folder in (searched, selected, worth.training) if folder is not None]
            spent = [cost.processor_seconds for cost in costs(folders, maker.experiments).values()]
            seconds = None if seconds is None or None in spent else seconds + sum(filter(None, spent))
    return Cell(tuple(errors), seconds)


Table = tuple[list[str], list[list[str]]]
"""Header and rows."""


def darts_space(maker: Maker) -> Table:
    """Table 2: methods in the DARTS space."""
    header = [
        "method",
        "paper, CIFAR-10 (test error %)",
        f"ours, {maker.dataset} (test error %)",
        "seeds",
        "processor time",
    ]
    rows = []
    for row in DARTS_SPACE:
        cell = cell_of(maker, row.method, row.selection)
        rows.append([row.label, str(row.published), *_ours(cell)])
    return header, rows


def by_space(makers: Sequence[Maker], published: dict[str, tuple[float, float, float]], dataset: str) -> Table:
    """Tables 3 and 4: spaces down, the three methods in rows of their own."""
    header = ["space", "method", f"paper, {dataset} (test error %)", *_our_header(makers[0])]
    rows = []
    for maker in makers:
        for (label, method, selection), number in zip(COLUMNS, published[maker.space], strict=True):
            cell = cell_of(maker, method, selection)
            rows.append([space_name(maker.space), label, str(Published(number)), *_ours(cell)])
    return header, rows


def _our_header(maker: Maker) -> list[str]:
    return [f"ours, {maker.dataset} (test error %)", "seeds", "processor time"]


def _ours(cell: Cell) -> list[str]:
    if not cell.errors:
        return ["", "", ""]
    return [cell.text, str(len(cell.errors)), duration(cell.seconds)]


def published_for(dataset: str, number: int) -> tuple[str, dict[str, tuple[float, float, float]]]:
    """The paper's data set that stands beside ours, and its numbers by space; CIFAR-10's beside data it does not have."""
    if number == 4:
        return "cifar10", MORE_SPACES
    return (dataset, S1_TO_S4[dataset]) if dataset in S1_TO_S4 else ("cifar10", S1_TO_S4["cifar10"])


def accuracies(values: Sequence[float]) -> str:
    """Mean and deviation of accuracies; empty for none."""
    total = aggregate(list(values))
    return str(total) if total else ""


def as_plain(table: Table) -> dict[str, Any]:
    return {"header": table[0], "rows": table[1]}
