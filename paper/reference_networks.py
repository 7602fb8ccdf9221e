"""The two networks compared with the supernet in table 1: a small ResNet and a small VGG.

Both have three stages of layers `stages.S.L.` with C, 2C and 4C channels; layers of one stage are interchangeable.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from darts_pt.evaluation import EvaluationNetwork

STAGES = 3


def _conv_bn(c_in: int, c_out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(c_in, c_out, kernel, stride=stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(c_out))


class ResidualLayer(nn.Module):
    """Two 3×3 convolutions and a shortcut (He et al., CVPR 2016)."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.first = _conv_bn(c_in, c_out, 3, stride)
        self.second = _conv_bn(c_out, c_out, 3)
        self.shortcut = nn.Sequential() if c_in == c_out and stride == 1 else _conv_bn(c_in, c_out, 1, stride)

    def forward(self, inputs: Tensor) -> Tensor:
        return F.relu(self.shortcut(inputs) + self.second(F.relu(self.first(inputs))))


class PlainLayer(nn.Module):
    """One 3×3 convolution, batch norm, ReLU (Simonyan & Zisserman, ICLR 2015, with batch norm)."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.convolution = _conv_bn(c_in, c_out, 3)
        self.pool = nn.MaxPool2d(2) if stride == 2 else nn.Identity()

    def forward(self, inputs: Tensor) -> Tensor:
        return F.relu(self.convolution(self.pool(inputs)))


class StagedNetwork(EvaluationNetwork):
    """A stem, three stages of one kind of layer, and a linear classifier after global average pooling.

    Args:
        layer: ResidualLayer or PlainLayer.
        layers: per stage; the first layer of a stage changes the size.
    """

    def __init__(
        self, layer: type[ResidualLayer] | type[PlainLayer], channels: int, layers: int, num_classes: int
    ) -> None:  # fmt: skip
        super().__init__()
        self.stem = _conv_bn(3, channels, 3)
        self.stages = nn.ModuleList()
        width = channels
        for stage in range(STAGES):
            wider = channels * 2**stage
            first = layer(width, wider, stride=1 if stage == 0 else 2)
            self.stages.append(nn.ModuleList([first, *(layer(wider, wider, stride=1) for _ in range(layers - 1))]))
            width = wider
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, images: Tensor, drop_path_prob: float = 0.0) -> tuple[Tensor, None]:
        """Logits [batch, classes]; there is no auxiliary head."""
        hidden = F.relu(self.stem(images))
        for stage in self.stages:
            for layer in stage.children():
                hidden = layer(hidden)
        return self.classifier(hidden.mean(dim=(2, 3))), None


LAYERS: dict[str, type[ResidualLayer] | type[PlainLayer]] = {"ResNet": ResidualLayer, "VGG": PlainLayer}
"""The two networks by the paper's names."""


def layer_groups(network: StagedNetwork) -> list[list[str]]:
    """For each stage the prefixes of its layers in the state dict."""
    return [
        [f"stages.{stage}.{layer}." for layer in range(len(list(layers.children())))]
        for stage, layers in enumerate(network.stages)
    ]
