"""What a page says of runs, as plain data for its template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from report.cells import final_cells, frames
from report.comparison import QUANTITIES, Group, Quantity, aggregate, baseline, comparison_picture, groups, p_value
from report.edges import edge_of
from report.embed import embed, embed_drawing
from report.event_figures import rounds
from report.run_figures import run_pictures
from report.style import Picture
from runs.commands import recorded_command, repeat_command
from runs.recorded import Record, Recorded

MOST_PROBLEMS = 200
OPEN_RUNS = 3
"""So many runs are unfolded when the page opens."""
KINDS = {
    "search": "search",
    "selection": "selection",
    "training": "training from scratch",
    "analysis": "analysis",
    "unknown": "unknown",
}


def percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def duration(seconds: float | None) -> str:
    """In the unit that suits it; empty where it is not known."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


# Several runs ----------------------------------------------------------------------------------------------------


def overview(runs: Sequence[Recorded], identities: Mapping[Recorded, str]) -> list[dict[str, Any]]:
    """A row per run."""
    return [
        {
            "id": identities.get(run),
            "name": run.name,
            "label": _what(run),
            "space": run.space_title,
            "dataset": run.dataset,
            "seed": "" if run.seed is None else run.seed,
            "epochs": run.epochs[-1].epoch if run.epochs else "",
            "valid": "" if run.kind == "training" else percent(run.valid_accuracy),
            "test": percent(run.test_accuracy),
            "time": duration(run.seconds),
            "problems": run.problems,
        }
        for run in runs
    ]


def _what(run: Recorded) -> str:
    extra = f", {run.variant}" if run.variant else ""
    started = f", from epoch {run.snapshot}" if run.snapshot is not None else ""
    if run.kind == "analysis":
        return f"analysis: {run.options.get('analysis', '?')}"
    return f"{KINDS[run.kind]}: {run.label}{extra}{started}" if run.kind != "training" else KINDS["training"]


def settings(runs: Sequence[Recorded]) -> tuple[list[dict[str, Any]], list[Picture]]:
    """Methods side by side, for every space, data set and size; and the pictures of that."""
    found: list[dict[str, Any]] = []
    pictures: list[Picture] = []
    for index, (setting, members) in enumerate(groupby(groups(runs), key=lambda group: group.setting)):
        found.append(_setting(f"methods-{index + 1}", setting, list(members), pictures))
    return found, pictures


def _setting(
    name: str, setting: tuple[str, str, str], members: list[Group], pictures: list[Picture]
) -> dict[str, Any]:  # fmt: skip
    _, dataset, size = setting
    first = baseline(members)
    shown: list[Quantity] = [quantity for quantity in QUANTITIES if any(group.values(quantity) for group in members)]
    picture = comparison_picture(name, members)
    if picture:
        pictures.append(picture)
    rows = []
    for group in members:
        cells = []
        for quantity in shown:
            total = aggregate(list(group.values(quantity).values()))
            cells.append((str(total), percent(total.best)) if total else ("", ""))
        rows.append(
            {
                "label": group.label,
                "seeds": len({result.seed for result in group.results}),
                "cells": cells,
                "test": "" if group is first or not shown else _test(p_value(group, first, shown[0])),
            }
        )
    return {
        "heading": f"{members[0].results[0].run.space_title}, {dataset}" + (f" ({size})" if size else ""),
        "picture": embed(picture) if picture else None,
        "columns": [QUANTITIES[quantity].removesuffix(" (%)") for quantity in shown],
        "baseline": first.label,
        "rows": rows,
    }


def _test(result: tuple[float, str] | None) -> str:
    if result is None:
        return "too few seeds"
    p, how = result
    return f"p {'< 0.001' if p < 0.001 else f'= {p:.3f}'} ({how})"


def problems(
    runs: Sequence[Recorded], identities: Mapping[Recorded, str]
) -> tuple[list[tuple[str, str | None, list[str]]], int]:
    """Per run what is missing, for as many as a page bears; and how many more there are."""
    found = [(run.name, identities.get(run), list(run.problems)) for run in runs if run.problems]
    return found[:MOST_PROBLEMS], max(0, len(found) - MOST_PROBLEMS)


# One run ---------------------------------------------------------------------------------------------------------


def detail(run: Recorded, identity: str, is_open: bool) -> tuple[dict[str, Any], list[Picture]]:
    """All of a run, and its pictures."""
    pictures = run_pictures(run)
    final = final_cells(run)
    return {
        "id": identity,
        "name": run.name,
        "what": f"{_what(run)} · {run.space_title} · {run.dataset}",
        "open": is_open,
        "facts": _facts(run),
        "problems": run.problems,
        "pictures": [embed(picture) for picture in pictures],
        "events": [_event(run, record) for record in run.events],
        "frames": [embed_drawing(drawing) for drawing in frames(run)],
        "cells": embed_drawing(final) if final else None,
        "architecture": run.architecture,
        "command": repeat_command(run),
        "recorded": recorded_command(run),
        "configuration": _configuration(run),
    }, pictures


def _facts(run: Recorded) -> list[tuple[str, str]]:
    """The few numbers one wants to see first; only those that there are."""
    summary = run.summary or {}
    made = [
        ("seed", "" if run.seed is None else str(run.seed)),
        ("epochs", str(run.epochs[-1].epoch) if run.epochs else ""),
        ("size", run.size),
        ("supernet's valid accuracy", _with_unit(run.valid_accuracy) if run.kind != "training" else ""),
        ("test accuracy", _with_unit(run.test_accuracy)),
        ("parameters", f"{summary['parameters']:,}" if isinstance(summary.get("parameters"), int) else ""),
        ("rank in the table", f"{run.table['rank']:,.0f}" if "rank" in run.table else ""),
        ("regret", f"{run.table['regret']:.2f} points" if "regret" in run.table else ""),
        ("time", duration(run.seconds)),
        ("most memory", f"{run.peak_memory:,.0f} MiB" if run.peak_memory else ""),
        ("device", str(run.config.get("device") or "")),
        ("date", str(run.config.get("date") or "").replace("T", " ").replace("+00:00", " UTC")),
    ]
    return [(name, value) for name, value in made if value]


def _with_unit(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} %"


def _event(run: Recorded, record: Record) -> dict[str, Any]:
    values = record.values
    cell = str(values.get("cell_type"))
    if record.kind == "operation_event":
        decides, keeps = edge_of(run, cell, values.get("edge")), str(values.get("kept"))
    else:
        decides = f"node {values.get('node')}"
        keeps = ", ".join(edge_of(run, cell, edge) for edge in values.get("kept") or ())
    scored = [", ".join(map(_score, scores.items())) for _, scores in rounds(run, record) if scores]
    number = values.get("event")
    return {
        "number": number + 1 if isinstance(number, int) else "",
        "epoch": record.epoch,
        "decides": decides if cell == "cell" else f"{cell} {decides}",
        "keeps": keeps,
        "scores": " | then ".join(scored) or "not measured",
    }


def _score(scored: tuple[str, Any]) -> str:
    name, value = scored
    return f"{name} {value:.4g}" if isinstance(value, float | int) else f"{name} {value}"


def _configuration(run: Recorded) -> list[tuple[str, str]]:
    """Every option, and the versions of what ran."""
    options = [(name, "" if value is None else str(value)) for name, value in run.options.items()]
    versions = run.config.get("versions")
    found = list(versions.items()) if isinstance(versions, Mapping) else []
    git = run.config.get("git")
    if isinstance(git, Mapping) and git.get("commit"):
        found.append(("commit", f"{git['commit']}{' with changes' if git.get('dirty') else ''}"))
    host = run.config.get("host")
    if isinstance(host, Mapping):
        found += [(name, value) for name, value in host.items()]
    return options + [(str(name), str(value)) for name, value in found if value is not None]
