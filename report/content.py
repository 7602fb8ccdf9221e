"""The content of the page as plain data for its template."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from darts_pt.run import logs
from darts_pt.run.errors import UserError
from darts_pt.run.results import comparison
from darts_pt.space import SPACES
from report.cells import final_cells, frames
from report.comparison import (
    QUANTITIES,
    Group,
    Quantity,
    aggregate,
    baseline,
    comparison_picture,
    facts,
    gain_in_words,
    groups,
    p_in_words,
    p_value,
)
from report.edges import decision, inside
from report.embed import embed, embed_drawing
from report.event_figures import rounds
from report.run_figures import run_pictures
from report.style import Picture
from runs.commands import recorded_command, repeat_command
from runs.recorded import Record, Recorded

KINDS = {
    "search": "search",
    "selection": "selection",
    "training": "training from scratch",
    "analysis": "analysis",
    "unknown": "unknown",
}


def percent(value: float | None, unit: str = "") -> str:
    return "" if value is None else f"{value:.2f}{unit}"


def duration(seconds: float | None) -> str:
    """A time in a suitable unit; empty if unknown."""
    return "" if seconds is None else logs.duration(seconds)


# Several runs ----------------------------------------------------------------------------------------------------


def what(run: Recorded) -> str:
    """The run in a few words: kind, method and special options."""
    return f"trial (--fast): {_what(run)}" if run.is_trial else _what(run)


def _what(run: Recorded) -> str:
    if run.kind == "analysis":
        return f"analysis: {run.options.get('analysis', '?')}"
    if run.kind == "training":
        return KINDS["training"]
    started = f"from epoch {run.snapshot}" if run.snapshot is not None else ""
    return ", ".join(filter(None, (f"{KINDS[run.kind]}: {run.label}", run.variant, started)))


def settings(runs: Sequence[Recorded]) -> tuple[list[dict[str, Any]], list[Picture], list[dict[str, Any]]]:
    """For every space, data set and size the methods side by side; the pictures; and the numbers of each setting."""
    found: list[dict[str, Any]] = []
    numbers: list[dict[str, Any]] = []
    pictures: list[Picture] = []
    for setting, grouped in groupby(groups(runs), key=lambda group: group.setting):
        members = list(grouped)
        picture = comparison_picture(f"methods-{len(found) + 1}", members)
        pictures += [picture] if picture else []
        numbers.append(facts(setting, members))
        _, dataset, size = setting
        known = [members[0].results[0].run.space_title, *([dataset] if dataset != "?" else [])]
        heading = ", ".join(known) + (f" ({size})" if size else "")
        found.append({"heading": heading, "picture": embed(picture) if picture else None, **_table(members)})
    return found, pictures, numbers


def _table(members: Sequence[Group]) -> dict[str, Any]:
    """A row per method: mean and best of every quantity that was measured, and a test of the first of them."""
    first = baseline(members)
    shown: list[Quantity] = [quantity for quantity in QUANTITIES if any(group.values(quantity) for group in members)]
    rows = []
    for group in members:
        totals = [aggregate(group.values(quantity).values()) for quantity in shown]
        rows.append(
            {
                "label": group.label,
                "seeds": len({result.seed for result in group.results}),
                "cells": [(str(total), percent(total.best)) if total else ("", "") for total in totals],
                "gain": gain_in_words(group),
                "test": "" if group is first or not shown else _test(p_value(group, first, shown[0])),
            }
        )
    columns = [QUANTITIES[quantity].removesuffix(" (%)") for quantity in shown]
    gained = any(row["gain"] for row in rows)
    return {"columns": columns, "baseline": first.label, "rows": rows, "gained": gained}


def _test(result: tuple[float, str] | None) -> str:
    if result is None:
        return "too few seeds"
    p, how = result
    return f"{p_in_words(p)} ({how})"


# One run ---------------------------------------------------------------------------------------------------------


def detail(run: Recorded, identity: str, is_open: bool) -> tuple[dict[str, Any], list[Picture]]:
    """Everything about a run, and its pictures."""
    pictures = run_pictures(run)
    final = final_cells(run)
    return {
        "run": run,
        "id": identity,
        "open": is_open,
        "facts": _facts(run),
        "pictures": [embed(picture) for picture in pictures],
        "events": [_event(run, record) for record in run.events],
        "frames": [embed_drawing(drawing) for drawing in frames(run)],
        "cells": embed_drawing(final) if final else None,
        "closing": _closing(run),
        "no_baseline": f"{run.baseline['by']}: {run.baseline['missing']}" if run.baseline.get("missing") else "",
        "command": repeat_command(run),
        "recorded": recorded_command(run),
        "configuration": _configuration(run),
    }, pictures


def _closing(run: Recorded) -> list[list[str]]:
    """The closing table of a selection; empty if its genotype cannot be read."""
    space = SPACES.families().get(run.family)
    if run.kind != "selection" or space is None or not run.baseline or run.genotype is None:
        return []
    try:
        return comparison(run.label.rpartition(" + ")[2], run.genotype, run.baseline, space.cells)
    except (UserError, KeyError, TypeError, AttributeError):
        return []


def _facts(run: Recorded) -> list[tuple[str, str]]:
    """The most important numbers of a run, as far as there are any."""
    summary = run.summary or {}
    made = [
        ("seed", "" if run.seed is None else str(run.seed)),
        ("epochs", str(run.epochs[-1].epoch) if run.epochs else ""),
        ("size", run.size),
        ("supernet's valid accuracy", percent(run.valid_accuracy, " %") if run.kind != "training" else ""),
        ("trained test accuracy", percent(run.test_accuracy, " %")),
        ("table's test accuracy", percent(run.table_accuracy, " %")),
        ("parameters", f"{summary['parameters']:,}" if isinstance(summary.get("parameters"), int) else ""),
        ("rank in the table", f"{run.table['rank']:,.0f}" if "rank" in run.table else ""),
        ("regret", f"{run.table['regret']:.2f} points" if "regret" in run.table else ""),
        ("time", duration(run.seconds)),
        ("most memory", f"{run.peak_memory:,.0f} MiB" if run.peak_memory else ""),
        ("device", str(run.config.get("device") or "")),
        ("date", str(run.config.get("date") or "").replace("T", " ").replace("+00:00", " UTC")),
    ]
    return [(name, value) for name, value in made if value]


def _event(run: Recorded, record: Record) -> dict[str, Any]:
    decides, keeps = decision(run, record)
    scored = [", ".join(map(_score, scores.items())) for _, scores in rounds(run, record) if scores]
    number = record.values.get("event")
    return {
        "number": number + 1 if isinstance(number, int) else "",
        "epoch": record.epoch,
        "decides": inside(str(record.values.get("cell_type")), decides),
        "keeps": keeps,
        "scores": " | then ".join(scored) or "not measured",
    }


def _score(scored: tuple[str, Any]) -> str:
    name, value = scored
    return f"{name} {value:.4g}" if isinstance(value, float | int) else f"{name} {value}"


def _configuration(run: Recorded) -> list[tuple[str, str]]:
    """Every option, and the versions and machine of the run."""
    git = run.config.get("git") or {}
    commit = f"{git['commit']}{' with changes' if git.get('dirty') else ''}" if git.get("commit") else None
    versions, host = run.config.get("versions") or {}, run.config.get("host") or {}
    recorded = {**versions, "commit": commit, **host}
    options = [(name, "" if value is None else str(value)) for name, value in run.options.items()]
    return options + [(name, str(value)) for name, value in recorded.items() if value is not None]
