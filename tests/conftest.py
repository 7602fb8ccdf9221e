"""Fixtures of all tests: real data of a size that costs nothing, and an experiment to run in."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from darts_pt.commands.help_page import SCRIPT
from darts_pt.data.data_set import DataSet
from darts_pt.data.sources import load
from darts_pt.run.experiment import Experiment
from tests.helpers import hostile

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
    return dataclasses.replace(
        digits,
        train=digits.train[:96],
        test=digits.test[:40],
    )


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
def refuse(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> hostile.Refuse:
    """Check that a command refuses in one line and changes nothing in the present folder, which is `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    return functools.partial(hostile.refused_unchanged, capsys, tmp_path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Report how many hostile inputs a test has tried, also from the processes of pytest-xdist."""
    report = yield
    if report.when == "call" and "hostile" in report.keywords:
        report.user_properties.append(("inputs", hostile.inputs.get(item.nodeid, 1)))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many hostile inputs were refused in one line."""
    passed = terminalreporter.stats.get("passed", [])
    number = sum(count for report in passed for name, count in report.user_properties if name == "inputs")
    if number:
        terminalreporter.write_line(f"{number} hostile inputs refused in one line")
