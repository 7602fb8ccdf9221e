"""PC-DARTS: partial channels in the cells of both spaces, and edge normalisation."""

from __future__ import annotations

import pytest
import torch

from darts_pt.architect import Architect
from darts_pt.kernels.mixed import channels_through, shuffled
from darts_pt.methods.pc_darts import PartialChannels
from darts_pt.run.errors import UserError
from darts_pt.supernet import Decisions, MixingWeights, Supernet, initial_alpha
from nasbench201.cell_plan import Mixture
from nasbench201.partial import PartialCell as PartialCell201
from nasbench201.supernet import CELL, NasBench201Supernet
from nasbench201.supernet import Cell as Cell201
from sota.cells.cell import Cell as CellSota
from sota.cells.partial import PartialCell as PartialCellSota
from sota.cells.plan import Mixture as MixtureSota
from sota.genotypes import genotype
from sota.spaces import cell_types
from sota.supernet import SotaSupernet
from tests.helpers.bilevel import batch

NORMAL = cell_types("s5")[0]


def test_the_groups_of_channels_come_round_in_turn() -> None:
    maps = torch.arange(6.0)[None, :, None, None]
    assert shuffled(maps, 2).flatten().tolist() == [0, 3, 1, 4, 2, 5]


def test_channels_that_cannot_be_divided_are_refused() -> None:
    assert channels_through(16, 4) == 4
    for channels, one_in in ((6, 4), (2, 4)):
        with pytest.raises(UserError, match="partial_channels: expected a divisor"):
            channels_through(channels, one_in)


def images(channels: int) -> torch.Tensor:
    return torch.randn(2, channels, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_with_all_channels_and_edge_weights_of_one_a_cell_is_the_ordinary_one() -> None:
    generator = torch.Generator().manual_seed(1)
    weights = torch.rand(6, 5, generator=generator, dtype=torch.float64)
    every = tuple(tuple(range(5)) for _ in range(6))
    plain, partial = Cell201(4).double(), PartialCell201(4, one_in=1).double()
    partial.load_state_dict(plain.state_dict())
    expected = plain(images(4), Mixture(weights, every, torch.float64))
    torch.testing.assert_close(partial(images(4), weights, every, torch.ones(6, dtype=torch.float64)), expected)
    for reduction in (False, True):
        arguments = (NORMAL, 8, 8, 4, reduction, False)
        plain, partial = CellSota(*arguments).double(), PartialCellSota(*arguments, one_in=1).double()
        partial.load_state_dict(plain.state_dict())
        weights = torch.rand(14, 7, generator=generator, dtype=torch.float64)
        every = tuple(tuple(range(7)) for _ in range(14))
        inputs = (images(8), images(8).flip(0))
        ones = torch.ones(14, dtype=torch.float64)
        torch.testing.assert_close(
            partial(*inputs, weights, every, ones), plain(*inputs, MixtureSota(NORMAL, weights, every))
        )


def test_the_other_channels_go_around_the_operations() -> None:
    cell = PartialCell201(8, one_in=4).double()
    active = ((1,), (), (), (1,), (), ())
    weights = torch.full((6, 5), 0.5, dtype=torch.float64)
    output = cell(images(8), weights, active, torch.full((6,), 0.25, dtype=torch.float64))
    through, around = images(8)[:, :2], images(8)[:, 2:]
    expected = 0.25 * shuffled(torch.cat([0.5 * through, around], dim=1), 4)
    torch.testing.assert_close(output, expected)


def architect_of(supernet: Supernet) -> PartialChannels:
    return PartialChannels(
        supernet.double(), initial_alpha(supernet.cell_types, torch.Generator(), dtype=torch.float64)
    )


def sota() -> PartialChannels:
    return architect_of(SotaSupernet("s2", 4, 3, 10, lambda *sizes: PartialCellSota(*sizes, one_in=2)))


def test_the_edges_of_a_node_share_a_weight_of_one() -> None:
    architect = sota()
    normal = architect.supernet.cell_types[0]
    with torch.no_grad():
        architect.beta["normal"].copy_(torch.randn(14, generator=torch.Generator().manual_seed(2)))
    weights = architect.edge_weights(Decisions())["normal"]
    for edges in normal.incoming.values():
        torch.testing.assert_close(weights[list(edges)], torch.softmax(architect.beta["normal"][list(edges)], dim=0))
    kept = architect.edge_weights(Decisions().with_edges("normal", 4, (5, 7)))["normal"]
    assert kept[6] == 0
    assert kept[8] == 0
    torch.testing.assert_close(kept[[5, 7]], torch.softmax(architect.beta["normal"][[5, 7]], dim=0))


def test_edges_are_compared_by_alpha_times_beta() -> None:
    architect = sota()
    with torch.no_grad():
        architect.beta["normal"][[6, 8]] += 5.0
    mixing = architect.mixing(Decisions())
    read = architect.supernet.genotype(mixing)
    assert {source for _, source in read.normal[4:6]} == {1, 3}, "edges 6 and 8 are those from nodes 1 and 3"
    assert read != genotype(mixing.values, architect.supernet.cell_types)


def test_alpha_and_beta_wait_for_the_end_of_the_warmup_and_then_move() -> None:
    architect = architect_of(NasBench201Supernet(4, 1, 10, lambda channels: PartialCell201(channels, one_in=2)))
    alpha, beta = architect.alpha["cell"].detach().clone(), architect.beta["cell"].detach().clone()
    for epoch, moves in ((0, False), (14, False), (15, True)):
        architect.start_epoch(epoch, 50)
        architect.step(batch(1), Decisions())
        assert torch.equal(architect.alpha["cell"], alpha) is not moves
        assert torch.equal(architect.beta["cell"], beta) is not moves


def test_beta_is_saved_and_restored() -> None:
    first, second = sota(), sota()
    with torch.no_grad():
        first.beta["reduce"].add_(1.0)
    second.restore_state(first.state())
    assert torch.equal(second.beta["reduce"], first.beta["reduce"])
    with pytest.raises(ValueError, match="shape"):
        second.restore_state({"beta": {"normal": torch.zeros(3), "reduce": torch.zeros(14)}})


def test_removals_keep_the_edge_weights_and_others_have_none() -> None:
    mixing = sota().mixing(Decisions())
    assert mixing.without_operation("normal", 0, 1).edge_weights is mixing.edge_weights
    plain = Architect(NasBench201Supernet(4, 1), initial_alpha((CELL,), torch.Generator())).mixing(Decisions())
    assert plain.edge_weights is None
    assert isinstance(plain, MixingWeights)
    assert len(plain.for_cell("cell")) == 2
