"""Mixing weights, decisions and removals."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from darts_pt.supernet import Decisions, Supernet, fixed_by, initial_alpha
from tests.helpers.oracle import mixing_weights
from tests.helpers.toy import EVERY_EDGE, TWO_EDGES_EACH, ToySupernet, toy_architect

CELL = EVERY_EDGE[0]
NORMAL, REDUCE = TWO_EDGES_EACH
IMAGES = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))

operation_decisions = st.dictionaries(st.integers(0, 8), st.integers(0, 2))
kept_edges = st.fixed_dictionaries(
    {},
    optional={
        node: st.sets(st.sampled_from(NORMAL.incoming[node]), min_size=2, max_size=2) for node in NORMAL.choosing_nodes
    },
)


@st.composite
def decisions(draw: st.DrawFn) -> Decisions:
    made = Decisions()
    for cell in TWO_EDGES_EACH:
        for edge, operation in draw(operation_decisions).items():
            made = made.with_operation(cell.name, edge, operation)
        for node, kept in draw(kept_edges).items():
            made = made.with_edges(cell.name, node, tuple(kept))
    return made


def alpha_of(seed: int = 0) -> dict[str, torch.Tensor]:
    alpha = initial_alpha(TWO_EDGES_EACH, torch.Generator().manual_seed(seed), dtype=torch.float64)
    return {name: (values.detach() * 1e3).requires_grad_() for name, values in alpha.items()}


def test_initial_alpha_is_a_thousandth_of_a_normal_draw() -> None:
    alpha = initial_alpha(EVERY_EDGE, torch.Generator().manual_seed(5))["cell"]
    assert torch.equal(alpha, 1e-3 * torch.randn(3, 3, generator=torch.Generator().manual_seed(5)))
    assert alpha.is_leaf
    assert alpha.requires_grad


def test_without_decisions_the_weights_are_the_softmax_of_alpha() -> None:
    alpha = alpha_of()
    weights = mixing_weights(TWO_EDGES_EACH, alpha, Decisions())
    for cell in TWO_EDGES_EACH:
        exponentials = alpha[cell.name].exp()
        assert torch.allclose(weights.values[cell.name], exponentials / exponentials.sum(dim=1, keepdim=True))
        assert weights.active[cell.name] == ((0, 1, 2),) * 9


@given(decisions())
def test_rows_are_softmax_one_hot_or_zero(made: Decisions) -> None:
    alpha = alpha_of()
    weights = mixing_weights(TWO_EDGES_EACH, alpha, made)
    for cell in TWO_EDGES_EACH:
        softmax = torch.softmax(alpha[cell.name].detach(), dim=1)
        for edge in range(9):
            row, active = weights.values[cell.name][edge], weights.active[cell.name][edge]
            if edge in made.dropped_edges(cell):
                expected, computed = torch.zeros(3, dtype=torch.float64), ()
            elif edge in made.operations.get(cell.name, {}):
                chosen = made.operations[cell.name][edge]
                expected, computed = torch.eye(3, dtype=torch.float64)[chosen], (chosen,)
            else:
                expected, computed = softmax[edge], (0, 1, 2)
            assert torch.equal(row, expected)
            assert active == computed


@given(decisions())
def test_alpha_of_decided_edges_has_no_gradient(made: Decisions) -> None:
    alpha = alpha_of()
    weights = mixing_weights(TWO_EDGES_EACH, alpha, made)
    # Squared, since the sum of a softmax never changes.
    sum(values.square().sum() for values in weights.values.values()).backward()  # type: ignore[union-attr]
    for cell in TWO_EDGES_EACH:
        gradient = alpha[cell.name].grad
        assert gradient is not None
        undecided = set(made.undecided_edges(cell)) - made.dropped_edges(cell)
        assert {edge for edge in range(9) if gradient[edge].any()} == undecided


@given(decisions())
def test_decisions_survive_json(made: Decisions) -> None:
    assert Decisions.from_dict(made.to_dict()) == made
    assert Decisions.from_dict(json.loads(json.dumps(made.to_dict()))) == made


@given(decisions(), st.integers(0, 8), st.integers(0, 2))
def test_a_decision_changes_nothing_else(made: Decisions, edge: int, operation: int) -> None:
    before = json.dumps(made.to_dict(), sort_keys=True)
    after = made.with_operation("normal", edge, operation)
    assert json.dumps(made.to_dict(), sort_keys=True) == before
    assert after.operations["normal"][edge] == operation
    assert after.operations.get("reduce") == made.operations.get("reduce")
    assert after.edges == made.edges
    assert set(after.undecided_edges(NORMAL)) == set(made.undecided_edges(NORMAL)) - {edge}


def test_topology_decisions_name_the_dropped_edges() -> None:
    made = Decisions().with_edges("normal", 4, (8, 5))
    assert NORMAL.incoming == {2: (0, 1), 3: (2, 3, 4), 4: (5, 6, 7, 8)}
    assert NORMAL.choosing_nodes == (3, 4)
    assert made.edges["normal"][4] == (5, 8)
    assert made.dropped_edges(NORMAL) == {6, 7}
    assert made.undecided_nodes(NORMAL) == [3]
    assert made.dropped_edges(REDUCE) == set()
    assert made.undecided_nodes(REDUCE) == [3, 4]


def test_nodes_that_keep_all_edges_choose_none() -> None:
    assert CELL.choosing_nodes == ()
    assert Decisions().undecided_nodes(CELL) == []


def test_a_removed_operation_has_weight_0_and_the_others_keep_theirs() -> None:
    weights = mixing_weights(TWO_EDGES_EACH, alpha_of(), Decisions())
    before = weights.values["normal"].clone()
    without = weights.without_operation("normal", 3, 1)
    expected = before.clone()
    expected[3, 1] = 0
    assert torch.equal(without.values["normal"], expected)
    assert without.active["normal"][3] == (0, 2)
    assert torch.equal(without.values["reduce"], weights.values["reduce"])
    assert without.active["reduce"] == weights.active["reduce"]
    assert torch.equal(weights.values["normal"], before), "the weights it was derived from must not change"


def test_a_removed_edge_has_no_weight_at_all() -> None:
    weights = mixing_weights(TWO_EDGES_EACH, alpha_of(), Decisions())
    without = weights.without_edge("reduce", 7)
    assert not without.values["reduce"][7].any()
    assert without.active["reduce"][7] == ()
    assert without.values["reduce"][:7].all()


@pytest.mark.parametrize("operation", range(3))
def test_removing_an_operation_of_weight_0_changes_nothing(operation: int) -> None:
    architect = toy_architect()
    decided = Decisions().with_operation("cell", 1, 1)
    mixing = architect.mixing(decided)
    architect.supernet.eval()
    with torch.no_grad():
        logits = architect.supernet(IMAGES, mixing)
        without = architect.supernet(IMAGES, mixing.without_operation("cell", 1, operation))
    assert torch.equal(without, logits) == (operation != 1)


def test_removing_none_changes_nothing() -> None:
    architect = toy_architect()
    mixing = architect.mixing(Decisions())
    architect.supernet.eval()
    with torch.no_grad():
        assert torch.equal(
            architect.supernet(IMAGES, mixing.without_operation("cell", 2, 0)), architect.supernet(IMAGES, mixing)
        )


def test_any_values_can_be_fixed_by_decisions() -> None:
    perturbed = {"cell": torch.tensor([[0.2, 0.3, 0.5], [0.0, 0.0, 1.0], [0.6, 0.4, 0.0]])}
    fixed = fixed_by(Decisions().with_operation("cell", 0, 2), EVERY_EDGE, perturbed)
    assert fixed.values["cell"].tolist() == [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], pytest.approx([0.6, 0.4, 0.0])]
    assert perturbed["cell"][0].tolist() == pytest.approx([0.2, 0.3, 0.5])


def test_a_supernet_must_say_how_it_computes() -> None:
    mixing = mixing_weights(EVERY_EDGE, {"cell": torch.zeros(3, 3)}, Decisions())
    with pytest.raises(NotImplementedError):
        Supernet()(IMAGES, mixing)
    assert ToySupernet()(IMAGES, mixing).shape == (6, 10)
