"""Tensors that are stored stacked stay parameters and buffers of their modules."""

from __future__ import annotations

import copy

import torch
from torch import nn

from darts_pt.kernels.bank import Bank, merged
from darts_pt.supernet import Decisions, initial_alpha
from nasbench201.supernet import NasBench201Supernet
from tests.helpers.oracle import mixing_weights


def modules() -> list[nn.Module]:
    torch.manual_seed(0)
    return [nn.Conv2d(2, 2, size, bias=False).double() for size in (1, 3, 1)]


def test_the_stack_is_where_the_parameters_are() -> None:
    convolutions = modules()
    values = [convolution.weight.detach().clone() for convolution in convolutions]  # type: ignore[union-attr, operator]
    bank = Bank(convolutions, "weight")
    assert all(torch.equal(member, value) for member, value in zip(bank.members(), values, strict=True))
    assert bank.flat().data_ptr() == bank.members()[0].data_ptr()
    with torch.no_grad():
        bank.members()[1].fill_(7.0)
    assert bank.flat()[4:40].eq(7.0).all()


def test_only_members_of_a_run_get_a_gradient() -> None:
    bank = Bank(modules(), "weight")
    first, last = bank.parts([(0, 1), (2, 1)])
    loss = first.sum() + 2 * last.sum()
    gradients = torch.autograd.grad(loss, bank.members(), allow_unused=True)
    assert gradients[1] is None
    assert gradients[0].eq(1.0).all()
    assert gradients[2].eq(2.0).all()
    assert gradients[2].shape == (2, 2, 1, 1)


def test_lent_parameters_are_used_in_place_of_the_stored() -> None:
    convolutions = modules()
    bank = Bank(convolutions, "weight")
    for convolution in convolutions:
        convolution.weight = nn.Parameter(torch.ones_like(convolution.weight))  # type: ignore[arg-type]
    assert not bank.is_stored()
    assert bank.flat().eq(1.0).all()
    bank.store()
    assert bank.is_stored()
    assert bank.flat().eq(1.0).all()


def test_a_copy_of_a_supernet_is_trained_apart_from_it() -> None:
    supernet = NasBench201Supernet(2, 1)
    twin = copy.deepcopy(supernet)
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    with torch.no_grad():
        for weight in twin.parameters():
            weight.zero_()
    assert all(torch.equal(value, before[name]) for name, value in supernet.state_dict().items())


def test_a_supernet_of_another_type_is_stored_again() -> None:
    supernet = NasBench201Supernet(2, 1).double()
    assert supernet.cells[0]._kernels.is_stored()  # type: ignore[union-attr]
    assert supernet.cells[0]._kernels.flat().dtype == torch.float64  # type: ignore[union-attr]


def test_a_supernet_of_another_type_moves_the_statistics_that_it_has_now() -> None:
    supernet = NasBench201Supernet(2, 1)
    alpha = initial_alpha(supernet.cell_types, torch.Generator().manual_seed(0))
    mixing = mixing_weights(supernet.cell_types, alpha, Decisions())
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        supernet.train()(images, mixing)
        supernet.double()
        before = {name: value.clone() for name, value in supernet.named_buffers()}
        supernet(images.double(), mixing.with_tensors([value.double() for value in mixing.tensors()]))
    unmoved = [name for name, value in supernet.named_buffers() if torch.equal(value, before[name])]
    assert not unmoved


def test_runs_that_touch_are_one() -> None:
    assert merged([(4, 2), (0, 3), (6, 1)]) == ((0, 3), (4, 3))
