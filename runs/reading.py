"""Find experiment folders and read them as runs, in whatever state they are.

Figures and pages take everything from here: from metrics.jsonl, timing.jsonl, config.json, genotype.json and summary.json,
never from log text. Damage is not an error: `Recorded.problems` names what cannot be read, and the rest is used.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from darts_pt.run.errors import UserError, did_you_mean, listed
from darts_pt.run.files import read_json
from darts_pt.run.results import GENOTYPE_FILE, SUMMARY_FILE
from runs.recorded import Record, Recorded

_MARKS = ("config.json", "metrics.jsonl")
_NOT_RUNS = {"scripts", "runs", "eval_scripts", "__pycache__"}

# Finding ---------------------------------------------------------------------------------------------------------


def find_runs(names: Sequence[str], experiments: Path) -> list[Path]:
    """The folders of the runs that the user named.

    Args:
        names: experiments or folders of experiments, by path or name; if empty, all in `experiments`. A search includes
            the selections inside it.

    Raises:
        UserError: there is no such experiment, or no run at all.
    """
    roots = [_located(name, experiments) for name in names] if names else [experiments]
    folders = list(dict.fromkeys(run for root in roots for run in runs_below(root)))
    if not folders:
        where = listed([str(root) for root in roots])
        raise UserError(
            f"no experiment in {where}: expected folders with a config.json or metrics.jsonl; run one first"
        )
    return folders


def _located(name: str, experiments: Path) -> Path:
    path = Path(name).expanduser()
    if path.is_dir():
        return path.resolve()
    if path.is_file():
        raise UserError(f"{name} is a file: name the experiment's folder")
    by_name = {run.name: run for run in runs_below(experiments)} if experiments.is_dir() else {}
    inside = {f"{run.parent.name}/{run.name}": run for run in by_name.values()}
    found = by_name.get(name) or inside.get(name.rstrip("/"))
    if found is None:
        there = f"; there are {listed(sorted(by_name), most=4)}" if by_name else "; there is none"
        close = did_you_mean(name, sorted(by_name)) or there
        raise UserError(f"{name}: no such experiment in {experiments}{close}")
    return found


def runs_below(root: Path) -> Iterator[Path]:
    """Every folder that a run has written, including `root`, sorted by name."""
    for folder, inside, files in os.walk(root):
        inside[:] = sorted(name for name in inside if name not in _NOT_RUNS and not name.startswith("."))
        if any(mark in files for mark in _MARKS):
            yield Path(folder)


# Reading ---------------------------------------------------------------------------------------------------------


def read_runs(folders: Iterable[Path]) -> list[Recorded]:
    """All of them, in order."""
    return [read_run(folder) for folder in folders]


def read_run(folder: Path) -> Recorded:
    """The run in a folder, in whatever state it is."""
    problems: list[str] = []
    config = _json(folder / "config.json", problems, needed=True) or {}
    lines = _lines(folder / "metrics.jsonl", problems)
    records = tuple(record for line in lines if (record := _record(line)) is not None)
    if len(records) < len(lines):
        problems.append(f"metrics.jsonl: {len(lines) - len(records)} lines are no records and were left out")
    if not records and (folder / "metrics.jsonl").is_file():
        problems.append("metrics.jsonl holds no record: the run has not finished its first epoch")
    run = Recorded(
        folder,
        config,
        records,
        _json(folder / GENOTYPE_FILE, problems),
        _json(folder / SUMMARY_FILE, problems),
        tuple(_lines(folder / "timing.jsonl", problems, needed=False)),
        tuple(problems),
    )
    last = {"search": GENOTYPE_FILE, "selection": GENOTYPE_FILE, "training": SUMMARY_FILE}.get(run.kind)
    if last is not None and (run.summary if last == SUMMARY_FILE else run.genotype) is None:
        run = dataclasses.replace(run, problems=(*problems, f"no {last}: the run has not come to its end"))
    return run


def _record(line: Mapping[str, Any]) -> Record | None:
    kind, epoch, values = line.get("kind"), line.get("epoch"), line.get("values")
    if not isinstance(kind, str) or not isinstance(epoch, int) or not isinstance(values, Mapping):
        return None
    return Record(kind, epoch, values)


def _json(path: Path, problems: list[str], needed: bool = False) -> dict[str, Any] | None:
    try:
        content = read_json(path)
    except FileNotFoundError:
        if needed:
            problems.append(f"no {path.name}: options and versions are not known")
        return None
    except (OSError, ValueError) as error:
        problems.append(f"{path.name} is damaged ({type(error).__name__})")
        return None
    if not isinstance(content, dict):
        problems.append(f"{path.name} is damaged (it holds no object)")
        return None
    return content


def read_object(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None if the file is missing or damaged."""
    return _json(path, [])


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects in a file of JSON lines, without damaged lines; empty if there is no file."""
    return _lines(path, [], needed=False)


def _lines(path: Path, problems: list[str], needed: bool = True) -> list[dict[str, Any]]:
    """The objects in a file of JSON lines; damaged lines are left out and named in `problems`."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        if needed:
            problems.append(f"no {path.name}: the run has measured nothing, or its file is lost")
        return []
    except OSError as error:
        problems.append(f"{path.name} cannot be read ({error.strerror})")
        return []
    found, broken = [], []
    for count, line in enumerate(text.splitlines(), start=1):
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            content = None
        if isinstance(content, dict):
            found.append(content)
        elif line.strip():
            broken.append(count)
    if broken:
        numbers = listed([str(count) for count in broken], most=5)
        problems.append(f"{path.name}: line {numbers} is not whole and was left out")
    return found
