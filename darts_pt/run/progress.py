"""Progress of long loops: bars on a terminal, now and then a plain line elsewhere."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

Item = TypeVar("Item")

LINES = 10
"""Without a terminal a loop of known length says at most this often how far it is …"""
QUIET_SECONDS = 10.0
"""… and never sooner than this after its last line: short loops say nothing."""


class Progress:
    """Shows how far loops are; loops may be nested."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._bars: RichProgress | None = None
        self._running = 0

    def __call__(self, iterable: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
        """The items of `iterable`; `total` is its length where it cannot tell that itself."""
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
        """Takes the bars off the terminal, also where a loop was left by an exception."""
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
