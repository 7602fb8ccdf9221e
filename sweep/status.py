"""The status of a running sweep: a live table on a terminal, otherwise a line for every event."""

from __future__ import annotations

import sys
import time
from collections import Counter
from datetime import datetime

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from darts_pt.run.logs import duration
from sweep import jobs
from sweep.worker import Outcome

MOST_ROWS = 16
"""Running jobs that are shown at once."""
REFRESH_SECONDS = 2.0


class Status:
    """Follows the jobs of a sweep; use it in a `with` statement."""

    def __init__(self, graph: jobs.Graph) -> None:
        self._jobs = {job.name: job for job in graph.jobs}
        self._ended: dict[str, Outcome] = {}
        self._running: dict[str, tuple[str, float]] = {}
        self._attempts: Counter[str] = Counter()
        self._start = time.monotonic()
        self._console = Console(file=sys.stdout)
        self._live = Live(
            console=self._console, get_renderable=self._table, refresh_per_second=1 / REFRESH_SECONDS, transient=True
        )

    def __enter__(self) -> Status:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def said(self, name: str, node: str, text: str) -> None:
        """A worker has started a job (no text), or says what it waits for."""
        if text:
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

    def stopping(self) -> None:
        """The sweep has been asked to stop."""
        self._print(f"stopping: {len(self._running)} running jobs save themselves; Ctrl-C again ends at once")

    def _print(self, text: str) -> None:
        line = f"{datetime.now():%H:%M:%S} {text}"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _table(self) -> Group:
        running = list(self._running.items())
        counts = Counter(outcome.state for outcome in list(self._ended.values()))
        waiting = len(self._jobs) - counts.total() - len(running)
        parts = [f"{counts['done']} done", f"{len(running)} running", f"{waiting} waiting"]
        parts += [f"{counts[state]} {state}" for state in ("failed", "skipped") if counts[state]]
        # Above the table, not its title, which would be wrapped to the width of the rows.
        head = Text(f"{', '.join(parts)}; {duration(time.monotonic() - self._start)}", style="italic")
        table = Table(box=None)
        for column in ("running", "node", "for", "epoch"):
            table.add_column(column, no_wrap=True)
        for name, (node, since) in running[:MOST_ROWS]:
            table.add_row(name, node, duration(time.monotonic() - since), _epoch(self._jobs[name]))
        if len(running) > MOST_ROWS:
            table.add_row(f"and {len(running) - MOST_ROWS} more")
        return Group(head, table)


def _epoch(job: jobs.Job) -> str:
    done = jobs.epochs_done(job.folder) if job.folder else None
    if done is None or job.stage == "select":
        return "" if done is None else str(done)
    return f"{done}/{job.options.epochs}"
