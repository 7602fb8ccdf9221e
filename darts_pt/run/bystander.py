"""The experiment folder for the ranks that do not write into it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from darts_pt.run.experiment import Experiment
from darts_pt.run.progress import Item, Progress


class Bystander(Experiment):
    """Has an experiment's folder, and takes what one is told; the first rank locks, writes and shows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = logging.getLogger("darts_pt.run.bystander")
        self.log.disabled = True
        self.progress = _Unseen(self.log)

    def record(self, kind: str, values: Mapping[str, Any], *, epoch: int, step: int | None = None) -> None:
        """Does nothing."""

    @property
    def metrics_size(self) -> int:
        """Of no meaning: this rank writes no checkpoints."""
        return 0

    def sync(self) -> None:
        """Does nothing."""

    def rewind(self, metrics_size: int) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class _Unseen(Progress):
    def __call__(self, iterable: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
        return iter(iterable)
