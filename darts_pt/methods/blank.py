"""Alpha stays where it was initialised: the paper's "fix alpha", the original's "blank" (section 5.2)."""

from __future__ import annotations

from darts_pt.architect import Architect, Batch, WeightStep
from darts_pt.methods import Method
from darts_pt.supernet import Decisions

METHOD = Method(
    title="fix alpha",
    summary="alpha stays as it was initialised",
    implementation="FixedAlpha",
    passes=3,
)


class FixedAlpha(Architect):
    """All operations of an edge keep about equal weights; only selection tells them apart."""

    uses_valid_batches = False

    def step(self, batch: Batch, decisions: Decisions, weight_step: WeightStep | None = None) -> None:
        """Alpha is not stepped."""
