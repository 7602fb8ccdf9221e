"""Result files, and finding the genotype file that a name means."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from darts_pt.run.errors import ArgumentError, listed
from darts_pt.run.files import read_json

GENOTYPE_FILE = "genotype.json"
"""The result of a search or a selection."""
SUMMARY_FILE = "summary.json"
"""The result of a training."""
SELECTION = "log_resume-"
"""Prefix of the folders of selections inside that of their search."""


class GenotypeFile(NamedTuple):
    """A genotype file, and a short name for folder names."""

    path: Path
    name: str


def find_genotype(arch: str, roots: Iterable[Path]) -> GenotypeFile | None:
    """The genotype file `arch`, or that of the experiment `arch` in the first of `roots` that has it; None if neither.

    A search with one selection means that selection, one without any its own genotype.

    Raises:
        ArgumentError: the experiment has no genotype yet, or several selections.
    """
    path = Path(os.path.expanduser(arch))
    if os.path.isfile(path):  # os.path.isfile is False, not an error, for text that cannot be a path.
        return GenotypeFile(path, _name_of(path))
    folder = next((root / path for root in roots if arch and os.path.isdir(root / path)), None)
    return GenotypeFile(_in_experiment(folder), _name_of(folder / GENOTYPE_FILE)) if folder is not None else None


def read_genotype(path: Path, space: str) -> Any:
    """The genotype in a file; None if the file has none of that space."""
    try:
        plain = read_json(path)
        return plain["genotype"] if plain.get("space") == space else None
    except (OSError, ValueError, AttributeError, KeyError):
        return None


Edges = Mapping[str, Sequence[tuple[int, int, str]]]
"""Title of each cell -> its edges (source, target, operation)."""


def comparison(
    title: str, content: Mapping[str, Any], other: Mapping[str, Any] | None, cells: Callable[[str], Edges]
) -> list[list[str]]:
    """The closing table of a selection (header and rows): its true accuracies and operations beside those of a baseline.

    Args:
        title: the name of the selection.
        content: genotype.json, with `genotype` and perhaps `table`.
        other: the entry `baseline` of genotype.json: the same for the baseline, with its name `by`; without a genotype the
            table has only the selection's column.
        cells: genotype -> its edges.
    """
    contents, header = [content], ["", title]
    if other and other.get("genotype"):
        contents, header = [content, other], [*header, str(other["by"]), "difference"]
    known = [each.get("table") or {} for each in contents]
    rows = [[name, *_numbers([table.get(name) for table in known])] for name in known[0]]
    found = [
        {(cell, target, source): name for cell, edges in each.items() for source, target, name in edges}
        for each in (cells(each["genotype"]) for each in contents)
    ]
    several = len({cell for cell, _, _ in found[0]}) > 1
    for place in sorted({place for each in found for place in each}):
        names = [each.get(place, "–") for each in found]
        cell, target, source = place
        label = f"{cell.lower()}, {target} ← {source}" if several else f"edge {target} ← {source}"
        rows.append([label, *names, *([("differs" if len({*names}) > 1 else "")] if len(names) > 1 else [])])
    return [header, *rows]


def _numbers(values: Sequence[Any]) -> list[str]:
    """The values as text, and for two values their difference."""
    whole = all(isinstance(value, int) for value in values)
    words = ["" if value is None else f"{value:,}" if whole else f"{value:.2f}" for value in values]
    if len(values) > 1:
        difference = values[0] - values[1] if None not in values else None
        words.append("" if difference is None else f"{difference:+,}" if whole else f"{difference:+.2f}")
    return words


def _in_experiment(experiment: Path) -> Path:
    selections = sorted(experiment.glob(f"{SELECTION}*/{GENOTYPE_FILE}"))
    if len(selections) > 1:
        names = listed([f"{experiment.name}/{path.parent.name}" for path in selections])
        raise ArgumentError("arch", f"{experiment.name} has {len(selections)} selections; name one of {names}")
    path = selections[0] if selections else experiment / GENOTYPE_FILE
    if not path.is_file():
        raise ArgumentError(
            "arch", f"{experiment} has no {GENOTYPE_FILE}; a search or a selection writes it at its end"
        )
    return path


def _name_of(path: Path) -> str:
    """The file's name, or that of its folder for genotype.json."""
    path = path.resolve()
    name = path.stem
    if path.name == GENOTYPE_FILE:
        folder = path.parent
        name = f"{folder.parent.name}+{folder.name}" if folder.name.startswith(SELECTION) else folder.name
    return re.sub(r"[^A-Za-z0-9._+=-]", "_", name)
