"""The figures of a selection's events: what every candidate scored, and what was kept or dropped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from report.edges import edge_of
from report.style import WIDE, Picture, Theme, new_figure, operation_look
from runs.recorded import Record, Recorded, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def criterion(run: Recorded, cell_type: str, topology: bool = False) -> str:
    """What the run compared, `accuracy` or `loss`, by its options."""
    options = run.options
    chosen = options.get(f"proj_crit_{cell_type}") or options.get("proj_crit") or "acc"
    if topology:
        chosen = options.get("proj_crit_edge") or chosen
    return "loss" if chosen == "loss" else "accuracy"


def event_scores(run: Recorded) -> list[Picture]:
    """One picture per cell type and kind of event that was scored: a row per event, a mark per candidate."""
    made: list[Picture | None] = []
    for cell in dict.fromkeys(str(record.values.get("cell_type")) for record in run.events):
        events = [record for record in run.events if record.values.get("cell_type") == cell]
        made.append(_operation_scores(run, cell, [record for record in events if record.kind == "operation_event"]))
        made.append(_topology_scores(run, cell, [record for record in events if record.kind == "topology_event"]))
    return [picture for picture in made if picture is not None]


def _operation_scores(run: Recorded, cell: str, events: list[Record]) -> Picture | None:
    quantity = criterion(run, cell)
    rows = [
        (edge_of(run, cell, record.values.get("edge")), str(record.values.get("kept")), scores)
        for record in events
        if (scores := _scores(record.values.get("candidates"), record.values.get(quantity)))
    ]
    if not rows:
        return None

    def draw(theme: Theme) -> Figure:
        figure = new_figure(WIDE, 0.95 + 0.23 * len(rows))
        axes = figure.add_subplot()
        seen: dict[str, Any] = {}
        for y, (_, kept, scores) in enumerate(rows):
            values = list(scores.values())
            axes.plot([min(values), max(values)], [y, y], color=theme.grid, linewidth=3, zorder=1)
            for index, (name, value) in enumerate(scores.items()):
                colour, marker = operation_look(name, theme)
                beside = values[:index].count(value)  # Equal scores stand above each other: none hides another.
                size = 6 if name == kept else 4
                face = colour if name == kept else theme.background
                line = axes.plot(
                    value, y - 0.28 * beside, marker, color=colour, markerfacecolor=face, markersize=size, zorder=3
                )[0]
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


def _topology_scores(run: Recorded, cell: str, events: list[Record]) -> Picture | None:
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
        figure = new_figure(WIDE, 0.65 + 0.36 * len(rows))
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
                    name, (value, y), offset, textcoords="offset points", ha="center", fontsize=6, color=colour
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
