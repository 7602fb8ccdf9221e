"""The sums that one node sends to all later ones: the same with and without gradients, as a product or not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from darts_pt.kernels.sums import LaterNodes, Term, spread, spreading


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def nodes(by_target: bool, whole: Tensor, part: Tensor, shared: Tensor, weights: Tensor) -> list[Tensor]:
    """Three nodes: the first gets terms of two sources, the others of a third one too."""
    later = LaterNodes(3, by_target)
    # Not leaves: a pass asks which of its inputs want a gradient.
    whole, part, shared, weights = (tensor * 1 for tensor in (whole, part, shared, weights))
    later.add([Term(whole, 0, 3), Term(part, 2, 1)], weights[:0])
    later.add([Term(shared, 0, 2, weighted=True)], weights[:2])
    first = later.take()
    assert first is not None
    later.add([Term(first * 1, 0, 2, weighted=True), Term(part * 2, 1, 1)], weights[2:])
    second, third = later.take(), later.take()
    assert second is not None
    assert third is not None
    return [first, second, third]


def leaves() -> list[Tensor]:
    shapes = (2, 9, 2, 3), (2, 3, 2, 3), (2, 3, 2, 3), (4,)
    return [random(number, *shape).requires_grad_() for number, shape in enumerate(shapes)]


@pytest.mark.parametrize("by_target", [True, False])
@pytest.mark.parametrize("gradients", [True, False])
def test_terms_reach_their_targets(by_target: bool, gradients: bool) -> None:
    whole, part, shared, weights = leaves()
    expected = list(whole.unflatten(1, (3, 3)).unbind(1))
    expected[0] = expected[0] + weights[0] * shared
    expected[1] = expected[1] + weights[1] * shared + weights[2] * expected[0]
    expected[2] = expected[2] + weights[3] * expected[0] + 3 * part
    with torch.set_grad_enabled(gradients):
        found = nodes(by_target, whole, part, shared, weights)
    torch.testing.assert_close(found, expected)
    assert all(node.is_contiguous(memory_format=torch.channels_last) for node in found)


@pytest.mark.parametrize("by_target", [True, False])
def test_gradients_are_right(by_target: bool) -> None:
    assert torch.autograd.gradcheck(lambda *tensors: tuple(nodes(by_target, *tensors)), leaves())


def test_a_node_that_gets_nothing_is_none() -> None:
    assert LaterNodes(1, by_target=True).take() is None


@pytest.mark.parametrize("channels", [4, 32])
@pytest.mark.parametrize("stacked", [True, False])
def test_one_map_reaches_all_targets(channels: int, stacked: bool) -> None:
    maps, weights = random(0, 2, 3, 3, channels), torch.tensor([[0.5], [0.25]], dtype=torch.float64)
    later = random(1, 2, 3, 3, 2, channels) if stacked else None
    expected = maps.unsqueeze(3) * weights + (0.0 if later is None else later)
    for given in (weights, spreading(weights, channels)):
        torch.testing.assert_close(spread(None if later is None else later.clone(), maps, given), expected)
