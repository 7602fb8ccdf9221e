"""The sums that a cell's nodes are: the same with and without gradients, whatever their terms."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from darts_pt.kernels.mixed import BatchNorm2d, frozen_statistics
from darts_pt.kernels.sums import NodeSums, scale_vectors


def summed(stack: Tensor, maps: Tensor, weights: Tensor, norms: list[BatchNorm2d], scale: Tensor) -> list[Tensor]:
    """Two nodes: a weighted map and a batch norm's output; a batch norm's output and two weighted maps."""
    sums = NodeSums()
    sums.add_weighted(0, maps, weights[0])
    sums.add_normalised([0, 1], stack, norms, scale)
    sums.add_weighted(1, maps, weights[1])
    sums.add_weighted(1, maps, weights[0])
    totals = [sums.take(node) for node in (0, 1, 2)]
    assert totals[2] is None
    return [total for total in totals if total is not None]


@pytest.mark.parametrize("side", [4, 200])
@pytest.mark.parametrize("mode", ["train", "eval", "frozen"])
def test_sums_are_what_they_say_with_and_without_gradients(mode: str, side: int) -> None:
    """On small maps and on large ones, by batch statistics and by running ones."""
    generator = torch.Generator().manual_seed(0)
    stack = torch.randn(4, 8, side, side, generator=generator, dtype=torch.float64) + 1
    stack = stack.contiguous(memory_format=torch.channels_last)
    maps, weights, scale = stack[:, :4] * 2, torch.tensor([0.25, 0.5]).double(), torch.rand(8).double()
    norms = [BatchNorm2d(4, affine=False).double().train(mode != "eval") for _ in range(2)]
    mean = stack.mean((0, 2, 3), keepdim=True) if mode != "eval" else 0.0
    variance = stack.var((0, 2, 3), correction=0, keepdim=True) if mode != "eval" else 1.0
    normalised = (stack - mean) / (variance + 1e-5) ** 0.5 * scale.view(1, -1, 1, 1)
    expected = [normalised[:, :4] + 0.25 * maps, normalised[:, 4:] + 0.75 * maps]
    for gradients in (True, False):
        with torch.set_grad_enabled(gradients):
            if mode == "frozen":
                with frozen_statistics(torch.nn.ModuleList(norms)):
                    found = summed(stack, maps, weights, norms, scale)
            else:
                found = summed(stack, maps, weights, norms, scale)
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    moved = [bool(norm.running_mean.any()) for norm in norms]  # type: ignore[union-attr]
    assert moved == [mode == "train"] * 2


def test_scales_lie_in_memory_as_batch_norm_reads_them() -> None:
    for count in (1, 3):
        weights = torch.arange(1.0, count + 1).requires_grad_()
        (scale,) = scale_vectors(weights.unbind(), 4, [count])
        assert scale.is_contiguous()
        assert scale.tolist() == weights.repeat_interleave(4).tolist()
        (gradient,) = torch.autograd.grad(scale.sum(), weights)
        assert gradient.tolist() == [4.0] * count
    assert scale_vectors([], 4, []) == ()
