"""First-order DARTS (Liu et al., *DARTS: Differentiable Architecture Search*, ICLR 2019): what the paper starts from.

It changes nothing: softmax(alpha) mixes the operations, and Adam steps alpha on the valid half.
"""

from __future__ import annotations

from darts_pt.architect import Architect

METHOD = Architect
