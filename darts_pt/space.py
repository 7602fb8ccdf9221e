"""What the commands ask of a search space."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from darts_pt.commands.options import SearchOptions, SelectionOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from darts_pt.run.device import Generators
    from darts_pt.selection import Criterion
    from darts_pt.supernet import Supernet

Search = TypeVar("Search", bound=SearchOptions)
Selection = TypeVar("Selection", bound=SelectionOptions)


class SearchSpace(ABC, Generic[Search, Selection]):
    """A space in the hands of a command: where its experiments are, its supernets, what is known of its genotypes."""

    evaluates_test = False
    """Whether a search evaluates the test set after each epoch."""
    paper_epochs: int
    """Epochs of the paper's search: what the original's checkpoints, which come without options, are selected from."""

    @abstractmethod
    def search_folder(self, options: Search) -> Path:
        """The experiment folder of a search."""

    @abstractmethod
    def experiments(self, options: Search | Selection) -> Path:
        """The folder in which `--resume_expid` is looked for."""

    @abstractmethod
    def supernet(self, options: Search | Selection, num_classes: int, generators: Generators) -> Supernet:
        """A fresh supernet; whatever is random in it draws from `generators`."""

    @abstractmethod
    def preset(self, options: Search | Selection) -> Mapping[str, Any]:
        """The values of the options that neither the user nor the search has set; they depend on the data set."""

    @abstractmethod
    def sizes(self, state_dict: Mapping[str, Tensor], path: Path) -> dict[str, Any]:
        """The size options of the supernet that a checkpoint holds, for checkpoints that come without a configuration.

        Raises:
            UserError: the checkpoint is of another space.
        """

    @abstractmethod
    def criteria(self, options: Selection) -> tuple[dict[str, Criterion], dict[str, Criterion]]:
        """Per cell type, what PT compares in operation events and in topology events."""

    @abstractmethod
    def plain(self, genotype: Any) -> dict[str, Any]:
        """A genotype as the content of genotype.json."""

    def look_up(self, genotype: Any, dataset: str) -> dict[str, Any]:
        """What a benchmark table knows of a genotype, as named numbers; empty where there is no table."""
        return {}

    def finish(self, genotype: Any, folder: Path) -> None:
        """Called when a search or a selection has its genotype and has written it into `folder`."""
