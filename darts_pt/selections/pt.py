"""Perturbation-based selection, the paper's contribution (section 4.1): remove each candidate from the supernet, evaluate
it on the valid half, and keep the operation whose removal hurts most.

The loop that decides edge by edge and tunes in between is Algorithm 1 in :mod:`darts_pt.selection`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from darts_pt.architect import Architect, Batch
from darts_pt.hyperparameters import Criterion
from darts_pt.kernels.mixed import frozen_statistics
from darts_pt.run.epoch import Judged, Metrics
from darts_pt.run.errors import UserError
from darts_pt.run.logs import SILENT, Progress
from darts_pt.run.processes import SINGLE_PROCESS, Ranks
from darts_pt.selection import Criteria, EdgesChoice, OperationChoice, drop_least_important
from darts_pt.selections import Selection
from darts_pt.supernet import CellType, Decisions, MixingWeights, Supernet
from darts_pt.training import SupernetTraining, evaluate

SELECTION = Selection(title="PT", summary="by perturbation", implementation="by_perturbation", compares=True)

CANDIDATES = "candidates scored"

BatchSource = Callable[[], Iterable[Batch]]
"""Makes a pass over the valid half; each call may shuffle and augment it differently."""


def score(
    supernet: Supernet,
    candidates: Iterable[MixingWeights],
    batches: BatchSource,
    ranks: Ranks = SINGLE_PROCESS,
    criterion: Criterion = "acc",
) -> list[Metrics | Judged]:
    """The supernet's accuracy, loss and criterion on the valid half under each of `candidates`, with batch statistics.

    With several processes each scores some of the candidates, with the same bits as one process: it also draws the batches
    of the other candidates, without computing on them.
    """

    def skip(candidate: MixingWeights) -> None:
        for images, _ in batches():
            supernet.skip(images, candidate)

    with frozen_statistics(supernet):
        measured = ranks.spread(
            candidates,
            lambda candidate: tuple(evaluate(supernet, candidate, batches(), criterion)),
            skip,
        )
    return [(Judged if callable(criterion) else Metrics)(*numbers) for numbers in measured]


def without_each_operation(mixing: MixingWeights, cell_type: CellType, edge: int) -> list[MixingWeights]:
    """The candidates of an operation event (Algorithm 1, the inner loop)."""
    return [mixing.without_operation(cell_type.name, edge, place) for place in range(len(cell_type.operations[edge]))]


def without_each_edge(mixing: MixingWeights, cell_type: CellType, edges: Iterable[int]) -> list[MixingWeights]:
    """The candidates of a round of a topology event."""
    return [mixing.without_edge(cell_type.name, edge) for edge in edges]


def most_important(scores: Sequence[Metrics | Judged], criterion: Criterion) -> int:
    """The candidate whose removal hurts most: lowest accuracy or highest loss; on ties the first."""
    return min(range(len(scores)), key=lambda candidate: _quality(scores[candidate], criterion))


def least_important(scores: Sequence[Metrics | Judged], criterion: Criterion) -> int:
    """The candidate whose removal hurts least: highest accuracy or lowest loss; on ties the last, as in the original."""
    return max(range(len(scores)), key=lambda candidate: (_quality(scores[candidate], criterion), candidate))


def compared(criterion: Criterion) -> str:
    """The name of the score that a criterion compares."""
    return "criterion" if callable(criterion) else "accuracy" if criterion == "acc" else "loss"


def _quality(metrics: Metrics | Judged, criterion: Criterion) -> float:
    value = getattr(metrics, compared(criterion))
    quality = -value if criterion == "loss" else value
    if math.isnan(quality):
        raise UserError(
            "the criterion is NaN on the valid half, so candidates cannot be compared: use another criterion, "
            "or a supernet whose outputs are finite"
        )
    return quality


@dataclass(frozen=True, kw_only=True)
class PerturbationRule:
    """Choose by the supernet's performance without the candidate.

    Attributes:
        batches: the valid half.
        criteria: the criteria, and whether all candidates of a comparison see the same images; in the original each has
            its own shuffle and augmentation.
        ranks: the processes that share the candidates.
        show: shows how many candidates have been scored.
    """

    batches: BatchSource
    criteria: Criteria
    ranks: Ranks = SINGLE_PROCESS
    show: Progress = SILENT

    def batch_source(self) -> BatchSource:
        """The batches of one comparison."""
        if not self.criteria.same_batches:
            return self.batches
        drawn = list(self.batches())
        return lambda: drawn

    def _scores(
        self, architect: Architect, removals: list[MixingWeights], criterion: Criterion
    ) -> list[Metrics | Judged]:
        shown = self.show(removals, CANDIDATES)
        return score(architect.supernet, shown, self.batch_source(), self.ranks, criterion)

    def operation(self, architect: Architect, decisions: Decisions, cell_type: CellType, edge: int) -> OperationChoice:
        """Keep the operation whose removal hurts most."""
        criterion = self.criteria.operations[cell_type.name]
        scores = self._scores(
            architect, without_each_operation(architect.mixing(decisions), cell_type, edge), criterion
        )
        return OperationChoice(most_important(scores, criterion), scores, compared(criterion))

    def edges(self, architect: Architect, decisions: Decisions, cell_type: CellType, node: int) -> EdgesChoice:
        """Drop the edge whose removal hurts least until as many remain as the node keeps.

        As in the original, an edge that was dropped in an earlier round is present again while the next is scored.
        """
        mixing, criterion = architect.mixing(decisions), self.criteria.edges[cell_type.name]

        def score_without(edges: tuple[int, ...]) -> list[Metrics | Judged]:
            return self._scores(architect, without_each_edge(mixing, cell_type, edges), criterion)

        def least(scores: Sequence[Metrics | Judged]) -> int:
            return least_important(scores, criterion)

        return drop_least_important(cell_type, node, score_without, least, compared(criterion))


def by_perturbation(training: SupernetTraining, criteria: Criteria, settings: Mapping[str, Any]) -> PerturbationRule:
    return PerturbationRule(batches=training.valid_batches, criteria=criteria, ranks=training.ranks, show=training.show)
