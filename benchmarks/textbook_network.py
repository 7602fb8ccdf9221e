"""The textbook formulation of S1–S5's derived networks: one module after another, as they are defined.

Written without any code of :mod:`sota.network`, whose oracle it is; parameters and buffers have the same names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.textbook import FactorizedReduce, ReLUConvBN, operation

Genes = Sequence[tuple[str, int]]
"""Two (operation, source) for every node."""


class TextbookNetwork(nn.Module):
    """The network of a genotype, for images of 32 pixels or for ImageNet's.

    Args:
        normal, reduce: the genes of the two cells.
        imagenet: two stems of stride 2 in front, and ImageNet's auxiliary head.
    """

    def __init__(
        self, normal: Genes, reduce: Genes, channels: int, layers: int, classes: int, auxiliary: bool, imagenet: bool
    ) -> None:
        super().__init__()
        self.imagenet, self.auxiliary_cell = imagenet, 2 * layers // 3 if auxiliary else -1
        if imagenet:
            half = channels // 2
            self.stem0 = nn.Sequential(
                *_halving(3, half), nn.BatchNorm2d(half), nn.ReLU(), *_halving(half, channels), nn.BatchNorm2d(channels)
            )
            self.stem1 = nn.Sequential(nn.ReLU(), *_halving(channels, channels), nn.BatchNorm2d(channels))
            before = last = channels
        else:
            before = last = 3 * channels
            self.stem = nn.Sequential(nn.Conv2d(3, last, 3, padding=1, bias=False), nn.BatchNorm2d(last))
        self.cells, self.genes = nn.ModuleList(), []
        after_reduction = imagenet
        for layer in range(layers):
            reduces = layer in (layers // 3, 2 * layers // 3)
            channels *= 2 if reduces else 1
            self.genes.append(reduce if reduces else normal)
            self.cells.append(_cell(self.genes[-1], before, last, channels, reduces, after_reduction))
            after_reduction, before, last = reduces, last, 4 * channels
            if layer == self.auxiliary_cell:
                self.auxiliary_head = _auxiliary_head(last, classes, imagenet)
        self.classifier = nn.Linear(last, classes)

    def forward(
        self, images: Tensor, masks: Sequence[Tensor] = (), drop_path_prob: float = 0.0
    ) -> tuple[Tensor, Tensor | None]:
        """Logits, and those of the auxiliary head in train mode.

        Args:
            masks: drop-path's [batch] of zeros and ones, in the order of use; none for identities.
        """
        before = self.stem0(images) if self.imagenet else self.stem(images)
        last = self.stem1(before) if self.imagenet else before
        auxiliary, remaining = None, iter(masks)
        for layer, (cell, genes) in enumerate(zip(self.cells, self.genes, strict=True)):
            before, last = last, _cell_output(cell, genes, before, last, remaining, drop_path_prob)
            if layer == self.auxiliary_cell and self.training:
                head = self.auxiliary_head
                auxiliary = head.classifier(head.features(last).flatten(1))  # type: ignore[operator]
        return self.classifier(F.adaptive_avg_pool2d(last, 1).flatten(1)), auxiliary


def _halving(c_in: int, c_out: int) -> list[nn.Module]:
    return [nn.Conv2d(c_in, c_out, 3, stride=2, padding=1, bias=False)]


def _cell(genes: Genes, before: int, last: int, channels: int, reduces: bool, after_reduction: bool) -> nn.Module:
    cell = nn.Module()
    cell.preprocess0 = FactorizedReduce(before, channels) if after_reduction else ReLUConvBN(before, channels, 1)
    cell.preprocess1 = ReLUConvBN(last, channels, 1)
    cell._ops = nn.ModuleList(
        operation(name, channels, 2 if reduces and source < 2 else 1, pooling_norm=False) for name, source in genes
    )
    for norm in cell.modules():
        if isinstance(norm, nn.BatchNorm2d):  # The supernets' are not affine.
            nn.BatchNorm2d.__init__(norm, norm.num_features)
    return cell


def _cell_output(
    cell: nn.Module, genes: Genes, before: Tensor, last: Tensor, masks: Iterator[Tensor], drop_path_prob: float
) -> Tensor:
    nodes = [cell.preprocess0(before), cell.preprocess1(last)]  # type: ignore[operator]
    terms = []
    for number, ((_, source), module) in enumerate(zip(genes, cell._ops, strict=True)):  # type: ignore[arg-type]
        term = module(nodes[source])
        if cell.training and drop_path_prob > 0 and not isinstance(module, nn.Identity):
            term = term / (1 - drop_path_prob) * next(masks)[:, None, None, None]
        terms.append(term)
        if number % 2:
            nodes.append(terms[-2] + terms[-1])
    return torch.cat(nodes[2:], dim=1)


def _auxiliary_head(channels: int, classes: int, imagenet: bool) -> nn.Module:
    head = nn.Module()
    head.features = nn.Sequential(
        nn.ReLU(),
        nn.AvgPool2d(5, stride=2 if imagenet else 3, count_include_pad=False),
        nn.Conv2d(channels, 128, 1, bias=False),
        nn.BatchNorm2d(128),
        nn.ReLU(),
        nn.Conv2d(128, 768, 2, bias=False),
        *([] if imagenet else [nn.BatchNorm2d(768)]),
        nn.ReLU(),
    )
    head.classifier = nn.Linear(768, classes)
    return head
