"""Training many small networks at once: their channels lie side by side, so that a layer runs once for all of them.

A small network keeps a processor busy with starting its many short operations. K networks become one whose
convolutions have K groups; where their architectures differ, an edge runs each operation on the channels of those that
have it. They share the starting but nothing else: every network computes what it would compute alone, to rounding
(tests/nasbench201/test_side_by_side.py), with its own initial weights, batches and augmentation.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darts_pt.data.batches import passes
from darts_pt.data.data_set import DataSet, Images
from darts_pt.evaluation import TrainingOptions
from darts_pt.run.device import Generators
from nasbench201.network import ChosenCell, NasBench201Network
from nasbench201.supernet import EDGES


class SideBySideLinear(nn.Module):
    """K linear layers: [batch, K·C_in] -> [batch, K·C_out], each on its own part of the features."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))

    def forward(self, inputs: Tensor) -> Tensor:
        parts = inputs.view(len(inputs), len(self.weight), -1).transpose(0, 1)
        return torch.baddbmm(self.bias.unsqueeze(1), parts, self.weight.transpose(1, 2)).transpose(0, 1).flatten(1)


class SideBySideCell(nn.Module):
    """K cells: [batch, K·C, H, W] in and out. Neighbours with the same operation on an edge share its layer."""

    def __init__(self, cells: Sequence[ChosenCell]) -> None:
        super().__init__()
        self.count = len(cells)
        self.runs: list[list[tuple[str, int, int]]] = []  # per edge: operation, first cell, cell after the last
        self.layers = nn.ModuleList()
        for number in range(len(EDGES)):
            runs = []
            for operation, members in groupby(enumerate(cell.operations[number] for cell in cells), itemgetter(1)):
                indices = [index for index, _ in members]
                runs.append((operation, indices[0], indices[-1] + 1))
                self.layers.append(_joined([cells[index].layers[number] for index in indices]))
            self.runs.append(runs)

    def forward(self, inputs: Tensor) -> Tensor:
        channels = inputs.shape[1] // self.count
        zeros = torch.zeros_like(inputs)
        nodes = {0: inputs}
        layers = iter(self.layers)
        for edge, runs in zip(EDGES, self.runs, strict=True):
            source = nodes.get(edge.source, zeros)
            parts = []
            for operation, start, end in runs:
                layer = next(layers)
                chosen = slice(start * channels, end * channels)
                if operation == "none":
                    parts.append(zeros[:, chosen])
                else:
                    parts.append(layer(source if len(runs) == 1 else source[:, chosen]))
            if len(runs) == 1 and runs[0][0] == "none":
                continue
            term = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
            nodes[edge.target] = nodes[edge.target] + term if edge.target in nodes else term
        return nodes.get(3, zeros)


def side_by_side(networks: Sequence[NasBench201Network]) -> NasBench201Network:
    """One network that computes what the given ones would: [batch, K·3, H, W] -> [batch, K·classes].

    Their architectures may differ, their sizes may not. Equal operations should be neighbours.
    """
    return _joined(networks)  # type: ignore[return-value]


def _joined(layers: Sequence[nn.Module]) -> nn.Module:
    """Layers of one kind as one, on channels side by side."""
    first = layers[0]
    if isinstance(first, nn.Conv2d):
        return _convolution(first, layers)
    if isinstance(first, nn.BatchNorm2d):
        return _batch_norm(first, layers)
    if isinstance(first, nn.Linear):
        return SideBySideLinear(layers)  # type: ignore[arg-type]
    if isinstance(first, ChosenCell):
        return SideBySideCell(layers)  # type: ignore[arg-type]
    joined = copy.copy(first)
    joined._modules = {
        name: _joined([layer.get_submodule(name) for layer in layers]) for name, _ in first.named_children()
    }
    return joined


def _convolution(example: nn.Conv2d, layers: Sequence[nn.Module]) -> nn.Conv2d:
    count = len(layers)
    joined = nn.Conv2d(
        count * example.in_channels,
        count * example.out_channels,
        example.kernel_size,  # type: ignore[arg-type]
        example.stride,  # type: ignore[arg-type]
        example.padding,  # type: ignore[arg-type]
        groups=count,
        bias=False,
        dtype=example.weight.dtype,
    )
    joined.weight = nn.Parameter(torch.cat([layer.weight.detach() for layer in layers]))  # type: ignore[arg-type]
    return joined


def _batch_norm(example: nn.BatchNorm2d, layers: Sequence[nn.Module]) -> nn.BatchNorm2d:
    joined = type(example)(len(layers) * example.num_features, dtype=example.weight.dtype)
    joined.load_state_dict(
        {
            name: torch.cat([layer.state_dict()[name] for layer in layers]) if value.dim() else value
            for name, value in example.state_dict().items()
        }
    )
    return joined


@dataclass(frozen=True)
class Outcome:
    """What a network of the batch reached: accuracies in percent, losses in nats."""

    train_accuracy: float
    valid_accuracy: float
    valid_loss: float
    test_accuracy: float
    test_loss: float


class SideBySideTraining:
    """K networks of the same size in training, as :class:`darts_pt.evaluation.NetworkTraining` trains each alone.

    Args:
        networks: their initial weights; they are not changed.
        data: trained on `data.train`.
        generators: one per network: its batches and augmentation.
    """

    def __init__(
        self,
        networks: Sequence[NasBench201Network],
        data: DataSet,
        generators: Sequence[Generators],
        options: TrainingOptions,
    ) -> None:
        self.count = len(networks)
        self.data = data
        self.generators = generators
        self.options = options
        # channels_last: twice as fast on a CPU at such small images.
        self.network = side_by_side(networks).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.dtype = next(self.network.parameters()).dtype
        self.optimizer = torch.optim.SGD(
            self.network.parameters(),
            lr=options.learning_rate,
            momentum=options.momentum,
            weight_decay=options.weight_decay,
            nesterov=options.nesterov,
            foreach=True,
        )
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, options.epochs)

    def train(self) -> list[float]:
        """All epochs; every network's training accuracy in the last one, in percent."""
        correct = torch.zeros(self.count, dtype=torch.int64)
        for _ in range(self.options.epochs):
            correct = self._epoch()
        return (100.0 * correct.double() / len(self.data.train)).tolist()

    def _epoch(self) -> Tensor:
        self.network.train()
        order = torch.arange(len(self.data.train))
        streams = [passes(order, self.options.batch_size, own["batches"]) for own in self.generators]
        correct = torch.zeros(self.count, dtype=torch.int64)
        for indices in zip(*streams, strict=True):
            batches = [
                self.data.batch(self.data.train, chosen, self.data.augmentation, own, self.dtype)
                for chosen, own in zip(indices, self.generators, strict=True)
            ]
            images = torch.cat([batch[0] for batch in batches], dim=1)
            labels = torch.stack([batch[1] for batch in batches], dim=1)  # [batch, K]
            self.optimizer.zero_grad(set_to_none=True)
            logits = self._logits(images)
            # The sum over the networks of each one's mean loss: their gradients do not mix.
            loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum") / len(images)
            loss.backward()
            self.optimizer.step()
            correct += (logits.detach().argmax(dim=2) == labels).sum(dim=0)
        self.scheduler.step()
        return correct

    def _logits(self, images: Tensor) -> Tensor:
        """[batch, K, classes]."""
        logits, _ = self.network(images.contiguous(memory_format=torch.channels_last))
        return logits.view(len(images), self.count, -1)

    @torch.no_grad()
    def evaluate(self, images: Images) -> list[tuple[float, float]]:
        """Every network's accuracy (percent) and loss (nats) on the images, in eval mode."""
        self.network.eval()
        correct, loss = torch.zeros(self.count, dtype=torch.int64), torch.zeros(self.count, dtype=torch.float64)
        for indices in passes(torch.arange(len(images)), self.options.batch_size, None):
            inputs, labels = self.data.batch(images, indices, None, self.generators[0], self.dtype)
            logits = self._logits(inputs.repeat(1, self.count, 1, 1))
            labels = labels.unsqueeze(1).expand(-1, self.count)
            losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
            correct += (logits.argmax(dim=2) == labels).sum(dim=0)
            loss += losses.view(len(labels), -1).sum(dim=0)
        return list(zip((100.0 * correct.double() / len(images)).tolist(), (loss / len(images)).tolist(), strict=True))


def train_side_by_side(training: SideBySideTraining, valid: Images) -> tuple[list[Outcome], float]:
    """Train and evaluate; every network's outcome, and the seconds of training together."""
    start = time.perf_counter()
    train_accuracies = training.train()
    seconds = time.perf_counter() - start
    both = zip(train_accuracies, training.evaluate(valid), training.evaluate(training.data.test), strict=True)
    return [Outcome(train, *on_valid, *on_test) for train, on_valid, on_test in both], seconds
