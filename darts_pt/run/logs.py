"""Logging of a run, from all modules of the project to its log file and to the screen, and progress of long loops."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from darts_pt.run.files import path_in_errors
from darts_pt.run.provenance import packages

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

Item = TypeVar("Item")

LINES = 10
"""Without a terminal a loop of known length logs at most this many lines …"""
QUIET_SECONDS = 10.0
"""… and never two within this time: short loops log nothing."""


class Logs:
    """While open, sends what the project's modules log to a file and to standard output.

    If the file cannot be written (a full disk), the logging call raises OSError and the run stops. A screen that is gone
    does not stop it.
    """

    def __init__(self, path: Path | None, logger: logging.Logger, screen: bool = True) -> None:
        """`logger`: its handlers show whether another open log already writes to the screen."""
        self._packages = [logging.getLogger(name) for name in packages()]
        self._handlers: list[logging.Handler] = []
        if path is not None:
            self._handlers.append(_LogFile(path, encoding="utf-8"))
            self._handlers[0].setFormatter(_Formatter("%(asctime)s %(message)s"))
        if screen and not any(isinstance(other, _ScreenHandler) for other in logger.handlers):
            self._handlers.append(_ScreenHandler())
            self._handlers[-1].setFormatter(_Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        for handler in self._handlers:
            for package in self._packages:
                package.setLevel(logging.INFO)
                package.addHandler(handler)
                package.propagate = False  # Or a library's handler on the root logger repeats it all.

    def tell_file(self, logger: logging.Logger, message: str) -> None:
        """Write a last line to the file alone; a full disk must not hide why the run ended."""
        if self._handlers:
            record = logging.LogRecord(logger.name, logging.ERROR, __file__, 0, "%s", (message,), None)
            with contextlib.suppress(OSError):
                self._handlers[0].handle(record)

    def close(self) -> None:
        """Stop logging; may be called more than once."""
        for handler in self._handlers:
            for package in self._packages:
                package.removeHandler(handler)
                package.propagate = not package.handlers
            with contextlib.suppress(OSError):  # what a full disk did not take
                handler.close()
        self._handlers = []


class _LogFile(logging.FileHandler):
    """Raises when the disk is full; logging's own handler prints a traceback and goes on."""

    def emit(self, record: logging.LogRecord) -> None:
        with path_in_errors(Path(self.baseFilename)):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        raise  # noqa: PLE0704 - logging calls this from its except clause


class _ScreenHandler(logging.StreamHandler):
    """Writes to the present sys.stdout, which a progress bar replaces so that lines go above it."""

    @property
    def stream(self) -> Any:
        return sys.stdout

    @stream.setter
    def stream(self, _: Any) -> None:
        pass

    lowest: ClassVar[int] = logging.INFO
    """Records below this level are for the log files alone."""

    def filter(self, record: logging.LogRecord) -> Any:
        return record.levelno >= self.lowest and super().filter(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """A closed pipe ends the run, as it does any command; on another failure the log file is enough."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError) or isinstance(error, BrokenPipeError):
            raise  # noqa: PLE0704 - as above


@contextlib.contextmanager
def warnings_only() -> Iterator[None]:
    """Inside, runs show only warnings on the screen; their log files have everything."""
    before, _ScreenHandler.lowest = _ScreenHandler.lowest, logging.WARNING
    try:
        yield
    finally:
        _ScreenHandler.lowest = before


class _Formatter(logging.Formatter):
    """Marks warnings."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.levelno < logging.WARNING else text.replace(record.message, f"warning: {record.message}")


def duration(seconds: float) -> str:
    """In the unit that suits it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = [[cell.rjust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return [
        "  ".join([row[0].ljust(widths[0]), *others]).rstrip() for row, (_, *others) in zip(rows, padded, strict=True)
    ]


class Progress:
    """Shows the progress of loops, nested ones included: bars on a terminal, a plain line now and then elsewhere."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._bars: RichProgress | None = None
        self._running = 0

    def __call__(self, iterable: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
        """Yield the items of `iterable`; `total` is its length if it has no `len`."""
        if total is None and isinstance(iterable, Sized):
            total = len(iterable)
        if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
            return self._with_bar(iterable, description, total)
        return self._with_lines(iterable, description, total)

    def _with_bar(self, iterable: Iterable[Item], description: str, total: int | None) -> Iterator[Item]:
        bars = self._started()
        task = bars.add_task(description, total=total)
        self._running += 1
        try:
            for item in iterable:
                yield item
                bars.advance(task)
        finally:
            bars.remove_task(task)
            self._running -= 1
            if self._running == 0 and bars is self._bars:
                self.stop()

    def _started(self) -> RichProgress:
        if self._bars is None:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            self._bars = Progress(*columns, transient=True, refresh_per_second=4)
            self._bars.start()
        return self._bars

    def stop(self) -> None:
        """Remove the bars from the terminal, also after an exception left a loop."""
        if self._bars is not None:
            bars, self._bars, self._running = self._bars, None, 0
            bars.stop()

    def _with_lines(self, iterable: Iterable[Item], description: str, total: int | None) -> Iterator[Item]:
        begin = last = time.monotonic()
        step = max(1, -(-total // LINES)) if total else 1
        for count, item in enumerate(iterable, start=1):
            yield item
            now = time.monotonic()
            if count % step == 0 and now - last >= QUIET_SECONDS:
                last = now
                share = f"{count}/{total} ({100 * count // total} %)" if total else str(count)
                self._logger.info("%s: %s after %.0f s", description, share, now - begin)


class SilentProgress(Progress):
    """Shows nothing."""

    def __call__(self, iterable: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
        return iter(iterable)


SILENT = SilentProgress(logging.getLogger(__name__))
