"""How large a network is: its trainable parameters, and the multiply-adds of one image."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

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

    Counted by torch's own FlopCounterMode, which sees every convolution and product as it is dispatched (hence no
    layer can be forgotten) and takes two operations per multiply-add. Like the field's tables it leaves out batch
    norms, poolings and sums, and, since the network is in eval mode, the auxiliary head.
    """
    weight = next(network.parameters())
    image = torch.zeros(1, 3, height, width, device=weight.device, dtype=weight.dtype)
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(image)
    finally:
        network.train(was_training)
    return counter.get_total_flops() // 2
