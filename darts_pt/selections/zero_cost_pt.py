"""Zero-Cost-PT (Xiang et al., *Zero-Cost Operation Scoring in Differentiable Architecture Search*, 2021): PT on a supernet
that was never trained, with a score at initialisation in the place of accuracy.

An operation is removed, the score of what is left is taken, and the operation stays whose removal leaves the lowest; then
the next edge, without tuning. Edges in random order or a fixed one (`--edge_decision`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from darts_pt.architect import Architect
from darts_pt.data.batches import random_batch_indices
from darts_pt.run.processes import ONE, Ranks
from darts_pt.selection import EdgesChoice, OperationChoice, drop_least_missed
from darts_pt.selections import Circumstances, SelectionMethod
from darts_pt.supernet import CellType, Decisions, MixingWeights, Supernet
from darts_pt.zero_cost import nwot, synflow


class Score(NamedTuple):
    """A zero-cost score: the higher the better."""

    score: float


@dataclass(frozen=True)
class ZeroCost:
    """Choose by what a removal takes off a zero-cost score.

    Attributes:
        score: the score of a supernet under mixing weights.
        ranks: the processes over which the removals are spread.
        skip: uses up the random numbers that `score` would draw.
    """

    score: Callable[[Supernet, MixingWeights], float]
    ranks: Ranks = ONE
    skip: Callable[[Supernet, MixingWeights], None] = lambda supernet, mixing: None

    def _scores(self, supernet: Supernet, removals: list[MixingWeights]) -> list[Score]:
        values = self.ranks.spread(
            removals, lambda mixing: self.score(supernet, mixing), lambda mixing: self.skip(supernet, mixing)
        )
        return [Score(value) for value in values]

    def operation(self, architect: Architect, decisions: Decisions, cell_type: CellType, edge: int) -> OperationChoice:
        """Keep the operation whose removal leaves the lowest score; on ties the first."""
        mixing = architect.mixing(decisions)
        operations = range(len(cell_type.operations[edge]))
        removals = [mixing.without_operation(cell_type.name, edge, operation) for operation in operations]
        scores = self._scores(architect.supernet, removals)
        return OperationChoice(min(range(len(scores)), key=scores.__getitem__), scores)

    def edges(self, architect: Architect, decisions: Decisions, cell_type: CellType, node: int) -> EdgesChoice:
        """Drop the edge whose removal leaves the highest score until as many remain as the node keeps."""
        mixing = architect.mixing(decisions)
        return drop_least_missed(
            cell_type,
            node,
            lambda edges: self._scores(
                architect.supernet, [mixing.without_edge(cell_type.name, edge) for edge in edges]
            ),
            lambda scores: max(range(len(scores)), key=lambda candidate: (scores[candidate], candidate)),
        )


def zero_cost(circumstances: Circumstances) -> ZeroCost:
    """The rule with the score of the command's options, on one batch of the train half."""
    training = circumstances.training
    indices = random_batch_indices(training.halves.train, training.options.batch_size, training.generators["batches"])
    images, _ = training.batch(indices)
    score, seen = {"synflow": (synflow, images[:1]), "nwot": (nwot, images)}[circumstances.options.zero_cost_score]
    return ZeroCost(
        lambda supernet, mixing: score(supernet, mixing, seen),
        training.ranks,
        lambda supernet, mixing: supernet.skip(seen, mixing),
    )


SELECTION = SelectionMethod(zero_cost, tunes=False, trained=False, name_parts=lambda options: [options.zero_cost_score])
