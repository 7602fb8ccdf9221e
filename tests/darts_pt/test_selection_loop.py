"""The selection loop: events, tuning between them, what is saved and recorded, and that it can be resumed anywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from darts_pt.data.data_set import DataSet
from darts_pt.methods.blank import FixedAlpha
from darts_pt.methods.pc_darts import PartialChannels
from darts_pt.methods.sgas import SequentialGreedy
from darts_pt.run import checkpoint as checkpoints
from darts_pt.run.experiment import Experiment
from darts_pt.run.processes import Ranks
from darts_pt.run.saver import Saver
from darts_pt.search_loop import decide_during_search
from darts_pt.selection import EdgesChoice, OperationChoice, select, select_at_once
from darts_pt.selections.magnitude import MagnitudeRule
from darts_pt.selections.pt import PerturbationRule
from darts_pt.supernet import Decisions
from darts_pt.training import SupernetTraining
from tests.helpers.toy import EVERY_EDGE, TWO_EDGES_EACH, criteria, toy_training


def training_of(few_digits: DataSet, cell_types: Any = EVERY_EDGE, **arguments: Any) -> SupernetTraining:
    return toy_training(few_digits, cell_types, epochs=None, batch_size=48, **arguments)


def select_all(
    training: SupernetTraining, folder: Path, interval: int = 1, order: Any = "random", rule: Any = None
) -> Decisions:
    rule = rule or PerturbationRule(batches=training.valid_batches, criteria=criteria(training.supernet.cell_types))
    with (
        Experiment(folder, {}, resume=folder.exists(), tensorboard=False) as experiment,
        Saver(training, experiment, "--dev_resume_epoch") as saver,
    ):
        return select(training, rule, saver, interval, order)


def records(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line["values"] | {"at": line["epoch"]} for line in lines if line["kind"] == kind]


def complete(training: SupernetTraining) -> bool:
    decisions, cells = training.decisions, training.supernet.cell_types
    return decisions.fit(cells) and not any(
        decisions.undecided_edges(cell) or decisions.undecided_nodes(cell) for cell in cells
    )


@pytest.mark.parametrize("cell_types", [EVERY_EDGE, TWO_EDGES_EACH])
@pytest.mark.parametrize("interval", [1, 2, 5])
def test_everything_is_decided_at_every_interval(
    few_digits: DataSet, tmp_path: Path, cell_types: Any, interval: int
) -> None:
    training = training_of(few_digits, cell_types)
    decisions = select_all(training, tmp_path / "run", interval)
    assert complete(training)
    assert decisions is training.decisions
    for cell in cell_types:
        decided = [event for event in records(tmp_path / "run", "operation_event") if event["cell_type"] == cell.name]
        assert sorted(event["edge"] for event in decided) == list(range(len(cell.edges)))
        for event in decided:
            assert cell.operations[event["edge"]][decisions.operations[cell.name][event["edge"]]] == event["kept"]
            assert event["accuracy"].index(min(event["accuracy"])) == event["candidates"].index(event["kept"])
        nodes = [event for event in records(tmp_path / "run", "topology_event") if event["cell_type"] == cell.name]
        assert sorted(event["node"] for event in nodes) == list(cell.choosing_nodes)
        assert all(decisions.edges[cell.name][event["node"]] == tuple(event["kept"]) for event in nodes)


def test_each_event_decides_one_edge_of_every_cell_type_then_the_nodes(few_digits: DataSet, tmp_path: Path) -> None:
    select_all(training_of(few_digits, TWO_EDGES_EACH), tmp_path / "run")
    operations, nodes = (records(tmp_path / "run", f"{kind}_event") for kind in ("operation", "topology"))
    assert [event["cell_type"] for event in operations] == ["normal", "reduce"] * 9
    assert [event["cell_type"] for event in nodes] == ["normal", "reduce"] * 2
    assert [event["at"] for event in operations] == [epoch for epoch in range(9) for _ in range(2)]
    assert [event["at"] for event in nodes] == [9, 9, 10, 10]
    assert len(records(tmp_path / "run", "epoch")) == 11


def test_edges_are_decided_in_the_order_asked_for(few_digits: DataSet, tmp_path: Path) -> None:
    for order, expected in (("order", [0, 1, 2]), ("reverse", [2, 1, 0])):
        select_all(training_of(few_digits), tmp_path / order, order=order)
        assert [event["edge"] for event in records(tmp_path / order, "operation_event")] == expected
    seeds = set()
    for seed in range(6):
        select_all(training_of(few_digits, seed=seed), tmp_path / f"{seed}")
        seeds.add(tuple(event["edge"] for event in records(tmp_path / f"{seed}", "operation_event")))
    assert len(seeds) > 1


@pytest.mark.parametrize("cell_types", [EVERY_EDGE, TWO_EDGES_EACH])
def test_the_state_just_before_every_event_is_saved(few_digits: DataSet, tmp_path: Path, cell_types: Any) -> None:
    training = training_of(few_digits, cell_types)
    select_all(training, tmp_path / "run", interval=2)
    events = {event["at"] for kind in ("operation", "topology") for event in records(tmp_path / "run", f"{kind}_event")}
    assert set(checkpoints.epochs_in(tmp_path / "run")) == events | {training.epoch}
    for epoch in events:
        checkpoint = checkpoints.read(tmp_path / "run" / checkpoints.name(epoch))
        decided = Decisions.from_dict(checkpoint["decisions"]).operations.get(cell_types[0].name, {})
        before = [
            event["edge"]
            for event in records(tmp_path / "run", "operation_event")
            if event["at"] < epoch and event["cell_type"] == cell_types[0].name
        ]
        assert sorted(decided) == sorted(before)
        assert checkpoint["epoch"] == epoch


@pytest.mark.parametrize("cell_types", [EVERY_EDGE, TWO_EDGES_EACH])
def test_a_selection_resumed_at_any_event_ends_as_an_uninterrupted_one(
    few_digits: DataSet, tmp_path: Path, cell_types: Any
) -> None:
    whole = tmp_path / "whole"
    expected = select_all(training_of(few_digits, cell_types), whole)
    last = max(checkpoints.epochs_in(whole))
    for epoch in checkpoints.epochs_in(whole)[:: 1 if cell_types is EVERY_EDGE else 4]:
        resumed = training_of(few_digits, cell_types)
        torch.rand(9, generator=resumed.generators["order"])  # a stream that has been used is set back
        path = whole / checkpoints.name(epoch)
        resumed.restore(checkpoints.read(path), path)
        assert select_all(resumed, tmp_path / f"from {epoch}") == expected
        ours, theirs = (checkpoints.read(f / checkpoints.name(last)) for f in (tmp_path / f"from {epoch}", whole))
        assert ours["decisions"] == theirs["decisions"]
        assert all(torch.equal(ours["state_dict"][key], tensor) for key, tensor in theirs["state_dict"].items())
        assert all(map(torch.equal, ours["alpha"], theirs["alpha"]))
        assert all(torch.equal(ours["generators"][name], state) for name, state in theirs["generators"].items())


def test_one_seed_selects_one_architecture(few_digits: DataSet, tmp_path: Path) -> None:
    for name in ("first", "second"):
        select_all(training_of(few_digits, TWO_EDGES_EACH, seed=5), tmp_path / name)
    for name in ("metrics.jsonl", checkpoints.name(11)):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_tuning_moves_alpha_unless_it_is_fixed(few_digits: DataSet, tmp_path: Path) -> None:
    for name, arguments in (("darts", {}), ("blank", {"method": FixedAlpha})):
        training = training_of(few_digits, **arguments)
        before = training.architect.alpha["cell"].detach().clone()
        select_all(training, tmp_path / name)
        assert torch.equal(training.architect.alpha["cell"], before) == (name == "blank")


def test_a_decided_edge_is_one_hot_while_the_supernet_is_tuned(few_digits: DataSet, tmp_path: Path) -> None:
    training = training_of(few_digits)
    seen: list[list[float]] = []
    original = training.architect.training_weights

    def watched(batch: Any, decisions: Decisions) -> Any:
        weights = original(batch, decisions)
        seen.append(weights.values["cell"].max(dim=1).values.tolist())
        return weights

    training.architect.training_weights = watched  # type: ignore[method-assign]
    select_all(training, tmp_path / "run", interval=2, order="order")
    assert [[value == 1.0 for value in row] for row in seen] == [
        [True, False, False],
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


class Stubborn:
    """A rule that keeps none on every edge and the first edges of every node."""

    def operation(self, *_: Any) -> OperationChoice:
        return OperationChoice(0, None)

    def edges(self, architect: Any, decisions: Any, cell_type: Any, node: int) -> EdgesChoice:
        return EdgesChoice(cell_type.incoming[node][: cell_type.inputs_kept], None)


@pytest.mark.parametrize("cell_types", [EVERY_EDGE, TWO_EDGES_EACH])
def test_none_may_win_and_the_log_warns_of_it(few_digits: DataSet, tmp_path: Path, cell_types: Any) -> None:
    training = training_of(few_digits, cell_types)
    decisions = select_all(training, tmp_path / "run", rule=Stubborn())
    assert complete(training)
    assert set(decisions.operations[cell_types[0].name].values()) == {0}
    log = (tmp_path / "run" / "log.txt").read_text()
    assert log.count("warning: ") == sum(len(cell.edges) for cell in cell_types)
    assert ("other operation instead" in log) == (cell_types is TWO_EDGES_EACH)


@pytest.mark.parametrize("cell_types", [EVERY_EDGE, TWO_EDGES_EACH])
def test_magnitude_at_once_decides_everything_without_training(
    few_digits: DataSet, experiment: Experiment, cell_types: Any
) -> None:
    training = training_of(few_digits, cell_types)
    before = {name: tensor.clone() for name, tensor in training.supernet.state_dict().items()}
    select_at_once(training, MagnitudeRule(), Saver(training, experiment, "--dev_resume_epoch"))
    assert complete(training)
    assert training.epoch == 0
    assert all(torch.equal(before[name], tensor) for name, tensor in training.supernet.state_dict().items())
    for cell in cell_types:
        alpha = training.architect.alpha[cell.name]
        choosable = alpha if cell.inputs_kept is None else alpha[:, 1:]
        offset = alpha.shape[1] - choosable.shape[1]
        assert training.decisions.operations[cell.name] == {
            edge: int(row.argmax()) + offset for edge, row in enumerate(choosable)
        }


def test_the_log_tells_every_score(few_digits: DataSet, tmp_path: Path) -> None:
    select_all(training_of(few_digits, TWO_EDGES_EACH), tmp_path / "run")
    log = (tmp_path / "run" / "log.txt").read_text()
    assert TWO_EDGES_EACH[0].edge_label(3) == "normal edge 3 (3<-1)"
    assert "normal edge 3 (3<-1): supernet without …" in log
    assert "event 11/11" in log
    assert "normal node 4 drops" in log


class Led(Ranks):
    """A process that takes the tensors of another one, in this process, which is the first."""

    def __init__(self, leader: SupernetTraining) -> None:
        super().__init__()
        self.leader = leader

    def take_from_first(self, tensors: Any) -> None:
        sent: list[torch.Tensor] = []
        self.leader.ranks = Ranks()
        self.leader.ranks.take_from_first = sent.extend  # type: ignore[method-assign]
        self.leader.synchronise()
        with torch.no_grad():
            for own, first in zip(tensors, sent, strict=True):
                own.copy_(first)


def test_processes_agree_on_all_that_a_method_learns_about_the_architecture(few_digits: DataSet) -> None:
    first, second = (training_of(few_digits, TWO_EDGES_EACH, method=PartialChannels, seed=seed) for seed in (0, 1))
    second.ranks = Led(first)
    second.synchronise()
    assert all(map(torch.equal, first.architect.parameters(), second.architect.parameters()))
    assert len(first.architect.parameters()) == 4, "alpha and beta of both cell types"


def test_processes_agree_on_the_edge_that_is_decided_while_searching(
    few_digits: DataSet, experiment: Experiment
) -> None:
    edges = []
    for led in (False, True):
        first, second = (training_of(few_digits, TWO_EDGES_EACH, method=SequentialGreedy, seed=seed) for seed in (0, 1))
        if led:
            second.ranks = Led(first)
        for training in (first, second):
            training.epoch = 10
            decide_during_search(training, MagnitudeRule(), Saver(training, experiment, ""), 50)
        edges.append([training.decisions.operations for training in (first, second)])
    alone, together = edges
    assert alone[0] != alone[1], "each by its own alpha"
    assert together[0] == together[1]
