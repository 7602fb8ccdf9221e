"""Discretisation accuracy: each operation alone on its edge, without and with tuning."""

from __future__ import annotations

import pytest
import torch

from darts_pt.data.data_set import DataSet
from darts_pt.run.epoch import Metrics
from darts_pt.run.errors import UserError
from darts_pt.selections import oneshot
from darts_pt.selections.oneshot import DiscretisationRule
from darts_pt.selections.pt import score
from darts_pt.supernet import Decisions
from darts_pt.training import SupernetTraining
from tests.helpers.toy import EVERY_EDGE, criteria, toy_training, train_epoch

CELL = EVERY_EDGE[0]


def rule_of(training: SupernetTraining, epochs: int) -> DiscretisationRule:
    batches = list(training.valid_batches())
    return DiscretisationRule(
        batches=lambda: batches, criteria=criteria(criterion="loss"), training=training, epochs=epochs
    )


def test_the_operation_stays_with_which_alone_the_supernet_is_best(few_digits: DataSet) -> None:
    training = toy_training(few_digits, batch_size=24)
    rule = rule_of(training, 0)
    decisions = Decisions().with_operation("cell", 0, 2)
    choice = rule.operation(training.architect, decisions, CELL, 1)
    alone = [
        score(
            training.supernet,
            [training.architect.mixing(decisions.with_operation("cell", 1, operation))],
            rule.batches,
        )[0]
        for operation in range(3)
    ]
    assert choice.scores == alone
    assert choice.operation == min(range(3), key=lambda operation: alone[operation].loss)


def test_of_equals_the_first_stays(few_digits: DataSet, monkeypatch) -> None:
    training = toy_training(few_digits, batch_size=24)
    monkeypatch.setattr(oneshot, "score", lambda *arguments: [Metrics(50.0, 1.0)])
    assert rule_of(training, 0).operation(training.architect, Decisions(), CELL, 1).operation == 0


def test_tuning_changes_the_scores_and_is_undone(few_digits: DataSet) -> None:
    training = toy_training(few_digits, batch_size=24)
    train_epoch(training)
    untuned = rule_of(training, 0).operation(training.architect, training.decisions, CELL, 1).scores
    before = {name: tensor.clone() for name, tensor in training.supernet.state_dict().items()}
    alpha = training.architect.alpha["cell"].detach().clone()
    momenta = [state["momentum_buffer"].clone() for state in training.weight_optimizer.state.values()]
    rule = rule_of(training, 1)
    generator = training.generators["batches"].get_state()
    tuned = rule.operation(training.architect, training.decisions, CELL, 1).scores
    assert tuned != untuned
    for name, tensor in training.supernet.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert torch.equal(training.architect.alpha["cell"], alpha)
    for state, momentum in zip(training.weight_optimizer.state.values(), momenta, strict=True):
        assert torch.equal(state["momentum_buffer"], momentum)
    assert training.decisions == Decisions()
    assert torch.equal(generator, training.generators["batches"].get_state())


def diverging(few_digits: DataSet) -> SupernetTraining:
    """A training whose first step makes the weights so large that the second has no finite loss."""
    training = toy_training(few_digits, batch_size=24)
    training.weight_optimizer.param_groups[0]["lr"] = 1e30
    return training


def test_a_candidate_that_diverges_is_named(few_digits: DataSet) -> None:
    training = diverging(few_digits)
    before = {name: tensor.clone() for name, tensor in training.supernet.state_dict().items()}
    with pytest.raises(UserError, match=r"with nothing but none on cell edge 1 \(2<-0\): try a smaller learning rate"):
        rule_of(training, 2).operation(training.architect, Decisions(), CELL, 1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in training.supernet.state_dict().items())


def test_skipped_steps_of_candidates_are_counted_and_logged(
    few_digits: DataSet, caplog: pytest.LogCaptureFixture
) -> None:
    training = diverging(few_digits)
    training.guard.on_nan = "skip"
    with caplog.at_level("WARNING", logger="darts_pt"), pytest.raises(UserError, match="NaN on the valid half"):
        rule_of(training, 2).operation(training.architect, Decisions(), CELL, 1)
    assert training.guard.skipped > 0
    assert f"skipped {training.guard.skipped} steps" in caplog.text
