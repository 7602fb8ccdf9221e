"""The messages of a run: what it is, how long it will take, what won an event, and a genotype only when it has changed."""

from __future__ import annotations

import itertools
import logging
import re
from pathlib import Path

import pytest

from darts_pt.data.data_set import DataSet
from darts_pt.run import logs, loop
from darts_pt.run.epoch import Metrics
from darts_pt.run.experiment import Experiment
from darts_pt.run.logs import aligned, duration, warnings_only
from darts_pt.run.saver import Saver
from darts_pt.run.scores import log_scores
from darts_pt.search_loop import search
from darts_pt.selection import select
from darts_pt.selections.pt import PerturbationRule, by_perturbation
from tests.helpers.nasbench201 import search as type_search
from tests.helpers.nasbench201 import select as type_select
from tests.helpers.toy import criteria, toy_training

SCORES = [Metrics(50.004, 1.23456), Metrics(40.0, 1.5), Metrics(40.0, 1.25)]


def logged(caplog: pytest.LogCaptureFixture, tmp_path: Path, by: str, chosen: int, fate: str) -> list[str]:
    experiment = Experiment(tmp_path / "run", {}, tensorboard=False)
    with experiment, caplog.at_level(logging.INFO):
        logging.getLogger("darts_pt").addHandler(caplog.handler)
        log_scores(experiment, "supernet without …", ["none", "skip", "conv"], SCORES, chosen, by, fate)
        logging.getLogger("darts_pt").removeHandler(caplog.handler)
    return [line for line in dict.fromkeys(caplog.messages) if line.startswith((" ", "supernet"))]


def test_an_events_table_has_two_decimals_and_marks_the_winner(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    assert logged(caplog, tmp_path, "loss", 1, "kept") == [
        "supernet without …",
        "        accuracy    loss",
        "  none     50.00  1.2346",
        "  skip     40.00  1.5000  kept",
        "  conv     40.00  1.2500",
    ]


@pytest.mark.parametrize(("chosen", "fate", "which"), [(1, "kept", "first"), (2, "dropped", "last")])
def test_ties_are_said(caplog: pytest.LogCaptureFixture, tmp_path: Path, chosen: int, fate: str, which: str) -> None:
    assert (
        logged(caplog, tmp_path, "accuracy", chosen, fate)[-1]
        == f"  tie in accuracy: skip, conv; the {which} is {fate}"
    )


@pytest.mark.parametrize("shortest", [0.0, 1000.0])
def test_the_time_that_is_left_is_said_once(
    few_digits: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shortest: float
) -> None:
    """After the first epoch; if that is so short that starting up is most of it, after the next that can tell."""
    monkeypatch.setattr(loop, "START_UP", shortest)
    for name in ("search", "selection"):
        training = toy_training(few_digits, epochs=4 if name == "search" else None, batch_size=48)
        with (
            Experiment(tmp_path / name, {}, tensorboard=False) as experiment,
            Saver(training, experiment, "--resume_epoch") as saver,
        ):
            if name == "search":
                search(training, saver, 4)
            else:
                select(training, PerturbationRule(batches=training.valid_batches, criteria=criteria()), saver, 2)
        lines = (tmp_path / name / "log.txt").read_text().splitlines()
        epoch = 1 if not shortest else 2 if name == "search" else 3  # Events are two epochs apart.
        (said,) = [place for place, line in enumerate(lines) if re.search(r"about \d+ s left for \d more", line)]
        assert f"left for {4 - epoch} more epoch" in lines[said]
        assert f" epoch {epoch}/4: " in lines[said - 1]


def test_scoring_and_evaluating_say_how_far_they_are(
    few_digits: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "QUIET_SECONDS", 0.0)
    training = toy_training(few_digits, batch_size=24)
    with (
        Experiment(tmp_path / "selection", {}, tensorboard=False) as experiment,
        Saver(training, experiment, "--dev_resume_epoch") as saver,
    ):
        select(training, by_perturbation(training, criteria(), {}), saver, 1)
    said = [line.partition(" ")[2] for line in (tmp_path / "selection" / "log.txt").read_text().splitlines()]
    said = [re.sub(r"^\S+ | after \d+ s$", "", line) for line in said]
    place = next(place for place, line in enumerate(said) if line.startswith("event 1/"))
    assert said[place + 1 : place + 4] == [
        "valid half: 1/2 (50 %)",
        "valid half: 2/2 (100 %)",
        "candidates scored: 1/3 (33 %)",
    ]


def test_a_run_says_first_what_it_is_and_a_genotype_only_when_it_has_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    type_search(tmp_path, "--method", "blank", "--epochs", "3")
    first, said, *_ = capsys.readouterr().out.splitlines()
    assert first == "starting a search on digits …"
    assert re.fullmatch(
        r"\S+ fix alpha in NAS-Bench-201 on digits: 4 channels, 1 cell per stage; 3 epochs of 3 batches of 256; cpu, \d+ "
        "threads?", said
    )  # fmt: skip
    folder = tmp_path / "nasbench201" / "search-blank-201-1-digits"
    lines = (folder / "log.txt").read_text().splitlines()
    assert sum(" genotype: " in line for line in lines) == 2  # After the first epoch, and at the end.
    assert all(" benchmark table: " in after for line, after in itertools.pairwise(lines) if " genotype: " in line)
    type_select(tmp_path, "--resume_expid", folder.name, "--selection", "magnitude")
    said = capsys.readouterr().out.splitlines()[1]
    assert "fix alpha + magnitude in NAS-Bench-201 on digits" in said
    assert "nothing to train" in said


def test_warnings_alone_reach_the_screen_where_that_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with warnings_only(), Experiment(tmp_path / "run", {}, tensorboard=False) as experiment:
        experiment.log.info("an epoch")
        experiment.log.warning("a step was skipped")
    assert "an epoch" not in (shown := capsys.readouterr().out)
    assert "a step was skipped" in shown
    assert "an epoch" in (tmp_path / "run" / "log.txt").read_text()


def test_tables_and_durations_are_for_reading() -> None:
    assert aligned([["", "PT"], ["rank", "1,234"]]) == ["         PT", "rank  1,234"]
    assert [duration(seconds) for seconds in (4.4, 600, 7200)] == ["4 s", "10.0 min", "2.0 h"]
