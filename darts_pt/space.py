"""Search spaces: their interface to the commands, and their registry.

A space is a folder with its supernet, its networks, and a `space.py` whose `SPACES` maps names to spaces
(docs/extending.md). Nothing else names a space.
"""

from __future__ import annotations

import importlib
import os.path
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, NamedTuple, TypeVar

from darts_pt.methods import METHODS
from darts_pt.run.errors import UserError
from darts_pt.run.provenance import space_modules
from darts_pt.run.results import find_genotype, read_genotype

if TYPE_CHECKING:
    from torch import Tensor

    from darts_pt.commands.options import RunOptions, SearchOptions, SelectionOptions
    from darts_pt.drawing import Cell
    from darts_pt.evaluation import EvaluationNetwork
    from darts_pt.hyperparameters import Criterion
    from darts_pt.run.device import Generators
    from darts_pt.supernet import Supernet

Search = TypeVar("Search", bound="SearchOptions")
Selection = TypeVar("Selection", bound="SelectionOptions")
Kind = Literal["search", "selection", "training"]
Preset = Mapping[str, Any]

USUAL_DATASET = "cifar10"
"""Its presets serve data sets that have none; folder names leave it out."""


class Command(NamedTuple):
    """A command's options, and its module for `python -m`; without a module it is `python -m runs KIND SPACE`."""

    options: type[RunOptions]
    module: str | None = None


class SearchSpace(ABC, Generic[Search, Selection]):
    """The interface of a search space to the commands.

    Attributes:
        name: its name in commands and plans.
        title: its name in reports.
        commands: search, selection and, if architectures can be trained from scratch, training.
        search_presets, training_presets: data set -> values of the options that the user leaves open.
        size_presets: name of another size of the search -> values that differ from its data set's preset.
        paper_training: options of the paper's training from scratch besides the command's defaults.
        paper_epochs: epochs of the paper's search; the original's checkpoints come without options.
        evaluates_test: a search evaluates the test set after each epoch.
        scripts: suffix of its scripts' names, as in darts-201.sh; empty if it has none.
        folder_per_dataset: each data set has a folder of experiments; else its name is part of the experiment's.
        drawings: formats in which a search and a selection draw their genotype.
    """

    name: str
    title: str
    commands: ClassVar[Mapping[Kind, Command]]
    search_presets: ClassVar[Mapping[str, Preset]]
    training_presets: ClassVar[Mapping[str, Preset]] = {}
    size_presets: ClassVar[Mapping[str, Preset]] = {}
    paper_training: ClassVar[Preset] = {}
    paper_epochs: int
    evaluates_test = False
    scripts = ""
    folder_per_dataset = False
    drawings: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """Common name of the spaces with the same commands and networks; also their folder of experiments."""
        return self.name

    @property
    def label(self) -> str:
        """Its part of a search folder's name."""
        return self.scripts or self.name

    @property
    def default_seed(self) -> int:
        """The default seed of its commands."""
        return self.commands["search"].options.__dataclass_fields__["seed"].default

    def at(self, data_root: Path) -> SearchSpace[Search, Selection]:
        """The same space with its files under `data_root`."""
        return self

    def command(self, kind: Kind, dataset: str | None = None) -> Command:
        """The command for a data set."""
        return self.commands[kind]

    # Folders of runs -------------------------------------------------------------------------------------------------

    def experiments(self, options: Any) -> Path:
        """The folder that holds the experiments."""
        folder = options.experiments / self.family
        return folder / (options.dataset or USUAL_DATASET) if self.folder_per_dataset else folder

    def search_folder(self, options: Search) -> Path:
        """The experiment folder of a search."""
        parts = ["search", METHODS[options.method].script_name, self.label, str(options.seed)]
        parts += [] if self.folder_per_dataset or options.dataset == USUAL_DATASET else [options.dataset]
        parts += [options.size] if options.size else []
        return self.experiments(options) / "-".join((*parts, *options.tags))

    def training_folder(self, options: Any) -> Path | None:
        """The experiment folder of a training from scratch; None if it depends on a selection that is still to be run."""
        parts = [options.arch.replace("/", "+"), options.dataset, str(options.seed), *options.tags]
        return self.experiments(options) / "eval" / "-".join(parts)

    def with_dataset(self, options: Selection) -> Selection:
        """`options` with the data set of the search that they name, if only its folder shows it."""
        return options

    def recognises(self, arch: str, experiments: Path) -> bool:
        """True if `arch` names an architecture or an experiment of this family."""
        return os.path.exists(experiments / self.family / arch) or bool(self.scripts and f"-{self.scripts}-" in arch)

    # Options ---------------------------------------------------------------------------------------------------------

    def preset(self, options: Any) -> Preset:
        """Values for the options that neither the user nor the search has set, by data set and size."""
        presets = self.training_presets if hasattr(options, "arch") else self.search_presets
        preset = presets.get(options.dataset or USUAL_DATASET, presets[USUAL_DATASET])
        return {**preset, **self.size_presets[options.size]} if options.size else preset

    def training_options(self, dataset: str) -> Preset:
        """Options of plans and paper.sh for a training on a data set, besides the command's defaults."""
        return {}

    @abstractmethod
    def criteria(self, options: Selection) -> tuple[dict[str, Criterion], dict[str, Criterion]]:
        """The criteria of operation events and of topology events, by cell type."""

    # Supernets and genotypes -----------------------------------------------------------------------------------------

    @abstractmethod
    def supernet(
        self, options: Search | Selection, num_classes: int, generators: Generators, **settings: Any
    ) -> Supernet:
        """A fresh supernet, whose random operations draw from `generators`.

        Args:
            settings: the options that the search method declares `for_supernet`, such as PC-DARTS's `partial_channels`.
        """

    def sizes(self, state_dict: Mapping[str, Tensor], path: Path) -> dict[str, Any]:
        """The size options of the supernet in a checkpoint without config.json.

        Raises:
            UserError: the checkpoint is of another space.
        """
        return {}

    def plain(self, genotype: Any) -> dict[str, Any]:
        """The content of genotype.json."""
        return {"space": self.name, "genotype": str(genotype)}

    def look_up(self, genotype: Any, dataset: str) -> dict[str, Any]:
        """True accuracies of a genotype and other named numbers from a benchmark table; empty without a table."""
        return {}

    def has_table(self, dataset: str) -> bool:
        """True if there is a benchmark table for a data set."""
        return False

    def true_accuracies(self, dataset: str) -> Sequence[float]:
        """The test accuracies of all architectures of the table; empty without one."""
        return ()

    # Training from scratch -------------------------------------------------------------------------------------------

    def architecture(self, options: Any) -> str:
        """The text of the genotype that the options name, by a file or an experiment.

        Raises:
            UserError: there is no such genotype of this space.
        """
        chosen = find_genotype(options.arch, [self.experiments(options), Path()])
        genotype = read_genotype(chosen.path, self.name) if chosen else None
        if not isinstance(genotype, str):
            where = self.experiments(options)
            raise UserError(f"{options.arch} is neither a genotype file of {self.title} nor an experiment in {where}")
        return genotype

    def network(self, options: Any, architecture: str, num_classes: int) -> EvaluationNetwork:
        """The network of an architecture."""
        raise NotImplementedError

    def recipe(self, options: Any) -> Preset:
        """Arguments of a training that are not options of every space (fields of TrainingOptions)."""
        return {}

    def description(self, options: Any, architecture: str) -> dict[str, Any]:
        """The architecture in the summary of its training."""
        return {"architecture": architecture}

    # Drawings --------------------------------------------------------------------------------------------------------

    def cells(self, genotype: Any) -> Mapping[str, Sequence[tuple[int, int, str]]]:
        """Title of each cell -> its edges (source, target, operation), of a genotype or its text; empty if unknown."""
        return {}

    def draw(self, genotype: Any, path: Path) -> None:
        """Draw a genotype, or its text, into `path` (SVG, PNG or PDF).

        Raises:
            UserError: it cannot be drawn.
        """
        from darts_pt.drawing import save_drawing

        save_drawing(self.drawable(genotype), path, description=str(genotype))

    def drawable(self, genotype: Any) -> dict[str, Cell]:
        """The cells to draw by title; raises UserError if there are none."""
        cells = self.cells(genotype)
        if not cells:
            raise UserError(f"{self.title}: its genotypes cannot be drawn")
        return {title: self.cell(edges) for title, edges in cells.items()}

    def cell(self, edges: Sequence[tuple[int, int, str]]) -> Cell:
        """A cell to draw, of (source, target, operation)."""
        from darts_pt.drawing import Cell

        targets = {target for _, target, _ in edges}
        inputs = {source: "input" for source, _, _ in edges if source not in targets}
        return Cell(edges, inputs | {max(targets): "output"})

    def finish(self, genotype: Any, folder: Path) -> None:
        """Called when a search or a selection has written its genotype into `folder`."""
        for suffix in self.drawings:
            self.draw(genotype, folder / f"cells.{suffix}")


# The registry --------------------------------------------------------------------------------------------------------


class Spaces(Mapping[str, "SearchSpace[Any, Any]"]):
    """Name -> space, of every folder beside darts_pt with a space.py, and of installed packages."""

    @cached_property
    def _found(self) -> dict[str, SearchSpace[Any, Any]]:
        found: dict[str, SearchSpace[Any, Any]] = {}
        for name in space_modules():
            found |= getattr(importlib.import_module(name), "SPACES", {})
        return found

    def __getitem__(self, name: str) -> SearchSpace[Any, Any]:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def families(self) -> dict[str, SearchSpace[Any, Any]]:
        """Family -> one of its spaces."""
        found: dict[str, SearchSpace[Any, Any]] = {}
        for space in self.values():
            found.setdefault(space.family, space)
        return found


SPACES = Spaces()
