"""Experiment folders as data: what a run was, what it measured, and what is missing of it.

Everything a figure or a page shows comes from here, and here from metrics.jsonl, timing.jsonl, config.json,
genotype.json and summary.json; never from log text. Damage is no error: what cannot be read is named in
`Run.problems`, and the rest is used.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from darts_pt.errors import UserError
from darts_pt.suggestions import did_you_mean, listed

Kind = Literal["search", "selection", "training", "analysis", "unknown"]
SELECTION_PREFIX = "log_resume-"
_MARKS = ("config.json", "metrics.jsonl")
_NOT_RUNS = {"scripts", "runs", "eval_scripts", "__pycache__"}

METHODS = {
    "darts": "DARTS",
    "darts-2nd": "DARTS (2nd order)",
    "blank": "fix alpha",
    "sdarts-rs": "SDARTS-RS",
    "sdarts-adv": "SDARTS-ADV",
    "sgas": "SGAS",
    "gdas": "GDAS",
    "drnas": "DrNAS",
}
"""Names of search methods as the paper writes them; others stand as they are."""
SELECTIONS = {"pt": "PT", "pt-mag": "PT-Mag", "oneshot": "one-shot", "zero-cost-pt": "Zero-Cost-PT"}


@dataclass(frozen=True)
class Record:
    """One line of metrics.jsonl."""

    kind: str
    epoch: int
    values: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Run:
    """One experiment folder.

    Attributes:
        folder: where it is.
        config: config.json, empty if there is none.
        records: the whole lines of metrics.jsonl, in their order.
        genotype, summary: genotype.json and summary.json, None where there is none.
        timing: the whole lines of timing.jsonl.
        problems: what is missing or damaged, in words.
    """

    folder: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    records: tuple[Record, ...] = ()
    genotype: Mapping[str, Any] | None = None
    summary: Mapping[str, Any] | None = None
    timing: tuple[Mapping[str, Any], ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def options(self) -> Mapping[str, Any]:
        options = self.config.get("options")
        return options if isinstance(options, Mapping) else {}

    @property
    def kind(self) -> Kind:
        """What the run did, by its options, or else by its name."""
        name = self.folder.name
        if "analysis" in self.options or name.startswith("analysis-"):
            return "analysis"
        if "selection" in self.options or name.startswith(SELECTION_PREFIX):
            return "selection"
        if "arch" in self.options or self.folder.parent.name == "eval":
            return "training"
        if name.startswith("search-") or {"epochs", "method"} <= self.options.keys():
            return "search"
        return "unknown"

    @property
    def name(self) -> str:
        """The folder's name; a selection's with that of its search before it."""
        inside = self.kind in ("selection", "analysis")
        return f"{self.folder.parent.name}/{self.folder.name}" if inside else self.folder.name

    @property
    def space(self) -> str:
        """nasbench201, s1 … s5, or ? where nothing says it."""
        space = self.options.get("space")
        if space:
            return str(space)
        if "cells_per_stage" in self.options or "nasbench201" in self.folder.parts:
            return "nasbench201"
        return "?"

    @property
    def dataset(self) -> str:
        return str(self.options.get("dataset") or "?")

    @property
    def seed(self) -> int | None:
        seed = self.options.get("seed", self.config.get("seed"))
        return seed if isinstance(seed, int) else None

    @property
    def method(self) -> str:
        """The search method as the paper names it; for a training, the architecture it trains."""
        method = str(self.options.get("method") or "")
        return METHODS.get(method, method) or ("from scratch" if self.kind == "training" else "?")

    @property
    def label(self) -> str:
        """Method and selection, for example `DARTS + PT`; DARTS alone stands for its selection by magnitude."""
        if self.kind != "selection":
            return self.method
        selection = str(self.options.get("selection", "pt"))
        if selection == "magnitude":
            return f"{self.method} (magnitude)"
        return f"{self.method} + {SELECTIONS.get(selection, selection)}"

    @property
    def variant(self) -> str:
        """What sets a selection apart from one with the usual options, in words; empty where nothing does."""
        options = self.options
        parts = [
            "criterion loss" if options.get("proj_crit") == "loss" and options.get("selection") == "pt" else "",
            f"interval {options['proj_intv']}" if options.get("proj_intv", 5) != 5 else "",
            f"edges in {options['edge_decision']}" if options.get("edge_decision", "random") != "random" else "",
            "cached batches" if options.get("proj_batches", "fresh") != "fresh" else "",
        ]
        if options.get("selection") == "magnitude":
            parts = []
        return ", ".join(part for part in parts if part)

    @property
    def size(self) -> str:
        """The network's size in words, such as `8 channels, 3 layers`."""
        names = {"init_channels": "channel{}", "layers": "layer{}", "cells_per_stage": "cell{} per stage"}
        known = [(self.options[key], name) for key, name in names.items() if self.options.get(key)]
        return ", ".join(f"{count} {name.format('' if count == 1 else 's')}" for count, name in known)

    @property
    def snapshot(self) -> int | None:
        """The epoch of search that a selection starts from."""
        match = re.match(rf"{SELECTION_PREFIX}(\d+)", self.folder.name)
        return int(match.group(1)) if match else None

    @cached_property
    def epochs(self) -> list[Record]:
        """The epoch records, ascending; of an epoch that is there twice (a resumed run) the later one."""
        latest = {record.epoch: record for record in self.records if record.kind == "epoch"}
        return [latest[epoch] for epoch in sorted(latest)]

    @cached_property
    def events(self) -> list[Record]:
        """Selection events in their order; of one that is there twice the later one."""
        found: dict[tuple[Any, ...], Record] = {}
        for record in self.records:
            if record.kind in ("operation_event", "topology_event"):
                key = (record.values.get("event"), record.values.get("cell_type"))
                found.pop(key, None)
                found[key] = record
        return list(found.values())

    def series(self, name: str) -> tuple[list[int], list[float]]:
        """Epochs and values of a quantity such as `valid_accuracy`, where it was measured."""
        points = [(record.epoch, number(record.values.get(name))) for record in self.epochs]
        kept = [(epoch, value) for epoch, value in points if value is not None]
        return [epoch for epoch, _ in kept], [value for _, value in kept]

    def table_series(self) -> dict[str, tuple[list[int], list[float]]]:
        """What the benchmark table said after each epoch: name -> epochs and values."""
        found: dict[str, tuple[list[int], list[float]]] = {}
        for record in self.epochs:
            table = record.values.get("table")
            for name, value in table.items() if isinstance(table, Mapping) else ():
                plain = number(value)
                if plain is not None:
                    epochs, values = found.setdefault(str(name), ([], []))
                    epochs.append(record.epoch)
                    values.append(plain)
        return found

    @property
    def architecture(self) -> str | None:
        """The genotype's text, of what was selected or trained."""
        for source in (self.genotype, self.summary):
            for key in ("genotype", "architecture"):
                if source and isinstance(source.get(key), str):
                    return source[key]
        return None

    @property
    def table(self) -> dict[str, float]:
        """What the benchmark table knows of the final genotype."""
        table = (self.genotype or {}).get("table")
        plain = {name: number(value) for name, value in table.items()} if isinstance(table, Mapping) else {}
        return {name: value for name, value in plain.items() if value is not None}

    @property
    def valid_accuracy(self) -> float | None:
        """The supernet's, in percent: with the selected architecture, or else after the last epoch."""
        selected = number((self.genotype or {}).get("supernet_valid_accuracy"))
        if selected is not None:
            return selected
        values = self.series("valid_accuracy")[1]
        return values[-1] if values else None

    @property
    def test_accuracy(self) -> float | None:
        """Stand-alone accuracy in percent: of a training its last, of a selection the benchmark table's for its data."""
        if self.summary is not None:
            return number(self.summary.get("test_accuracy"))
        if self.kind == "training":
            values = self.series("test_accuracy")[1]
            return values[-1] if values else None
        return self.table.get(f"{self.dataset} test")

    @property
    def seconds(self) -> float | None:
        """The time all records took."""
        times = [number(line.get("seconds")) for line in self.timing]
        known = [time for time in times if time is not None]
        return sum(known) if known else None

    @property
    def peak_memory(self) -> float | None:
        """MiB of the process, at most."""
        found = [number(line.get("memory_mib")) for line in self.timing]
        return max((memory for memory in found if memory is not None), default=None)


def number(value: Any) -> float | None:
    """`value` as a float where it is a finite number; "nan", "inf" and whatever is no number are None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


# Finding ---------------------------------------------------------------------------------------------------------


def find_runs(names: Sequence[str], experiments: Path) -> list[Path]:
    """The folders of the runs that the user named.

    Args:
        names: experiments, or folders of experiments, as paths or by name; none stands for all in `experiments`. A
            search stands for itself and the selections inside it.

    Raises:
        UserError: a name is neither, or there is no run at all.
    """
    roots = [_located(name, experiments) for name in names] if names else [experiments]
    folders = list(dict.fromkeys(run for root in roots for run in _runs_below(root)))
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
    by_name = {run.name: run for run in _runs_below(experiments)} if experiments.is_dir() else {}
    inside = {f"{run.parent.name}/{run.name}": run for run in by_name.values()}
    found = by_name.get(name) or inside.get(name.rstrip("/"))
    if found is None:
        there = f"; there are {listed(sorted(by_name), most=4)}" if by_name else "; there is none"
        close = did_you_mean(name, sorted(by_name)) or there
        raise UserError(f"{name}: no such experiment in {experiments}{close}")
    return found


def _runs_below(root: Path) -> Iterator[Path]:
    """Every folder that a run has written, `root` included; in the order of their names."""
    for folder, inside, files in os.walk(root):
        inside[:] = sorted(name for name in inside if name not in _NOT_RUNS and not name.startswith("."))
        if any(mark in files for mark in _MARKS):
            yield Path(folder)


# Reading ---------------------------------------------------------------------------------------------------------


def read_runs(folders: Iterable[Path]) -> list[Run]:
    """All of them, in that order."""
    return [read_run(folder) for folder in folders]


def read_run(folder: Path) -> Run:
    """A run from its folder, whatever state that is in."""
    problems: list[str] = []
    config = _json(folder / "config.json", problems, needed=True) or {}
    lines = _lines(folder / "metrics.jsonl", problems)
    records = tuple(record for line in lines if (record := _record(line)) is not None)
    if len(records) < len(lines):
        problems.append(f"metrics.jsonl: {len(lines) - len(records)} lines are no records and were left out")
    if not records and (folder / "metrics.jsonl").is_file():
        problems.append("metrics.jsonl holds no record: the run has not finished its first epoch")
    run = Run(
        folder,
        config,
        records,
        _json(folder / "genotype.json", problems),
        _json(folder / "summary.json", problems),
        tuple(_lines(folder / "timing.jsonl", problems, needed=False)),
        tuple(problems),
    )
    if run.kind in ("search", "selection") and run.genotype is None:
        run = _with_problem(run, "no genotype.json: the run has not come to its end")
    if run.kind == "training" and run.summary is None:
        run = _with_problem(run, "no summary.json: the run has not come to its end")
    return run


def _with_problem(run: Run, problem: str) -> Run:
    return Run(
        run.folder, run.config, run.records, run.genotype, run.summary, run.timing, (*run.problems, problem)
    )  # fmt: skip


def _record(line: Mapping[str, Any]) -> Record | None:
    kind, epoch, values = line.get("kind"), line.get("epoch"), line.get("values")
    if not isinstance(kind, str) or not isinstance(epoch, int) or not isinstance(values, Mapping):
        return None
    return Record(kind, epoch, values)


def _json(path: Path, problems: list[str], needed: bool = False) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
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


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects in a file of one per line, without what is damaged; empty where there is no file."""
    return _lines(path, [], needed=False)


def _lines(path: Path, problems: list[str], needed: bool = True) -> list[dict[str, Any]]:
    """The objects in a file of one per line; lines that are not whole are counted and left out."""
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
