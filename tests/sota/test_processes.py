"""Commands in several processes, as a user starts them: with --nproc_per_node, and with torchrun."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from darts_pt.commands.command_line import run_command
from darts_pt.commands.training import check_shares
from darts_pt.evaluation import CHECKPOINT_KEYS
from darts_pt.hyperparameters import TrainingOptions
from darts_pt.run import checkpoint as checkpoints
from darts_pt.run.errors import UserError
from darts_pt.run.launch import first_failure, leave_to_agent
from darts_pt.run.processes import LOST, SINGLE_PROCESS, Ranks, launch, one_process
from sota import train
from sota.train import SotaTrainOptions
from tests.helpers.command_line import refused

ROOT = Path(__file__).resolve().parents[2]
TRAIN = (
    "sota.train", "--arch", "darts_pt_s5_0", "--dataset", "digits", "--epochs", "1", "--init_channels", "4",
    "--layers", "3", "--auxiliary", "--gpu", "cpu", "--ckpt_minutes", "0.00001", "--precision", "fp64",
)  # fmt: skip
FOLDER = "sota/digits/eval/eval-darts_pt_s5_0-2-auxiliary-0.4"
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
SECONDS = 300
"""After which something hangs, on a busy machine too."""


def command(*arguments: str, root: Path) -> list[str]:
    return [sys.executable, "-m", *arguments, "--experiments", str(root)]


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def test_a_killed_process_is_started_again_and_the_run_ends_as_in_one_process(tmp_path: Path) -> None:
    """Two processes in float64, one of which is killed, against one process that is left alone."""
    run_command(SotaTrainOptions, train.main, [*TRAIN[1:], "--experiments", str(tmp_path / "whole")])
    whole, parts = tmp_path / "whole" / FOLDER, tmp_path / "parts" / FOLDER
    torchrun = ("torch.distributed.run", "--standalone", "--nproc_per_node", "2", "--max_restarts", "1", "-m")
    started = command(*torchrun, *TRAIN, root=tmp_path / "parts")
    log = tmp_path / "log"
    with log.open("w") as output, subprocess.Popen(started, stdout=output, stderr=output, env=ENVIRONMENT) as agent:
        waited = time.monotonic()
        while not (parts / checkpoints.LAST).is_file():
            assert agent.poll() is None, log.read_text()
            assert time.monotonic() - waited < SECONDS
            time.sleep(0.02)
        os.kill(children(agent.pid)[1], signal.SIGKILL)
        assert agent.wait(SECONDS) == 0, log.read_text()
    text = (parts / "log.txt").read_text()
    assert text.count("resumed after epoch 0") == 1, text
    assert log.read_text().count("epoch 1/1: train") == 1, "one process speaks for all"
    assert "Traceback" not in log.read_text()
    expected, found = (checkpoints.read(folder / checkpoints.name(1), CHECKPOINT_KEYS) for folder in (whole, parts))
    for key in ("state_dict", "generators"):
        torch.testing.assert_close(found[key], expected[key], rtol=1e-8, atol=1e-10)
    one, other = (json.loads((folder / "summary.json").read_text()) for folder in (whole, parts))
    assert other["test_accuracy"] == one["test_accuracy"]
    assert other["train_loss"] == pytest.approx(one["train_loss"], rel=1e-9)


def test_what_all_processes_refuse_is_said_once(tmp_path: Path) -> None:
    arguments = ("--nproc_per_node", "2", "--batch_size", "65")
    run = subprocess.run(
        command(*TRAIN, *arguments, root=tmp_path),
        capture_output=True, text=True, env=ENVIRONMENT, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert run.returncode == 2
    assert run.stderr == "error: --batch_size 65 cannot be divided by 2 processes: expected a multiple of 2\n"
    assert not list(tmp_path.iterdir())


def test_who_failed_first_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All processes fail within a second: one finds a fault or is killed, and those that wait for it lose it."""

    def failure(rank: int, code: int, message: str | None) -> ProcessFailure:
        path = tmp_path / f"{rank}.json"
        if message is not None:
            monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(path))
            assert leave_to_agent(message)
        return ProcessFailure(rank, 100 + rank, code, str(path))

    monkeypatch.setenv("MASTER_ADDR", "localhost")
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT"):
        monkeypatch.setenv(name, "1")
    lost, found = failure(0, 2, LOST), failure(1, 2, "x.jpg is not an image")
    assert first_failure([lost, found]) == ("x.jpg is not an image", 2)
    assert first_failure([lost]) == (LOST, 2)
    message, code = first_failure([lost, failure(2, -9, None)])
    assert code == 128 + 9
    assert "ended by SIGKILL" in message
    assert first_failure([lost, failure(3, 1, None)]) == ("", 1), "its traceback is on the screen"
    monkeypatch.delenv("TORCHELASTIC_ERROR_FILE")
    assert not leave_to_agent("x"), "nobody would say it"


@pytest.fixture
def one_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if torchrun had started this process, as the second of three."""
    places = {"RANK": "1", "WORLD_SIZE": "3", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "3"}
    for name, value in {**places, "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("one_of_three")
def test_a_search_is_refused_in_several_processes() -> None:
    place = launch()
    assert place is not None
    assert (place.rank, place.count, place.local_rank, place.local_count) == (1, 3, 1, 3)
    with pytest.raises(
        UserError, match="a search runs in one process, but torchrun started 3: start it without torchrun"
    ):
        one_process("a search")


@pytest.mark.usefixtures("one_of_three")
def test_processes_are_not_started_twice(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    line = refused(
        capsys, run_command, SotaTrainOptions, train.main, ["--arch", "darts_pt_s5_0", "--nproc_per_node", "2"]
    )
    assert "torchrun has started 3 processes" in line


@pytest.mark.parametrize(
    ("ranks", "accumulate", "says"),
    [
        (Ranks(0, 5), 1, "5 processes: expected a multiple of 5"),
        (SINGLE_PROCESS, 7, "--accumulate 7: expected a multiple of 7"),
        (Ranks(0, 2), 5, "2 processes with --accumulate 5: expected a multiple of 10"),
    ],
)
def test_a_batch_must_be_divisible(ranks: Ranks, accumulate: int, says: str) -> None:
    options = TrainingOptions(epochs=1, batch_size=96, learning_rate=0.1, accumulate=accumulate)
    with pytest.raises(UserError, match=f"--batch_size 96 cannot be divided by {says}"):
        check_shares(options, ranks)
    check_shares(TrainingOptions(epochs=1, batch_size=96, learning_rate=0.1, accumulate=4), Ranks(2, 3))
