"""An experiment that accepts every call and writes nothing, for all ranks except the first."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from darts_pt.run.experiment import Experiment
from darts_pt.run.logs import SilentProgress


class SilentExperiment(Experiment):
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = logging.getLogger("darts_pt.silent")
        self.log.disabled = True
        self.progress = SilentProgress(self.log)

    def record(self, kind: str, values: Mapping[str, Any], *, epoch: int, step: int | None = None) -> None: ...

    @property
    def metrics_size(self) -> int:
        return 0

    def sync(self) -> None: ...

    def rewind(self, metrics_size: int) -> None: ...

    def close(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
