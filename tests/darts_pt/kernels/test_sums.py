"""The sums that one node sends to all later ones: the same with and without gradients, as a product or not."""

from __future__ import annotations

import pytest
import torch

from darts_pt.kernels.sums import Term, add_terms, spread, spreading


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)), dtype=torch.float64)


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("has_later", [True, False])
def test_terms_reach_their_targets(gradients: bool, has_later: bool) -> None:
    later = random(2, 5, 5, 3, 4) if has_later else None
    whole, part, shared = random(2, 12, 5, 5), random(2, 4, 5, 5) * 2, random(2, 4, 5, 5)
    weights = torch.tensor([0.5, 0.25], dtype=torch.float64)
    expected = torch.zeros(2, 5, 5, 3, 4, dtype=torch.float64) if later is None else later.clone()
    expected += whole.permute(0, 2, 3, 1).unflatten(3, (3, 4))
    expected[..., 2, :] += part.permute(0, 2, 3, 1)
    expected[..., 0, :] += 0.5 * shared.permute(0, 2, 3, 1)
    expected[..., 1, :] += 0.25 * shared.permute(0, 2, 3, 1)
    terms = [Term(whole, 0, 3), Term(part, 2, 1), Term(shared, 0, 2, weighted=True)]
    with torch.set_grad_enabled(gradients):
        torch.testing.assert_close(add_terms(later, terms, weights, targets=3), expected)


def test_gradients_are_right() -> None:
    leaves = [random(1, 2, 2, 2, 3), random(1, 6, 2, 2), random(1, 3, 2, 2), torch.rand(2, dtype=torch.float64)]

    def total(later: torch.Tensor, whole: torch.Tensor, shared: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        # Not leaves: a pass asks which of its inputs want a gradient.
        terms = [Term(whole * 1, 0, 2), Term(shared * 1, 0, 2, weighted=True)]
        return add_terms(later * 1, terms, weights * 1, targets=2)

    assert torch.autograd.gradcheck(total, [leaf.requires_grad_() for leaf in leaves])


@pytest.mark.parametrize("channels", [4, 32])
@pytest.mark.parametrize("stacked", [True, False])
def test_one_map_reaches_all_targets(channels: int, stacked: bool) -> None:
    maps, weights = random(2, 3, 3, channels), torch.tensor([[0.5], [0.25]], dtype=torch.float64)
    later = random(2, 3, 3, 2, channels) if stacked else None
    expected = maps.unsqueeze(3) * weights + (0.0 if later is None else later)
    for given in (weights, spreading(weights, channels)):
        torch.testing.assert_close(spread(None if later is None else later.clone(), maps, given), expected)
