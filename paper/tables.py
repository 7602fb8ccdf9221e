"""Tables 2 to 4 of the paper, ours beside the paper's numbers; a cell that has not been run is empty."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from darts_pt.space import SPACES
from paper.numbers import COLUMNS, DARTS_SPACE, MORE_SPACES, S1_TO_S4, Published
from paper.study import Study
from report.content import duration
from runs.costs import costs

Table = tuple[list[str], list[list[str]]]
"""Header and rows."""


def darts_space(study: Study) -> Table:
    """Table 2: methods in the DARTS space."""
    header = ["method", "paper, CIFAR-10 (test error %)", *_our_header(study)]
    rows = [[row.label, str(row.published), *_ours(study, row.method, row.selection)] for row in DARTS_SPACE]
    return header, rows


def by_space(studies: Sequence[Study], published: Mapping[str, tuple[float, ...]], dataset: str) -> Table:
    """Tables 3 and 4: spaces down, the three methods in rows of their own; spaces that the paper lacks have no number."""
    header = ["space", "method", f"paper, {dataset} (test error %)", *_our_header(studies[0])]
    rows = []
    for study in studies:
        numbers = [str(Published(number)) for number in published.get(study.space, ())] or [""] * len(COLUMNS)
        for (label, method, selection), number in zip(COLUMNS, numbers, strict=True):
            rows.append([SPACES[study.space].title, label, number, *_ours(study, method, selection)])
    return header, rows


def _our_header(study: Study) -> list[str]:
    return [f"ours, {study.dataset} (test error %)", "seeds", "processor time"]


def _ours(study: Study, method: str, selection: str) -> list[str]:
    """Test error over the study's seeds, how many there are, and the processor time of all their runs if it was counted."""
    errors: list[float] = []
    seconds: list[float | None] = []
    for seed in study.seeds:
        searched = study.search(method, seed)
        selected = study.selection(searched, selection)
        known = study.accuracies(selected)
        if study.dataset in known.by_dataset:
            errors.append(100.0 - known.by_dataset[study.dataset])
            folders = [run.folder for run in (searched, selected, known.training) if run and run.folder]
            seconds += [cost.processor_seconds for cost in costs(folders, study.experiments).values()]
    if not errors:
        return ["", "", ""]
    spread = (statistics.stdev(errors), min(errors)) if len(errors) > 1 else ()
    counted = [second for second in seconds if second is not None]
    time = duration(sum(counted)) if len(counted) == len(seconds) else ""
    return [str(Published(statistics.fmean(errors), *spread)), str(len(errors)), time]


def published_for(dataset: str, number: int) -> tuple[str, dict[str, tuple[float, float, float]]]:
    """The paper's data set that stands beside ours, and its numbers by space; CIFAR-10's beside data it does not have."""
    if number == 4:
        return "cifar10", MORE_SPACES
    return (dataset, S1_TO_S4[dataset]) if dataset in S1_TO_S4 else ("cifar10", S1_TO_S4["cifar10"])
