"""Building blocks of a fast mixed operation."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class BatchNorm2d(nn.BatchNorm2d):
    """Batch norm that leaves its running statistics and its counter alone in train mode while `momentum` is 0.0.

    Scoring a removal runs the supernet in train mode, and must not move what it is scored on.
    """

    def forward(self, input: Tensor) -> Tensor:
        if self.training and self.momentum == 0.0:
            return F.batch_norm(input, None, None, self.weight, self.bias, training=True, eps=self.eps)
        return super().forward(input)
