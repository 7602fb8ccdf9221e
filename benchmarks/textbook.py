"""The textbook formulation: the yardstick of `benchmarks.speed` and the oracle of the supernets' tests.

Written from the definitions alone, without any code of the supernets that it is compared with: one module per
operation, each edge a weighted sum in Python over all of its candidates, every gradient computed in alpha's step, images
augmented one by one in a data loader that is made for every step. Parameters and buffers have the names that
the supernets have, so that the two can share weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darts_pt.supernet import CellType

Weights = dict[str, Tensor]
"""Cell type -> mixing weights [edges, operations]."""


# Operations ------------------------------------------------------------------------------------------------------


class ReLUConvBN(nn.Module):
    """ReLU, convolution, batch norm."""

    def __init__(self, c_in: int, c_out: int, kernel_size: int, stride: int = 1, affine: bool = False) -> None:
        super().__init__()
        convolution = nn.Conv2d(c_in, c_out, kernel_size, stride, padding=kernel_size // 2, bias=False)
        self.op = nn.Sequential(nn.ReLU(), convolution, nn.BatchNorm2d(c_out, affine=affine))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.op(inputs)


class ResidualBlock(nn.Module):
    """NAS-Bench-201's block of stride 2 between two stages."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv_a = ReLUConvBN(c_in, c_out, 3, stride=2, affine=True)
        self.conv_b = ReLUConvBN(c_out, c_out, 3, affine=True)
        self.downsample = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(c_in, c_out, 1, bias=False))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.conv_b(self.conv_a(inputs)) + self.downsample(inputs)


class FactorizedReduce(nn.Module):
    """ReLU, two 1x1 convolutions of stride 2, one pixel apart, concatenated; batch norm."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.conv_2 = nn.Conv2d(c_in, c_out - c_out // 2, 1, stride=2, bias=False)
        self.bn = nn.BatchNorm2d(c_out, affine=False)

    def forward(self, inputs: Tensor) -> Tensor:
        inputs = torch.relu(inputs)
        return self.bn(torch.cat([self.conv_1(inputs), self.conv_2(inputs[:, :, 1:, 1:])], dim=1))


class Separable(nn.Module):
    """ReLU, depthwise and pointwise convolution, batch norm; `repeats` times, the stride in the first."""

    def __init__(self, channels: int, kernel_size: int, stride: int, dilation: int, repeats: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for repeat in range(repeats):
            padding = dilation * (kernel_size - 1) // 2
            step = stride if repeat == 0 else 1
            layers += [
                nn.ReLU(),
                nn.Conv2d(channels, channels, kernel_size, step, padding, dilation, groups=channels, bias=False),
                nn.Conv2d(channels, channels, 1, bias=False),
                nn.BatchNorm2d(channels, affine=False),
            ]
        self.op = nn.Sequential(*layers)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.op(inputs)


class Zero(nn.Module):
    """none: zeros of the output's shape."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs[:, :, :: self.stride, :: self.stride] * 0.0


class Noise(nn.Module):
    """noise: N(0, 1) of the output's shape from `generator`."""

    generator: torch.Generator | None = None

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, inputs: Tensor) -> Tensor:
        shape = inputs[:, :, :: self.stride, :: self.stride].shape
        return torch.empty(shape, dtype=inputs.dtype, device=inputs.device).normal_(generator=self.generator)


def operation(name: str, channels: int, stride: int, pooling_norm: bool) -> nn.Module:
    """The candidate of this name; in S1–S5 a batch norm follows the poolings."""
    if name == "none":
        return Zero(stride)
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels)
    if name == "noise":
        return Noise(stride)
    if name.startswith("nor_conv_"):
        return ReLUConvBN(channels, channels, int(name[-1]))
    if name.startswith("sep_conv_"):
        return Separable(channels, int(name[-1]), stride, dilation=1, repeats=2)
    if name.startswith("dil_conv_"):
        return Separable(channels, int(name[-1]), stride, dilation=2, repeats=1)
    pool = (
        nn.MaxPool2d(3, stride, padding=1)
        if name == "max_pool_3x3"
        else nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)
    )
    return nn.Sequential(pool, nn.BatchNorm2d(channels, affine=False)) if pooling_norm else pool


def mix(candidates: Sequence[nn.Module], inputs: Tensor, weights: Tensor, skips_zero: bool) -> Tensor:
    """The weighted sum of all candidates; with `skips_zero`, of those whose weight is not exactly 0."""
    terms = [
        weight * candidate(inputs)
        for weight, candidate in zip(weights, candidates, strict=True)
        if not (skips_zero and weight == 0)
    ]
    total = terms[0] if terms else torch.zeros((), dtype=inputs.dtype, device=inputs.device)
    for term in terms[1:]:
        total = total + term
    return total


# Supernets -------------------------------------------------------------------------------------------------------


class TextbookNasBench201(nn.Module):
    """The supernet of NAS-Bench-201.

    Args:
        skips_zero: leave out candidates with weight 0, as an oracle for running statistics; off for timing.
    """

    def __init__(
        self, cell_type: CellType, init_channels: int, cells_per_stage: int, num_classes: int, skips_zero: bool = False
    ) -> None:
        super().__init__()
        self.cell_type, self.skips_zero = cell_type, skips_zero
        self.stem = nn.Sequential(nn.Conv2d(3, init_channels, 3, padding=1, bias=False), nn.BatchNorm2d(init_channels))
        self.cells = nn.ModuleList()
        channels = init_channels
        for stage in range(3):
            if stage > 0:
                self.cells.append(ResidualBlock(channels, 2 * channels))
                channels *= 2
            self.cells.extend(self._cell(channels) for _ in range(cells_per_stage))
        self.lastact = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())
        self.classifier = nn.Linear(channels, num_classes)

    def _cell(self, channels: int) -> nn.ModuleDict:
        edges = nn.ModuleDict()
        for edge, names in zip(self.cell_type.edges, self.cell_type.operations, strict=True):
            edges[f"{edge.target}<-{edge.source}"] = nn.ModuleList(
                operation(name, channels, stride=1, pooling_norm=False) for name in names
            )
        return nn.ModuleDict({"edges": edges})

    def forward(self, images: Tensor, weights: Weights) -> Tensor:
        """Class logits [batch, classes]."""
        hidden = self.stem(images)
        for block in self.cells:
            hidden = self._cell_output(block, hidden, weights) if isinstance(block, nn.ModuleDict) else block(hidden)
        return self.classifier(F.adaptive_avg_pool2d(self.lastact(hidden), 1).flatten(1))

    def _cell_output(self, cell: nn.ModuleDict, inputs: Tensor, weights: Weights) -> Tensor:
        nodes = [inputs, *[torch.zeros_like(inputs)] * 3]
        rows = weights[self.cell_type.name]
        for index, (edge, candidates) in enumerate(zip(self.cell_type.edges, cell["edges"].values(), strict=True)):  # type: ignore[operator]
            mixed = mix(list(candidates), nodes[edge.source], rows[index], self.skips_zero)
            nodes[edge.target] = nodes[edge.target] + mixed
        return nodes[3]


class TextbookSota(nn.Module):
    """The supernet of one of S1–S5; `skips_zero` as in NAS-Bench-201's."""

    def __init__(
        self,
        cell_types: tuple[CellType, CellType],
        init_channels: int,
        layers: int,
        num_classes: int,
        skips_zero: bool = False,
    ) -> None:
        super().__init__()
        self.skips_zero = skips_zero
        channels, before, last = init_channels, 3 * init_channels, 3 * init_channels
        self.stem = nn.Sequential(nn.Conv2d(3, last, 3, padding=1, bias=False), nn.BatchNorm2d(last))
        self.cells = nn.ModuleList()
        self.cell_types: list[CellType] = []
        after_reduction = False
        for layer in range(layers):
            reduces = layer in (layers // 3, 2 * layers // 3)
            channels *= 2 if reduces else 1
            self.cell_types.append(cell_types[reduces])
            self.cells.append(_sota_cell(cell_types[reduces], before, last, channels, reduces, after_reduction))
            after_reduction, before, last = reduces, last, 4 * channels
        self.classifier = nn.Linear(last, num_classes)

    def forward(self, images: Tensor, weights: Weights) -> Tensor:
        """Class logits [batch, classes]."""
        before = last = self.stem(images)
        for cell, cell_type in zip(self.cells, self.cell_types, strict=True):
            before, last = last, self._cell_output(cell, cell_type, before, last, weights[cell_type.name])
        return self.classifier(F.adaptive_avg_pool2d(last, 1).flatten(1))

    def _cell_output(self, cell: nn.Module, cell_type: CellType, before: Tensor, last: Tensor, rows: Tensor) -> Tensor:
        nodes = [cell.preprocess0(before), cell.preprocess1(last)]  # type: ignore[operator]
        for node in range(2, 6):
            terms = [
                mix(list(cell._ops[edge]._ops), nodes[cell_type.edges[edge].source], rows[edge], self.skips_zero)  # type: ignore[index]
                for edge in cell_type.incoming[node]
                if not (self.skips_zero and not rows[edge].any())
            ]
            nodes.append(sum(terms[1:], terms[0]) if terms else torch.zeros_like(nodes[-1]))
        return torch.cat(nodes[2:], dim=1)


def _sota_cell(
    cell_type: CellType, before: int, last: int, channels: int, reduces: bool, after_reduction: bool
) -> nn.Module:
    cell = nn.Module()
    cell.preprocess0 = FactorizedReduce(before, channels) if after_reduction else ReLUConvBN(before, channels, 1)
    cell.preprocess1 = ReLUConvBN(last, channels, 1)
    cell._ops = nn.ModuleList()
    for edge, names in zip(cell_type.edges, cell_type.operations, strict=True):
        mixed = nn.Module()
        stride = 2 if reduces and edge.source < 2 else 1
        mixed._ops = nn.ModuleList(operation(name, channels, stride, pooling_norm=True) for name in names)
        cell._ops.append(mixed)
    return cell


# Search and selection --------------------------------------------------------------------------------------------


def bilevel_step(
    network: nn.Module,
    alpha: Weights,
    alpha_optimizer: torch.optim.Optimizer,
    weight_optimizer: torch.optim.Optimizer,
    train_batch: tuple[Tensor, Tensor],
    valid_batch: tuple[Tensor, Tensor],
    grad_clip: float,
) -> Tensor:
    """Alpha's step, then the weights' step, each a whole backward pass; the training loss."""
    network.train()
    for (images, labels), optimizer in ((valid_batch, alpha_optimizer), (train_batch, weight_optimizer)):
        alpha_optimizer.zero_grad()
        weight_optimizer.zero_grad()
        loss = F.cross_entropy(network(images, {name: rows.softmax(-1) for name, rows in alpha.items()}), labels)
        loss.backward()
        if optimizer is weight_optimizer:
            nn.utils.clip_grad_norm_(network.parameters(), grad_clip)
        optimizer.step()
    return loss.detach()


@torch.no_grad()
def score_removal(
    network: nn.Module, weights: Weights, cell_type: str, edge: int, operation: int, loader: Iterator
) -> float:
    """Accuracy in percent over all of `loader` in train mode, one operation's weight set to 0."""
    network.train()
    rows = weights[cell_type].clone()
    rows[edge, operation] = 0.0
    correct, total = 0.0, 0
    for images, labels in loader:
        logits = network(images, {**weights, cell_type: rows})
        correct += (logits.argmax(1) == labels).sum().item()
        total += len(labels)
    return 100.0 * correct / total


@dataclass
class ImageByImage(torch.utils.data.Dataset):
    """Images as PIL would hold them, each cropped, mirrored and normalised when it is asked for.

    Attributes:
        pixels: uint8 [N, 3, height, width].
        labels: int64 [N].
        padding: of the random crop.
    """

    pixels: Tensor
    labels: Tensor
    mean: tuple[float, ...]
    std: tuple[float, ...]
    padding: int
    flip: bool

    def __post_init__(self) -> None:
        from torchvision import transforms

        steps: list = [transforms.ToPILImage(), transforms.RandomCrop(self.pixels.shape[-1], padding=self.padding)]
        steps += [transforms.RandomHorizontalFlip()] if self.flip else []
        steps += [transforms.ToTensor(), transforms.Normalize(self.mean, self.std)]
        self.transform = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.pixels[index]), int(self.labels[index])


def loader(images: ImageByImage, half: Tensor, batch_size: int) -> torch.utils.data.DataLoader:
    """A new data loader over one half, in random order."""
    sampler = torch.utils.data.SubsetRandomSampler(half.tolist())
    return torch.utils.data.DataLoader(images, batch_size, sampler=sampler)
