"""What a run says: to its log file and to the screen, from all modules of the project."""

from __future__ import annotations

import contextlib
import logging
import sys
from pathlib import Path
from typing import Any

from darts_pt.run.files import named
from darts_pt.run.provenance import PACKAGES


class Logs:
    """While open, what the project's modules log goes to a file and to standard output.

    A file that cannot be written (a full disk) raises OSError where something was logged: a run whose log is lost
    stops. A screen that is gone does not stop it.
    """

    def __init__(self, path: Path, logger: logging.Logger) -> None:
        """`logger`: whose handlers tell whether another open log already writes to the screen."""
        file = _LogFile(path, encoding="utf-8")
        file.setFormatter(_Formatter("%(asctime)s %(message)s"))
        self._handlers: list[logging.Handler] = [file]
        screen = _ScreenHandler()
        screen.setFormatter(_Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        if not any(isinstance(other, _ScreenHandler) for other in logger.handlers):
            self._handlers.append(screen)
        for handler in self._handlers:
            for name in PACKAGES:
                package = logging.getLogger(name)
                package.setLevel(logging.INFO)
                package.addHandler(handler)
                package.propagate = False  # A library's handler on the root logger must not say it all again.

    def tell_file(self, logger: logging.Logger, message: str) -> None:
        """A last line for the file alone; a file that cannot be written must not hide why the run ended."""
        if self._handlers:
            record = logging.LogRecord(logger.name, logging.ERROR, __file__, 0, "%s", (message,), None)
            with contextlib.suppress(OSError):
                self._handlers[0].handle(record)

    def close(self) -> None:
        """Ends it; more than once does no harm."""
        for handler in self._handlers:
            for name in PACKAGES:
                package = logging.getLogger(name)
                package.removeHandler(handler)
                package.propagate = not package.handlers
            with contextlib.suppress(OSError):  # what a full disk did not take
                handler.close()
        self._handlers = []


class _LogFile(logging.FileHandler):
    """Does not swallow that the disk is full, as logging's own does after printing a traceback."""

    def emit(self, record: logging.LogRecord) -> None:
        with named(Path(self.baseFilename)):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        raise  # noqa: PLE0704 - logging calls this where it has caught the error


class _ScreenHandler(logging.StreamHandler):
    """Writes to what sys.stdout is at that moment, so that lines go above a progress bar and not into it."""

    @property
    def stream(self) -> Any:
        return sys.stdout

    @stream.setter
    def stream(self, _: Any) -> None:
        pass

    def handleError(self, record: logging.LogRecord) -> None:
        """A reader that has seen enough ends the run, as it does any command; another failure leaves the log file."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError) or isinstance(error, BrokenPipeError):
            raise  # noqa: PLE0704 - likewise


class _Formatter(logging.Formatter):
    """Says the level where it matters."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.levelno < logging.WARNING else text.replace(record.message, f"warning: {record.message}")
