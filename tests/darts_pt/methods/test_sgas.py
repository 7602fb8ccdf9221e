"""SGAS: its criterion and decisions on hand-made alphas, and how its search and SGAS+PT go together."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from darts_pt.data.data_set import DataSet
from darts_pt.methods.sgas import SequentialGreedy, criterion_1
from darts_pt.run import checkpoint as checkpoints
from darts_pt.run.experiment import Experiment
from darts_pt.run.saver import Saver
from darts_pt.search_loop import search
from darts_pt.selections.magnitude import MagnitudeRule
from darts_pt.supernet import Decisions
from darts_pt.training import SupernetTraining
from tests.helpers.toy import EVERY_EDGE, TWO_EDGES_EACH, toy_architect, toy_training

NAMES = ("none", "skip_connect", "conv")


def entropy(*shares: float) -> float:
    return -sum(share * math.log(share) for share in shares if share)


def test_the_score_is_importance_times_certainty() -> None:
    rows = torch.tensor([[0.2, 0.4, 0.4], [0.5, 0.45, 0.05], [0.6, 0.2, 0.2]], dtype=torch.float64)
    importance = [0.8, 0.5, 0.4]
    certainty = [1 - entropy(p, 1 - p) / math.log(2) for p in (0.5, 0.9, 0.5)]
    expected = [
        (i - 0.4) / (0.8 - 0.4) * (c - certainty[0]) / (certainty[1] - certainty[0])
        for i, c in zip(importance, certainty, strict=True)
    ]
    scores = criterion_1(rows, [NAMES] * 3)
    torch.testing.assert_close(scores, torch.tensor(expected, dtype=torch.float64))
    assert scores.tolist() == pytest.approx([0.0, 0.25, 0.0])


def test_without_none_every_edge_is_as_important_and_certainty_decides() -> None:
    rows = torch.softmax(torch.tensor([[0.1, 0.2], [3.0, 0.0], [1.0, 0.0]]), dim=-1)
    scores = criterion_1(rows, [("skip_connect", "conv")] * 3)
    assert scores.argmax() == 1
    assert scores[1] == 1.0
    assert 0 < scores[2] < 1


def architect_with(alpha: list[list[float]]) -> SequentialGreedy:
    architect = toy_architect(method=SequentialGreedy)
    assert isinstance(architect, SequentialGreedy)
    with torch.no_grad():
        architect.alpha["cell"].copy_(torch.tensor(alpha))
    return architect


def test_the_most_important_certain_edge_is_due_first_and_decided_ones_never_again() -> None:
    architect = architect_with([[0.0, 1.0, 0.9], [-2.0, 4.0, 0.0], [3.0, 2.0, 0.0]])
    cell = EVERY_EDGE[0]
    assert architect.edges_due(10, 50, Decisions()) == [(cell, 1)]
    decisions = Decisions().with_operation("cell", 1, 1)
    (_, second), *others = architect.edges_due(15, 50, decisions)
    assert second in (0, 2)
    assert not others
    for edge in (0, 2):
        decisions = decisions.with_operation("cell", edge, 1)
    assert architect.edges_due(20, 50, decisions) == []


@pytest.mark.parametrize(
    ("epochs", "settings", "expected"),
    [
        (50, {}, list(range(10, 50, 5))),
        (20, {}, list(range(4, 20, 2))),
        (6, {"sgas_warmup": 2, "sgas_interval": 3}, [2, 5]),
        (1, {}, []),
    ],
)
def test_decisions_come_after_the_warmup_at_every_interval(
    epochs: int, settings: dict[str, int], expected: list[int]
) -> None:
    toy = toy_architect()
    architect = SequentialGreedy(toy.supernet, toy.alpha, settings=settings)
    assert [epoch for epoch in range(epochs) if architect.edges_due(epoch, epochs, Decisions())] == expected


def run(training: SupernetTraining, folder: Path, epochs: int) -> None:
    with (
        Experiment(folder, {}, resume=folder.exists(), tensorboard=False) as experiment,
        Saver(training, experiment, "--resume_epoch", interval=100) as saver,
    ):
        search(training, saver, epochs, rule=MagnitudeRule())


def test_a_search_decides_edges_and_drops_those_a_full_node_does_not_keep(few_digits: DataSet, tmp_path: Path) -> None:
    training = toy_training(few_digits, TWO_EDGES_EACH, SequentialGreedy, epochs=20, batch_size=48)
    run(training, tmp_path / "run", 20)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    decided = [line["values"] for line in lines if line["kind"] == "operation_event"]
    for cell in TWO_EDGES_EACH:
        edges = [event["edge"] for event in decided if event["cell_type"] == cell.name]
        assert len(edges) == len(set(edges)) == 6, "three nodes of two edges each, decided in eight turns"
        assert not training.decisions.undecided_edges(cell)
        assert not training.decisions.undecided_nodes(cell)
        for node, kept in training.decisions.edges[cell.name].items():
            assert set(kept) == {edge for edge in cell.incoming[node] if edge in edges}
        weights = training.architect.mixing(training.decisions)
        for dropped in training.decisions.dropped_edges(cell):
            assert weights.active[cell.name][dropped] == ()
            assert weights.values[cell.name][dropped].abs().sum() == 0
    saved = checkpoints.read(tmp_path / "run" / checkpoints.name(4))
    assert not any(saved["decisions"]["operations"].values()), "the state before the first decision is there"


def test_a_search_resumed_between_decisions_ends_as_an_uninterrupted_one(few_digits: DataSet, tmp_path: Path) -> None:
    arguments = (few_digits, TWO_EDGES_EACH, SequentialGreedy)
    whole = toy_training(*arguments, epochs=8, batch_size=48)
    run(whole, tmp_path / "whole", 8)
    path = tmp_path / "whole" / checkpoints.name(4)
    resumed = toy_training(*arguments, epochs=8, batch_size=48)
    resumed.restore(checkpoints.read(path), path)
    run(resumed, tmp_path / "resumed", 8)
    assert resumed.decisions == whole.decisions
    for cell in TWO_EDGES_EACH:
        assert torch.equal(resumed.architect.alpha[cell.name], whole.architect.alpha[cell.name])
