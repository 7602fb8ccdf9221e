"""Scoring of removals, choosing by perturbation and by magnitude, and when events happen."""

from __future__ import annotations

import copy
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from darts_pt.architect import Architect
from darts_pt.kernels.mixed import frozen_statistics
from darts_pt.run.epoch import Metrics
from darts_pt.selection import Criteria, Event, pick, schedule
from darts_pt.selections.magnitude import MagnitudeRule
from darts_pt.selections.pt import (
    PerturbationRule,
    least_important,
    most_important,
    score,
    without_each_edge,
    without_each_operation,
)
from darts_pt.supernet import CellType, Decisions, Edge, initial_alpha
from nasbench201.supernet import CELL, NasBench201Supernet
from sota.genotypes import genotype
from sota.spaces import cell_types
from sota.supernet import SotaSupernet
from tests.helpers.toy import EVERY_EDGE, TWO_EDGES_EACH, ToySupernet, criteria, toy_architect

NORMAL = TWO_EDGES_EACH[0]


def batches(size: int = 5) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(3 * size - 3, 3, 8, 8, generator=generator)
    return list(
        zip(images.split(size), torch.randint(10, (len(images),), generator=generator).split(size), strict=True)
    )


def architect_of(name: str) -> Architect:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        supernet = {
            "toy": lambda: ToySupernet(TWO_EDGES_EACH),
            "nasbench201": lambda: NasBench201Supernet(4, 1, 10),
            "s2": lambda: SotaSupernet("s2", 4, 3, 10),
            "s5": lambda: SotaSupernet("s5", 4, 3, 10),
        }[name]()
    return Architect(supernet, initial_alpha(supernet.cell_types, torch.Generator().manual_seed(1)))


# Scoring ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["toy", "nasbench201", "s5"])
def test_scoring_changes_nothing_of_the_supernet(name: str) -> None:
    architect = architect_of(name)
    supernet, cell = architect.supernet, architect.supernet.cell_types[-1]
    for trains in (True, False):
        supernet.train(trains)
        before = copy.deepcopy(supernet.state_dict())
        momenta = [module.momentum for module in supernet.modules() if isinstance(module, nn.BatchNorm2d)]
        score(supernet, without_each_operation(architect.mixing(Decisions()), cell, 1), batches)
        after = supernet.state_dict()
        assert all(torch.equal(after[key], tensor) for key, tensor in before.items())
        assert [module.momentum for module in supernet.modules() if isinstance(module, nn.BatchNorm2d)] == momenta
        assert all(module.training is trains for module in supernet.modules())
        assert all(parameter.grad is None for parameter in supernet.parameters())


@pytest.mark.parametrize("name", ["toy", "nasbench201", "s2"])
def test_scoring_is_by_batch_statistics(name: str) -> None:
    """A score is a plain forward pass in train mode with the weight at 0, whatever the running statistics."""
    architect = architect_of(name)
    supernet, cell = architect.supernet, architect.supernet.cell_types[0]
    mixing = architect.mixing(Decisions())
    supernet.eval()
    scores = score(supernet, without_each_operation(mixing, cell, 1), batches)
    for operation, found in enumerate(scores):
        twin = copy.deepcopy(supernet).train()
        removed = mixing.without_operation(cell.name, 1, operation)
        loss = correct = total = 0.0
        for images, labels in batches():
            with torch.no_grad():
                logits = twin(images, removed)
            loss += nn.functional.cross_entropy(logits, labels, reduction="sum").item()
            correct += (logits.argmax(1) == labels).sum().item()
            total += len(labels)
        assert found.accuracy == pytest.approx(100 * correct / total)
        assert found.loss == pytest.approx(loss / total, rel=1e-5)
    for module in supernet.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.fill_(7.0)  # type: ignore[union-attr]
            module.running_var.fill_(0.1)  # type: ignore[union-attr]
    assert score(supernet, without_each_operation(mixing, cell, 1), batches) == scores


def test_statistics_thaw_when_scoring_fails() -> None:
    supernet = ToySupernet().eval()
    with pytest.raises(ZeroDivisionError), frozen_statistics(supernet):
        raise ZeroDivisionError
    assert not any(module.training for module in supernet.modules())
    assert {module.momentum for module in supernet.modules() if isinstance(module, nn.BatchNorm2d)} == {0.1}


def test_frozen_statistics_leave_torchs_own_batch_norms_alone_too() -> None:
    module = nn.Sequential(nn.BatchNorm2d(2), nn.BatchNorm2d(2, momentum=None))
    with frozen_statistics(module):
        module(torch.randn(4, 2, 3, 3))
    for norm in module:
        assert not norm.running_mean.any()
        assert (norm.running_var == 1).all()
    assert [norm.momentum for norm in module] == [0.1, None]


def test_each_candidate_is_scored_once_on_its_own_batches() -> None:
    architect = toy_architect(TWO_EDGES_EACH)
    asked = []

    def source() -> Any:
        asked.append(1)
        return batches()

    score(architect.supernet, without_each_operation(architect.mixing(Decisions()), NORMAL, 0), source)
    assert len(asked) == 3
    score(architect.supernet, without_each_edge(architect.mixing(Decisions()), NORMAL, (2, 3, 4)), source)
    assert len(asked) == 6
    rule = PerturbationRule(batches=source, criteria=criteria(TWO_EDGES_EACH, same_batches=True))
    rule.operation(architect, Decisions(), NORMAL, 0)
    assert len(asked) == 7, "cached batches are drawn once for all candidates"


# Choosing by perturbation ----------------------------------------------------------------------------------------


def metrics(*accuracies: float) -> list[Metrics]:
    """Accuracies, with a loss that falls as they rise."""
    return [Metrics(accuracy, (100 - accuracy) / 10) for accuracy in accuracies]


@pytest.mark.parametrize("criterion", ["acc", "loss"])
def test_the_operation_that_is_missed_the_most_stays_and_ties_go_to_the_lowest_index(criterion: Any) -> None:
    assert most_important(metrics(50, 40, 60), criterion) == 1
    assert most_important(metrics(50, 40, 40, 40), criterion) == 1
    assert most_important(metrics(40, 40, 40), criterion) == 0


@pytest.mark.parametrize("criterion", ["acc", "loss"])
def test_the_edge_that_is_missed_the_least_goes_and_ties_go_to_the_last(criterion: Any) -> None:
    assert least_important(metrics(50, 60, 40), criterion) == 1
    assert least_important(metrics(50, 60, 60, 40), criterion) == 2
    assert least_important(metrics(40, 40, 40), criterion) == 2


def test_the_criteria_look_at_one_figure_each() -> None:
    scores = [Metrics(50, 1.0), Metrics(40, 2.0), Metrics(45, 3.0)]
    assert (most_important(scores, "acc"), most_important(scores, "loss")) == (1, 2)
    assert (least_important(scores, "acc"), least_important(scores, "loss")) == (0, 0)
    scores = [Metrics(50, 2.0), Metrics(40, 1.0)]
    assert (least_important(scores, "acc"), least_important(scores, "loss")) == (0, 1)


@pytest.mark.parametrize("criterion", ["acc", "loss"])
def test_perturbation_keeps_what_its_scores_say(criterion: Any) -> None:
    architect = toy_architect(TWO_EDGES_EACH)
    rule = PerturbationRule(batches=batches, criteria=criteria(TWO_EDGES_EACH, criterion))
    choice = rule.operation(architect, Decisions(), NORMAL, 3)
    expected = score(architect.supernet, without_each_operation(architect.mixing(Decisions()), NORMAL, 3), batches)
    assert choice.scores == expected
    figures = [score.accuracy if criterion == "acc" else -score.loss for score in expected]
    assert choice.operation == figures.index(min(figures))


def test_each_cell_type_and_each_kind_of_event_has_its_own_criterion() -> None:
    architect = toy_architect(TWO_EDGES_EACH)
    found = {}
    for operations, edges in (("acc", "loss"), ("loss", "acc")):
        rule = PerturbationRule(batches=batches, criteria=Criteria({"normal": operations}, {"normal": edges}))
        kept = rule.edges(architect, Decisions(), NORMAL, 4)
        found[edges] = kept.rounds[0].dropped  # type: ignore[index]
    removals = without_each_edge(architect.mixing(Decisions()), NORMAL, NORMAL.incoming[4])
    scores = score(architect.supernet, removals, batches)
    for criterion, dropped in found.items():
        assert dropped == NORMAL.incoming[4][least_important(scores, criterion)]  # type: ignore[arg-type]


def test_topology_drops_edges_until_as_many_remain_as_the_node_keeps() -> None:
    architect = toy_architect(TWO_EDGES_EACH)
    rule = PerturbationRule(batches=batches, criteria=Criteria({}, {"normal": "loss"}))
    decisions = Decisions({"normal": dict.fromkeys(range(9), 2)})
    kept, rounds = rule.edges(architect, decisions, NORMAL, 4)
    assert rounds is not None
    assert rounds[0].edges == (5, 6, 7, 8)
    assert len(rounds) == 2
    assert set(kept) == {5, 6, 7, 8} - {round_.dropped for round_ in rounds}
    mixing = architect.mixing(decisions)
    assert rounds[0].scores == score(architect.supernet, without_each_edge(mixing, NORMAL, (5, 6, 7, 8)), batches)
    # As in the original, an edge that was dropped is back while the node's next edge is being chosen.
    first = dict(zip(rounds[0].edges, rounds[0].scores, strict=True))
    assert rounds[1].scores == [first[edge] for edge in rounds[1].edges]


# Choosing by magnitude -------------------------------------------------------------------------------------------


def test_magnitude_keeps_the_largest_alpha_and_ties_go_to_the_lowest_index() -> None:
    architect = toy_architect()
    with torch.no_grad():
        architect.alpha["cell"].copy_(torch.tensor([[0.3, 0.1, 0.2], [0.0, 0.5, 0.5], [0.1, 0.1, 0.1]]))
    cell = EVERY_EDGE[0]
    chosen = [MagnitudeRule().operation(architect, Decisions(), cell, edge)[:2] for edge in range(3)]
    assert chosen == [(0, None), (1, None), (0, None)], "where nodes keep all edges, none is an operation like others"


def test_magnitude_never_keeps_none_where_a_genotype_cannot_hold_it() -> None:
    architect = toy_architect(TWO_EDGES_EACH)
    with torch.no_grad():
        architect.alpha["normal"][4].copy_(torch.tensor([9.0, 0.1, 0.2]))
    assert MagnitudeRule().operation(architect, Decisions(), NORMAL, 4)[:2] == (2, None)


def test_magnitude_keeps_the_edges_with_the_strongest_operations() -> None:
    architect = toy_architect(TWO_EDGES_EACH)
    with torch.no_grad():
        alpha = architect.alpha["normal"]
        alpha.zero_()
        alpha[5, 0] = 9.0  # a strong none makes the others weak
        alpha[6, 1] = 2.0
        alpha[8, 2] = 1.0
    assert MagnitudeRule().edges(architect, Decisions(), NORMAL, 4) == ((6, 8), None)
    with torch.no_grad():
        alpha.zero_()
    assert MagnitudeRule().edges(architect, Decisions(), NORMAL, 4) == ((5, 6), None), "on ties the first"


@pytest.mark.parametrize("space", ["s1", "s2", "s3", "s4", "s5"])
@settings(max_examples=15)
@given(seed=st.integers(0, 10**6))
def test_magnitude_selects_the_genotype_of_alpha(space: str, seed: int) -> None:
    """Deciding by magnitude, event by event, gives what DARTS reads off alpha at once."""
    types = cell_types(space)
    alpha = initial_alpha(types, torch.Generator().manual_seed(seed))
    architect = Architect(ToySupernet(types), {name: 1e3 * values.detach() for name, values in alpha.items()})
    decisions = Decisions()
    for cell in types:
        for edge in range(len(cell.edges)):
            operation = MagnitudeRule().operation(architect, decisions, cell, edge).operation
            decisions = decisions.with_operation(cell.name, edge, operation)
        for node in cell.choosing_nodes:
            kept = MagnitudeRule().edges(architect, decisions, cell, node).kept
            decisions = decisions.with_edges(cell.name, node, kept)
    at_once = genotype(architect.mixing(Decisions()).values, types)
    by_events = genotype(architect.mixing(decisions).values, types)
    for name in ("normal", "reduce"):
        for first in range(0, 8, 2):  # a node's two genes, in whatever order
            assert set(getattr(by_events, name)[first : first + 2]) == set(getattr(at_once, name)[first : first + 2])


# Events ----------------------------------------------------------------------------------------------------------


def test_events_of_nasbench201() -> None:
    events, epochs = schedule((CELL,), 5)
    assert epochs == 25
    assert [event.epoch for event in events] == [0, 5, 10, 15, 20, 24]
    assert all(event.kind == "operation" for event in events)


def test_events_of_the_s_spaces() -> None:
    events, epochs = schedule(cell_types("s5"), 5)
    assert epochs == 81
    assert [event.epoch for event in events] == list(range(0, 81, 5))
    assert [event.kind for event in events] == ["operation"] * 14 + ["topology"] * 3


@st.composite
def cells(draw: st.DrawFn) -> tuple[CellType, ...]:
    """One or two cell types of one size, with or without topology events."""
    nodes = draw(st.integers(1, 4))
    kept = draw(st.sampled_from([None, 1, 2]))
    edges = tuple(Edge(source, target) for target in range(1, nodes + 1) for source in range(target))
    return tuple(
        CellType(f"cell {number}", edges, (("skip_connect", "conv"),) * len(edges), kept)
        for number in range(draw(st.integers(1, 2)))
    )


@given(cells(), st.integers(1, 12))
def test_every_schedule_decides_everything(types: tuple[CellType, ...], interval: int) -> None:
    events, epochs = schedule(types, interval)
    assert Counter(event.kind for event in events) == +Counter(
        operation=len(types[0].edges), topology=len(types[0].choosing_nodes)
    )
    assert [event.index for event in events] == list(range(len(events)))
    assert [event.kind for event in events] == sorted(event.kind for event in events)
    when = [event.epoch for event in events]
    assert when == sorted(when)
    assert when[0] == 0
    assert when[-1] == epochs - 1
    assert all(later - earlier == interval for earlier, later in pairwise(when[:-1]))


def test_with_an_interval_of_1_the_last_two_events_share_an_epoch() -> None:
    events, epochs = schedule((CELL,), 1)
    assert epochs == 5
    assert [event.epoch for event in events] == [0, 1, 2, 3, 4, 4]
    assert events[-1] == Event(5, 4, "operation")


def test_orders_of_edges() -> None:
    generator = torch.Generator().manual_seed(0)
    undecided = [2, 5, 7, 11]
    assert pick(undecided, "order", generator) == 2
    assert pick(undecided, "reverse", generator) == 11
    counts = Counter(pick(undecided, "random", generator) for _ in range(2000))
    assert counts.keys() == set(undecided)
    assert all(abs(count - 500) < 5 * (2000 * 0.25 * 0.75) ** 0.5 for count in counts.values())
    again = torch.Generator().manual_seed(0)
    first = [pick(undecided, "random", again) for _ in range(50)]
    again.manual_seed(0)
    assert [pick(undecided, "random", again) for _ in range(50)] == first
