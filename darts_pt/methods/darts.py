"""First-order DARTS (Liu et al., *DARTS: Differentiable Architecture Search*, ICLR 2019), the paper's starting point.

softmax(alpha) mixes the operations and Adam steps alpha on the valid half: :class:`darts_pt.architect.Architect` as it is.
"""

from __future__ import annotations

from darts_pt.architect import Architect
from darts_pt.methods import Method

__all__ = ["METHOD", "Architect"]

METHOD = Method(title="DARTS", summary="alpha is stepped on the valid half, first order", implementation="Architect")
