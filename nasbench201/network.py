"""The network of one NAS-Bench-201 architecture: the supernet's skeleton with one operation on each edge (affine BN)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from darts_pt.evaluation import EvaluationNetwork
from nasbench201.cell_plan import EDGES
from nasbench201.operations import candidate
from nasbench201.skeleton import skeleton


class ChosenCell(nn.Module):
    """Four nodes; each but the first is the sum of its incoming edges, each edge one operation."""

    def __init__(self, channels: int, operations: Sequence[str]) -> None:
        super().__init__()
        self.operations = tuple(operations)
        self.layers = nn.ModuleList(candidate(name, channels, affine=True) for name in operations)

    def forward(self, inputs: Tensor) -> Tensor:
        nodes: dict[int, Tensor] = {0: inputs}
        for edge, name, layer in zip(EDGES, self.operations, self.layers, strict=True):
            if name == "none":
                continue
            # A node whose incoming edges are all none is zero; a batch norm behind it may still shift that.
            source = nodes[edge.source] if edge.source in nodes else torch.zeros_like(inputs)
            term = layer(source)
            nodes[edge.target] = nodes[edge.target] + term if edge.target in nodes else term
        return nodes[3] if 3 in nodes else torch.zeros_like(inputs)


class NasBench201Network(EvaluationNetwork):
    """The stand-alone network of an architecture (Dong & Yang, ICLR 2020, section 2.1).

    Args:
        operations: six operation names, in edge order 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2.
        init_channels, cells_per_stage: as in the supernet.
    """

    def __init__(self, operations: Sequence[str], init_channels: int, cells_per_stage: int, num_classes: int) -> None:
        super().__init__()
        self.stem, self.cells, self.lastact, self.classifier = skeleton(
            lambda channels: ChosenCell(channels, operations), init_channels, cells_per_stage, num_classes
        )

    def forward(self, images: Tensor, drop_path_prob: float = 0.0) -> tuple[Tensor, None]:
        """Logits [batch, classes]; there is no auxiliary head and no drop-path in this space."""
        hidden = self.stem(images)
        for block in self.cells:
            hidden = block(hidden)
        return self.classifier(self.lastact(hidden).mean(dim=(2, 3))), None
