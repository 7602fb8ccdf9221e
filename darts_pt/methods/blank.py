"""Alpha stays as initialised: the paper's "fix alpha" (section 5.2), the original's "blank"."""

from __future__ import annotations

from darts_pt.architect import Architect, Batch, WeightStep
from darts_pt.methods import Method
from darts_pt.supernet import Decisions

METHOD = Method(
    title="fix alpha",
    summary="alpha stays as it was initialised",
    implementation="FixedAlpha",
    passes=3,
    trains_alpha=False,
)


class FixedAlpha(Architect):
    """Leaves alpha alone: all operations of an edge keep about equal weights."""

    uses_valid_batches = False

    def step(self, batch: Batch, decisions: Decisions, weight_step: WeightStep | None = None) -> None: ...
