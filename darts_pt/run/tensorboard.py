"""TensorBoard's event files, written at once and by this thread, so that an error is an error of the run.

torch's SummaryWriter writes them from a thread of its own, which prints a traceback where the disk is full, and costs
seconds to import.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

from darts_pt.run.files import WholeFile, named


class Board:
    """Scalars in an event file of its own in `folder`."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads the files of a folder in the order of their names.
        name = f"events.out.tfevents.{time.time_ns():020d}.{socket.gethostname()}.{os.getpid()}"
        self._path = folder / name
        self._file = WholeFile(self._path)
        self._records: Any = RecordWriter(self._file)
        self._write(file_version="brain.Event:2")

    def add(self, scalars: dict[str, float], step: int) -> None:
        """Draw numbers by name at a step."""
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[attr-defined]

        values = [Summary.Value(tag=name, simple_value=value) for name, value in scalars.items()]
        self._write(step=step, summary=Summary(value=values))

    def _write(self, **content: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[attr-defined]

        with named(self._path):
            self._records.write(Event(wall_time=time.time(), **content).SerializeToString())

    def close(self) -> None:
        """Ends the file; more than once does no harm."""
        self._file.close()
