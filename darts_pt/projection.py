"""The selection loop: events that make the supernet discrete bit by bit, and tuning epochs between them (Algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any

from darts_pt.search import SupernetTraining, log_epoch
from darts_pt.selection import EdgeOrder, Event, Scores, SelectionRule, pick, schedule
from darts_pt.supernet import CellType, Decisions

if TYPE_CHECKING:
    from darts_pt.run.experiment import Experiment
    from darts_pt.run.saver import Saver


def project(
    training: SupernetTraining,
    rule: SelectionRule,
    experiment: Experiment,
    saver: Saver,
    interval: int,
    order: EdgeOrder,
    report_freq: int,
    after_epoch: Callable[[int], dict[str, Any]],
) -> Decisions:
    """Decide every edge, from the training's present epoch on; the state is saved just before each event.

    Args:
        interval: tuning epochs between events.
        order: in which order edges are decided.
        after_epoch: gets the epochs completed and returns what else to record.

    Returns:
        The complete decisions, which are also `training.decisions`.
    """
    events, epochs = schedule(training.supernet.cell_types, interval)
    while training.epoch < epochs:
        saver.safe_point()
        due = [event for event in events if event.epoch == training.epoch]
        if due and training.progress is None:
            saver.save_epoch()
        _carry_out(due, len(events), training, rule, experiment, saver, order)
        description = f"tuning epoch {training.epoch + 1}/{epochs}"
        train = training.run_epoch(experiment, saver, description, report_freq, is_pass=True)
        valid = training.evaluate(training.valid_batches())
        record = {
            "train_accuracy": train.accuracy,
            "train_loss": train.loss,
            "valid_accuracy": valid.accuracy,
            "valid_loss": valid.loss,
        }
        training.end_epoch()
        log_epoch(experiment, description, record)
        experiment.record("epoch", record | after_epoch(training.epoch), epoch=training.epoch)
    saver.save_epoch()
    return training.decisions


def select_at_once(
    training: SupernetTraining, rule: SelectionRule, experiment: Experiment, saver: Saver, order: EdgeOrder = "order"
) -> Decisions:
    """Carry out all events on the supernet as it is, without tuning: how DARTS selects by magnitude."""
    events, _ = schedule(training.supernet.cell_types, 1)
    due = [event._replace(epoch=training.epoch) for event in events]
    saver.safe_point()
    _carry_out(due, len(events), training, rule, experiment, saver, order)
    training.progress = None
    return training.decisions


def decide_during_search(
    training: SupernetTraining, rule: SelectionRule, experiment: Experiment, saver: Saver, epochs: int
) -> None:
    """Decide the edges that the method wants decided before the training's next epoch (SGAS).

    The state just before is saved: a selection that chooses otherwise starts before the first decision.
    """
    due = training.architect.edges_due(training.epoch, epochs, training.decisions)
    if due:
        saver.save_epoch()
        training.agree()
    for cell_type, edge in due:
        event = Event(sum(map(len, training.decisions.operations.values())), training.epoch, "operation")
        _decide_operation(event, training, rule, experiment, cell_type, edge)
        _drop_surplus(training, experiment, cell_type, cell_type.edges[edge].target)


def starts_of_selections(training: SupernetTraining, epochs: int) -> set[int]:
    """The epoch before which a search takes its first decision: a selection that chooses otherwise starts there."""
    due = (epoch for epoch in range(epochs) if training.architect.edges_due(epoch, epochs, Decisions()))
    return set(islice(due, 1))


def _drop_surplus(training: SupernetTraining, experiment: Experiment, cell_type: CellType, node: int) -> None:
    """A node with as many decided edges as it keeps drops the others."""
    if node not in training.decisions.undecided_nodes(cell_type):
        return
    decided = training.decisions.operations[cell_type.name]
    kept = tuple(edge for edge in cell_type.incoming[node] if edge in decided)
    if len(kept) == cell_type.inputs_kept:
        training.decisions = training.decisions.with_edges(cell_type.name, node, kept)
        labels = ", ".join(edge_label(cell_type, edge) for edge in kept)
        experiment.log.info("%s node %d keeps %s", cell_type.name, node, labels)


def _carry_out(
    due: list[Event],
    count: int,
    training: SupernetTraining,
    rule: SelectionRule,
    experiment: Experiment,
    saver: Saver,
    order: EdgeOrder,
) -> None:
    """The events that are due, out of `count`: at each, every cell type that has something left to decide decides it."""
    done = training.begin_epoch().decisions
    turns = [(event, cell_type) for event in due for cell_type in training.supernet.cell_types]
    for event, cell_type in turns[done:]:
        if event.kind == "operation":
            undecided = training.decisions.undecided_edges(cell_type)
            decide = _decide_operation
        else:
            undecided = training.decisions.undecided_nodes(cell_type)
            decide = _decide_edges
        if undecided:
            training.agree()
            chosen = pick(undecided, order, training.generators["order"])
            experiment.log.info("event %d/%d", event.index + 1, count)
            decide(event, training, rule, experiment, cell_type, chosen)
        training.begin_epoch().decisions += 1
        saver.safe_point()


def _decide_operation(
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
    label = edge_label(cell_type, edge)
    log_scores(experiment, f"{label}: {choice.measured}", names, choice.scores)
    experiment.log.info("%s keeps %s", label, names[choice.operation])
    if names[choice.operation] == "none":
        _warn_of_none(experiment, cell_type, label)
    experiment.record(
        "operation_event",
        {
            "event": event.index,
            "cell_type": cell_type.name,
            "edge": edge,
            "kept": names[choice.operation],
            "candidates": list(names),
            **_columns(choice.scores),
        },
        epoch=training.epoch,
    )


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
    rounds = choice.rounds or []
    for round_ in rounds:
        labels = [edge_label(cell_type, edge) for edge in round_.edges]
        log_scores(experiment, f"{cell_type.name} node {node}: supernet without …", labels, round_.scores)
        experiment.log.info("%s node %d drops %s", cell_type.name, node, edge_label(cell_type, round_.dropped))
    kept = [edge_label(cell_type, edge) for edge in choice.kept]
    experiment.log.info("%s node %d keeps %s", cell_type.name, node, ", ".join(kept))
    experiment.record(
        "topology_event",
        {
            "event": event.index,
            "cell_type": cell_type.name,
            "node": node,
            "kept": list(choice.kept),
            "rounds": [
                {"edges": list(round_.edges), "dropped": round_.dropped, **_columns(round_.scores)} for round_ in rounds
            ],
        },
        epoch=training.epoch,
    )


def _warn_of_none(experiment: Experiment, cell_type: CellType, label: str) -> None:
    consequence = (
        "" if cell_type.inputs_kept is None else "; the genotype will hold the first other operation in its place"
    )
    experiment.log.warning("%s keeps none, as the original may decide too%s", label, consequence)


def edge_label(cell_type: CellType, edge: int) -> str:
    """For example 'normal edge 5 (3<-1)'."""
    return f"{cell_type.name} edge {edge} ({cell_type.edges[edge].target}<-{cell_type.edges[edge].source})"


def log_scores(experiment: Experiment, title: str, labels: tuple[str, ...] | list[str], scores: Scores | None) -> None:
    """The scores of all candidates as a table in the log."""
    if scores is None:
        return
    width = max(len(label) for label in labels)
    experiment.log.info("%s", title)
    experiment.log.info("  %-*s%s", width, "", "".join(f"  {name:>10}" for name in scores[0]._fields))
    for label, measured in zip(labels, scores, strict=True):
        experiment.log.info("  %-*s%s", width, label, "".join(f"  {value:10.5f}" for value in measured))


def _columns(scores: Scores | None) -> dict[str, list[float]]:
    if scores is None:
        return {}
    return {name: [getattr(measured, name) for measured in scores] for name in scores[0]._fields}
