"""The candidate operations of NAS-Bench-201 and the blocks between its stages, named as in the original's checkpoints."""

from __future__ import annotations

from torch import Tensor, nn

from darts_pt.kernels.mixed import BatchNorm2d
from nasbench201.architecture import OPERATIONS

NONE, SKIP_CONNECT, NOR_CONV_1X1, NOR_CONV_3X3, AVG_POOL_3X3 = range(len(OPERATIONS))


class ReLUConvBN(nn.Module):
    """ReLU, convolution without bias, batch norm: [batch, C_in, H, W] -> [batch, C_out, H/stride, W/stride]."""

    def __init__(self, c_in: int, c_out: int, kernel_size: int, stride: int = 1, affine: bool = True) -> None:
        super().__init__()
        self.op = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(c_in, c_out, kernel_size, stride, padding=kernel_size // 2, bias=False),
            BatchNorm2d(c_out, affine=affine),
        )

    @property
    def convolution(self) -> nn.Conv2d:
        return self.op[1]  # type: ignore[return-value]

    @property
    def batch_norm(self) -> BatchNorm2d:
        return self.op[2]  # type: ignore[return-value]

    def forward(self, inputs: Tensor) -> Tensor:
        return self.op(inputs)


class ResidualBlock(nn.Module):
    """The block between two stages: halves the resolution, [batch, C_in, H, W] -> [batch, C_out, H/2, W/2].

    Its batch norms are affine; its shortcut has none.
    """

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv_a = ReLUConvBN(c_in, c_out, kernel_size=3, stride=2)
        self.conv_b = ReLUConvBN(c_out, c_out, kernel_size=3)
        self.downsample = nn.Sequential(
            nn.AvgPool2d(kernel_size=2, stride=2), nn.Conv2d(c_in, c_out, kernel_size=1, bias=False)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        return self.downsample(inputs) + self.conv_b(self.conv_a(inputs))


def candidate(name: str, channels: int, affine: bool = False) -> nn.Module:
    """The module of one candidate operation; those without parameters are placeholders that the cell computes itself."""
    if name == "nor_conv_1x1":
        return ReLUConvBN(channels, channels, kernel_size=1, affine=affine)
    if name == "nor_conv_3x3":
        return ReLUConvBN(channels, channels, kernel_size=3, affine=affine)
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(kernel_size=3, stride=1, padding=1, count_include_pad=False)
    return nn.Identity()
