"""Zero-cost scores on networks whose scores are known, and the selection that compares them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from darts_pt.architect import Architect
from darts_pt.kernels.mixed import BatchNorm2d
from darts_pt.run.errors import UserError
from darts_pt.selections.zero_cost_pt import ZeroCostRule, nwot, synflow
from darts_pt.supernet import Decisions, MixingWeights, Supernet, initial_alpha
from nasbench201.supernet import NasBench201Supernet
from tests.helpers.toy import EVERY_EDGE, TWO_EDGES_EACH, toy_architect

NO_MIXING = MixingWeights({}, {})


class Chain(Supernet):
    """Two linear layers with a batch norm between them, for images of 1×1."""

    def __init__(self, first: list[list[float]], second: list[list[float]]) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, len(first), bias=False), nn.Linear(len(first), 1, bias=False)
        self.norm = BatchNorm2d(len(first))
        with torch.no_grad():
            self.first.weight.copy_(torch.tensor(first))
            self.second.weight.copy_(torch.tensor(second))
            self.norm.weight.fill_(7.0)

    def forward(self, images: torch.Tensor, mixing: MixingWeights) -> torch.Tensor:
        hidden = self.norm(self.first(images.flatten(1))[:, :, None, None]).flatten(1)
        return self.second(torch.relu(hidden))


def test_synflow_of_two_layers() -> None:
    network = Chain([[1.0, -2.0, 0.5], [0.0, 1.0, -1.0]], [[-2.0, 3.0]])
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    # With absolute weights R = 2·(1 + 2 + 0.5) + 3·(0 + 1 + 1) = 13, and each of the two layers carries all of it.
    assert synflow(network, NO_MIXING, torch.randn(4, 3, 1, 1)) == pytest.approx(math.log(2 * 13), abs=1e-4)
    assert network.training
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), f"{name} is left as it was"


def test_synflow_does_not_overflow() -> None:
    network = Chain([[1e30, 0.0, 0.0]], [[1e30]])
    assert synflow(network, NO_MIXING, torch.randn(4, 3, 1, 1)) == pytest.approx(
        math.log(2) + 60 * math.log(10), abs=1e-4
    )


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_scores_that_cannot_be_compared_are_refused(value: float) -> None:
    rule = ZeroCostRule(lambda supernet, mixing: value)
    with pytest.raises(UserError, match=f"a zero-cost score is {value}"):
        rule.operation(toy_architect(), Decisions(), EVERY_EDGE[0], 0)


class Rectifiers(Supernet):
    """The pixels themselves through a ReLU: each image's code is its signs."""

    def forward(self, images: torch.Tensor, mixing: MixingWeights) -> torch.Tensor:
        return torch.relu(images.flatten(1))


def test_nwot_counts_the_units_on_which_images_agree() -> None:
    codes = torch.tensor([[1.0, 1.0, -1.0], [1.0, -1.0, -1.0], [-1.0, 1.0, 1.0]])
    kernel = torch.tensor([[3.0, 2.0, 1.0], [2.0, 3.0, 0.0], [1.0, 0.0, 3.0]], dtype=torch.float64)
    expected = float(torch.linalg.slogdet(kernel).logabsdet)
    assert nwot(Rectifiers(), NO_MIXING, codes[:, :, None, None]) == pytest.approx(expected)


def supernet_201() -> tuple[NasBench201Supernet, Any]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        supernet = NasBench201Supernet(4, 1)
    return supernet, Architect(supernet, initial_alpha(supernet.cell_types, torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("score", [synflow, nwot])
def test_scores_of_a_supernet_leave_it_alone_and_miss_what_is_removed(score: Any) -> None:
    supernet, architect = supernet_201()
    images = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    mixing = architect.mixing(Decisions())
    whole = score(supernet, mixing, images)
    assert score(supernet, mixing, images) == whole
    assert score(supernet, mixing.without_operation("cell", 0, 0), images) == whole, "none adds nothing"
    assert score(supernet, mixing.without_edge("cell", 0), images) != whole
    for name, tensor in supernet.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_synflow_falls_whatever_is_removed() -> None:
    supernet, architect = supernet_201()
    images = torch.zeros(1, 3, 8, 8)
    mixing = architect.mixing(Decisions())
    whole = synflow(supernet, mixing, images)
    for operation in range(1, 5):
        assert synflow(supernet, mixing.without_operation("cell", 0, operation), images) < whole


def test_the_operation_stays_whose_removal_leaves_the_lowest_score() -> None:
    architect = toy_architect()
    cell = EVERY_EDGE[0]
    scores = iter([5.0, 1.0, 1.0])
    choice = ZeroCostRule(lambda supernet, mixing: next(scores)).operation(architect, Decisions(), cell, 0)
    assert choice.operation == 1
    assert [measured.score for measured in choice.scores or []] == [5.0, 1.0, 1.0]


def test_edges_are_dropped_whose_removal_leaves_the_highest_score() -> None:
    architect = toy_architect(TWO_EDGES_EACH)
    cell = TWO_EDGES_EACH[0]
    values = {5: 1.0, 6: 3.0, 7: 2.0, 8: 0.0}

    def score(supernet: Supernet, mixing: MixingWeights) -> float:
        (removed,) = (edge for edge, active in enumerate(mixing.active["normal"]) if not active)
        return values[removed]

    choice = ZeroCostRule(score).edges(architect, Decisions(), cell, 4)
    assert [round_.dropped for round_ in choice.rounds or []] == [6, 7]
    assert choice.kept == (5, 8)
