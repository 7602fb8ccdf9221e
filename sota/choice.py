"""What `--arch` may be: a published genotype's name, a genotype file, or an experiment that holds one."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import NamedTuple

from darts_pt.errors import UserError
from darts_pt.suggestions import did_you_mean, listed
from sota.genotypes import Genotype, published, published_names, read

GENOTYPE_FILE = "genotype.json"
SELECTION = "log_resume-"
"""How the folders of selections inside a search's begin."""


class Choice(NamedTuple):
    """A genotype, a short name for it that may stand in a folder's name, and where it is from."""

    genotype: Genotype
    name: str
    source: str


def find(arch: str, experiments: Path, dataset: str) -> Choice:
    """The genotype that `--arch` names.

    Args:
        arch: a published name; a file; an experiment, by its name or its folder. A search that has one selection in it
            stands for that selection, a search without any for its own choice, which is by magnitude.
        experiments: the folder that holds a folder of experiments for each data set.
        dataset: where an experiment is looked for first; an architecture may be trained on other data than it is from.

    Raises:
        UserError: it is none of these, or the genotype is broken.
    """
    if arch in published_names():
        return Choice(published(arch), arch, "the published genotypes")
    if "|" in arch:
        raise UserError(f"--arch {arch}: NAS-Bench-201 architectures are trained by nasbench201.train, or eval.sh")
    path = Path(os.path.expanduser(arch))
    if path.is_file():
        return Choice(_read(path), _name_of(path), str(path))
    # What an experiment of NAS-Bench-201 holds is refused below, with the right words.
    roots = [experiments / dataset, *sorted(experiments.glob("*/")), experiments.parent / "nasbench201", Path()]
    folder = next((root / path for root in roots if arch and (root / path).is_dir()), None)
    if folder is None:
        raise _unknown(arch, experiments)
    path = _genotype_of(folder)
    return Choice(_read(path), _name_of(folder / GENOTYPE_FILE), str(path))


def _genotype_of(experiment: Path) -> Path:
    """The genotype file of a selection or a search."""
    selections = sorted(experiment.glob(f"{SELECTION}*/{GENOTYPE_FILE}"))
    if len(selections) > 1:
        names = listed([f"{experiment.name}/{path.parent.name}" for path in selections])
        raise UserError(f"--arch {experiment.name}: it has {len(selections)} selections; name one of {names}")
    path = selections[0] if selections else experiment / GENOTYPE_FILE
    if not path.is_file():
        raise UserError(f"--arch: {experiment} has no {GENOTYPE_FILE}; a search or a selection writes it at its end")
    return path


def _name_of(path: Path) -> str:
    """A name for a genotype file: the file's own, or where it is if it has the name that they all have."""
    path = path.resolve()
    name = path.stem
    if path.name == GENOTYPE_FILE:
        folder = path.parent
        name = f"{folder.parent.name}+{folder.name}" if folder.name.startswith(SELECTION) else folder.name
    return re.sub(r"[^A-Za-z0-9._+=-]", "_", name)


def _read(path: Path) -> Genotype:
    try:
        return read(path)
    except UserError:
        other = _nasbench201(path)
        if other:
            raise UserError(f"{path} holds an architecture of NAS-Bench-201: train it with --arch '{other}'") from None
        raise


def _nasbench201(path: Path) -> str | None:
    """The architecture string, if that is what a file of ours holds."""
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        return plain["genotype"] if plain.get("space") == "nasbench201" else None
    except (OSError, ValueError, AttributeError, KeyError):
        return None


def _unknown(arch: str, experiments: Path) -> UserError:
    there = sorted(path.parent.name for path in experiments.glob(f"*/*/{GENOTYPE_FILE}"))
    close = did_you_mean(arch, [*published_names(), *there])
    return UserError(
        f"--arch {arch}: no published genotype, no file, and no experiment in {experiments}{close}; published are "
        f"{listed(published_names(), most=4)}; experiments: {listed(there, most=4) or 'none'}"
    )
