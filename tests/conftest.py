"""Fixtures of all tests: real data of a size that costs nothing, and an experiment to run in."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from darts_pt.commands.help_page import SCRIPT
from darts_pt.data.data_set import DataSet
from darts_pt.data.sources import load
from darts_pt.run.experiment import Experiment
from tests.helpers import hostile
from tests.helpers.command_line import refused

settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("repeatable")
torch.set_num_threads(1)
os.environ.pop(SCRIPT, None)  # test.sh sets it for the commands that it stands for, and tests start others.

GOLDEN = Path(__file__).resolve().parents[1].parent / "shared" / "golden"
"""Where the originals of the records and their checkpoints are, on the machines that have them."""
RECORDS = Path(__file__).with_name("records")
"""Smaller ones that come with the code."""


@pytest.fixture(scope="session")
def digits() -> DataSet:
    """scikit-learn's 1,797 handwritten digits, all of them."""
    return load("digits")


@pytest.fixture(scope="session")
def few_digits(digits: DataSet) -> DataSet:
    """96 digits to train on (two halves of 48) and 40 to test."""
    return dataclasses.replace(digits, train=digits.train[:96], test=digits.test[:40])


@pytest.fixture
def experiment(tmp_path: Path) -> Iterator[Experiment]:
    """An open experiment in an empty folder, without TensorBoard (whose import takes seconds)."""
    with Experiment(tmp_path / "experiment", {"seed": 0}, tensorboard=False) as opened:
        yield opened


@pytest.fixture(scope="session")
def records() -> Path:
    """The folder of the records that come with the code."""
    return RECORDS


@pytest.fixture
def golden() -> Path:
    """The folder of the original's records; without it the test is skipped."""
    if not GOLDEN.is_dir():
        pytest.skip(f"the original's records are not at hand: {GOLDEN} is not a folder")
    return GOLDEN


@pytest.fixture
def refuse(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> hostile.Refuse:
    """Check that a command refuses in one line and changes nothing in the present folder, which is `tmp_path`."""
    monkeypatch.chdir(tmp_path)

    def check(command: Callable[..., object], *arguments: object) -> str:
        record_property("inputs", 1)
        before = hostile.contents(tmp_path)
        said = refused(capsys, command, *arguments)
        assert said.startswith("error: ")
        assert len(said) < 1000
        assert "Traceback" not in said
        assert hostile.contents(tmp_path) == before
        return said

    return check


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many hostile inputs were refused in one line; a test that does not record them has one."""
    passed = [report for report in terminalreporter.stats.get("passed", []) if "hostile" in report.keywords]
    counts = [[count for name, count in report.user_properties if name == "inputs"] or [1] for report in passed]
    if number := sum(map(sum, counts)):
        terminalreporter.write_line(f"{number} hostile inputs refused in one line")
