"""Training the supernet: batches, learning rate, what is recorded and saved, and that a run can be repeated."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from darts_pt.architect import Architect
from darts_pt.data.data_set import DataSet
from darts_pt.kernels.mixed import frozen_statistics
from darts_pt.methods.blank import FixedAlpha
from darts_pt.run import checkpoint as checkpoints
from darts_pt.run.errors import UserError
from darts_pt.run.experiment import Experiment
from darts_pt.run.saver import Saver
from darts_pt.search_loop import search
from darts_pt.supernet import Decisions, initial_alpha
from darts_pt.training import evaluate
from nasbench201.supernet import NasBench201Supernet
from sota.supernet import SotaSupernet
from tests.helpers.equality import equal
from tests.helpers.toy import EVERY_EDGE, TWO_EDGES_EACH, toy_architect, toy_training, train_epoch


def run(training: Any, folder: Path, epochs: int, resume: bool = False, **arguments: Any) -> Path:
    """Search in an experiment folder; the folder."""
    with (
        Experiment(folder, {"seed": 0}, resume=resume, tensorboard=False) as experiment,
        Saver(training, experiment, "--resume_epoch", interval=arguments.pop("ckpt_interval", 2)) as saver,
    ):
        search(training, saver, epochs, **arguments)
    return folder


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


# Batches ---------------------------------------------------------------------------------------------------------


def test_a_search_epoch_is_as_long_as_a_pass_but_is_none(few_digits: DataSet) -> None:
    training = toy_training(few_digits, batch_size=20)
    epochs = [list(training.search_batches()[1]) for _ in range(20)]
    for batches in epochs:
        assert [len(batch) for batch in batches] == [20, 20, 20], "ceil(48 / 20) full batches"
        assert all(len(set(batch.tolist())) == 20 for batch in batches), "no image twice in a batch"
    drawn = [torch.cat(batches) for batches in epochs]
    half = set(training.halves.train.tolist())
    assert all(set(indices.tolist()) < half for indices in drawn), "some image of the half is left out of every epoch"
    assert set(torch.cat(drawn).tolist()) == half
    assert not any(torch.equal(drawn[0], other) for other in drawn[1:])


def test_random_batches_are_uniform(few_digits: DataSet) -> None:
    training = toy_training(few_digits, batch_size=24)
    counts = torch.zeros(96)
    for _ in range(500):
        for batch in training.search_batches()[1]:
            counts[batch] += 1
    share = counts[training.halves.train] / 1000
    assert share.sub(0.5).abs().max() < 0.08, "five standard deviations of a fair draw"


def test_a_tuning_epoch_is_a_pass(few_digits: DataSet) -> None:
    training = toy_training(few_digits, batch_size=20)
    first = list(training.tuning_batches()[1])
    training.end_epoch()
    second = list(training.tuning_batches()[1])
    assert [len(batch) for batch in first] == [20, 20, 8]
    assert torch.equal(torch.cat(first).sort().values, training.halves.train)
    assert torch.equal(torch.cat(second).sort().values, training.halves.train)
    assert not torch.equal(torch.cat(first), torch.cat(second))


def test_alpha_learns_from_the_valid_half_and_the_weights_from_the_train_half(few_digits: DataSet) -> None:
    training = toy_training(few_digits)
    drawn: list[set[int]] = []
    original = training.batch
    training.batch = lambda indices: drawn.append(set(indices.tolist())) or original(indices)  # type: ignore[method-assign]
    train_epoch(training)
    train, valid = (set(half.tolist()) for half in training.halves)
    assert len(drawn) == 6
    assert sum(batch <= train for batch in drawn) == 3
    assert sum(batch <= valid for batch in drawn) == 3


def test_fixed_alpha_draws_no_valid_batches(few_digits: DataSet) -> None:
    training = toy_training(few_digits, method=FixedAlpha)
    drawn: list[set[int]] = []
    original = training.batch
    training.batch = lambda indices: drawn.append(set(indices.tolist())) or original(indices)  # type: ignore[method-assign]
    train_epoch(training)
    assert len(drawn) == 3
    assert all(batch <= set(training.halves.train.tolist()) for batch in drawn)


def test_fast_is_one_batch_each(few_digits: DataSet) -> None:
    training = toy_training(few_digits, fast=True)
    assert len(train_epoch(training)) == 1
    assert len(list(training.valid_batches())) == 1
    assert len(list(training.test_batches())) == 1


def test_a_batch_larger_than_a_half_is_refused(few_digits: DataSet) -> None:
    toy_training(few_digits, batch_size=48)
    with pytest.raises(UserError, match=r"batch_size: expected at most 48, .* got 49"):
        toy_training(few_digits, batch_size=49)


# Evaluating ------------------------------------------------------------------------------------------------------


def test_evaluation_is_over_images_whatever_the_batches(few_digits: DataSet) -> None:
    architect = toy_architect()
    architect.supernet.eval()
    images, labels = torch.randn(23, 3, 8, 8, generator=torch.Generator().manual_seed(3)), torch.arange(23) % 10
    mixing = architect.mixing(Decisions())
    whole = evaluate(architect.supernet, mixing, [(images, labels)])
    parts = evaluate(architect.supernet, mixing, zip(images.split([10, 10, 3]), labels.split([10, 10, 3]), strict=True))
    assert parts.accuracy == whole.accuracy
    assert parts.loss == pytest.approx(whole.loss, rel=1e-6)
    with torch.no_grad():
        logits = architect.supernet(images, mixing)
    assert whole.accuracy == pytest.approx(100 * (logits.argmax(1) == labels).double().mean().item())
    assert whole.loss == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item(), rel=1e-6)
    with pytest.raises(ValueError, match="no batch"):
        evaluate(architect.supernet, mixing, [])


def test_evaluation_is_in_eval_mode_and_changes_nothing(few_digits: DataSet) -> None:
    training = toy_training(few_digits)
    before = {name: tensor.clone() for name, tensor in training.supernet.state_dict().items()}
    training.supernet.train()
    training.evaluate(training.valid_batches())
    assert equal(before, dict(training.supernet.state_dict()))
    first, second = (training.evaluate(training.test_batches()) for _ in range(2))
    assert first == second, "the test set is not augmented"


# The loop --------------------------------------------------------------------------------------------------------


def test_the_learning_rate_is_a_cosine_per_epoch(few_digits: DataSet, tmp_path: Path) -> None:
    folder = run(toy_training(few_digits, epochs=5), tmp_path / "run", epochs=5)
    rates = [record["values"]["learning_rate"] for record in metrics(folder)]
    assert rates == pytest.approx([0.001 + 0.5 * 0.024 * (1 + math.cos(math.pi * epoch / 5)) for epoch in range(5)])


def test_checkpoints_are_at_intervals_and_at_the_end(few_digits: DataSet, tmp_path: Path) -> None:
    folder = run(toy_training(few_digits, epochs=5), tmp_path / "run", epochs=5, ckpt_interval=2)
    assert sorted(path.name for path in folder.glob("checkpoint*")) == [checkpoints.name(epoch) for epoch in (2, 4, 5)]
    assert checkpoints.read(folder / checkpoints.name(4))["epoch"] == 4


def test_every_epoch_is_recorded(few_digits: DataSet, tmp_path: Path) -> None:
    folder = run(
        toy_training(few_digits, epochs=2),
        tmp_path / "run",
        epochs=2,
        describe=lambda training: {"genotype": f"after {training.epoch}"},
        evaluate=("test",),
    )
    records = metrics(folder)
    assert [(record["kind"], record["epoch"]) for record in records] == [("epoch", 1), ("epoch", 2)]
    assert [record["values"]["genotype"] for record in records] == ["after 1", "after 2"]
    names = {f"{half}_{figure}" for half in ("train", "valid", "test") for figure in ("accuracy", "loss")}
    assert all(record["values"].keys() == {"learning_rate", "genotype"} | names for record in records)


def test_the_supernet_learns(digits: DataSet, tmp_path: Path) -> None:
    folder = run(toy_training(digits, epochs=6, batch_size=32), tmp_path / "run", epochs=6)
    first, *_, last = (record["values"] for record in metrics(folder))
    assert last["train_loss"] < first["train_loss"] - 0.5
    assert last["valid_accuracy"] > 50


# Repeating -------------------------------------------------------------------------------------------------------


def test_one_seed_gives_identical_files(few_digits: DataSet, tmp_path: Path) -> None:
    first, second, other = (
        run(toy_training(few_digits, seed=seed), tmp_path / name, epochs=4)
        for name, seed in (("first", 3), ("second", 3), ("other", 4))
    )
    for name in ("checkpoint_2.pth.tar", "checkpoint_4.pth.tar", "metrics.jsonl"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
        assert (first / name).read_bytes() != (other / name).read_bytes(), name


def test_the_global_random_state_has_no_influence(few_digits: DataSet, tmp_path: Path) -> None:
    torch.manual_seed(1)
    first = run(toy_training(few_digits), tmp_path / "first", epochs=2)
    torch.manual_seed(2)
    second = run(toy_training(few_digits), tmp_path / "second", epochs=2)
    assert (first / "checkpoint_2.pth.tar").read_bytes() == (second / "checkpoint_2.pth.tar").read_bytes()


@pytest.mark.parametrize("cell_types", [EVERY_EDGE, TWO_EDGES_EACH])
@pytest.mark.parametrize("interrupted_after", [1, 3])
def test_a_resumed_search_ends_as_an_uninterrupted_one(
    few_digits: DataSet, tmp_path: Path, cell_types: Any, interrupted_after: int
) -> None:
    whole = run(toy_training(few_digits, cell_types), tmp_path / "whole", epochs=4, ckpt_interval=1)
    parts = run(toy_training(few_digits, cell_types), tmp_path / "parts", interrupted_after, ckpt_interval=1)
    resumed = toy_training(few_digits, cell_types, seed=99)
    path = parts / checkpoints.name(interrupted_after)
    resumed.restore(checkpoints.read(path), path)
    run(resumed, parts, epochs=4, ckpt_interval=1, resume=True)
    name = checkpoints.name(4)
    assert equal(checkpoints.read(whole / name), checkpoints.read(parts / name))
    assert (whole / "metrics.jsonl").read_bytes() == (parts / "metrics.jsonl").read_bytes()


def test_selection_takes_over_weights_and_alpha(few_digits: DataSet, tmp_path: Path) -> None:
    searched = toy_training(few_digits)
    folder = run(searched, tmp_path / "run", epochs=2)
    path = folder / checkpoints.name(2)
    taken = toy_training(few_digits, seed=8, epochs=None)
    taken.restore_supernet(checkpoints.read(path), path)
    assert equal(dict(taken.supernet.state_dict()), dict(searched.supernet.state_dict()))
    assert torch.equal(taken.architect.alpha["cell"], searched.architect.alpha["cell"])
    assert equal(taken.architect.optimizer.state_dict(), searched.architect.optimizer.state_dict())
    assert taken.epoch == 0
    assert all(parameter.is_leaf and parameter.requires_grad for parameter in taken.architect.alpha.values())


def test_a_search_of_another_length_does_not_resume_with_a_wrong_cosine(few_digits: DataSet, tmp_path: Path) -> None:
    """The scheduler's length is part of its state; the rate must still end at the minimum that was asked for."""
    checkpoint = checkpoints.read(run(toy_training(few_digits), tmp_path / "run", epochs=1) / checkpoints.name(1))
    resumed = toy_training(few_digits, epochs=2)
    resumed.restore(checkpoint, tmp_path / "checkpoint_1.pth.tar")
    run(resumed, tmp_path / "resumed", epochs=2)
    assert resumed.weight_optimizer.param_groups[0]["lr"] == pytest.approx(0.001)


# Precision -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nasbench201", "s5"])
def test_bf16_is_the_same_step_in_coarser_numbers(name: str) -> None:
    """Logits, loss and gradients by the weights and by alpha; weights, alpha and running statistics stay float32."""
    torch.manual_seed(0)
    supernet = NasBench201Supernet(4, 1, 10) if name == "nasbench201" else SotaSupernet("s5", 4, 3, 10)
    architect = Architect(supernet, initial_alpha(supernet.cell_types, torch.Generator().manual_seed(0)))
    images, labels = torch.randn(32, 3, 8, 8, generator=torch.Generator().manual_seed(1)), torch.arange(32) % 10
    leaves = [*architect.alpha.values(), *supernet.parameters()]
    found = {}
    for precision in ("fp32", "bf16"):
        supernet.precision = precision  # type: ignore[assignment]
        logits = supernet(images, architect.alpha_weights(Decisions()))
        loss = functional.cross_entropy(logits, labels)
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
        with frozen_statistics(supernet):
            scored = evaluate(supernet, architect.mixing(Decisions()), [(images, labels)])
        found[precision] = logits.detach(), torch.cat([gradient.flatten() for gradient in gradients]), scored.loss
        assert {value.dtype for value in [logits, *gradients, *supernet.state_dict().values()]} == {
            torch.float32,
            torch.int64,
        }
    (logits, gradient, loss), (coarse_logits, coarse_gradient, coarse_loss) = found.values()
    assert not torch.equal(logits, coarse_logits)
    assert (coarse_logits - logits).norm() < 0.05 * logits.norm()
    assert functional.cosine_similarity(gradient, coarse_gradient, dim=0) > 0.9  # a ReLU that flips is a jump
    assert coarse_loss == pytest.approx(loss, rel=0.02)
