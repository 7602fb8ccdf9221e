"""How large a network is: its trainable parameters, and the multiply-adds of one image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from darts_pt.evaluation import EvaluationNetwork

AUXILIARY = "auxiliary_head."
"""Parameters of this name only serve training, and the field's tables leave them out."""


def count_parameters(network: nn.Module) -> int:
    """Trainable parameters, without those of an auxiliary head."""
    return sum(
        parameter.numel()
        for name, parameter in network.named_parameters()
        if parameter.requires_grad and not name.startswith(AUXILIARY)
    )


def count_multiply_adds(network: EvaluationNetwork, height: int, width: int) -> int:
    """Multiply-adds of the convolutions and linear layers in classifying one image [3, height, width].

    Counted by forward hooks on what the network computes, so that a layer counts as often as it runs and at the size of
    its output. Like the field's tables it leaves out batch norms, poolings and sums, and, since the network is in eval
    mode, the auxiliary head. torch's FlopCounterMode counts the same, but takes seconds to import.
    """
    counted = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal counted
        weight = layer.weight
        assert isinstance(weight, Tensor)
        # Every number of the output is a sum over one filter, [input channels / groups, height, width], or row.
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
