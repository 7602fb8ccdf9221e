"""Training a derived network."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darts_pt.data.batches import shuffled
from darts_pt.data.data_set import DataSet
from darts_pt.data.loaders import MicroBatch
from darts_pt.evaluation import CHECKPOINT_KEYS, EvaluationNetwork, NetworkTraining, train_network
from darts_pt.hyperparameters import TrainingOptions
from darts_pt.run import checkpoint as checkpoints
from darts_pt.run.device import Generators, seeded
from darts_pt.run.errors import UserError
from darts_pt.run.experiment import Experiment
from darts_pt.run.processes import SINGLE_PROCESS
from darts_pt.run.saver import Saver

OPTIONS = TrainingOptions(epochs=4, batch_size=40, learning_rate=0.1)


class ToyNetwork(EvaluationNetwork):
    """A convolution, a classifier and an auxiliary head that works in train mode."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.classifier = nn.Linear(64, 10)
        self.auxiliary = nn.Linear(64, 10)
        self.drop_path_probs: list[float] = []

    def forward(self, images: Tensor, drop_path_prob: float = 0.0) -> tuple[Tensor, Tensor | None]:
        hidden = self.stem(images).flatten(1)
        if self.training:
            self.drop_path_probs.append(drop_path_prob)
        return self.classifier(hidden), self.auxiliary(hidden) if self.training else None


def training_of(
    data: DataSet,
    seed: int = 0,
    options: TrainingOptions = OPTIONS,
    fast: bool = False,
    dtype: torch.dtype = torch.float32,
) -> NetworkTraining:
    generators = Generators(seed, "cpu")
    with seeded(generators["weights"]):
        network = ToyNetwork().to(dtype)
    return NetworkTraining(network, data, generators, options, fast)


def train(training: NetworkTraining, folder: Path, ckpt_interval: int = 1) -> dict[str, Any]:
    with (
        Experiment(folder, {}, resume=folder.exists(), tensorboard=False) as experiment,
        Saver(training, experiment, "--resume_epoch", interval=ckpt_interval) as saver,
    ):
        return train_network(training, saver)


def restore(training: NetworkTraining, path: Path) -> None:
    training.restore(checkpoints.read(path, CHECKPOINT_KEYS), path)


def records(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line)["values"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_the_learning_rate_falls_to_0_in_a_cosine(few_digits: DataSet, tmp_path: Path) -> None:
    training = training_of(few_digits)
    train(training, tmp_path / "run")
    rates = [record["learning_rate"] for record in records(tmp_path / "run")]
    assert rates == pytest.approx([0.05 * (1 + math.cos(math.pi * epoch / 4)) for epoch in range(4)])
    assert training.optimizer.param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-12)


def test_drop_path_grows_linearly_from_0(few_digits: DataSet, tmp_path: Path) -> None:
    training = training_of(few_digits, options=dataclasses.replace(OPTIONS, drop_path_prob=0.2))
    train(training, tmp_path / "run")
    assert training.network.drop_path_probs == pytest.approx([0.2 * epoch / 4 for epoch in range(4) for _ in range(3)])


def test_an_epoch_is_a_pass_over_the_whole_training_set(few_digits: DataSet, tmp_path: Path) -> None:
    training = training_of(few_digits)
    seen: list[int] = []
    original = training.step
    training.step = lambda parts: seen.append(len(parts[0].labels)) or original(parts)  # type: ignore[method-assign]
    train(training, tmp_path / "run")
    assert seen == [40, 40, 16] * 4
    fast = training_of(few_digits, fast=True)
    train(fast, tmp_path / "fast")
    assert len(fast.network.drop_path_probs) == 4


@pytest.mark.parametrize("auxiliary_weight", [0.0, 0.4])
@pytest.mark.parametrize("nesterov", [False, True])
def test_a_step_is_sgds_on_both_losses(few_digits: DataSet, auxiliary_weight: float, nesterov: bool) -> None:
    options = dataclasses.replace(OPTIONS, auxiliary_weight=auxiliary_weight, nesterov=nesterov, weight_decay=0.01)
    training, twin = training_of(few_digits, options=options), training_of(few_digits, options=options)
    indices = shuffled(torch.arange(96), training.generators["batches"])[:40]
    images, labels = few_digits.batch(few_digits.train, indices, None, training.generators)
    result = training.step([MicroBatch(images, labels, SINGLE_PROCESS.share(40))])
    assert result is not None
    loss, correct, count = result
    assert count == 40
    logits, auxiliary_logits = twin.network(images)
    expected = F.cross_entropy(logits, labels)
    assert loss.item() == expected.item(), "what is reported leaves the auxiliary head out"
    assert correct.item() == (logits.argmax(1) == labels).sum().item()
    parameters = list(twin.network.parameters())
    total = expected + auxiliary_weight * F.cross_entropy(auxiliary_logits, labels)
    for ours, before, gradient in zip(
        training.network.parameters(), parameters, torch.autograd.grad(total, parameters), strict=True
    ):
        step = (gradient + 0.01 * before) * (1.9 if nesterov else 1.0)
        assert torch.allclose(ours, before - 0.1 * step, atol=1e-6)


def test_gradients_are_clipped_if_asked_for(few_digits: DataSet) -> None:
    norms = {}
    for clip in (0.0, 0.01):
        training = training_of(few_digits, options=dataclasses.replace(OPTIONS, grad_clip=clip))
        images, labels = few_digits.batch(few_digits.train, torch.arange(40), None, training.generators)
        training.step([MicroBatch(images, labels, SINGLE_PROCESS.share(40))])
        gradients = [parameter.grad.flatten() for parameter in training.network.parameters()]  # type: ignore[union-attr]
        norms[clip] = float(torch.cat(gradients).norm())
    assert norms[0.0] > 0.1
    assert norms[0.01] == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_the_test_set_is_evaluated_whole_in_eval_mode(few_digits: DataSet, dtype: torch.dtype, within: float) -> None:
    training = training_of(few_digits, options=dataclasses.replace(OPTIONS, batch_size=17), dtype=dtype)
    found = training.test()
    assert training.test() == found
    training.network.eval()
    images, labels = few_digits.batch(few_digits.test, torch.arange(40), None, training.generators, dtype)
    with torch.no_grad():
        logits = training.network(images)[0]
    assert found.accuracy == pytest.approx(100 * (logits.argmax(1) == labels).double().mean().item())
    assert found.loss == pytest.approx(F.cross_entropy(logits, labels).item(), rel=within)


def test_the_summary_has_the_last_and_the_best_accuracy(digits: DataSet, tmp_path: Path) -> None:
    summary = train(training_of(digits), tmp_path / "run")
    accuracies = [record["test_accuracy"] for record in records(tmp_path / "run")]
    assert summary["epochs"] == 4
    assert summary["test_accuracy"] == accuracies[-1]
    assert summary["best_test_accuracy"] == max(accuracies)
    assert accuracies[-1] > 70, "it learns to read"
    assert summary["seconds"] > 0


def test_checkpoints_are_at_intervals_and_at_the_end(few_digits: DataSet, tmp_path: Path) -> None:
    train(training_of(few_digits), tmp_path / "run", ckpt_interval=3)
    assert checkpoints.epochs_in(tmp_path / "run") == [3, 4]


def test_one_seed_gives_identical_files(few_digits: DataSet, tmp_path: Path) -> None:
    for name, seed in (("first", 1), ("second", 1), ("other", 2)):
        train(training_of(few_digits, seed), tmp_path / name)
    for name in ("metrics.jsonl", checkpoints.name(4)):
        first, second, other = ((tmp_path / run / name).read_bytes() for run in ("first", "second", "other"))
        assert first == second
        assert first != other


@pytest.mark.parametrize("epoch", [1, 3, 4])
def test_a_resumed_training_ends_as_an_uninterrupted_one(few_digits: DataSet, tmp_path: Path, epoch: int) -> None:
    whole = train(training_of(few_digits), tmp_path / "whole")
    resumed = training_of(few_digits, seed=9)
    restore(resumed, tmp_path / "whole" / checkpoints.name(epoch))
    parts = train(resumed, tmp_path / "parts")
    assert {key: parts[key] for key in parts if key != "seconds"} == {
        key: whole[key] for key in parts if key != "seconds"
    }
    if epoch == 4:  # nothing was left to do but the summary
        return
    ours, theirs = (checkpoints.read(tmp_path / run / checkpoints.name(4), ("epoch",)) for run in ("parts", "whole"))
    assert all(torch.equal(ours["state_dict"][key], tensor) for key, tensor in theirs["state_dict"].items())
    assert all(torch.equal(ours["generators"][key], tensor) for key, tensor in theirs["generators"].items())
    assert records(tmp_path / "parts") == records(tmp_path / "whole")[epoch:]


def test_a_finished_training_only_tests(few_digits: DataSet, tmp_path: Path) -> None:
    whole = train(training_of(few_digits), tmp_path / "run")
    finished = training_of(few_digits)
    restore(finished, tmp_path / "run" / checkpoints.name(4))
    again = train(finished, tmp_path / "again")
    assert again["test_accuracy"] == whole["test_accuracy"]
    assert again["best_test_accuracy"] == whole["best_test_accuracy"]


@pytest.mark.parametrize(
    ("key", "value"),
    [("epoch", "x"), ("state_dict", {}), ("optimizer", 3), ("scheduler", {}), ("generators", {"batches": 1}),
     ("best_accuracy", "high"), ("best_accuracy", None)],
)  # fmt: skip
def test_checkpoints_that_do_not_fit_are_refused(few_digits: DataSet, tmp_path: Path, key: str, value: Any) -> None:
    train(training_of(few_digits, options=dataclasses.replace(OPTIONS, epochs=1)), tmp_path / "run")
    path = tmp_path / "run" / checkpoints.name(1)
    checkpoints.write(torch.load(path, weights_only=True) | {key: value}, path.parent / checkpoints.name(1))
    with pytest.raises(UserError) as raised:
        restore(training_of(few_digits), path)
    assert "\n" not in str(raised.value)


def test_a_diverging_training_stops_with_advice(few_digits: DataSet, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="try a smaller learning rate"):
        train(training_of(few_digits, options=dataclasses.replace(OPTIONS, learning_rate=1e30)), tmp_path / "run")
    assert not checkpoints.epochs_in(tmp_path / "run"), "a network of NaNs is not worth a checkpoint"


def test_a_batch_larger_than_the_training_set_is_refused(few_digits: DataSet) -> None:
    with pytest.raises(UserError, match=r"batch_size: expected at most 96, .* got 97"):
        training_of(few_digits, options=dataclasses.replace(OPTIONS, batch_size=97))


def test_precisions_are_what_they_say(few_digits: DataSet, tmp_path: Path) -> None:
    for precision, tf32 in (("tf32", True), ("fp32", False)):
        options = dataclasses.replace(OPTIONS, epochs=1, precision=precision)
        train(training_of(few_digits, options=options, fast=True), tmp_path / precision)
        assert torch.backends.cudnn.allow_tf32 == tf32
        assert torch.get_float32_matmul_precision() == ("high" if tf32 else "highest")


def test_bf16_trains(digits: DataSet, tmp_path: Path) -> None:
    options = dataclasses.replace(OPTIONS, epochs=2, precision="bf16")
    summary = train(training_of(digits, options=options), tmp_path / "run")
    assert summary["test_accuracy"] > 50
