"""The size of a network: trainable parameters, and multiply-adds per image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from darts_pt.evaluation import EvaluationNetwork

AUXILIARY = "auxiliary_head."
"""Prefix of parameters that only serve training; the field's tables leave them out."""


def count_parameters(network: nn.Module) -> int:
    """Count the trainable parameters, without those of an auxiliary head."""
    return sum(
        parameter.numel()
        for name, parameter in network.named_parameters()
        if parameter.requires_grad and not name.startswith(AUXILIARY)
    )


def count_multiply_adds(network: EvaluationNetwork, height: int, width: int) -> int:
    """Count the multiply-adds of the convolutions and linear layers for one image [3, height, width], in eval mode.

    As in the field's tables, batch norms, poolings, sums and the auxiliary head do not count. torch's FlopCounterMode
    counts the same, but takes seconds to import.
    """
    counted = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal counted
        weight = layer.weight
        assert isinstance(weight, Tensor)
        # Each output value is a sum over one filter [input channels / groups, height, width] or one row.
        counted += output.numel() * weight[0].numel()

    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    weight = next(network.parameters())
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            network(torch.zeros(1, 3, height, width, device=weight.device, dtype=weight.dtype))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return counted
