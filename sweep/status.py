"""What a sweep shows while it runs: on a terminal a live table, elsewhere a line for everything that happens."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sweep.jobs import Graph, Job, epochs_done
from sweep.worker import Outcome

MOST_ROWS = 16
"""Running jobs that are shown at once."""
REFRESH_SECONDS = 2.0


class Status:
    """Follows the jobs of a sweep; use it in a `with` statement."""

    def __init__(self, graph: Graph) -> None:
        self._stream = sys.stdout
        self._jobs: Mapping[str, Job] = {job.name: job for job in graph.jobs}
        self._ended: dict[str, Outcome] = {}
        self._running: dict[str, tuple[str, float]] = {}
        self._attempts: Counter[str] = Counter()
        self._waits: dict[str, str] = {}
        self._start = time.monotonic()
        self._refreshed = 0.0
        self._live: Any = None

    def __enter__(self) -> Status:
        if self._stream.isatty() and os.environ.get("TERM", "dumb") != "dumb":
            from rich.console import Console
            from rich.live import Live

            console = Console(file=self._stream)
            self._live = Live(
                console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
            )
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def said(self, name: str, node: str, text: str) -> None:
        """A worker says that it has started on a job (no text), or what it waits for."""
        if text:
            self._waits[name] = text
            self._print(f"{name} waits: {text}")
            return
        if name in self._ended:
            return
        self._attempts[name] += 1
        self._running[name] = (node, time.monotonic())
        again = f", attempt {self._attempts[name]}: goes on from its checkpoint" if self._attempts[name] > 1 else ""
        self._print(f"started {name} on {node}{again}")

    def ended(self, outcome: Outcome, before: bool = False) -> None:
        """A job has ended, now or before this sweep."""
        self._running.pop(outcome.job, None)
        self._ended[outcome.job] = outcome
        reason = f": {outcome.reason}" if outcome.reason else ""
        took = f" in {duration(outcome.seconds)}" if outcome.seconds and outcome.state == "done" else ""
        what = f"{outcome.state}{' before' if before else ''} {outcome.job}{took}{reason}"
        self._print(f"{what} ({len(self._ended)} of {len(self._jobs)})")

    def tick(self) -> None:
        """Time has passed."""
        if self._live is not None and time.monotonic() - self._refreshed >= REFRESH_SECONDS:
            self._refreshed = time.monotonic()
            self._live.update(self._table(), refresh=True)

    def stopping(self) -> None:
        """The sweep has been asked to stop."""
        self._print(f"stopping: {len(self._running)} running jobs save themselves; Ctrl-C again ends at once")

    def _print(self, text: str) -> None:
        line = f"{datetime.now():%H:%M:%S} {text}"
        if self._live is not None:
            self._live.console.print(line, markup=False, highlight=False)
        else:
            print(line, file=self._stream, flush=True)

    def _table(self) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        counts = Counter(outcome.state for outcome in self._ended.values())
        waiting = len(self._jobs) - len(self._ended) - len(self._running)
        parts = [f"{counts['done']} done", f"{len(self._running)} running", f"{waiting} waiting"]
        parts += [f"{counts[state]} {state}" for state in ("failed", "skipped") if counts[state]]
        # Above the table, not its title, which would be wrapped to the width of the rows.
        head = Text(f"{', '.join(parts)}; {duration(time.monotonic() - self._start)}", style="italic")
        table = Table(box=None)
        for column in ("running", "node", "for", "epoch"):
            table.add_column(column, no_wrap=True)
        for name, (node, since) in list(self._running.items())[:MOST_ROWS]:
            table.add_row(name, node, duration(time.monotonic() - since), self._epoch(self._jobs[name]))
        if len(self._running) > MOST_ROWS:
            table.add_row(f"and {len(self._running) - MOST_ROWS} more", "", "", "")
        return Group(head, table)

    def _epoch(self, job: Job) -> str:
        done = epochs_done(job.folder) if job.folder else None
        if done is None:
            return ""
        planned = job.options.epochs if job.stage != "select" else None
        return f"{done}/{planned}" if planned else str(done)


def duration(seconds: float) -> str:
    """`42 s`, `3.5 min`, `2.1 h`, `4.0 d`."""
    for unit, length in (("d", 172800.0), ("h", 7200.0), ("min", 120.0)):
        if seconds >= length:
            return f"{seconds / {'d': 86400.0, 'h': 3600.0, 'min': 60.0}[unit]:.1f} {unit}"
    return f"{seconds:.0f} s"
