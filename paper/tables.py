"""Tables 2 to 4 of the paper, ours beside the paper's numbers; a cell that has not been run is empty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from darts_pt.space import SPACES
from paper.numbers import COLUMNS, DARTS_SPACE, MORE_SPACES, S1_TO_S4, Published
from paper.study import Study
from report.comparison import Aggregate, aggregate
from report.content import duration
from runs.costs import costs


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


def cell_of(study: Study, method: str, selection: str) -> Cell:
    """What there is of a method, over the study's seeds."""
    errors: list[float] = []
    seconds: float | None = 0.0
    for seed in study.seeds:
        searched = study.search(method, seed)
        selected = study.selection(searched, selection)
        known = study.accuracies(selected)
        if study.dataset not in known.by_dataset:
            continue
        errors.append(100.0 - known.by_dataset[study.dataset])
        folders = [run.folder for run in (searched, selected, known.training) if run and run.folder]
        spent = [cost.processor_seconds for cost in costs(folders, study.experiments).values()]
        seconds = None if seconds is None or None in spent else seconds + sum(filter(None, spent))
    return Cell(tuple(errors), seconds)


Table = tuple[list[str], list[list[str]]]
"""Header and rows."""


def darts_space(study: Study) -> Table:
    """Table 2: methods in the DARTS space."""
    header = ["method", "paper, CIFAR-10 (test error %)", *_our_header(study)]
    rows = [[row.label, str(row.published), *_ours(cell_of(study, row.method, row.selection))] for row in DARTS_SPACE]
    return header, rows


def by_space(studies: Sequence[Study], published: Mapping[str, tuple[float, ...]], dataset: str) -> Table:
    """Tables 3 and 4: spaces down, the three methods in rows of their own; spaces that the paper lacks have no number."""
    header = ["space", "method", f"paper, {dataset} (test error %)", *_our_header(studies[0])]
    rows = []
    for study in studies:
        numbers = [str(Published(number)) for number in published.get(study.space, ())] or [""] * len(COLUMNS)
        for (label, method, selection), number in zip(COLUMNS, numbers, strict=True):
            cell = cell_of(study, method, selection)
            rows.append([SPACES[study.space].title, label, number, *_ours(cell)])
    return header, rows


def _our_header(study: Study) -> list[str]:
    return [f"ours, {study.dataset} (test error %)", "seeds", "processor time"]


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
