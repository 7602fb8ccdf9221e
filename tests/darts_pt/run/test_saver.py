"""Nothing is lost: a run stopped at any step goes on to the same bits; damaged files, full disks, numbers that are none."""

from __future__ import annotations

import itertools
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from darts_pt.data.data_set import DataSet
from darts_pt.methods.sgas import SequentialGreedy
from darts_pt.run import checkpoint as checkpoints
from darts_pt.run.errors import UserError
from darts_pt.run.experiment import Experiment
from darts_pt.run.saver import Saver
from darts_pt.search_loop import search
from darts_pt.selection import select, select_at_once
from darts_pt.selections.pt import PerturbationRule
from darts_pt.selections.zero_cost_pt import by_zero_cost
from darts_pt.training import SupernetTraining
from tests.helpers.interrupted import Loop, contents, disk_of, run
from tests.helpers.toy import EVERY_EDGE, TWO_EDGES_EACH, criteria, toy_training


def finish(training: SupernetTraining, experiment: Experiment) -> None:
    """The end of a run, as the commands have it: an evaluation after the last checkpoint."""
    experiment.record("end", training.evaluate(training.valid_batches())._asdict(), epoch=training.epoch)


def search_two_epochs(training: SupernetTraining, experiment: Experiment, saver: Saver) -> None:
    search(training, saver, 2, evaluate=("test",))
    finish(training, experiment)


def by_pt(training: SupernetTraining) -> PerturbationRule:
    return PerturbationRule(batches=training.valid_batches, criteria=criteria(training.supernet.cell_types, "loss"))


def select_all(training: SupernetTraining, experiment: Experiment, saver: Saver) -> None:
    select(training, by_pt(training), saver, 1)
    finish(training, experiment)


def select_at_once_by_pt(training: SupernetTraining, experiment: Experiment, saver: Saver) -> None:
    select_at_once(training, by_pt(training), saver)
    finish(training, experiment)


def select_by_zero_cost(training: SupernetTraining, experiment: Experiment, saver: Saver) -> None:
    rule = by_zero_cost(training, criteria(), {"zero_cost_score": "nwot"})
    select_at_once(training, rule, saver)
    finish(training, experiment)


def decide_while_searching(training: SupernetTraining, experiment: Experiment, saver: Saver) -> None:
    search(training, saver, 2, rule=by_pt(training))
    finish(training, experiment)


def training_for(
    loop: Loop, few_digits: DataSet, cell_types: Any = EVERY_EDGE, batch_size: int = 24
) -> SupernetTraining:
    epochs = 2 if loop in (search_two_epochs, decide_while_searching) else None
    if loop is not decide_while_searching:
        return toy_training(few_digits, cell_types, epochs=epochs, batch_size=batch_size)
    training = toy_training(few_digits, TWO_EDGES_EACH, SequentialGreedy, epochs=epochs, batch_size=batch_size)
    training.architect.settings |= {"sgas_warmup": 1, "sgas_interval": 1}
    return training


@pytest.mark.parametrize("cell_types", [EVERY_EDGE, TWO_EDGES_EACH])
@pytest.mark.parametrize("loop", [search_two_epochs, select_all])
def test_a_run_stopped_at_any_moment_goes_on_to_the_same_bits(
    few_digits: DataSet, tmp_path: Path, cell_types: Any, loop: Loop
) -> None:
    def training() -> SupernetTraining:
        return training_for(loop, few_digits, cell_types, batch_size=20)

    assert run(training(), tmp_path / "whole", loop)
    stops = [3, 1, 7, 12, 2, 9, 17]
    while not run(training(), tmp_path / "parts", loop, stops.pop(0) if stops else None):
        assert (tmp_path / "parts" / checkpoints.LAST).is_file()
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    "loop", [search_two_epochs, select_all, select_at_once_by_pt, select_by_zero_cost, decide_while_searching]
)
def test_every_moment_is_one_to_go_on_from(few_digits: DataSet, tmp_path: Path, loop: Loop) -> None:
    assert run(training_for(loop, few_digits), tmp_path / "whole", loop)
    expected = contents(tmp_path / "whole")
    for moment in itertools.count(1):
        folder = tmp_path / f"stopped at {moment}"
        if run(training_for(loop, few_digits), folder, loop, moment):
            assert moment > 5
            break
        assert run(training_for(loop, few_digits), folder, loop)
        assert contents(folder) == expected, moment


def test_time_saves_within_epochs(few_digits: DataSet, tmp_path: Path) -> None:
    written: list[Any] = []
    training = toy_training(few_digits, batch_size=20)
    original = checkpoints.write

    def spy(checkpoint: dict[str, Any], path: Path) -> Path:
        if path.name == checkpoints.LAST:
            written.append((checkpoint["epoch"], (checkpoint["progress"] or {}).get("steps", 0)))
        return original(checkpoint, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "write", spy)
        run(training, tmp_path / "run", search_two_epochs, minutes=1e-9)
    assert written == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2), (1, 3)]
    assert not (tmp_path / "run" / checkpoints.LAST).exists(), "an epoch's checkpoint takes its place"


def test_keep_bounds_the_number_of_checkpoints(few_digits: DataSet, tmp_path: Path) -> None:
    training = toy_training(few_digits, epochs=5)

    def loop(training: SupernetTraining, experiment: Experiment, saver: Saver) -> None:
        search(training, saver, 5)

    run(training, tmp_path / "run", loop, keep=2)
    assert checkpoints.epochs_in(tmp_path / "run") == [4, 5]


def test_keep_spares_what_is_needed_and_does_not_count_what_is_ahead(few_digits: DataSet, tmp_path: Path) -> None:
    def loop(training: SupernetTraining, experiment: Experiment, saver: Saver) -> None:
        search(training, saver, 5)

    run(toy_training(few_digits, epochs=5), tmp_path / "run", loop, keep=2, needed=[1])
    assert checkpoints.epochs_in(tmp_path / "run") == [1, 4, 5]

    back = toy_training(few_digits, epochs=5)
    path = tmp_path / "run" / checkpoints.name(1)
    back.restore(checkpoints.read(path), path)
    with Experiment(tmp_path / "run", {}, resume=True, tensorboard=False) as experiment:
        saver = Saver(back, experiment, "--resume_epoch", keep=1)
        search(back, saver, 2)
    assert checkpoints.epochs_in(tmp_path / "run") == [2, 4, 5], "its own newest one, though there are later ones"


def test_a_checkpoint_is_on_the_disk_after_the_metrics_that_it_counts_on(
    few_digits: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Power may fail between the two: a checkpoint that knows more lines than there are could not be resumed from."""
    synced, original = [], os.fsync

    def fsync(handle: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name.removeprefix(".").split(".")[0])
        original(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    run(toy_training(few_digits), tmp_path / "run", search_two_epochs)
    written = [name for name in synced if name in ("metrics", "checkpoint_1", "checkpoint_2")]
    assert written == ["metrics", "checkpoint_1", "metrics", "checkpoint_2"]


def test_a_damaged_latest_checkpoint_is_named_and_passed_over(
    few_digits: DataSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run"
    run(toy_training(few_digits), folder, search_two_epochs)
    latest = folder / checkpoints.name(2)
    latest.write_bytes(latest.read_bytes()[:-100])
    with caplog.at_level("WARNING", logger="darts_pt"):
        path, checkpoint = checkpoints.load(folder, -1)
    assert (path.name, checkpoint["epoch"]) == (checkpoints.name(1), 1)
    assert str(latest) in caplog.text
    (folder / checkpoints.name(1)).write_bytes(b"")
    with pytest.raises(UserError, match="checkpoint_2"):
        checkpoints.load(folder, -1)


def test_a_checkpoint_within_an_older_epoch_is_not_the_latest(few_digits: DataSet, tmp_path: Path) -> None:
    """A run that dies between writing an epoch's checkpoint and removing the one within the epoch leaves both."""
    folder = tmp_path / "run"
    run(toy_training(few_digits, batch_size=20), folder, search_two_epochs, stop_after=4)
    stale = (folder / checkpoints.LAST).read_bytes()
    run(toy_training(few_digits, batch_size=20), folder, search_two_epochs)
    (folder / checkpoints.LAST).write_bytes(stale)
    assert checkpoints.load(folder, -1)[0].name == checkpoints.name(2)
    run(toy_training(few_digits, batch_size=20), folder, search_two_epochs)
    assert not (folder / checkpoints.LAST).exists()


def test_a_full_disk_leaves_the_last_good_checkpoint(few_digits: DataSet, tmp_path: Path) -> None:
    training = toy_training(few_digits)
    path = checkpoints.write(training.to_checkpoint(), tmp_path / checkpoints.name(1))
    before = path.read_bytes()
    with disk_of(len(before) // 2), pytest.raises(OSError, match="File too large"):
        checkpoints.write(training.to_checkpoint(), tmp_path / checkpoints.name(1))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


class TestNumbers:
    """Losses and gradients that are no numbers."""

    def training(self, few_digits: DataSet) -> SupernetTraining:
        training = toy_training(few_digits, batch_size=20)
        original, self.calls = training.batch, 0

        def batch(indices: torch.Tensor) -> Any:
            images, labels = original(indices)
            self.calls += 1
            return (images * float("nan") if self.calls == 4 else images), labels  # the second step's train batch

        training.batch = batch  # type: ignore[method-assign]
        return training

    def test_stop_the_run_with_a_dump_of_the_state(self, few_digits: DataSet, tmp_path: Path) -> None:
        training = self.training(few_digits)
        weights = [parameter.detach().clone() for parameter in training.supernet.parameters()]
        with pytest.raises(UserError, match=r"step 2 of epoch 1 \(batch seed \d+\)") as error:
            run(training, tmp_path / "run", search_two_epochs)
        path = tmp_path / "run" / "state_dump_0_2.pth.tar"
        assert str(path) in str(error.value)
        dump = checkpoints.read(path)
        assert dump["progress"]["steps"] == 1
        for name, parameter in training.supernet.named_parameters():
            assert dump["state_dict"][name].isfinite().all()
            assert torch.equal(dump["state_dict"][name], parameter)
        assert any(
            not torch.equal(now, then) for now, then in zip(training.supernet.parameters(), weights, strict=True)
        )

    def test_or_are_skipped_and_counted(
        self, few_digits: DataSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        training = self.training(few_digits)
        training.guard.on_nan = "skip"
        with caplog.at_level("WARNING", logger="darts_pt"):
            assert run(training, tmp_path / "run", search_two_epochs)
        assert training.guard.skipped == 1
        *epochs, _ = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
        assert all(math.isfinite(line["values"]["train_loss"]) for line in epochs), "the step is left out of the means"
        resumed, path = toy_training(few_digits), tmp_path / "run" / checkpoints.name(2)
        resumed.restore(checkpoints.read(path), path)
        assert resumed.guard.skipped == 1, "the count goes on"
        assert all(tensor.isfinite().all() for tensor in training.supernet.state_dict().values())
        assert all(alpha.isfinite().all() for alpha in training.architect.alpha.values())
        assert "skipped" in (tmp_path / "run" / "log.txt").read_text()
