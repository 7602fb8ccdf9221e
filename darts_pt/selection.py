"""Architecture selection from a trained supernet: by perturbation (PT, paper section 4) and by magnitude.

PT decides one edge at a time, in random order (Algorithm 1). It removes each candidate operation from the edge in turn,
evaluates the supernet on the valid half, and keeps the operation whose removal costs the most; the edge becomes discrete
and the supernet is tuned for some epochs before the next. In spaces whose nodes keep only some incoming edges, topology
events follow, which drop the edges that are missed the least.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import torch

from darts_pt.architect import Architect, Batch
from darts_pt.kernels.mixed import frozen_statistics
from darts_pt.run.processes import ONE, Ranks
from darts_pt.search import Metrics, evaluate
from darts_pt.supernet import CellType, Decisions, MixingWeights, Supernet

Criterion = Literal["acc", "loss"]
BatchSource = Callable[[], Iterable[Batch]]
"""Gives the valid half once more; may draw other batches and augmentations each time, or the same."""


# Scoring ---------------------------------------------------------------------------------------------------------


def score(
    supernet: Supernet, candidates: Iterable[MixingWeights], batches: BatchSource, ranks: Ranks = ONE
) -> list[Metrics]:
    """The supernet's accuracy and loss on the valid half under each of `candidates`, with batch statistics.

    Several ranks score whole candidates, each those that are its turn, to the same bits as one process: they draw the
    batches of the others' candidates too (in the rule anew for each), but do not compute on them.
    """

    def skip(candidate: MixingWeights) -> None:
        for images, _ in batches():
            supernet.skip(images, candidate)

    with frozen_statistics(supernet):
        measured = ranks.spread(candidates, lambda candidate: tuple(evaluate(supernet, candidate, batches())), skip)
    return [Metrics(*numbers) for numbers in measured]


def score_operations(
    supernet: Supernet,
    mixing: MixingWeights,
    cell_type: CellType,
    edge: int,
    batches: BatchSource,
    ranks: Ranks = ONE,
) -> list[Metrics]:
    """For each operation of `edge`: the supernet without it (Algorithm 1, the inner loop)."""
    operations = range(len(cell_type.operations[edge]))
    removals = [mixing.without_operation(cell_type.name, edge, operation) for operation in operations]
    return score(supernet, removals, batches, ranks)


def score_edges(
    supernet: Supernet,
    mixing: MixingWeights,
    cell_type: CellType,
    edges: Iterable[int],
    batches: BatchSource,
    ranks: Ranks = ONE,
) -> list[Metrics]:
    """For each of `edges`: the supernet without it."""
    return score(supernet, [mixing.without_edge(cell_type.name, edge) for edge in edges], batches, ranks)


def most_missed(scores: list[Metrics], criterion: Criterion) -> int:
    """The candidate whose removal hurts most: lowest accuracy or highest loss; on ties the first."""
    return min(range(len(scores)), key=lambda candidate: _quality(scores[candidate], criterion))


def least_missed(scores: list[Metrics], criterion: Criterion) -> int:
    """The candidate whose removal hurts least: highest accuracy or lowest loss; on ties the last, as in the original."""
    return max(range(len(scores)), key=lambda candidate: (_quality(scores[candidate], criterion), candidate))


def _quality(metrics: Metrics, criterion: Criterion) -> float:
    return metrics.accuracy if criterion == "acc" else -metrics.loss


# Choosing --------------------------------------------------------------------------------------------------------


Scores = Sequence[Any]
"""What was measured of every candidate: named tuples of numbers, such as :class:`darts_pt.search.Metrics`."""


class TopologyRound(NamedTuple):
    """One round of a topology event: the scores of the edges still in the node, and the one that was dropped."""

    edges: tuple[int, ...]
    scores: Scores
    dropped: int


class OperationChoice(NamedTuple):
    """An edge's operation and, where they were measured, the scores of all candidates and what they are scores of."""

    operation: int
    scores: Scores | None
    measured: str = "supernet without …"


class EdgesChoice(NamedTuple):
    """A node's incoming edges that stay and, where they were measured, the rounds of removals."""

    kept: tuple[int, ...]
    rounds: list[TopologyRound] | None


class SelectionRule(Protocol):
    """How one edge's operation, or one node's incoming edges, are chosen from a supernet."""

    def operation(self, architect: Architect, decisions: Decisions, cell_type: CellType, edge: int) -> OperationChoice:
        """The operation that `edge` keeps."""
        ...

    def edges(self, architect: Architect, decisions: Decisions, cell_type: CellType, node: int) -> EdgesChoice:
        """The `cell_type.inputs_kept` incoming edges that `node` keeps."""
        ...


def drop_least_missed(
    cell_type: CellType,
    node: int,
    score_without: Callable[[tuple[int, ...]], Scores],
    least: Callable[[Any], int],
) -> EdgesChoice:
    """Drop one incoming edge of `node` after the other until as many remain as it keeps.

    Args:
        score_without: the scores of the supernet without each of the edges it is given.
        least: the position of the score whose edge is missed the least.
    """
    remaining = cell_type.incoming[node]
    rounds = []
    while len(remaining) > (cell_type.inputs_kept or len(remaining)):
        scores = score_without(remaining)
        dropped = remaining[least(scores)]
        rounds.append(TopologyRound(remaining, scores, dropped))
        remaining = tuple(edge for edge in remaining if edge != dropped)
    return EdgesChoice(remaining, rounds)


@dataclass(frozen=True)
class Perturbation:
    """PT: choose by the supernet's performance without the candidate.

    Attributes:
        batches: the valid half.
        operation_criterion: cell type name -> what is compared when an edge's operation is chosen.
        edge_criterion: cell type name -> what is compared in topology events.
        same_batches: all candidates of a comparison see the same images; else they are asked for anew for each
            candidate, newly shuffled and augmented, as in the original.
        ranks: the processes over which the candidates are spread.
    """

    batches: BatchSource
    operation_criterion: dict[str, Criterion]
    edge_criterion: dict[str, Criterion]
    same_batches: bool = False
    ranks: Ranks = ONE

    def batch_source(self) -> BatchSource:
        """The valid half for one comparison."""
        if not self.same_batches:
            return self.batches
        drawn = list(self.batches())
        return lambda: drawn

    def operation(self, architect: Architect, decisions: Decisions, cell_type: CellType, edge: int) -> OperationChoice:
        """Keep the operation that is missed the most."""
        mixing, batches = architect.mixing(decisions), self.batch_source()
        scores = score_operations(architect.supernet, mixing, cell_type, edge, batches, self.ranks)
        return OperationChoice(most_missed(scores, self.operation_criterion[cell_type.name]), scores)

    def edges(self, architect: Architect, decisions: Decisions, cell_type: CellType, node: int) -> EdgesChoice:
        """Drop the edge that is missed the least until as many remain as the node keeps.

        As in the original, an edge that was dropped in an earlier round is present again while the next is scored.
        """
        mixing, batches = architect.mixing(decisions), self.batch_source
        return drop_least_missed(
            cell_type,
            node,
            lambda edges: score_edges(architect.supernet, mixing, cell_type, edges, batches(), self.ranks),
            lambda scores: least_missed(scores, self.edge_criterion[cell_type.name]),
        )


class Magnitude:
    """The baseline: choose by alpha, the largest mixing weight (DARTS; the paper's PT-Mag when the supernet is tuned)."""

    def operation(self, architect: Architect, decisions: Decisions, cell_type: CellType, edge: int) -> OperationChoice:
        """Keep the operation with the largest alpha; other than none where nodes choose edges, as genotypes are read."""
        row = architect.alpha[cell_type.name][edge].detach().clone()
        names = cell_type.operations[edge]
        if cell_type.inputs_kept is not None and "none" in names:
            row[names.index("none")] = -torch.inf
        return OperationChoice(int(row.argmax()), None)

    def edges(self, architect: Architect, decisions: Decisions, cell_type: CellType, node: int) -> EdgesChoice:
        """Keep the edges whose best operation other than none has the largest mixing weight; on ties the first."""
        weights = architect.mixing(Decisions()).overall()[cell_type.name]
        strength = {
            edge: max(
                float(weight)
                for name, weight in zip(cell_type.operations[edge], weights[edge], strict=True)
                if name != "none"
            )
            for edge in cell_type.incoming[node]
        }
        ranked = sorted(strength, key=lambda edge: -strength[edge])
        return EdgesChoice(tuple(sorted(ranked[: cell_type.inputs_kept])), None)


# Events ----------------------------------------------------------------------------------------------------------


class Event(NamedTuple):
    """One selection event: at the start of `epoch`, every cell type decides one edge's operation or one node's edges."""

    index: int
    epoch: int
    kind: Literal["operation", "topology"]


def schedule(cell_types: tuple[CellType, ...], interval: int) -> tuple[list[Event], int]:
    """The events of a selection and the number of its tuning epochs.

    Events are `interval` epochs apart; the last is at the last epoch. A space without topology events has
    interval · (events − 1) epochs (NAS-Bench-201: 25, with events at 0, 5, 10, 15, 20 and 24), one with them has one
    more (S1–S5: 81, with events at 0, 5, … 75 and 80), as in the original. With an interval of 1 the first formula puts
    the last two events on one epoch; both are carried out, where the original leaves an edge undecided.
    """
    operation_events = max(len(cell.edges) for cell in cell_types)
    topology_events = max(len(cell.choosing_nodes) for cell in cell_types)
    count = operation_events + topology_events
    epochs = max(1, interval * (count - 1) + (1 if topology_events else 0))
    events = [
        Event(index, min(index * interval, epochs - 1), "operation" if index < operation_events else "topology")
        for index in range(count)
    ]
    return events[:-1] + [events[-1]._replace(epoch=epochs - 1)], epochs


EdgeOrder = Literal["random", "order", "reverse"]


def pick(undecided: list[int], order: EdgeOrder, generator: torch.Generator) -> int:
    """Which of the undecided edges (or nodes) is decided next."""
    if order == "order":
        return undecided[0]
    if order == "reverse":
        return undecided[-1]
    return undecided[int(torch.randint(len(undecided), (), generator=generator))]
