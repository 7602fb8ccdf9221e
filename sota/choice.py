"""What `--arch` may be: a published genotype's name, a genotype file, or an experiment that holds one."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from darts_pt.run.errors import UserError, did_you_mean, listed
from darts_pt.run.results import GENOTYPE_FILE, find_genotype, read_genotype
from sota.genotypes import Genotype, published, published_names, read


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
    # What an experiment of NAS-Bench-201 holds is refused below, with the right words.
    roots = [experiments / dataset, *sorted(experiments.glob("*/")), experiments.parent / "nasbench201", Path()]
    chosen = find_genotype(arch, roots)
    if chosen is None:
        raise _unknown(arch, experiments)
    return Choice(_read(chosen.path), chosen.name, str(chosen.path))


def _read(path: Path) -> Genotype:
    try:
        return read(path)
    except UserError:
        other = read_genotype(path, "nasbench201")
        if other:
            raise UserError(f"{path} holds an architecture of NAS-Bench-201: train it with --arch '{other}'") from None
        raise


def _unknown(arch: str, experiments: Path) -> UserError:
    there = sorted(path.parent.name for path in experiments.glob(f"*/*/{GENOTYPE_FILE}"))
    close = did_you_mean(arch, [*published_names(), *there])
    return UserError(
        f"--arch {arch}: no published genotype, no file, and no experiment in {experiments}{close}; published are "
        f"{listed(published_names(), most=4)}; experiments: {listed(there, most=4) or 'none'}"
    )
