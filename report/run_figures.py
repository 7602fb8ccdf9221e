"""The figures of one run: how it learnt, where alpha went, what every selection event saw, and what it cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from report.reading import Record, Run, number
from report.style import WIDE, Picture, Theme, new_figure, operation_look, whole_epochs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SPLITS = (
    ("train", "train half", "blue", "-"),
    ("valid", "valid half", "red", "-"),
    ("test", "test set", "green", "--"),
)


def run_pictures(run: Run) -> list[Picture]:
    """All that the run's records suffice for."""
    made = [curves(run, "accuracy"), curves(run, "loss"), cost(run), table_trajectory(run)]
    made += alpha_maps(run)
    made += event_scores(run)
    return [picture for picture in made if picture is not None]


# Learning --------------------------------------------------------------------------------------------------------


def curves(run: Run, quantity: str) -> Picture | None:
    """Accuracy (percent) or loss (nats) of both halves, and of the test set where it was evaluated, over the epochs."""
    half = "set" if run.kind == "training" else "half"
    shown: list[tuple[str, str, str, list[int], list[float]]] = []
    for name, label, colour, dash in _SPLITS:
        epochs, values = run.series(f"{name}_{quantity}")
        if epochs:
            shown.append((label.replace("half", half), colour, dash, epochs, values))
    if not shown:
        return None
    unit = "%" if quantity == "accuracy" else "nats"

    def draw(theme: Theme) -> Figure:
        figure = new_figure()
        axes = figure.add_subplot()
        for label, colour, dash, epochs, values in shown:
            line = axes.plot(epochs, values, dash, color=getattr(theme, colour), label=f"{label} {values[-1]:.4g}")[0]
            if len(epochs) == 1:
                line.set_marker("o")
        _mark_events(axes, run, theme)
        axes.set_xlabel(f"{'tuning ' if run.kind == 'selection' else ''}epoch")
        axes.set_ylabel(f"{quantity} ({unit})")
        whole_epochs(axes)
        axes.legend(loc="best")
        return figure

    words = [f"{label} from {values[0]:.4g} to {values[-1]:.4g} {unit}" for label, _, _, _, values in shown]
    title = quantity.capitalize()
    return Picture(quantity, title, f"{title} over {shown[0][3][-1]} epochs: {'; '.join(words)}.", draw)


def _mark_events(axes: Axes, run: Run, theme: Theme) -> None:
    for epoch in sorted({record.epoch for record in run.events}):
        axes.axvline(epoch, color=theme.muted, linewidth=0.6, linestyle=":", zorder=0)


def table_trajectory(run: Run) -> Picture | None:
    """The benchmark's test accuracy of the architecture that alpha stood for after each epoch."""
    series = {name: points for name, points in run.table_series().items() if name.endswith(" test")}
    if not series:
        return None

    def draw(theme: Theme) -> Figure:
        figure = new_figure()
        axes = figure.add_subplot()
        for index, (name, (epochs, values)) in enumerate(series.items()):
            label = f"{name.removesuffix(' test')} {values[-1]:.2f}"
            axes.step(epochs, values, where="mid", color=theme.cycle[index % 8], label=label)
        axes.set_xlabel("epoch")
        axes.set_ylabel("table's test accuracy (%)")
        whole_epochs(axes)
        axes.legend(loc="best")
        return figure

    words = [f"{name} from {values[0]:.2f} to {values[-1]:.2f} %" for name, (_, values) in series.items()]
    title = "True accuracy of the current architecture"
    return Picture("table", title, f"By the benchmark table, after each epoch: {'; '.join(words)}.", draw)


def cost(run: Run) -> Picture | None:
    """Seconds of each epoch or event, and the time in all."""
    seconds = [value for line in run.timing if (value := number(line.get("seconds"))) is not None]
    total = sum(seconds)
    if len(seconds) < 3 or total < 1:
        return None

    def draw(theme: Theme) -> Figure:
        figure = new_figure()
        axes = figure.add_subplot()
        so_far = [sum(seconds[: index + 1]) / 60 for index in range(len(seconds))]
        axes.fill_between(range(1, len(seconds) + 1), so_far, color=theme.blue, alpha=0.25, linewidth=0)
        axes.plot(range(1, len(seconds) + 1), so_far, color=theme.blue)
        axes.set_xlabel("record (an epoch or a selection event)")
        axes.set_ylabel("minutes so far")
        axes.set_ylim(bottom=0)
        whole_epochs(axes)
        return figure

    memory = f", at most {run.peak_memory:,.0f} MiB of memory" if run.peak_memory else ""
    return Picture("time", "Time spent", f"{total / 60:.1f} minutes in all over {len(seconds)} records{memory}.", draw)


# Alpha -----------------------------------------------------------------------------------------------------------

Weights = Mapping[str, Mapping[str, Sequence[float]]]
"""Edge -> operation -> the mixing weight after each epoch."""


def mixing_weights(run: Run) -> dict[str, tuple[list[int], dict[str, dict[str, list[float]]]]]:
    """Cell type -> epochs, and per edge and operation the mixing weight after each."""
    found: dict[str, tuple[list[int], dict[str, dict[str, list[float]]]]] = {}
    for record in run.epochs:
        cells = record.values.get("mixing_weights")
        for cell, edges in cells.items() if isinstance(cells, Mapping) else ():
            epochs, series = found.setdefault(cell, ([], {}))
            epochs.append(record.epoch)
            for edge, weights in edges.items():
                for operation, weight in weights.items():
                    value = number(weight)
                    row = series.setdefault(edge, {}).setdefault(operation, [])
                    row.append(math.nan if value is None else value)
    return found


def edge_name(key: str) -> str:
    """`4:3<-1`, as metrics name an edge, to `3 ← 1`."""
    return key.partition(":")[2].replace("<-", " ← ") or key


def alpha_maps(run: Run) -> list[Picture]:
    """One picture per cell type: a heat map for every edge, operations down and epochs to the right."""
    return [_alpha_map(cell, epochs, edges) for cell, (epochs, edges) in mixing_weights(run).items() if epochs]


def _alpha_map(cell: str, epochs: list[int], edges: dict[str, dict[str, list[float]]]) -> Picture:
    columns = 3 if len(edges) <= 6 else 4
    rows = math.ceil(len(edges) / columns)
    most = max(len(operations) for operations in edges.values())
    strongest = {
        edge: max(operations, key=lambda name, row=operations: _last(row[name])) for edge, operations in edges.items()
    }
    shared = len({tuple(operations) for operations in edges.values()}) == 1

    def draw(theme: Theme) -> Figure:
        figure = new_figure(WIDE if shared else 9.6, 0.75 + rows * (0.42 + 0.17 * most))
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True)
        weights = [weight for row in edges.values() for series in row.values() for weight in series]
        low, high = min(weights), max(weights)
        image = None
        for axes in grid.flat[len(edges) :]:
            axes.set_axis_off()
        for index, (edge, operations) in enumerate(edges.items()):
            axes = grid.flat[index]
            table = [operations[name] for name in operations]
            extent = (epochs[0] - 0.5, epochs[-1] + 0.5, len(table) - 0.5, -0.5)
            image = axes.imshow(
                table, aspect="auto", cmap="cividis", vmin=low, vmax=high, interpolation="nearest", extent=extent
            )
            axes.grid(False)
            axes.set_title(edge_name(edge))
            labelled = index % columns == 0 or not shared
            axes.set_yticks(range(len(table)), list(operations) if labelled else [""] * len(table), fontsize=7)
            if _last(operations[strongest[edge]]) > 0:
                place = list(operations).index(strongest[edge])
                axes.plot([epochs[-1] + 0.5], [place], marker="<", color=theme.red, clip_on=False, markersize=6)
            whole_epochs(axes)
        for axes in grid[-1]:
            axes.set_xlabel("epoch")
        assert image is not None
        bar = figure.colorbar(image, ax=grid, fraction=0.03, pad=0.02, aspect=30)
        bar.set_label("mixing weight, softmax(alpha)")
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        return figure

    words = "; ".join(
        f"{edge_name(edge)}: {f'{name} {value:.2f}' if (value := _last(edges[edge][name])) > 0 else 'dropped'}"
        for edge, name in strongest.items()
    )
    title = "Mixing weights over the epochs" + ("" if cell == "cell" else f", {cell} cell")
    return Picture(f"alpha-{cell}", title, f"Largest mixing weight of every edge at the end: {words}.", draw, wide=True)


def _last(row: Sequence[float]) -> float:
    return row[-1] if row and not math.isnan(row[-1]) else -1.0


# Selection events ------------------------------------------------------------------------------------------------


def criterion(run: Run, cell_type: str, topology: bool = False) -> str:
    """What the run compared, `accuracy` or `loss`, by its options."""
    options = run.options
    chosen = options.get(f"proj_crit_{cell_type}") or options.get("proj_crit") or "acc"
    if topology:
        chosen = options.get("proj_crit_edge") or chosen
    return "loss" if chosen == "loss" else "accuracy"


def event_scores(run: Run) -> list[Picture]:
    """One picture per cell type and kind of event that was scored: a row per event, a mark per candidate."""
    made: list[Picture | None] = []
    for cell in dict.fromkeys(str(record.values.get("cell_type")) for record in run.events):
        events = [record for record in run.events if record.values.get("cell_type") == cell]
        made.append(_operation_scores(run, cell, [record for record in events if record.kind == "operation_event"]))
        made.append(_topology_scores(run, cell, [record for record in events if record.kind == "topology_event"]))
    return [picture for picture in made if picture is not None]


def edge_of(run: Run, cell: str, index: Any) -> str:
    """`3 ← 1` of an edge's number, by the names that metrics give the edges, or by the space's graph."""
    pairs = edge_pairs(run, cell)
    if isinstance(index, int) and 0 <= index < len(pairs):
        source, target = pairs[index]
        return f"{target} ← {source}"
    return f"edge {index}"


def edge_pairs(run: Run, cell: str) -> list[tuple[int, int]]:
    """(source, target) of a cell type's edges, in their order; empty where nothing says it."""
    if run.space == "nasbench201":
        from nasbench201.architecture import SOURCES

        return [(source, target) for target, sources in enumerate(SOURCES, start=1) for source in sources]
    keys = mixing_weights(run).get(cell, ([], {}))[1]
    ends = [key.partition(":")[2].partition("<-") for key in keys]
    if ends and all(target.isdigit() and source.isdigit() for target, _, source in ends):
        return [(int(source), int(target)) for target, _, source in ends]
    if run.space in ("s1", "s2", "s3", "s4", "s5"):
        return [(source, target) for target in range(2, 6) for source in range(target)]
    return []


def _operation_scores(run: Run, cell: str, events: list[Record]) -> Picture | None:
    quantity = criterion(run, cell)
    rows = [
        (edge_of(run, cell, record.values.get("edge")), str(record.values.get("kept")), scores)
        for record in events
        if (scores := _scores(record.values.get("candidates"), record.values.get(quantity)))
    ]
    if not rows:
        return None

    def draw(theme: Theme) -> Figure:
        figure = new_figure(WIDE, 1.1 + 0.27 * len(rows))
        axes = figure.add_subplot()
        seen: dict[str, Any] = {}
        for y, (_, kept, scores) in enumerate(rows):
            values = list(scores.values())
            axes.plot([min(values), max(values)], [y, y], color=theme.grid, linewidth=3, zorder=1)
            for name, value in scores.items():
                colour, marker = operation_look(name, theme)
                size = 8 if name == kept else 5
                face = colour if name == kept else theme.background
                line = axes.plot(value, y, marker, color=colour, markerfacecolor=face, markersize=size, zorder=3)[0]
                seen.setdefault(name, (colour, marker, line))
        axes.set_yticks(range(len(rows)), [f"{index}   {edge}" for index, (edge, *_) in enumerate(rows, start=1)])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.yaxis.grid(False)
        seen_as = "nothing but" if run.options.get("selection") == "oneshot" else "without"
        axes.set_xlabel(
            f"supernet's valid {quantity} with {seen_as} the operation; filled: kept".replace("with w", "w")
        )
        from matplotlib.lines import Line2D

        handles = [Line2D([], [], color=c, marker=m, linestyle="", label=name) for name, (c, m, _) in seen.items()]
        figure.legend(handles=handles, loc="outside upper left", ncols=len(handles) if len(handles) < 6 else 4)
        return figure

    words = "; ".join(
        f"{edge} keeps {kept} ({scores[kept]:.4g} without it)" for edge, kept, scores in rows if kept in scores
    )
    title = "Operation events" + ("" if cell == "cell" else f", {cell} cell")
    return Picture(f"events-{cell}", title, f"{len(rows)} events in their order: {words}.", draw, wide=True)


def _topology_scores(run: Run, cell: str, events: list[Record]) -> Picture | None:
    quantity = criterion(run, cell, topology=True)
    rows = []
    for record in events:
        for round_ in record.values.get("rounds") or ():
            names = [edge_of(run, cell, edge) for edge in round_.get("edges", ())]
            scores = _scores(names, round_.get(quantity))
            if scores:
                rows.append((f"node {record.values.get('node')}", edge_of(run, cell, round_.get("dropped")), scores))
    if not rows:
        return None

    def draw(theme: Theme) -> Figure:
        figure = new_figure(WIDE, 0.75 + 0.42 * len(rows))
        axes = figure.add_subplot()
        for y, (_, dropped, scores) in enumerate(rows):
            values = list(scores.values())
            axes.plot([min(values), max(values)], [y, y], color=theme.grid, linewidth=3, zorder=1)
            for order, (name, value) in enumerate(sorted(scores.items(), key=lambda item: item[1])):
                is_dropped = name == dropped
                colour = theme.red if is_dropped else theme.blue
                axes.plot(value, y, "X" if is_dropped else "o", color=colour, zorder=3)
                offset = (0, -10 if order % 2 else 5)  # Neighbours' names keep apart.
                axes.annotate(
                    name, (value, y), offset, textcoords="offset points", ha="center", fontsize=6.5, color=colour
                )  # fmt: skip
        axes.set_yticks(range(len(rows)), [label for label, *_ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.7)
        axes.yaxis.grid(False)
        axes.set_xlabel(f"supernet's valid {quantity} without the edge; cross: dropped, since it is missed the least")
        return figure

    words = "; ".join(f"{node} drops {dropped}" for node, dropped, _ in rows)
    return Picture(f"topology-{cell}", f"Topology events, {cell} cell", f"Round by round: {words}.", draw, wide=True)


def _scores(names: Any, values: Any) -> dict[str, float]:
    """Name -> score, of the candidates that have a finite one."""
    if not isinstance(names, Sequence) or not isinstance(values, Sequence):
        return {}
    pairs = [(str(name), number(value)) for name, value in zip(names, values, strict=False)]
    return {name: value for name, value in pairs if value is not None}
