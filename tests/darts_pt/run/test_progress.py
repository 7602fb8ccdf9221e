"""Progress of loops."""

from __future__ import annotations

import io
import logging
import sys
import time

import pytest

from darts_pt.run.logs import Progress

logger = logging.getLogger("tests.progress")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def loop(progress: Progress, clock: list[float], items: int, seconds_each: float, total: int | None = None) -> None:
    for _ in progress(range(items) if total is None else iter(range(items)), "epoch 1", total):
        clock[0] += seconds_each


def test_the_items_come_through() -> None:
    progress = Progress(logger)
    assert list(progress([3, 1, 2], "loop")) == [3, 1, 2]
    assert list(progress(iter("abc"), "loop")) == ["a", "b", "c"]
    assert list(progress([], "loop")) == []


def test_long_loops_tell_how_far_they_are(caplog: pytest.LogCaptureFixture, clock: list[float]) -> None:
    caplog.set_level(logging.INFO)
    loop(Progress(logger), clock, 100, 2.0)
    assert caplog.messages[0] == "epoch 1: 10/100 (10 %) after 20 s"
    assert len(caplog.messages) == 10


def test_short_loops_say_nothing(caplog: pytest.LogCaptureFixture, clock: list[float]) -> None:
    caplog.set_level(logging.INFO)
    loop(Progress(logger), clock, 100, 0.05)
    assert caplog.messages == []


def test_loops_of_unknown_length_speak_at_intervals(caplog: pytest.LogCaptureFixture, clock: list[float]) -> None:
    caplog.set_level(logging.INFO)
    for _ in Progress(logger)(iter(range(30)), "loop"):
        clock[0] += 1
    assert caplog.messages == ["loop: 10 after 10 s", "loop: 20 after 20 s", "loop: 30 after 30 s"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_there_are_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    progress = Progress(logger)
    for outer in progress(range(2), "outer"):
        for _ in progress(range(3), "inner [x]"):
            assert progress._bars is not None
            progress._bars.refresh()
        assert outer in (0, 1)
    assert progress._bars is None, "the bars go when the last loop ends"
    assert "outer" in terminal.getvalue()
    assert "inner [x]" in terminal.getvalue()


def test_bars_go_when_a_loop_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    progress = Progress(logger)
    for _ in progress(range(3), "loop"):
        break
    progress.stop()
    assert progress._bars is None
    assert list(progress(range(3), "again")) == [0, 1, 2]
