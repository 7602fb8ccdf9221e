"""A small CNN with cells of its own on 8x8 digits: shared alpha, nodes that choose inputs, training from scratch.

python examples/digits_cells.py
"""

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import darts_pt


def conv(channels: int, size: int) -> nn.Module:
    convolution = nn.Conv2d(channels, channels, size, padding=size // 2, bias=False)
    return nn.Sequential(nn.ReLU(), convolution, nn.BatchNorm2d(channels))


def edge(channels: int) -> darts_pt.MixedOperation:
    return darts_pt.MixedOperation(
        {"skip": nn.Identity(), "conv1": conv(channels, 1), "conv3": conv(channels, 3), "pool": nn.MaxPool2d(3, 1, 1)}
    )


class Cell(nn.Module):
    """Three nodes after the input; the last keeps two of its three edges. All cells have the same architecture."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = darts_pt.MixedInputs([edge(channels)], keep=1, name="node 1")
        self.second = darts_pt.MixedInputs([edge(channels) for _ in range(2)], keep=2, name="node 2")
        self.third = darts_pt.MixedInputs([edge(channels) for _ in range(3)], keep=2, name="node 3")

    def forward(self, x: Tensor) -> Tensor:
        one = self.first(x)
        two = self.second(x, one)
        return self.third(x, one, two)


def network(channels: int = 8) -> nn.Module:
    stem = [nn.Conv2d(1, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)]
    widen = [nn.Conv2d(channels, 2 * channels, 2, stride=2, bias=False), nn.BatchNorm2d(2 * channels)]
    end = [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * channels, 10)]
    return nn.Sequential(*stem, Cell(channels), *widen, Cell(2 * channels), *end)


def train_from_scratch(net: nn.Module, batches: list[DataLoader], epochs: int = 8) -> None:
    for module in net.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(epochs):
        for loader in batches:
            for images, labels in loader:
                optimizer.zero_grad()
                F.cross_entropy(net(images), labels).backward()
                optimizer.step()


def main() -> None:
    data = load_digits()
    images, labels = torch.tensor(data.images).float()[:, None] / 16, torch.tensor(data.target)
    halves = (TensorDataset(images[part], labels[part]) for part in (slice(0, 600), slice(600, 1200)))
    train, valid = (DataLoader(half, batch_size=64, shuffle=True) for half in halves)
    torch.manual_seed(0)
    model = network()
    searched = darts_pt.search(model, train, valid, epochs=8)
    selected = darts_pt.select(model, train, valid, interval=1)
    print(selected)
    for name, result in (("magnitude", searched), ("PT", selected)):
        net = darts_pt.derive(model, result)
        train_from_scratch(net, [train, valid])
        accuracy = (net.eval()(images[1200:]).argmax(1) == labels[1200:]).float().mean()
        print(f"{name}: test accuracy {100 * accuracy:.1f} %")


if __name__ == "__main__":
    main()
