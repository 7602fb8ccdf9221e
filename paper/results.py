"""Every figure and table of the paper, drawn or written out of the runs that there are; plan.py tells which it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from darts_pt.run.errors import UserError
from paper import figures as figures
from paper import tables as tables
from paper.discretisation import Strength, strengths
from paper.numbers import SHUFFLING
from paper.options import PaperOptions, Result
from paper.plan import EDGES, SELECTED, TUNED
from report.content import space_name
from report.edges import mixing_weights
from report.reading import read_run
from report.run import Run
from runs.making import Maker, need

Draw = Callable[[PaperOptions, list[Maker]], Result]


def _searches(maker: Maker, method: str = "darts") -> list[tuple[int, Path]]:
    """Seed and folder of every search that there is or that may be run."""
    found = [(seed, folder) for seed in maker.seeds if (folder := maker.search(method, seed)) is not None]
    if not found:
        need(None, f"the search ({method}, {maker.space}, {maker.dataset})")
    return found


def _where(maker: Maker) -> str:
    return f"{space_name(maker.space)}, {maker.dataset}"


class Discretised(NamedTuple):
    """Strengths of operations on edges of the first search's supernet; `missing` says what has not been measured."""

    run: Run
    seed: int
    strengths: list[Strength]
    missing: str


def _discretised(maker: Maker, edges: int | None) -> Discretised:
    seed, searched = _searches(maker)[0]
    found, run = strengths(maker, searched, seed, edges), read_run(searched)
    if not found:
        need(None, "the discretisation of edges")
    operations = list(mixing_weights(run)[found[0].cell_type][1].values())
    by_edge = figures.by_edge(found)
    wanted = len(operations) if edges is None else edges
    whole = sum(len(row) == len(operations[edge]) for edge, row in by_edge.items())
    missing = f" Only {whole} of {wanted} edges have been measured to the end." if whole < wanted else ""
    return Discretised(run, seed, found, missing)


# Figures ---------------------------------------------------------------------------------------------------------


def figure_1(options: PaperOptions, makers: list[Maker]) -> Result:
    (maker,) = makers
    run, seed, found, missing = _discretised(maker, EDGES)
    picture = figures.alpha_against_strength(run, found)
    correlations = [figures.rank_correlation(row) for row in figures.by_edge(found).values()]
    known = ", ".join("undefined" if value is None else f"{value:+.2f}" for value in correlations)
    caption = (
        f"{_where(maker)}, seed {seed}. Each mark is an operation of one of {EDGES} random edges of the (normal) cell: its "
        f"mixing weight at the end of the search, and the supernet's valid accuracy with that operation alone on the edge, "
        f"tuned until it no longer gains (at most {maker.scale.tuning} epochs). Rank correlation by edge: {known}.{missing}"
    )
    return Result("Alpha against discretisation accuracy at convergence", caption, [picture])


def figure_2(options: PaperOptions, makers: list[Maker]) -> Result:
    (maker,) = makers
    run, seed, found, missing = _discretised(maker, None)
    picture = figures.alpha_beside_strength(run, found)
    differ, total = figures.disagreements(found)
    caption = (
        f"{_where(maker)}, seed {seed}. The operation with the largest alpha and the strongest one, by discretisation "
        f"accuracy (tuned at most {maker.scale.tuning} epochs), differ on {differ} of {total} edges.{missing}"
    )
    return Result("The largest alpha and the strongest operation of every edge", caption, [picture])


def figure_3(options: PaperOptions, makers: list[Maker]) -> Result:
    (maker,) = makers
    searches = _searches(maker)
    picture = figures.gap_against_accuracy([read_run(folder) for _, folder in searches])
    if picture is None:
        raise UserError(f"--space {maker.space}: figure 3 needs edges with skip_connect and a convolution")
    seeds = ", ".join(str(seed) for seed, _ in searches)
    caption = (
        f"{_where(maker)}, seeds {seeds}. {picture.alt} The mean is over all edges that have both kinds of operation."
    )
    return Result("Skip connections against convolutions as the supernet learns", caption, [picture])


def figure_4(options: PaperOptions, makers: list[Maker]) -> Result:
    (maker,) = makers
    curves: dict[str, dict[str, dict[int, list[float]]]] = {}
    sources: set[str] = set()
    for seed, searched in _searches(maker):
        for epoch in maker.snapshots(searched):
            for selection, label in SELECTED.items():
                worth = maker.worth(maker.selection(searched, selection, seed, epoch), seed)
                sources |= {worth.source} if worth.accuracies else set()
                for name, accuracy in worth.accuracies.items():
                    curves.setdefault(name, {}).setdefault(label, {}).setdefault(epoch, []).append(accuracy)
    if not curves:
        need(None, "the selection from any snapshot")
    picture = figures.trajectories(curves, "test accuracy")
    source = " or ".join(sorted(sources))
    caption = f"{_where(maker)}, seeds {', '.join(map(str, maker.seeds))}; test accuracy {source}. {picture.alt}"
    return Result("What magnitude and PT select from the same snapshots of a search", caption, [picture])


def figure_5(options: PaperOptions, makers: list[Maker]) -> Result:
    (maker,) = makers
    seed, searched = _searches(maker)[0]
    drawings = []
    for selection, label in {"magnitude": "DARTS, by magnitude", "pt": "DARTS + PT"}.items():
        selected = maker.selection(searched, selection, seed)
        architecture = read_run(selected).architecture if selected else None
        if architecture:
            drawings.append((label, architecture))
    if not drawings:
        need(None, "a selection to draw")
    caption = (
        f"{_where(maker)}, seed {seed}, both from the same supernet: {' and '.join(label for label, _ in drawings)}."
    )
    return Result("The cells that are selected", caption, drawings=drawings)


def figure_6(options: PaperOptions, makers: list[Maker]) -> Result:
    (maker,) = makers
    runs: dict[str, list[Run]] = {}
    for seed, searched in _searches(maker):
        for selection, label in TUNED.items():
            selected = maker.selection(searched, selection, seed)
            if selected is not None:
                runs.setdefault(label, []).append(read_run(selected))
    if not runs:
        need(None, "a selection")
    picture = figures.accuracy_during_selection(runs)
    caption = f"{_where(maker)}, an event every {maker.interval} tuning epochs. {picture.alt}"
    return Result("The supernet's valid accuracy while it is made discrete", caption, [picture])


# Tables ----------------------------------------------------------------------------------------------------------


def table_1(options: PaperOptions, makers: list[Maker]) -> Result:
    from paper.shuffling_table import Shuffled, shuffled

    (maker,) = makers
    measured: dict[str, list[Shuffled]] = {}
    for seed in maker.seeds:
        for item in shuffled(maker, seed):
            measured.setdefault(item.network, []).append(item)
    if not measured:
        need(None, "what table 1 is about")
    header = [
        "network",
        "paper: before",
        "paper: after",
        f"ours, {maker.dataset}: before",
        "ours: after",
        "seeds, draws",
    ]
    rows = []
    for name, (before, after) in SHUFFLING.items():
        items = measured.get(name, [])
        draws = [value for item in items for value in item.after]
        ours = [tables.accuracies([item.before for item in items]), tables.accuracies(draws)]
        rows.append([name, str(before), str(after), *ours, f"{len(items)}, {len(draws)}" if items else ""])
    caption = (
        f"{_where(maker)}. Test accuracy in percent of trained networks, before and after two random edges of every cell "
        f"(supernet) or two random layers of every stage (ResNet, VGG) have changed places; {maker.scale.shuffles} draws."
    )
    return Result("Shuffled edges", caption, table=(header, rows))


def table_2(options: PaperOptions, makers: list[Maker]) -> Result:
    caption = "Test error in percent of the selected architectures, trained from scratch, in the DARTS space (S5)."
    return Result("Methods in the DARTS space", caption, table=_with_cells(tables.darts_space(makers[0]), 2, number=2))


def table_3(options: PaperOptions, makers: list[Maker]) -> Result:
    return _by_space(options, makers, 3, "DARTS, DARTS + PT and alpha fixed in S1–S4")


def table_4(options: PaperOptions, makers: list[Maker]) -> Result:
    return _by_space(options, makers, 4, "Alpha fixed or not, in more spaces")


def _by_space(options: PaperOptions, makers: list[Maker], number: int, title: str) -> Result:
    dataset, published = tables.published_for(options.data, number)
    table = _with_cells(tables.by_space(makers, published, dataset), 3, number)
    caption = (
        "Test error in percent of the selected architectures, trained from scratch (NAS-Bench-201: by the benchmark table "
        "where there is one)."
    )
    return Result(title, caption, table=table)


def _with_cells(table: tables.Table, column: int, number: int) -> tables.Table:
    """`table`, if a cell of ours, in `column`, is there at all."""
    if not any(row[column] for row in table[1]):
        need(None, f"what table {number} is about")
    return table


DRAW: Mapping[tuple[str, int], Draw] = {
    ("figure", 1): figure_1,
    ("figure", 2): figure_2,
    ("figure", 3): figure_3,
    ("figure", 4): figure_4,
    ("figure", 5): figure_5,
    ("figure", 6): figure_6,
    ("table", 1): table_1,
    ("table", 2): table_2,
    ("table", 3): table_3,
    ("table", 4): table_4,
}
