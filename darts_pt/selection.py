"""Algorithm 1 of the paper (section 4.1): make the supernet discrete edge by edge, and tune it in between.

At an *event* every cell type, or one of a group, decides the operation of one undecided edge, in random order; the supernet
is then tuned for some epochs. Where nodes keep only some incoming edges, topology events follow, which decide those. A
:class:`SelectionRule` chooses: in the paper by perturbation (:mod:`darts_pt.selections.pt`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal, NamedTuple, Protocol

import torch

from darts_pt.architect import Architect
from darts_pt.hyperparameters import Criterion, EdgeOrder
from darts_pt.run.experiment import Experiment
from darts_pt.run.loop import TimeLeft, log_metrics, train_epoch
from darts_pt.run.saver import Saver
from darts_pt.run.scores import Scores, columns_of, log_scores
from darts_pt.supernet import CellType, Decisions
from darts_pt.training import SupernetTraining

# Choosing --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Criteria:
    """The criteria by which candidates are compared.

    Attributes:
        operations: cell type name -> criterion of operation events.
        edges: cell type name -> criterion of topology events.
        same_batches: score all candidates of a comparison on the same images.
    """

    operations: Mapping[str, Criterion]
    edges: Mapping[str, Criterion]
    same_batches: bool = False


class TopologyRound(NamedTuple):
    """One round of a topology event: the remaining edges, their scores, the one dropped, the score that decided."""

    edges: tuple[int, ...]
    scores: Scores
    dropped: int
    by: str = ""


class OperationChoice(NamedTuple):
    """The operation of an edge.

    Attributes:
        scores: of all candidates; None if not measured.
        by: the name of the score that decided.
        measured: the title of the scores in the log.
    """

    operation: int
    scores: Scores | None
    by: str = ""
    measured: str = "supernet without …"


class EdgesChoice(NamedTuple):
    """The incoming edges that a node keeps, and the rounds of removals (None if not measured)."""

    kept: tuple[int, ...]
    rounds: list[TopologyRound] | None


class SelectionRule(Protocol):
    """Chooses the operation of an edge, or the incoming edges of a node, from a supernet."""

    def operation(self, architect: Architect, decisions: Decisions, cell_type: CellType, edge: int) -> OperationChoice:
        """The operation that `edge` keeps."""
        ...

    def edges(self, architect: Architect, decisions: Decisions, cell_type: CellType, node: int) -> EdgesChoice:
        """The `cell_type.inputs_kept` incoming edges that `node` keeps."""
        ...


def drop_least_important(
    cell_type: CellType,
    node: int,
    score_without: Callable[[tuple[int, ...]], Scores],
    least: Callable[[Any], int],
    by: str = "",
) -> EdgesChoice:
    """The topology event: drop incoming edges of `node` one by one until as many remain as it keeps.

    Args:
        score_without: edges -> the scores of the supernet without each.
        least: scores -> the position of the least important edge.
        by: the name of the score that decides.
    """
    remaining, rounds = cell_type.incoming[node], []
    while len(remaining) > (cell_type.inputs_kept or len(remaining)):
        scores = score_without(remaining)
        dropped = remaining[least(scores)]
        rounds.append(TopologyRound(remaining, scores, dropped, by))
        remaining = tuple(edge for edge in remaining if edge != dropped)
    return EdgesChoice(remaining, rounds)


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
    turns = groups(cell_types)
    operation_events = max(sum(len(cell.choosing_edges) for cell in group) for group in turns)
    topology_events = max(sum(len(cell.choosing_nodes) for cell in group) for group in turns)
    count = operation_events + topology_events
    epochs = max(1, interval * (count - 1) + (1 if topology_events else 0))
    events = [
        Event(index, min(index * interval, epochs - 1), "operation" if index < operation_events else "topology")
        for index in range(count)
    ]
    return events[:-1] + [events[-1]._replace(epoch=epochs - 1)], epochs


def groups(cell_types: tuple[CellType, ...]) -> list[list[CellType]]:
    """The cell types that take turns at events, together; usually each is alone."""
    return [list(group) for _, group in groupby(cell_types, key=lambda cell: cell.group or cell.name)]


def pick(undecided: Sequence[Any], order: EdgeOrder, generator: torch.Generator) -> Any:
    """The undecided edge (or node) that is decided next."""
    if order == "order":
        return undecided[0]
    if order == "reverse":
        return undecided[-1]
    return undecided[int(torch.randint(len(undecided), (), generator=generator))]


# Algorithm 1 -----------------------------------------------------------------------------------------------------


def select(
    training: SupernetTraining,
    rule: SelectionRule,
    saver: Saver,
    interval: int = 5,
    order: EdgeOrder = "random",
    describe: Callable[[Any], dict[str, Any]] = lambda training: {},
) -> Decisions:
    """Decide every edge and tune in between, from the training's present epoch on.

    The state is saved just before each event, so that a selection can be resumed there.

    Args:
        interval: tuning epochs between events.
        describe: called after each epoch; returns further values to record.

    Returns:
        The complete decisions, which are also `training.decisions`.
    """
    events, epochs = schedule(training.supernet.cell_types, interval)
    time_left = TimeLeft(saver)
    while training.epoch < epochs:
        saver.safe_point()
        is_whole, began = training.progress is None, time.perf_counter()
        due = [event for event in events if event.epoch == training.epoch]
        if due and training.progress is None:
            saver.save_epoch()
        _carry_out(due, len(events), training, rule, saver, order)
        decided = time.perf_counter()
        description = f"tuning epoch {training.epoch + 1}/{epochs}"
        train = train_epoch(training, *training.tuning_batches(), saver, description)
        measured = {"train": train, "valid": training.evaluate(training.valid_batches())}
        training.end_epoch()
        record = log_metrics(saver, description, measured)
        saver.experiment.record("epoch", record | describe(training), epoch=training.epoch)
        if due and is_whole:
            more = (decided - began) / len(due) * (len(events) - due[-1].index - 1)
            time_left.tell(epochs - training.epoch, time.perf_counter() - decided, more)
    saver.save_epoch()
    return training.decisions


def select_at_once(
    training: SupernetTraining, rule: SelectionRule, saver: Saver, order: EdgeOrder = "order"
) -> Decisions:
    """Carry out all events without tuning, as DARTS does for magnitude."""
    events, _ = schedule(training.supernet.cell_types, 1)
    due = [event._replace(epoch=training.epoch) for event in events]
    saver.safe_point()
    _carry_out(due, len(events), training, rule, saver, order)
    training.progress = None
    return training.decisions


def _carry_out(
    due: list[Event], count: int, training: SupernetTraining, rule: SelectionRule, saver: Saver, order: EdgeOrder
) -> None:
    """Carry out the due events, out of `count`: at each, every group decides one edge or node, if any is left."""
    turns = [(event, group) for event in due for group in groups(training.supernet.cell_types)]
    for event, group in turns[training.begin_epoch().decisions :]:
        is_operation = event.kind == "operation"
        find = training.decisions.undecided_edges if is_operation else training.decisions.undecided_nodes
        decide = decide_operation if is_operation else _decide_edges
        undecided = [(cell_type, each) for cell_type in group for each in find(cell_type)]
        if undecided:
            training.synchronise()
            cell_type, chosen = pick(undecided, order, training.generators["order"])
            label = (cell_type.edge_label if is_operation else cell_type.node_label)(chosen)
            saver.experiment.log.info("event %d/%d: %s", event.index + 1, count, label)
            decide(event, training, rule, saver.experiment, cell_type, chosen)
        training.begin_epoch().decisions += 1
        saver.safe_point()


def decide_operation(
    event: Event,
    training: SupernetTraining,
    rule: SelectionRule,
    experiment: Experiment,
    cell_type: CellType,
    edge: int,
) -> None:
    choice = rule.operation(training.architect, training.decisions, cell_type, edge)
    training.decisions = training.decisions.with_operation(cell_type.name, edge, choice.operation)
    names = cell_type.operations[edge]
    label, kept = cell_type.edge_label(edge), names[choice.operation]
    log_scores(experiment, f"{label}: {choice.measured}", names, choice.scores, choice.operation, choice.by, "kept")
    experiment.log.info("%s keeps %s", label, kept)
    if kept == "none":
        replaced = "" if cell_type.inputs_kept is None else "; the genotype will have the first other operation instead"
        experiment.log.warning("none won %s; the authors' code allows this%s", label, replaced)
    values = {"event": event.index, "cell_type": cell_type.name, "edge": edge, "kept": kept, "candidates": list(names)}
    experiment.record("operation_event", values | columns_of(choice.scores), epoch=training.epoch)


def _decide_edges(
    event: Event,
    training: SupernetTraining,
    rule: SelectionRule,
    experiment: Experiment,
    cell_type: CellType,
    node: int,
) -> None:
    choice = rule.edges(training.architect, training.decisions, cell_type, node)
    training.decisions = training.decisions.with_edges(cell_type.name, node, choice.kept)
    rounds = []
    for edges, scores, dropped, by in choice.rounds or []:
        labels = [cell_type.edge_label(edge) for edge in edges]
        title = f"{cell_type.node_label(node)}: supernet without …"
        log_scores(experiment, title, labels, scores, edges.index(dropped), by, "dropped")
        experiment.log.info("%s drops %s", cell_type.node_label(node), cell_type.edge_label(dropped))
        rounds.append({"edges": list(edges), "dropped": dropped, **columns_of(scores)})
    kept = ", ".join(cell_type.edge_label(edge) for edge in choice.kept)
    experiment.log.info("%s keeps %s", cell_type.node_label(node), kept)
    values = {"event": event.index, "cell_type": cell_type.name, "node": node, "kept": list(choice.kept)}
    experiment.record("topology_event", values | {"rounds": rounds}, epoch=training.epoch)
