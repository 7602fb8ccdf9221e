"""The supernet of NAS-Bench-201 computes what the textbook formulation does, faster."""

from __future__ import annotations

import pytest
import torch

from benchmarks.textbook import TextbookNasBench201
from darts_pt.kernels.mixed import BatchNorm2d, frozen_statistics
from darts_pt.supernet import Decisions, initial_alpha
from nasbench201.supernet import CELL, NasBench201Supernet
from tests.helpers.oracle import assert_same, mixing_weights, random_mixing


def supernet_and_textbook() -> tuple[NasBench201Supernet, TextbookNasBench201]:
    torch.manual_seed(1)
    supernet = NasBench201Supernet(init_channels=4, cells_per_stage=1, num_classes=5).double()
    for norm in (module for module in supernet.modules() if isinstance(module, BatchNorm2d)):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    return supernet, TextbookNasBench201(CELL, 4, 1, 5, skips_zero=True).double()


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("decided", [0, 1, 3, 5, 6])
@pytest.mark.parametrize("seed", [0, 1])
def test_agrees_with_the_textbook(train: bool, decided: int, seed: int) -> None:
    supernet, textbook = supernet_and_textbook()
    generator = torch.Generator().manual_seed(10 * decided + seed)
    images = torch.randn(6, 3, 8, 8, generator=generator, dtype=torch.float64)
    assert_same(supernet, textbook, random_mixing(supernet, generator, decided), images, train)


def test_has_the_textbooks_names_in_the_textbooks_order() -> None:
    supernet, textbook = supernet_and_textbook()
    ours, theirs = supernet.state_dict(), textbook.state_dict()
    assert list(ours) == list(theirs)
    assert [value.shape for value in ours.values()] == [value.shape for value in theirs.values()]


@pytest.mark.parametrize("edge", range(6))
def test_removing_an_operation_is_giving_it_weight_zero(edge: int) -> None:
    supernet, textbook = supernet_and_textbook()
    generator = torch.Generator().manual_seed(edge)
    mixing = random_mixing(supernet, generator, 0)
    images = torch.randn(6, 3, 8, 8, generator=generator, dtype=torch.float64)
    textbook.load_state_dict(supernet.state_dict())
    before = {name: buffer.clone() for name, buffer in supernet.named_buffers()}
    for operation in range(5):
        removed = mixing.without_operation("cell", edge, operation)
        with torch.no_grad(), frozen_statistics(supernet):
            ours = supernet(images, removed)
            theirs = textbook.train()(images, removed.values)
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    for name, buffer in supernet.named_buffers():  # Scoring leaves the running statistics and counters alone.
        assert torch.equal(buffer, before[name]), name


def test_running_statistics_also_move_without_gradients() -> None:
    supernet, textbook = supernet_and_textbook()
    textbook.load_state_dict(supernet.state_dict())
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(6, 3, 8, 8, generator=generator, dtype=torch.float64)
    mixing = random_mixing(supernet, generator, 0)
    with torch.no_grad():
        supernet.train()(images, mixing)
        textbook.train()(images, mixing.values)
    for name, buffer in textbook.named_buffers():
        torch.testing.assert_close(supernet.get_buffer(name), buffer, rtol=1e-10, atol=1e-10)


def test_alpha_gets_its_gradient_where_the_weights_want_none() -> None:
    supernet, textbook = supernet_and_textbook()
    textbook.load_state_dict(supernet.state_dict())
    alpha = initial_alpha(supernet.cell_types, torch.Generator().manual_seed(0), dtype=torch.float64)
    images = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gradients = []
    for network in (supernet.train(), textbook.train()):
        network.requires_grad_(False)
        mixing = mixing_weights(supernet.cell_types, alpha, Decisions())
        logits = network(images, mixing if network is supernet else mixing.values)
        gradients += torch.autograd.grad(logits.square().sum(), alpha["cell"])
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-10, atol=1e-10)
