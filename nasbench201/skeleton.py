"""The skeleton of every NAS-Bench-201 network, the supernet included: stem, stages, residual blocks, classifier."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from darts_pt.kernels.mixed import BatchNorm2d
from nasbench201.operations import ResidualBlock


def skeleton(
    cell: Callable[[int], nn.Module], init_channels: int, cells_per_stage: int, num_classes: int
) -> tuple[nn.Sequential, nn.ModuleList, nn.Sequential, nn.Linear]:
    """Stem, cells, last activation and classifier; average pooling comes before the classifier.

    Args:
        cell: makes a cell from its number of channels.
        init_channels: channels C of the stem and the first stage; the stages have C, 2C and 4C.
        cells_per_stage: cells N of each stage; a residual block of stride 2 leads to the next.
    """
    stem = nn.Sequential(nn.Conv2d(3, init_channels, kernel_size=3, padding=1, bias=False), BatchNorm2d(init_channels))
    cells = nn.ModuleList()
    channels = init_channels
    for stage in range(3):
        if stage > 0:
            cells.append(ResidualBlock(channels, 2 * channels))
            channels *= 2
        cells.extend(cell(channels) for _ in range(cells_per_stage))
    return stem, cells, nn.Sequential(BatchNorm2d(channels), nn.ReLU()), nn.Linear(channels, num_classes)
