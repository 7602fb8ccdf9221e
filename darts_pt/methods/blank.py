"""Alpha stays where it was initialised: the paper's "fix alpha", the original's "blank" (section 5.2)."""

from __future__ import annotations

from darts_pt.architect import Architect, Batch, WeightStep
from darts_pt.supernet import Decisions


class FixedAlpha(Architect):
    """The operations of every edge keep about equal weights; only selection tells them apart."""

    uses_valid_batches = False

    def step(self, batch: Batch, decisions: Decisions, weight_step: WeightStep | None = None) -> None:
        """Nothing."""


METHOD = FixedAlpha
