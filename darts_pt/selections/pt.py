"""PT, the paper's contribution (section 4.1, Algorithm 1): keep what the supernet misses the most when it is removed."""

from __future__ import annotations

from darts_pt.selection import Perturbation
from darts_pt.selections import Circumstances, SelectionMethod


def perturbation(circumstances: Circumstances) -> Perturbation:
    """The rule with the criteria and batches of the command's options."""
    return Perturbation(
        circumstances.training.valid_batches,
        circumstances.operation_criterion,
        circumstances.edge_criterion,
        same_batches=circumstances.options.proj_batches == "cached",
        ranks=circumstances.training.ranks,
    )


SELECTION = SelectionMethod(perturbation, name_parts=lambda options: options.criterion_names())
