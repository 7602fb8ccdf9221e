"""TensorBoard's event files, written immediately and in this thread, so that a full disk ends the run.

torch's SummaryWriter writes in its own thread, which prints a traceback if the disk is full, and takes seconds to import.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

from darts_pt.run.files import UnbufferedFile, path_in_errors


class TensorBoardWriter:
    """Writes scalars to a new event file in `folder`."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads the files of a folder in alphabetical order.
        name = f"events.out.tfevents.{time.time_ns():020d}.{socket.gethostname()}.{os.getpid()}"
        self._path = folder / name
        self._file = UnbufferedFile(self._path)
        self._records: Any = RecordWriter(self._file)
        self._write(file_version="brain.Event:2")

    def add(self, scalars: dict[str, float], step: int) -> None:
        """Add numbers by name at a step."""
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[attr-defined]

        values = [Summary.Value(tag=name, simple_value=value) for name, value in scalars.items()]
        self._write(step=step, summary=Summary(value=values))

    def _write(self, **content: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[attr-defined]

        with path_in_errors(self._path):
            self._records.write(Event(wall_time=time.time(), **content).SerializeToString())

    def close(self) -> None:
        """May be called more than once."""
        self._file.close()
