"""Models with choices in them that cost milliseconds, and batches for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import darts_pt
from darts_pt import MixedInputs, MixedOperation

WIDTH = 6


def choice(name: str | None = None, partial_channels: int = 1, **more: Any) -> MixedOperation:
    width = max(1, WIDTH // max(1, partial_channels))
    return MixedOperation(
        {
            "skip": nn.Identity(),
            "linear": nn.Linear(width, width),
            "norm": nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.2)),
        },
        name,
        partial_channels=partial_channels,
        **more,
    )


class Node(nn.Module):
    """Two of three inputs are kept; all nodes of one name decide together."""

    def __init__(self, name: str | None = None, cell: str = "cell", partial_channels: int = 1) -> None:
        super().__init__()
        self.sum = MixedInputs([choice(partial_channels=partial_channels) for _ in range(3)], 2, name, cell)

    def forward(self, x: Tensor) -> Tensor:
        return self.sum(x, x.relu(), x.tanh())


def mlp(*layers: nn.Module, outputs: int = 2) -> nn.Module:
    """Seeded; the layers' weights are drawn again."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(4, WIDTH), *(layers or (choice(), choice("b"), choice("b"))), nn.Linear(WIDTH, outputs)
    )
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.reset_parameters()
    return model


def data(count: int = 48) -> tuple[Tensor, Tensor]:
    x = torch.randn(count, 4, generator=torch.Generator().manual_seed(1))
    return x, (x[:, 0] * x[:, 1] > 0).long()


def loaders(size: int = 8) -> tuple[DataLoader[Any], DataLoader[Any]]:
    x, y = data()
    first, second = (DataLoader(TensorDataset(x[p], y[p]), size, shuffle=True) for p in (slice(24), slice(24, 48)))
    return first, second


QUIET: dict[str, Any] = {"quiet": True}


def search(model: nn.Module, epochs: int = 2, **more: Any) -> darts_pt.Result:
    return darts_pt.search(model, *loaders(), epochs, **QUIET | more)


def select(model: nn.Module, **more: Any) -> darts_pt.Result:
    return darts_pt.select(model, *loaders(), **{"interval": 1} | QUIET | more)


def tensors(model: nn.Module) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in model.state_dict().values()]
