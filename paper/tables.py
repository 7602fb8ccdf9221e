"""Tables 2 to 4 of the paper: our numbers beside the paper's; cells that have not been run are empty."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from darts_pt.space import SPACES
from paper.numbers import COLUMNS, DARTS_SPACE, MORE_SPACES, S1_TO_S4, Published
from paper.study import Study
from report.content import duration
from report.paired import difference
from runs.costs import cost_of

Table = tuple[list[str], list[list[str]]]
"""Header and rows."""
GAIN = "less error than magnitude"
"""Title of the mean difference to magnitude from the same supernets, with its interval."""


def darts_space(study: Study) -> Table:
    """Table 2: methods in the DARTS space."""
    header = ["method", "paper, CIFAR-10 (test error %)", *_our_header(study)]
    ours = _ours(study, [(row.method, row.selection) for row in DARTS_SPACE])
    return header, [[row.label, str(row.published), *cells] for row, cells in zip(DARTS_SPACE, ours, strict=True)]


def by_space(studies: Sequence[Study], published: Mapping[str, tuple[float, ...]], dataset: str) -> Table:
    """Tables 3 and 4: three methods for each space; spaces that the paper does not have get no published number."""
    header = ["space", "method", f"paper, {dataset} (test error %)", *_our_header(studies[0])]
    rows = []
    for study in studies:
        numbers = [str(Published(number)) for number in published.get(study.space, ())] or [""] * len(COLUMNS)
        ours = _ours(study, [(method, selection) for _, method, selection in COLUMNS])
        for (label, *_), number, cells in zip(COLUMNS, numbers, ours, strict=True):
            rows.append([SPACES[study.space].title, label, number, *cells])
    return header, rows


def _our_header(study: Study) -> list[str]:
    return [f"ours, {study.dataset} (test error %)", GAIN, "seeds", "processor time"]


def _ours(study: Study, rows: Sequence[tuple[str, str]]) -> list[list[str]]:
    """The cells of methods and selections: test error over the study's seeds, what is gained, seeds and processor time."""
    measured = {row: _errors(study, *row) for row in rows}
    cells = []
    for (method, selection), (errors, seconds) in measured.items():
        if not errors:
            cells.append([""] * 4)
            continue
        values = list(errors.values())
        spread = (statistics.stdev(values), min(values)) if len(values) > 1 else ()
        counted = [second for second in seconds if second is not None]
        time = duration(sum(counted)) if len(counted) == len(seconds) else ""
        theirs, _ = measured.get((method, "magnitude"), ({}, []))
        gain = difference(theirs, errors) if selection != "magnitude" else None
        cells.append([str(Published(statistics.fmean(values), *spread)), str(gain or ""), str(len(values)), time])
    return cells


def _errors(study: Study, method: str, selection: str) -> tuple[dict[int, float], list[float | None]]:
    """Seed -> test error (%), as far as it is known; and the processor time of the runs behind them."""
    errors: dict[int, float] = {}
    seconds: list[float | None] = []
    for seed in study.seeds:
        searched = study.search(method, seed)
        selected = study.selection(searched, selection)
        known = study.accuracies(selected)
        if study.dataset in known.by_dataset:
            errors[seed] = 100.0 - known.by_dataset[study.dataset]
            folders = [run.folder for run in (searched, selected, known.training) if run and run.folder]
            seconds += [cost_of(folder).processor_seconds for folder in folders]
    return errors, seconds


def published_for(dataset: str, number: int) -> tuple[str, dict[str, tuple[float, float, float]]]:
    """The data set of the paper's numbers, and these by space; CIFAR-10 for data sets that the paper does not have."""
    if number == 4:
        return "cifar10", MORE_SPACES
    return (dataset, S1_TO_S4[dataset]) if dataset in S1_TO_S4 else ("cifar10", S1_TO_S4["cifar10"])
