"""Find the genotype that the argument `arch` names: a published one, a genotype file, or an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from darts_pt.run.errors import ArgumentError, UserError, did_you_mean, listed
from darts_pt.run.results import GENOTYPE_FILE, find_genotype, read_genotype
from darts_pt.space import SPACES
from sota.genotypes import Genotype, published, published_names, read


class Choice(NamedTuple):
    """A genotype, a short name for folder names, and where the genotype is from."""

    genotype: Genotype
    name: str
    source: str

    def describe(self, arch: str) -> dict[str, Any]:
        """The architecture in the summary of a training; `arch` is what the user called it."""
        return {"architecture": arch, "architecture_source": self.source, "genotype": str(self.genotype)}


def find(arch: str, experiments: Path, dataset: str) -> Choice:
    """The genotype that `arch` names.

    Args:
        arch: a published name, a file, or an experiment by its name or folder. A search with one selection stands for
            that selection, a search without any for its own genotype, which is by magnitude.
        experiments: the folder that holds a folder of experiments for each data set.
        dataset: the data set whose experiments are tried first; an architecture may be trained on another one.

    Raises:
        UserError: there is no such architecture, or its file is damaged.
    """
    if arch in published_names():
        return Choice(published(arch), arch, "the published genotypes")
    # Experiments of other families are found too: _read refuses them, and says which command trains them.
    others = (experiments.parent / family for family in SPACES.families())
    chosen = find_genotype(arch, [experiments / dataset, *sorted(experiments.glob("*/")), *others, Path()])
    if chosen is None:
        raise _unknown(arch, experiments)
    return Choice(_read(chosen.path), chosen.name, str(chosen.path))


def _read(path: Path) -> Genotype:
    try:
        return read(path)
    except UserError:
        for space in SPACES.families().values():
            other = read_genotype(path, space.name)
            if other:
                raise ArgumentError(
                    "arch", f"{path} holds an architecture of {space.title}: train '{other}' with eval.sh"
                ) from None
        raise


def _unknown(arch: str, experiments: Path) -> ArgumentError:
    for space in SPACES.families().values():
        if arch and space.family != "sota" and space.recognises(arch, experiments.parent):
            return ArgumentError("arch", f"{arch} is an architecture of {space.title}: train it with eval.sh")
    there = sorted(path.parent.name for path in experiments.glob(f"*/*/{GENOTYPE_FILE}"))
    close = did_you_mean(arch, [*published_names(), *there])
    return ArgumentError(
        "arch",
        f"{arch}: there is no such published genotype, file, or experiment in {experiments}{close}; published: "
        f"{listed(published_names(), most=4)}; experiments: {listed(there, most=4) or 'none'}",
    )
