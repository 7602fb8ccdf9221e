"""Several runs beside each other: seeds aggregated, methods compared, differences tested where that says something."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from darts_pt.commands.options import FREE_OPTIONS
from report.style import MARKERS, Picture, Theme, row_figure
from runs.recorded import Recorded, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 4.4
"""Inches of the picture: names, marks and numbers side by side, and still to be read on a phone."""
FEWEST = 3
"""Seeds on each side below which no test is made: it would say nothing."""

OF_SEARCH = "search's "
"""Before the names of options that are those of the search, where a selection's own are among them."""

Quantity = Literal["test", "table", "valid"]
QUANTITIES: Mapping[Quantity, str] = {
    "test": "test accuracy from scratch (%)",
    "table": "table's test accuracy (%)",
    "valid": "supernet's valid accuracy (%)",
}
"""What is compared, the most telling first."""


Seed = int | None | tuple[int | None, int | None]


@dataclass(frozen=True)
class SelectionResult:
    """What one selection came to.

    Attributes:
        seed: the seed of its search and its own, once where they are the same or the search is not known.
        test: accuracy of its architecture trained from scratch, the mean over such trainings (percent).
        table: accuracy by the benchmark table (percent).
        valid: the supernet's with the architecture (percent).
    """

    run: Recorded
    seed: Seed
    test: float | None
    table: float | None
    valid: float | None


@dataclass(frozen=True)
class Group:
    """Selections that differ in nothing but the seed."""

    space: str
    dataset: str
    size: str
    label: str
    results: tuple[SelectionResult, ...]

    def values(self, quantity: Quantity) -> dict[Seed, float]:
        """Seed -> value, where it was measured."""
        pairs = [(result.seed, getattr(result, quantity)) for result in self.results]
        return {seed: value for seed, value in pairs if value is not None}

    @property
    def setting(self) -> tuple[str, str, str]:
        """What two groups must share to be compared."""
        return self.space, self.dataset, self.size


@dataclass(frozen=True)
class Aggregate:
    """Mean, standard deviation (of the sample; None for one seed) and best of a quantity over seeds."""

    seeds: int
    mean: float
    std: float | None
    best: float

    def __str__(self) -> str:
        return f"{self.mean:.2f}" + (f" ± {self.std:.2f}" if self.std is not None else "")


def aggregate(values: Sequence[float]) -> Aggregate | None:
    """Of accuracies, where more is better; None of none."""
    if not values:
        return None
    std = statistics.stdev(values) if len(values) > 1 else None
    return Aggregate(len(values), statistics.fmean(values), std, max(values))


def results(runs: Sequence[Recorded]) -> list[SelectionResult]:
    """What every selection among `runs` came to, from itself and from the trainings of its architecture."""
    trained: dict[tuple[str, str, str], list[float]] = {}
    for run in runs:
        if run.kind == "training" and run.architecture and run.test_accuracy is not None:
            trained.setdefault((run.family, run.dataset, run.architecture), []).append(run.test_accuracy)
    searches = {run.folder: run for run in runs if run.kind == "search"}
    found = []
    for run in runs:
        if run.kind == "selection":
            search = searches.get(run.folder.parent)
            seed = run.seed if search is None or search.seed == run.seed else (search.seed, run.seed)
            accuracies = trained.get((run.family, run.dataset, run.architecture or ""), [])
            valid = number((run.genotype or {}).get("supernet_valid_accuracy"))
            test = statistics.fmean(accuracies) if accuracies else None
            found.append(SelectionResult(run, seed, test, run.test_accuracy, valid))
    return found


def groups(runs: Sequence[Recorded]) -> list[Group]:
    """The selections among `runs` by space, data set, size and method; sorted by these."""
    latest: dict[tuple[str, str, str], int] = {}
    found = results(runs)
    for result in found:
        key = (result.run.space, result.run.dataset, result.run.method)
        latest[key] = max(latest.get(key, 0), result.run.snapshot or 0)
    named: dict[tuple[str, str, str, str], list[SelectionResult]] = {}
    for result in found:
        run = result.run
        label = run.label + (f", {run.variant}" if run.variant else "")
        if run.snapshot is not None and run.snapshot != latest[run.space, run.dataset, run.method]:
            label += f", from epoch {run.snapshot}"
        named.setdefault((run.space, run.dataset, run.size, label), []).append(result)
    searches = {run.folder: run for run in runs if run.kind == "search"}
    grouped: dict[tuple[str, str, str, str], list[SelectionResult]] = {}
    for (*setting, label), members in named.items():
        for result, difference in zip(members, _differences(members, searches), strict=True):
            space, dataset, size = setting
            grouped.setdefault((space, dataset, size, label + difference), []).append(result)
    return [Group(*key, tuple(members)) for key, members in sorted(grouped.items())]


def _differences(members: Sequence[SelectionResult], searches: Mapping[Path, Recorded]) -> list[str]:
    """What each was run with that not all of them were, in words; the seed and what computes nothing left out."""
    options: list[dict[str, Any]] = []
    for result in members:
        search = searches.get(result.run.folder.parent)
        of_search = {OF_SEARCH + name: value for name, value in (search.options if search else {}).items()}
        options.append({**of_search, **result.run.options})
    names = [name for name in dict.fromkeys(name for one in options for name in one) if _computes(name)]
    differ = [name for name in names if len({repr(one[name]) for one in options if name in one}) > 1]
    differ = [name for name in differ if not (name.startswith(OF_SEARCH) and name.removeprefix(OF_SEARCH) in differ)]
    return ["".join(f", {_setting(name, one.get(name))}" for name in differ if one.get(name)) for one in options]


def _computes(name: str) -> bool:
    """Whether an option changes what is computed, beyond the seed; `name` may be that of the search's."""
    return name == "data" or name.removeprefix(OF_SEARCH) not in FREE_OPTIONS | {"seed", "expid_tag"}


def _setting(name: str, value: Any) -> str:
    return name if value is True else f"{name} {value}"


def baseline(members: Sequence[Group]) -> Group:
    """What the others of a setting are compared with: DARTS by magnitude, else any magnitude, else the first."""
    return next(
        (group for label in ("DARTS (magnitude)", "(magnitude)") for group in members if group.label.endswith(label)),
        members[0],
    )


def p_value(group: Group, other: Group, quantity: Quantity) -> tuple[float, str] | None:
    """Two-sided p of the difference, and which test: paired by seed where the seeds are the same, else Welch's.

    None where there are fewer than `FEWEST` seeds, or where all differences are equal.
    """
    from scipy import stats

    mine, theirs = group.values(quantity), other.values(quantity)
    shared = [seed for seed in mine if seed in theirs]
    if len(shared) >= FEWEST:
        first, second = [mine[seed] for seed in shared], [theirs[seed] for seed in shared]
        if len({round(a - b, 9) for a, b in zip(first, second, strict=True)}) == 1:
            return None
        result: Any = stats.ttest_rel(first, second)
        return float(result.pvalue), f"paired t-test, {len(shared)} seeds"
    if len(mine) >= FEWEST and len(theirs) >= FEWEST and (len(set(mine.values())) > 1 or len(set(theirs.values())) > 1):
        result = stats.ttest_ind(list(mine.values()), list(theirs.values()), equal_var=False)
        return float(result.pvalue), f"Welch's t-test, {len(mine)} and {len(theirs)} seeds"
    return None


def comparison_picture(name: str, members: Sequence[Group]) -> Picture | None:
    """One setting: a row per method, a mark per seed, the mean and its standard deviation."""
    measured: list[Quantity] = [key for key in QUANTITIES if any(group.values(key) for group in members)]
    if not measured:
        return None
    quantity = measured[0]
    rows = [(group.label, list(group.values(quantity).values())) for group in members if group.values(quantity)]
    if sum(len(values) for _, values in rows) < 2:
        return None

    def draw(theme: Theme) -> Figure:
        figure, axes = row_figure([label for label, _ in rows], QUANTITIES[quantity], WIDTH, 0.65 + 0.26 * len(rows))
        for y, (_, values) in enumerate(rows):
            colour, marker = theme.cycle[y % 8], MARKERS[y % 8]
            total = aggregate(values)
            assert total is not None
            if total.std is not None:
                ends = [total.mean - total.std, total.mean + total.std]
                axes.plot(ends, [y, y], color=colour, linewidth=5, alpha=0.3)
                axes.plot(total.mean, y, "|", color=colour, markersize=11, markeredgewidth=2)
            axes.plot(values, [y] * len(values), marker, color=colour, linestyle="", alpha=0.85)
            beside: Any = {"xytext": (9, 0), "textcoords": "offset points", "va": "center"}
            axes.annotate(str(total), (max(values), y), color=theme.ink, fontsize=7, **beside)
        axes.margins(x=0.18)
        return figure

    words = "; ".join(f"{label} {aggregate(values)} over {len(values)} seeds" for label, values in rows)
    return Picture(name, QUANTITIES[quantity].capitalize(), f"By method: {words}.", draw)
