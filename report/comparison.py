"""Compare runs: aggregate over seeds, compare methods, and test differences if there are enough seeds."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from darts_pt.commands.options import FREE_OPTIONS
from report.paired import difference, difference_of
from report.style import MARKERS, Picture, Theme, row_figure
from runs.recorded import Recorded, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 4.4
"""Width of the picture in inches: room for names, marks and numbers, and readable on a phone."""
FEWEST = 3
"""Fewest seeds on each side for a test; with fewer it would say nothing."""

OF_SEARCH = "search's "
"""Prefix of the search's options among those of a selection."""

Quantity = Literal["test", "table", "valid"]
QUANTITIES: Mapping[Quantity, str] = {
    "test": "test accuracy from scratch (%)",
    "table": "table's test accuracy (%)",
    "valid": "supernet's valid accuracy (%)",
}
"""The quantities compared, the most meaningful first."""

Setting = tuple[str, str, str]
Seed = int | None | tuple[int | None, int | None]


class SelectionResult(NamedTuple):
    """A selection, its search if known, and its result.

    Attributes:
        test: test accuracy of its architecture trained from scratch, the mean over such trainings (percent).
        table: test accuracy by the benchmark table (percent).
        valid: the supernet's valid accuracy with the architecture (percent).
        baseline: the table's test accuracy of what magnitude selects from the same supernet (percent).
    """

    run: Recorded
    search: Recorded | None
    test: float | None
    table: float | None
    valid: float | None
    baseline: float | None = None

    @property
    def seed(self) -> Seed:
        """The seeds of its search and its own; only one if they are equal or the search is unknown."""
        search, own = self.search, self.run.seed
        return own if search is None or search.seed == own else (search.seed, own)


@dataclass(frozen=True)
class Group:
    """Selections that differ only in the seed; groups are compared within a setting (space, data set, size)."""

    setting: Setting
    label: str
    results: Sequence[SelectionResult]

    def values(self, quantity: Quantity) -> dict[Seed, float]:
        """Seed -> value, as far as it was measured."""
        pairs = [(result.seed, getattr(result, quantity)) for result in self.results]
        return {seed: value for seed, value in pairs if value is not None}


def gains(group: Group) -> list[float]:
    """Gains over magnitude from the same supernets: differences of the table's test accuracies, in percentage points."""
    return [
        result.table - result.baseline
        for result in group.results
        if result.table is not None and result.baseline is not None
    ]


def gain_in_words(group: Group) -> str:
    """The mean gain over magnitude, its deviation and a paired t-test; empty if there is none."""
    found = gains(group)
    if not found:
        return ""
    spread = f" ± {statistics.stdev(found):.2f}" if len(found) > 1 else ""
    words, p = f"{statistics.fmean(found):+.2f}{spread}", difference_of(found).p
    if len(found) < FEWEST or p is None:
        return f"{words} ({len(found)} seed{'' if len(found) == 1 else 's'}: no test)"
    return f"{words} ({p_in_words(p)}, {len(found)} seeds)"


def p_in_words(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def facts(setting: Setting, members: Sequence[Group]) -> dict[str, Any]:
    """The numbers of a comparison's picture and table, for a JSON file."""
    rows = [
        {
            "method": group.label,
            "seed": result.seed,
            "run": result.run.name,
            **{quantity: getattr(result, quantity) for quantity in QUANTITIES},
            "table_of_magnitude_from_the_same_supernet": result.baseline,
        }
        for group in members
        for result in group.results
    ]
    return dict(zip(("space", "dataset", "size"), setting, strict=True)) | {"rows": rows}


class Aggregate(NamedTuple):
    """Mean, standard deviation (of the sample; None for one seed) and best of a quantity over seeds."""

    mean: float
    std: float | None
    best: float

    def __str__(self) -> str:
        return f"{self.mean:.2f}" + (f" ± {self.std:.2f}" if self.std is not None else "")


def aggregate(values: Collection[float]) -> Aggregate | None:
    """The aggregate of accuracies (the best is the highest); None if there are none."""
    if not values:
        return None
    return Aggregate(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, max(values))


def groups(runs: Sequence[Recorded]) -> list[Group]:
    """The selections among `runs`, grouped and sorted by setting and method."""
    named = defaultdict(list)
    for result in _results(runs):
        named[result.run.space, result.run.dataset, result.run.method].append(result)
    labelled = defaultdict(list)
    for (space, dataset, _), members in named.items():
        latest = max(result.run.snapshot or 0 for result in members)
        for result in members:
            run = result.run
            label = run.label + (f", {run.variant}" if run.variant else "")
            if run.snapshot not in (None, latest):
                label += f", from epoch {run.snapshot}"
            labelled[(space, dataset, run.size), label].append(result)
    grouped = defaultdict(list)
    for (setting, label), members in labelled.items():
        for result, differing in zip(members, _differences(members), strict=True):
            grouped[setting, label + differing].append(result)
    return [Group(setting, label, members) for (setting, label), members in sorted(grouped.items())]


def _results(runs: Sequence[Recorded]) -> list[SelectionResult]:
    """The result of every selection among `runs` except trials, with the trainings of its architecture."""
    trained = defaultdict(list)
    for run in runs:
        if run.kind == "training" and not run.is_trial and run.architecture and run.test_accuracy is not None:
            trained[run.family, run.dataset, run.architecture].append(run.test_accuracy)
    searches = {run.folder: run for run in runs if run.kind == "search"}
    found = []
    for run in runs:
        if run.kind == "selection" and not run.is_trial:
            accuracies = trained.get((run.family, run.dataset, run.architecture))
            test = statistics.fmean(accuracies) if accuracies else None
            valid = number((run.genotype or {}).get("supernet_valid_accuracy"))
            by_magnitude = run.baseline_accuracy if run.baseline.get("by") == "magnitude" else None
            found.append(
                SelectionResult(run, searches.get(run.folder.parent), test, run.table_accuracy, valid, by_magnitude)
            )
    return found


def _differences(members: Sequence[SelectionResult]) -> list[str]:
    """For each member the options in which the members differ, in words, except those that do not change results."""
    options: list[dict[str, Any]] = []
    for result in members:
        of_search = result.search.options if result.search else {}
        options.append({**{OF_SEARCH + name: value for name, value in of_search.items()}, **result.run.options})
    names = [name for name in dict.fromkeys(name for one in options for name in one) if _computes(name)]
    differ = [name for name in names if len({repr(one[name]) for one in options if name in one}) > 1]
    differ = [name for name in differ if not (name.startswith(OF_SEARCH) and name.removeprefix(OF_SEARCH) in differ)]
    return [
        "".join(f", {name}" if one[name] is True else f", {name} {one[name]}" for name in differ if one.get(name))
        for one in options
    ]


def _computes(name: str) -> bool:
    """Whether an option other than the seed changes results; `name` may have the prefix of the search's options."""
    return name == "data" or name.removeprefix(OF_SEARCH) not in FREE_OPTIONS | {"seed", "expid_tag"}


def baseline(members: Sequence[Group]) -> Group:
    """The baseline of a setting: DARTS by magnitude, else any magnitude, else the first."""
    labels = ("DARTS (magnitude)", "(magnitude)")
    return next((group for label in labels for group in members if group.label.endswith(label)), members[0])


def p_value(group: Group, other: Group, quantity: Quantity) -> tuple[float, str] | None:
    """Two-sided p of the difference, and the name of the test: paired if the seeds are the same, else Welch's.

    None if there are fewer than `FEWEST` seeds or all differences are equal.
    """
    from scipy import stats

    mine, theirs = group.values(quantity), other.values(quantity)
    pairs = difference(mine, theirs)
    if pairs and len(pairs.values) >= FEWEST:
        return None if pairs.p is None else (pairs.p, f"paired t-test, {len(pairs.values)} seeds")
    if len(mine) >= FEWEST and len(theirs) >= FEWEST and (len(set(mine.values())) > 1 or len(set(theirs.values())) > 1):
        result: Any = stats.ttest_ind(list(mine.values()), list(theirs.values()), equal_var=False)
        return float(result.pvalue), f"Welch's t-test, {len(mine)} and {len(theirs)} seeds"
    return None


def _by_magnitude(group: Group) -> list[float]:
    """The table's test accuracies of what magnitude selects from the supernets of a group."""
    return [result.baseline for result in group.results if result.baseline is not None]


def comparison_picture(name: str, members: Sequence[Group]) -> Picture | None:
    """One setting: a row per method with a mark per seed, the mean and the standard deviation."""
    measured: list[Quantity] = [key for key in QUANTITIES if any(group.values(key) for group in members)]
    if not measured:
        return None
    quantity = measured[0]
    rows = [(group.label, list(group.values(quantity).values())) for group in members if group.values(quantity)]
    if quantity == "table" and not any(label.endswith("(magnitude)") for label, _ in rows):
        rows += [(f"{group.label}: magnitude", found) for group in members if (found := _by_magnitude(group))]
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
