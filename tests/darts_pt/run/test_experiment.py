"""The experiment folder."""

from __future__ import annotations

import json
import logging
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from darts_pt.run.config import as_json, is_experiment
from darts_pt.run.errors import UserError
from darts_pt.run.experiment import Experiment


@dataclass(frozen=True)
class Options:
    seed: int = 3
    data: Path = Path("somewhere")


def opened(folder: Path, **arguments: Any) -> Experiment:
    return Experiment(folder, arguments.pop("options", Options()), tensorboard=False, **arguments)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# What is in it ---------------------------------------------------------------------------------------------------


def test_a_run_leaves_log_metrics_configuration_and_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with opened(tmp_path / "run", device=torch.device("cpu")) as experiment:
        experiment.log.info("alpha %d", 5)
        experiment.log.warning("careful")
        experiment.record("epoch", {"loss": 0.5}, epoch=1)
    said = capsys.readouterr().out.splitlines()
    logged = (tmp_path / "run" / "log.txt").read_text().splitlines()
    for lines in (said, logged):
        assert [line.split(" ", (lines is logged and 2) or 1)[-1] for line in lines] == ["alpha 5", "warning: careful"]
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["options"] == {"seed": 3, "data": "somewhere"}
    assert config["seed"] == 3
    assert config["device"] == "cpu"
    assert config["versions"]["torch"] == torch.__version__.split("+")[0]
    assert config["command"] == sys.orig_argv
    assert {"darts_pt/run/experiment.py", "nasbench201/supernet.py", "exp_scripts/common.sh"} <= {
        str(path.relative_to(tmp_path / "run" / "scripts")) for path in (tmp_path / "run" / "scripts").rglob("*.*")
    }
    assert is_experiment(tmp_path / "run")


def test_modules_of_the_project_log_there_and_others_do_not(tmp_path: Path) -> None:
    with opened(tmp_path / "run"):
        logging.getLogger("nasbench201.supernet").info("ours")
        logging.getLogger("someone.else").warning("theirs")
    logging.getLogger("nasbench201.supernet").info("too late")
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "ours" in log
    assert "theirs" not in log
    assert "too late" not in log


def test_metrics_are_lines_of_json(tmp_path: Path) -> None:
    with opened(tmp_path / "run") as experiment:
        experiment.record("epoch", {"loss": torch.tensor(0.25), "alpha": torch.eye(2)}, epoch=1)
        experiment.record("step", {"loss": math.nan, "none": None, "nested": {"a": np.float32(0.5)}}, epoch=1, step=7)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"kind": "epoch", "epoch": 1, "step": None, "values": {"loss": 0.25, "alpha": [[1.0, 0.0], [0.0, 1.0]]}},
        {"kind": "step", "epoch": 1, "step": 7, "values": {"loss": "nan", "none": None, "nested": {"a": 0.5}}},
    ]


def test_numbers_are_drawn_by_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with Experiment(tmp_path / "run", Options()) as experiment:
        for epoch in (1, 2):
            values = {"loss": 1 / epoch, "alpha": {"edge 0": {"none": 0.25}}, "genotype": "text", "list": [1, 2]}
            experiment.record("epoch", values, epoch=epoch)
    board = EventAccumulator(str(tmp_path / "run" / "runs"))
    board.Reload()
    assert set(board.Tags()["scalars"]) == {"epoch/loss", "epoch/alpha/edge 0/none"}
    assert [(event.step, event.value) for event in board.Scalars("epoch/loss")] == [(1, 1.0), (2, 0.5)]


def test_as_json_knows_what_runs_record() -> None:
    assert as_json({1: (True, None, Path("x"), {"b", "a", "c"}, -math.inf, np.int64(3))}) == {
        "1": [True, None, "x", ["a", "b", "c"], "-inf", 3]
    }


def test_rewinding_forgets_what_came_after(tmp_path: Path) -> None:
    with opened(tmp_path / "run") as experiment:
        experiment.record("epoch", {"a": 1}, epoch=1)
        size = experiment.metrics_size
        experiment.record("epoch", {"a": 2}, epoch=2)
    with opened(tmp_path / "run", resume=True) as experiment:
        assert experiment.metrics_size == (tmp_path / "run" / "metrics.jsonl").stat().st_size
        experiment.rewind(size)
        assert experiment.metrics_size == size
        experiment.record("epoch", {"a": 3}, epoch=2)
        assert experiment.metrics_size == 2 * size
        with pytest.raises(UserError, match="has lost lines"):
            experiment.rewind(3 * size)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["values"]["a"] for line in lines] == [1, 3]


def test_a_resumed_run_appends(tmp_path: Path) -> None:
    for number in (1, 2):
        with opened(tmp_path / "run", resume=number == 2) as experiment:
            experiment.log.info("part %d", number)
            experiment.record("epoch", {}, epoch=number)
    assert [line[-6:] for line in (tmp_path / "run" / "log.txt").read_text().splitlines()] == ["part 1", "part 2"]
    assert (tmp_path / "run" / "metrics.jsonl").read_text().count("\n") == 2
    assert len(json.loads((tmp_path / "run" / "config.json").read_text())["runs"]) == 2


def test_a_selection_logs_beside_its_search(tmp_path: Path) -> None:
    with opened(tmp_path / "run") as experiment:
        experiment.log.info("search")
    with opened(tmp_path / "run" / "log_resume-5", log_file=tmp_path / "run" / "log_resume-5.txt") as selection:
        selection.log.info("selection")
        selection.record("epoch", {}, epoch=1)
    assert "search" in (tmp_path / "run" / "log.txt").read_text()
    assert "selection" not in (tmp_path / "run" / "log.txt").read_text()
    assert "selection" in (tmp_path / "run" / "log_resume-5.txt").read_text()
    assert (tmp_path / "run" / "log_resume-5" / "metrics.jsonl").stat().st_size > 0


# Nothing is lost -------------------------------------------------------------------------------------------------


def test_an_experiment_that_exists_is_not_touched(tmp_path: Path) -> None:
    with opened(tmp_path / "run") as experiment:
        experiment.log.info("precious")
    before = contents(tmp_path / "run")
    with pytest.raises(UserError, match=r"overwrite: the experiment .* exists"):
        opened(tmp_path / "run")
    assert contents(tmp_path / "run") == before


def test_overwriting_replaces_what_runs_wrote_and_leaves_the_rest(tmp_path: Path) -> None:
    with opened(tmp_path / "run") as experiment:
        experiment.record("epoch", {}, epoch=1)
    for name in ("checkpoint_2.pth.tar", "notes.txt", "genotype.json", ".checkpoint_3.pth.tar.abcd_123.tmp"):
        (tmp_path / "run" / name).write_text("x")
    (tmp_path / "run" / "log_resume-2").mkdir()
    with opened(tmp_path / "run", overwrite=True):
        pass
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"notes.txt", "config.json", "log.txt", "metrics.jsonl", "scripts", ".lock"}
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == ""


def test_an_overwriting_that_was_killed_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    with opened(tmp_path / "run"):
        pass
    monkeypatch.setattr("shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        opened(tmp_path / "run", overwrite=True)
    assert is_experiment(tmp_path / "run"), "otherwise what is left would be taken for someone else's"


@pytest.mark.parametrize("arguments", [{}, {"overwrite": True}, {"resume": True}])
def test_folders_of_others_are_never_touched(tmp_path: Path, arguments: Any) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "log.txt").write_text("someone else's")
    (tmp_path / "run" / "config.json").write_text('{"project": "another"}')
    before = contents(tmp_path / "run")
    with pytest.raises(UserError, match=r"no experiment wrote|not an experiment folder"):
        opened(tmp_path / "run", **arguments)
    assert contents(tmp_path / "run") == before


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(UserError, match="is a file"):
        opened(tmp_path / "run", overwrite=True)


def test_resuming_needs_an_experiment(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot resume"):
        opened(tmp_path / "run", resume=True)
    assert not (tmp_path / "run").exists()


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    with opened(tmp_path / "run") as experiment:
        experiment.record("epoch", {}, epoch=1)
        before = contents(tmp_path / "run")
        for arguments in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(UserError, match=f"in use by another run .process {os.getpid()}"):
                opened(tmp_path / "run", **arguments)
        assert contents(tmp_path / "run") == before
    opened(tmp_path / "run", resume=True).close()


def test_leftovers_of_a_killed_write_go_with_the_next_run(tmp_path: Path) -> None:
    opened(tmp_path / "run").close()
    (tmp_path / "run" / ".checkpoint_3.pth.tar.abcd_123.tmp").write_text("half")
    opened(tmp_path / "run", resume=True).close()
    assert not list((tmp_path / "run").glob(".*.tmp"))
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / ".config.json.abcd_123.tmp").write_text("{")
    opened(tmp_path / "first").close()
    assert is_experiment(tmp_path / "first")


def test_bad_input_found_late_leaves_no_folder(tmp_path: Path) -> None:
    def fail(error: Exception, name: str, record: bool = False) -> None:
        with opened(tmp_path / name) as experiment:
            if record:
                experiment.record("epoch", {}, epoch=1)
            raise error

    with pytest.raises(UserError):
        fail(UserError("no"), "nothing")
    assert not (tmp_path / "nothing").exists()
    with pytest.raises(UserError):
        fail(UserError("no"), "something", record=True)
    assert (tmp_path / "something" / "metrics.jsonl").exists()
    with pytest.raises(ZeroDivisionError):
        fail(ZeroDivisionError("division by zero"), "defect")
    assert "stopped: ZeroDivisionError: division by zero" in (tmp_path / "defect" / "log.txt").read_text()


def test_closing_twice_is_harmless_and_logging_ends(tmp_path: Path) -> None:
    handlers = list(logging.getLogger("darts_pt").handlers)
    experiment = opened(tmp_path / "run")
    assert len(logging.getLogger("darts_pt").handlers) > len(handlers)
    experiment.close()
    experiment.close()
    assert logging.getLogger("darts_pt").handlers == handlers


def test_a_damaged_configuration_is_told(tmp_path: Path) -> None:
    opened(tmp_path / "run").close()
    (tmp_path / "run" / "config.json").write_text('{"project": "darts-pt", "runs": 3}')
    with opened(tmp_path / "run", resume=True):
        pass
    assert len(json.loads((tmp_path / "run" / "config.json").read_text())["runs"]) == 1
    (tmp_path / "run" / "config.json").write_text('{"project": "darts-pt", "ru')
    with pytest.raises(UserError, match="not an experiment"):
        opened(tmp_path / "run", resume=True)


def test_the_code_that_ran_can_be_run_again(tmp_path: Path) -> None:
    opened(tmp_path / "run").close()
    code = "import darts_pt.commands.options as r; print(r.__file__)"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "run" / "scripts", capture_output=True, text=True, check=True
    )
    assert ended.stdout.startswith(str(tmp_path / "run" / "scripts"))
