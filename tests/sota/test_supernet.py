"""The supernets of S1–S5 compute what the textbook formulation does, faster."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from benchmarks.textbook import Noise as TextbookNoise
from benchmarks.textbook import TextbookSota
from darts_pt.kernels.mixed import BatchNorm2d, frozen_statistics
from sota.cells.partial import PartialCell
from sota.operations import Noise
from sota.spaces import CANDIDATES, cell_types
from sota.supernet import SotaSupernet
from tests.helpers.equality import equal
from tests.helpers.oracle import assert_same, random_mixing


def supernet_and_textbook(space: str) -> tuple[SotaSupernet, TextbookSota]:
    torch.manual_seed(1)
    supernet = SotaSupernet(space, init_channels=2, layers=3, num_classes=5).double()
    for norm in (module for module in supernet.modules() if isinstance(module, BatchNorm2d)):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    textbook = TextbookSota(cell_types(space), 2, 3, 5, skips_zero=True).double()
    # The same numbers for both, whatever the order of the edges: every noise operation has a generator of its own.
    for network in (supernet, textbook):
        noises = [module for module in network.modules() if isinstance(module, Noise | TextbookNoise)]
        for number, module in enumerate(noises):
            module.generator = torch.Generator().manual_seed(number)
    return supernet, textbook


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("decided", [0, 2, 7, 14])
@pytest.mark.parametrize("space", list(CANDIDATES))
def test_agrees_with_the_textbook(space: str, decided: int, train: bool) -> None:
    supernet, textbook = supernet_and_textbook(space)
    generator = torch.Generator().manual_seed(decided)
    images = torch.randn(4, 3, 8, 8, generator=generator, dtype=torch.float64)
    assert_same(supernet, textbook, random_mixing(supernet, generator, decided), images, train)


@pytest.mark.parametrize("space", list(CANDIDATES))
def test_has_the_textbooks_names_in_the_textbooks_order(space: str) -> None:
    supernet, textbook = supernet_and_textbook(space)
    ours, theirs = supernet.state_dict(), textbook.state_dict()
    assert list(ours) == list(theirs)
    assert [value.shape for value in ours.values()] == [value.shape for value in theirs.values()]


def test_partial_channels_change_no_weight_if_they_are_all_channels() -> None:
    """The cell of PC-DARTS draws each weight once, in its own order: the cell's inputs, then edge by edge."""
    states = []
    for cells in ((), (partial(PartialCell, one_in=1),)):
        torch.manual_seed(1)
        states.append(SotaSupernet("s2", 2, 3, 5, *cells).state_dict())
    assert equal(*states)


@pytest.mark.parametrize("space", ["s1", "s3", "s4", "s5"])
def test_removing_an_operation_or_an_edge_is_giving_it_weight_zero(space: str) -> None:
    supernet, textbook = supernet_and_textbook(space)
    generator = torch.Generator().manual_seed(0)
    mixing = random_mixing(supernet, generator, 3)
    images = torch.randn(4, 3, 8, 8, generator=generator, dtype=torch.float64)
    textbook.load_state_dict(supernet.state_dict())
    before = {name: buffer.clone() for name, buffer in supernet.named_buffers()}
    for cell in supernet.cell_types:
        for removed in (mixing.without_operation(cell.name, 4, 0), mixing.without_edge(cell.name, 7)):
            with torch.no_grad(), frozen_statistics(supernet):
                ours = supernet(images, removed)
                theirs = textbook.train()(images, removed.values)
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    for name, buffer in supernet.named_buffers():
        assert torch.equal(buffer, before[name]), name
