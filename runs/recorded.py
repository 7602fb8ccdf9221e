"""A run as data, read from its experiment folder: what it was, what it measured, and what is missing."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

from darts_pt.methods import METHODS
from darts_pt.registry import Declaration
from darts_pt.run.config import options_of, size_in_words
from darts_pt.run.errors import UserError
from darts_pt.run.results import SELECTION
from darts_pt.selections import SELECTIONS
from darts_pt.space import SPACES

Kind = Literal["search", "selection", "training", "analysis", "unknown"]


@dataclass(frozen=True)
class Record:
    """One line of metrics.jsonl."""

    kind: str
    epoch: int
    values: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Recorded:
    """One experiment folder.

    Attributes:
        folder: where it is.
        config: config.json, empty if there is none.
        records: the undamaged lines of metrics.jsonl, in order.
        genotype, summary: genotype.json and summary.json, None if there is none.
        timing: the undamaged lines of timing.jsonl.
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
        """The kind of run, by its options or else its name."""
        name = self.folder.name
        if "analysis" in self.options or name.startswith("analysis-"):
            return "analysis"
        if "selection" in self.options or name.startswith(SELECTION):
            return "selection"
        if "arch" in self.options or self.folder.parent.name == "eval":
            return "training"
        if name.startswith("search-") or {"epochs", "method"} <= self.options.keys():
            return "search"
        return "unknown"

    @cached_property
    def is_trial(self) -> bool:
        """True if the run, or the search of a selection, was made with --fast: its numbers are not results."""
        if self.options.get("fast") or self.kind != "selection":
            return bool(self.options.get("fast"))
        with contextlib.suppress(UserError):  # The search's config.json is damaged.
            return bool(options_of(self.folder.parent).get("fast"))
        return False

    @property
    def name(self) -> str:
        """The folder's name; for a selection preceded by that of its search."""
        inside = self.folder.name.startswith((SELECTION, "analysis-"))
        return f"{self.folder.parent.name}/{self.folder.name}" if inside else self.folder.name

    @cached_property
    def family(self) -> str:
        """The family of its space: by the option, by the folder, or by options that only one family has."""
        families = SPACES.families()
        if self.options.get("space") in SPACES:
            return SPACES[self.options["space"]].family
        by_folder = [part for part in reversed(self.folder.parts) if part in families]
        by_options = [family for family in families if _own_options(family) & self.options.keys()]
        return next(iter([*by_options, *by_folder]), "?")

    @property
    def space(self) -> str:
        """The space's name, or ? if unknown; for a training, the space in its architecture's name."""
        option = self.options.get("space")
        if option:
            return str(option)
        names = [name for name, space in SPACES.items() if space.family == self.family]
        if len(names) != 1 and self.kind == "training":
            names = re.findall(rf"(?<=[-_])({'|'.join(names)})(?=[-_])", str(self.options.get("arch")))[:1]
        return names[0] if len(names) == 1 else "?"

    @property
    def space_title(self) -> str:
        """The space's name in reports; for a run of the library, the name of the model's class."""
        if self.space in SPACES:
            return SPACES[self.space].title
        return self.space if self.space != "?" else "unknown space"

    @property
    def dataset(self) -> str:
        return str(self.options.get("dataset") or "?")

    @property
    def seed(self) -> int | None:
        seed = self.options.get("seed", self.config.get("seed"))
        return seed if isinstance(seed, int) else None

    @cached_property
    def method(self) -> str:
        """The search method's name in reports."""
        title = _title(METHODS, str(self.options.get("method") or ""))
        if self.options.get("change_method"):
            searched = str(options_of(self.folder.parent).get("method"))
            return f"{_title(METHODS, searched)} tuned by {title}"
        return title or ("from scratch" if self.kind == "training" else "?")

    @cached_property
    def label(self) -> str:
        """Method and selection, for example `DARTS + PT`."""
        if self.kind != "selection":
            return self.method
        selection = str(self.options.get("selection", "pt"))
        if selection == "magnitude":
            return f"{self.method} (magnitude)"
        return f"{self.method} + {_title(SELECTIONS, selection)}"

    @property
    def variant(self) -> str:
        """Options of a selection that differ from the usual ones, in words; may be empty."""
        options = self.options
        if self.kind != "selection" or options.get("selection") == "magnitude":
            return ""
        parts = [
            "criterion loss" if options.get("proj_crit") == "loss" and options.get("selection") == "pt" else "",
            f"interval {options['proj_intv']}" if options.get("proj_intv", 5) != 5 else "",
            f"edges in {options['edge_decision']}" if options.get("edge_decision", "random") != "random" else "",
            "cached batches" if options.get("proj_batches", "fresh") != "fresh" else "",
        ]
        return ", ".join(part for part in parts if part)

    @property
    def size(self) -> str:
        """The size of network and images in words, such as `8 channels, 3 layers`."""
        return size_in_words(self.options)

    @property
    def snapshot(self) -> int | None:
        """The epoch of search that a selection starts from."""
        match = re.match(rf"{SELECTION}(\d+)", self.folder.name)
        return int(match.group(1)) if match else None

    @cached_property
    def epochs(self) -> list[Record]:
        """The epoch records, ascending; if a resumed run recorded an epoch twice, the later one."""
        latest = {record.epoch: record for record in self.records if record.kind == "epoch"}
        return [latest[epoch] for epoch in sorted(latest)]

    @cached_property
    def events(self) -> list[Record]:
        """Selection events in order; if one is recorded twice, the later one."""
        found: dict[tuple[Any, ...], Record] = {}
        for record in self.records:
            if record.kind in ("operation_event", "topology_event"):
                key = (record.values.get("event"), record.values.get("cell_type"))
                found.pop(key, None)
                found[key] = record
        return list(found.values())

    def series(self, name: str) -> tuple[list[int], list[float]]:
        """Epochs and values of a quantity such as `valid_accuracy`, as far as it was measured."""
        measured = [record for record in self.epochs if number(record.values.get(name)) is not None]
        return [record.epoch for record in measured], numbers(record.values[name] for record in measured)

    def table_series(self) -> dict[str, tuple[list[int], list[float]]]:
        """The benchmark table's accuracies after each epoch: name -> epochs and values."""
        found: dict[str, tuple[list[int], list[float]]] = {}
        for record in self.epochs:
            for name, value in _finite(record.values.get("table")).items():
                epochs, values = found.setdefault(name, ([], []))
                epochs.append(record.epoch)
                values.append(value)
        return found

    @property
    def architecture(self) -> str | None:
        """The text of the genotype that was selected or trained."""
        for source in (self.genotype, self.summary):
            for key in ("genotype", "architecture"):
                if source and isinstance(source.get(key), str):
                    return source[key]
        return None

    @property
    def table(self) -> dict[str, float]:
        """The benchmark table's accuracies of the final genotype."""
        return _finite((self.genotype or {}).get("table"))

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
        """The last test accuracy of a training from scratch, in percent; None for other runs."""
        if self.summary is not None:
            return number(self.summary.get("test_accuracy"))
        values = self.series("test_accuracy")[1] if self.kind == "training" else []
        return values[-1] if values else None

    @property
    def table_accuracy(self) -> float | None:
        """Test accuracy of the genotype by the benchmark table for the run's data, in percent."""
        return self.table.get(self._table_name)

    @property
    def _table_name(self) -> str:
        return f"{self.options.get('table_dataset') or self.dataset} test"

    @property
    def baseline(self) -> Mapping[str, Any]:
        """The choice that a selection is compared with (`by`, and `genotype` or `missing`); empty if there is none."""
        found = (self.genotype or {}).get("baseline")
        return found if isinstance(found, Mapping) else {}

    @property
    def baseline_accuracy(self) -> float | None:
        """Test accuracy of that choice by the benchmark table, in percent."""
        return _finite(self.baseline.get("table")).get(self._table_name)

    @property
    def seconds(self) -> float | None:
        """The time of all records together."""
        times = numbers(line.get("seconds") for line in self.timing)
        return sum(times) if times else None

    @property
    def peak_memory(self) -> float | None:
        """Peak memory of the process in MiB."""
        return max(numbers(line.get("memory_mib") for line in self.timing), default=None)


def _title(declared: Mapping[str, Declaration], name: str) -> str:
    """The name in reports; a name that this version does not know stays as it is."""
    return declared[name].title if name in declared else name


@cache
def _own_options(family: str) -> frozenset[str]:
    """The names of the options that only this family's commands have."""
    names = {
        other: {field.name for command in space.commands.values() for field in dataclasses.fields(command.options)}
        for other, space in SPACES.families().items()
    }
    return frozenset(names.pop(family).difference(*names.values()))


def number(value: Any) -> float | None:
    """`value` as a float if it is a finite number; otherwise ("nan", "inf", text) None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def numbers(values: Iterable[Any]) -> list[float]:
    """The values that are finite numbers."""
    return [value for value in map(number, values) if value is not None]


def _finite(table: Any) -> dict[str, float]:
    """The finite numbers of a mapping from a file; empty if it is not a mapping."""
    found = {name: number(value) for name, value in table.items()} if isinstance(table, Mapping) else {}
    return {name: value for name, value in found.items() if value is not None}
