"""Make runs in this process: a finished run is reused, an interrupted one continued, a missing one started."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from runs.run import Run, space_of

ADVICE = "move it away, or give other --experiments"


def make(run: Run) -> None:
    """Start or continue the run, to its end."""
    space, options = space_of(run), run.next_options
    if run.kind == "search":
        from darts_pt.commands.search import run_search

        run_search(space, options)
    elif run.kind == "selection":
        from darts_pt.commands.selection import run_selection

        run_selection(space, options)
    else:
        from darts_pt.commands.training import train

        train(space, options)


def complete(run: Run) -> None:
    """Make a run and the runs it starts from, as far as they are missing."""
    if run.source is not None:
        complete(run.source)
    if not run.is_done:
        make(run)


@dataclass
class Runner:
    """Gets runs: makes missing ones, or only finds runs, or only lists what it would make.

    Attributes:
        may_run: whether missing runs are made.
        planned: if it is a list, nothing is made; the list gets the commands instead, and after a # what has no command.
        used: the folders of the runs that were found or made, in order.
    """

    may_run: bool = True
    planned: list[str] | None = None
    used: list[Path] = field(default_factory=list)

    def get(self, run: Run) -> Run | None:
        """The run, once it has ended; None if it is missing and may not be made. A planned run counts as made."""
        run.check_options(ADVICE)
        line = shlex.join(run.command())
        there = self.obtain(lambda: run.folder, lambda: run.is_done, lambda: make(run), line)
        return run if there else None

    def obtain(
        self, folder: Callable[[], Path | None], is_done: Callable[[], bool], make: Callable[[], object], line: str
    ) -> bool:
        """The same for anything that writes a folder; `line` describes it in a plan."""
        if not is_done():
            if self.planned is not None:
                self.planned += [line] if line not in self.planned else []
                return True
            if not self.may_run:
                return False
            make()
        found = folder()
        if found is not None and found not in self.used:
            self.used.append(found)
        return True
