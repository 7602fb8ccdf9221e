"""The status of a sweep on a terminal."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any, cast

from rich.console import Console

from sweep.jobs import Graph
from sweep.status import Status


def test_what_is_done_running_and_waiting_stands_on_one_line() -> None:
    """Also while no job is shown below it, whose name would make the table wide."""
    jobs: list[Any] = [SimpleNamespace(name=f"job {number}") for number in range(3)]
    console = Console(width=80, file=io.StringIO())
    console.print(Status(cast(Graph, SimpleNamespace(jobs=jobs)))._table())
    first, *_ = cast(io.StringIO, console.file).getvalue().splitlines()
    assert first.strip() == "0 done, 0 running, 3 waiting; 0 s"
