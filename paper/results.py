"""Every figure and table of the paper: the runs it needs, and then what is drawn or written out of them.

Each function gets its runs first, by which they are made, found or listed; what it returns draws them. So what would be run
can be told without running it (--dry_run).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from darts_pt.run.errors import UserError
from darts_pt.selections import SELECTIONS
from paper import figures, tables
from paper.discretisation import Strength, strengths
from paper.numbers import SHUFFLING
from paper.options import Result
from paper.study import Accuracies, Study, missing
from report.comparison import aggregate
from report.edges import edge_of, mixing_weights
from runs.reading import read_run
from runs.recorded import Recorded
from runs.run import Run

Draw = Callable[[], Result]
Table = tables.Table

EDGES = 3
"""Random edges of figure 1."""
SELECTED = ("magnitude", "pt")
"""The selections of figures 4 and 5."""
TUNED = ("pt", "pt-mag")
"""Figure 6."""
GAINS = (
    "Gains are means of the differences seed by seed, of selections from the same supernets, with their 95 % intervals."
)


def read(run: Run) -> Recorded:
    assert run.folder is not None
    return read_run(run.folder)


# Figures ---------------------------------------------------------------------------------------------------------


def figure_1(studies: Sequence[Study]) -> Draw:
    (study,) = studies
    searched = study.first_search()
    found = strengths(study, searched, EDGES)

    def draw() -> Result:
        unmeasured = _unmeasured(searched, found, EDGES)
        picture = figures.alpha_against_strength(read(searched), found)
        correlations = [figures.rank_correlation(row) for row in figures.by_edge(found).values()]
        known = ", ".join("undefined" if value is None else f"{value:+.2f}" for value in correlations)
        caption = (
            f"{study.where}, seed {searched.options.seed}. Each mark is an operation of one of {EDGES} random edges of the "
            "(normal) cell: its mixing weight at the end of the search, and the supernet's valid accuracy with that "
            f"operation alone on the edge, tuned until it no longer gains (at most {study.scale.tuning} epochs). Rank "
            f"correlation by edge: {known}.{unmeasured}"
        )
        title = "Alpha against discretisation accuracy at convergence"
        return Result(title, caption, [picture], table=_numbers(read(searched), found))

    return draw


def figure_2(studies: Sequence[Study]) -> Draw:
    (study,) = studies
    searched = study.first_search()
    found = strengths(study, searched, None)

    def draw() -> Result:
        unmeasured = _unmeasured(searched, found, None)
        picture = figures.alpha_beside_strength(read(searched), found)
        differ, total = figures.disagreements(found)
        caption = (
            f"{study.where}, seed {searched.options.seed}. The operation with the largest alpha and the strongest one, by "
            f"discretisation accuracy (tuned at most {study.scale.tuning} epochs), differ on {differ} of {total} "
            f"edges.{unmeasured}"
        )
        title = "The largest alpha and the strongest operation of every edge"
        return Result(title, caption, [picture], table=_numbers(read(searched), found))

    return draw


def _numbers(run: Recorded, found: Sequence[Strength]) -> Table:
    """Figures 1 and 2: a row per operation of an edge."""
    rows = [
        [edge_of(run, one.cell_type, one.edge), one.operation, f"{one.weight:.6f}", f"{one.accuracy:.2f}"]
        for one in found
    ]
    return ["edge", "operation", "mixing weight", "valid accuracy with it alone (%)"], rows


def _unmeasured(searched: Run, found: list[Strength], edges: int | None) -> str:
    """A sentence on edges that have not been measured to the end; none if all have."""
    if not found:
        raise missing("the discretisation of edges")
    operations = list(mixing_weights(read(searched))[found[0].cell_type][1].values())
    wanted = len(operations) if edges is None else edges
    whole = sum(len(row) == len(operations[edge]) for edge, row in figures.by_edge(found).items())
    return f" Only {whole} of {wanted} edges have been measured to the end." if whole < wanted else ""


def figure_3(studies: Sequence[Study]) -> Draw:
    (study,) = studies
    searches = study.searches()

    def draw() -> Result:
        picture = figures.gap_against_accuracy([read(run) for run in searches])
        if picture is None:
            raise UserError(f"--space {study.space}: figure 3 needs edges with skip_connect and a convolution")
        seeds = ", ".join(str(run.options.seed) for run in searches)
        mean = "The mean is over all edges that have both kinds of operation."
        caption = f"{study.where}, seeds {seeds}. {picture.alt} {mean}"
        header = ["seed", "epoch", "skip connections' mean mixing weight minus convolutions'", "valid accuracy (%)"]
        rows = [
            [str(run.options.seed), str(epoch), f"{gap:.6f}", f"{accuracy:.2f}"]
            for run in searches
            for epoch, gap, accuracy in figures.gap_and_accuracy(read(run))
        ]
        title = "Skip connections against convolutions as the supernet learns"
        return Result(title, caption, [picture], table=(header, rows))

    return draw


def figure_4(studies: Sequence[Study]) -> Draw:
    (study,) = studies
    found: list[tuple[int, str, Accuracies]] = []
    for searched in study.searches():
        for epoch in study.snapshots(searched):
            for selection in SELECTED:
                known = study.accuracies(study.selection(searched, selection, epoch))
                found.append((epoch, SELECTIONS[selection].title, known))

    def draw() -> Result:
        curves: dict[str, dict[str, dict[int, list[float]]]] = {}
        for epoch, label, known in found:
            for name, accuracy in known.by_dataset.items():
                curves.setdefault(name, {}).setdefault(label, {}).setdefault(epoch, []).append(accuracy)
        if not curves:
            raise missing("the selection from any snapshot")
        picture = figures.trajectories(curves)
        source = " or ".join(sorted({known.source for _, _, known in found if known.by_dataset}))
        caption = f"{study.where}, seeds {', '.join(map(str, study.seeds))}; test accuracy {source}. {picture.alt}"
        header = ["data set", "selection", "epoch of search", "test accuracy (%), by seed"]
        rows = [
            [name, label, str(epoch), ", ".join(f"{value:.2f}" for value in by_epoch[epoch])]
            for name, selections in curves.items()
            for label, by_epoch in selections.items()
            for epoch in sorted(by_epoch)
        ]
        title = "What magnitude and PT select from the same snapshots of a search"
        return Result(title, caption, [picture], table=(header, rows))

    return draw


def figure_5(studies: Sequence[Study]) -> Draw:
    (study,) = studies
    searched = study.first_search()
    selected = {
        label: run
        for selection, label in zip(SELECTED, ("DARTS, by magnitude", "DARTS + PT"), strict=True)
        if (run := study.selection(searched, selection)) is not None
    }

    def draw() -> Result:
        cells = {label: architecture for label, run in selected.items() if (architecture := read(run).architecture)}
        if not cells:
            raise missing("a selection to draw")
        seed = searched.options.seed
        caption = f"{study.where}, seed {seed}, both from the same supernet: {' and '.join(cells)}."
        drawings = [(label, study.space, architecture) for label, architecture in cells.items()]
        rows = [[label, architecture] for label, architecture in cells.items()]
        return Result("The cells that are selected", caption, drawings=drawings, table=(["selection", "cells"], rows))

    return draw


def figure_6(studies: Sequence[Study]) -> Draw:
    (study,) = studies
    selected: dict[str, list[Run]] = {}
    for searched in study.searches():
        for selection in TUNED:
            run = study.selection(searched, selection)
            if run is not None:
                selected.setdefault(SELECTIONS[selection].title, []).append(run)

    def draw() -> Result:
        if not selected:
            raise missing("a selection")
        runs = {label: [read(run) for run in members] for label, members in selected.items()}
        picture = figures.accuracy_during_selection(runs)
        caption = f"{study.where}, an event every {study.interval} tuning epochs. {picture.alt}"
        rows = [
            [label, str(run.seed), str(epoch), f"{value:.2f}"]
            for label, members in runs.items()
            for run in members
            for epoch, value in zip(*run.series("valid_accuracy"), strict=True)
        ]
        header = ["selection", "seed", "tuning epoch", "supernet's valid accuracy (%)"]
        title = "The supernet's valid accuracy while it is made discrete"
        return Result(title, caption, [picture], table=(header, rows))

    return draw


# Tables ----------------------------------------------------------------------------------------------------------


def table_1(studies: Sequence[Study]) -> Draw:
    from paper.shuffling_table import shuffled

    (study,) = studies
    measured = [item for seed in study.seeds for item in shuffled(study, seed)]

    def draw() -> Result:
        if not measured:
            raise missing("what table 1 is about")
        before, after = f"ours, {study.dataset}: before", "ours: after"
        header = ["network", "paper: before", "paper: after", before, after, "seeds, draws"]
        rows = []
        for name, published in SHUFFLING.items():
            items = [item for item in measured if item.network == name]
            draws = [value for item in items for value in item.after]
            ours = [str(aggregate(values) or "") for values in ([item.before for item in items], draws)]
            rows.append([name, *map(str, published), *ours, f"{len(items)}, {len(draws)}" if items else ""])
        caption = (
            f"{study.where}. Test accuracy in percent of trained networks, before and after two random edges of every cell "
            "(supernet) or two random layers of every stage (ResNet, VGG) have changed places; "
            f"{study.scale.shuffles} draws."
        )
        return Result("Shuffled edges", caption, table=(header, rows))

    return draw


def table_2(studies: Sequence[Study]) -> Draw:
    table = tables.darts_space(studies[0])
    caption = (
        f"Test error in percent of the selected architectures, trained from scratch, in the DARTS space (S5). {GAINS}"
    )
    return lambda: Result("Methods in the DARTS space", caption, table=_with_ours(table, 2, 2))


def table_3(studies: Sequence[Study]) -> Draw:
    return _by_space(studies, 3, "DARTS, DARTS + PT and alpha fixed in S1–S4")


def table_4(studies: Sequence[Study]) -> Draw:
    return _by_space(studies, 4, "Alpha fixed or not, in more spaces")


def _by_space(studies: Sequence[Study], number: int, title: str) -> Draw:
    dataset, published = tables.published_for(studies[0].dataset, number)
    table = tables.by_space(studies, published, dataset)
    caption = (
        "Test error in percent of the selected architectures, trained from scratch (NAS-Bench-201: by the benchmark table "
        f"where there is one). {GAINS}"
    )
    return lambda: Result(title, caption, table=_with_ours(table, 3, number))


def _with_ours(table: tables.Table, column: int, number: int) -> tables.Table:
    """`table`, if any of our results, in `column`, is there at all."""
    if not any(row[column] for row in table[1]):
        raise missing(f"what table {number} is about")
    return table


_FIGURES = (figure_1, figure_2, figure_3, figure_4, figure_5, figure_6)
_TABLES = (table_1, table_2, table_3, table_4)
RESULTS: Mapping[tuple[str, int], Callable[[Sequence[Study]], Draw]] = {
    (kind, number): make
    for kind, makers in (("figure", _FIGURES), ("table", _TABLES))
    for number, make in enumerate(makers, start=1)
}
