"""Repeat a golden record of a supernet and compare every quantity."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.parity.comparing import (
    ROUNDS,
    Comparison,
    compare,
    compare_recorded,
    compare_scores,
    gradient_norm,
    relative_error,
)
from benchmarks.parity.networks import genotype_of
from benchmarks.parity.randomness import RecordedPerturbation, given_noise
from darts_pt.architect import Architect, Batch, bilevel_step
from darts_pt.hyperparameters import AlphaOptions, WeightOptions
from darts_pt.methods.blank import FixedAlpha
from darts_pt.selection import Criteria
from darts_pt.selections.pt import PerturbationRule, score, without_each_edge, without_each_operation
from darts_pt.supernet import Alpha, CellType, Decisions, Supernet
from darts_pt.training import sgd

SCORES = ("perturbation_scores", "operation_scores")
"""Two names for the scores of operations."""


def supernet_of(state_dict: Mapping[str, Tensor]) -> Supernet:
    """The supernet in float64 for these weights; space and size follow from their names and shapes."""
    if "lastact.0.weight" in state_dict:
        from nasbench201 import supernet as nasbench201

        return nasbench201.NasBench201Supernet(*nasbench201.sizes_of(state_dict)).double()
    from sota.supernet import SotaSupernet, sizes_of

    return SotaSupernet(**sizes_of(state_dict), num_classes=state_dict["classifier.weight"].shape[0]).double()


class SupernetRepetition:
    """Repeats a supernet's record step by step."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.record = record
        self.batches: list[Batch] = [(images, labels.long()) for images, labels in record["batches"]]
        self.supernet = supernet_of(record["state_dict"]).to(self.batches[0][0].device)
        self.cell_types = self.supernet.cell_types
        config = record.get("config", {})
        self.options = WeightOptions(**{"batch_size": 64} | _options_in(config, WeightOptions))
        self.alpha_options = AlphaOptions(**_options_in(config, AlphaOptions))
        self.restart()

    def restart(self) -> None:
        """Load the record's initial weights and alpha, with fresh optimisers."""
        self.supernet.load_state_dict(self.record["state_dict"])
        alpha: Alpha = {
            name: rows.detach().clone().requires_grad_() for name, rows in self.by_cell(self.record["alpha"]).items()
        }
        if _is_fixed(self.record):
            self.architect: Architect = FixedAlpha(self.supernet, alpha, self.alpha_options)
        else:
            self.architect = RecordedPerturbation(self.supernet, alpha, self.alpha_options)
        self.weight_optimizer = sgd(self.supernet, self.options)

    def by_cell(self, recorded: Any) -> dict[str, Any]:
        """Cell type -> its part of `recorded`.

        Records of S1–S5 hold a value for each cell type or for one of them. Those of NAS-Bench-201 hold the value itself,
        and so do decisions that both cell types share.
        """
        names = [cell.name for cell in self.cell_types]
        if isinstance(recorded, Mapping) and any(name in recorded for name in names):
            return {name: recorded[name] for name in names if name in recorded}
        return dict.fromkeys(names, recorded)

    def comparisons(self) -> Iterator[Comparison]:
        """All quantities, in the order of recording."""
        if self.record.keys() & {"train_forward", "eval_forward"}:
            yield from self.forward()
            self.restart()
        yield from self.bilevel_steps("bilevel_steps", self.record.get("bilevel_steps", ()), Decisions())
        measured = {"state_dict_after_steps": ("state after the steps", self.supernet.state_dict())}
        yield from compare_recorded(self.record, measured)
        decisions = Decisions()
        for key in self.record:
            if key in SCORES:
                yield from self.operation_scores(self.record[key])
            elif key == "edge_scores":
                yield from self.edge_scores(self.record[key])
            elif key == "tune_steps":
                yield from self.tune_steps(key, self.record[key], decisions)
            decisions = self.recorded_decisions(key) or decisions
        if "events" in self.record:
            decisions = yield from self.events()
        if "genotype" in self.record:
            yield from self.genotype(decisions)
        yield from self.perturbations()

    # Search ------------------------------------------------------------------------------------------------------

    def forward(self) -> Iterator[Comparison]:
        """Train mode on the first batch, with gradients; then eval mode."""
        images, labels = self.batches[0]
        expected, alpha = self.record.get("train_forward", {}), self.architect.alpha
        self.supernet.train()
        with self.noise_of(expected):
            logits = self.supernet(images, self.architect.alpha_weights(Decisions()))
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        gradients = {name: torch.zeros_like(rows) if rows.grad is None else rows.grad for name, rows in alpha.items()}
        if expected.get("alpha_grad") is not None:
            expected = {**expected, "alpha_grad": self.by_cell(expected["alpha_grad"])}
        measured = {
            "logits": ("train-mode logits", logits),
            "loss": ("train-mode loss", loss),
            "alpha_grad": ("gradient by alpha", gradients),
            "weight_grad_norm": ("norm of the gradient by the weights", gradient_norm(self.supernet)),
            "state_dict_after": ("running statistics after it", self.supernet.state_dict()),
        }
        yield from compare_recorded(expected, measured)
        if "eval_forward" in self.record:
            expected = self.record["eval_forward"]
            self.supernet.eval()
            with torch.no_grad(), self.noise_of(expected):
                logits = self.supernet(images, self.architect.alpha_weights(Decisions()))
            yield compare("eval-mode logits", logits, expected["logits"])

    def bilevel_steps(
        self, title: str, steps: Iterable[Mapping[str, Any]], decisions: Decisions
    ) -> Iterator[Comparison]:
        """Alpha and training loss of each step."""
        for number, step in enumerate(steps, start=1):
            valid = self.batches[step["valid_batch"]] if self.architect.uses_valid_batches else None
            train = self.batches[step["train_batch"]]
            if isinstance(self.architect, RecordedPerturbation):
                self.architect.recorded = step
            with self.noise_of(step):
                result = bilevel_step(
                    self.architect, self.weight_optimizer, train, valid, decisions, self.options.grad_clip
                )
            assert result is not None
            mixing = self.architect.mixing(decisions).values
            measured = {
                "alpha_after": (f"{title} {number}: alpha", self.architect.alpha),
                "train_loss": (f"{title} {number}: training loss", result.loss),
                "mixing_weights": (f"{title} {number}: mixing weights", mixing),
            }
            expected = {key: self.by_cell(step[key]) for key in ("alpha_after", "mixing_weights") if key in step}
            yield from compare_recorded({**step, **expected}, measured)

    def tune_steps(self, title: str, steps: Iterable[Mapping[str, Any]], decisions: Decisions) -> Iterator[Comparison]:
        """Tuning steps have a new weight optimiser with a tenth of the learning rate."""
        self.weight_optimizer = sgd(self.supernet, self.options, self.options.learning_rate / 10)
        yield from self.bilevel_steps(title, steps, decisions)

    # Selection ---------------------------------------------------------------------------------------------------

    def operation_scores(self, recorded: Mapping[str, Any]) -> Iterator[Comparison]:
        """Accuracy and loss without each operation of every edge (or of the record's edges)."""
        for stage in ("none_decided", "after_decisions"):
            if stage not in recorded:
                continue
            decisions = self.decisions(recorded["decided"]) if stage == "after_decisions" else Decisions()
            mixing, batches = self.architect.mixing(decisions), self.batch_source(recorded)
            for cell, expected in self.cells_in(recorded[stage]):
                with self.noise_of(recorded):
                    scores = [
                        metrics
                        for edge in recorded.get("edges", range(len(cell.edges)))
                        for metrics in score(self.supernet, without_each_operation(mixing, cell, edge), batches)
                    ]
                yield from compare_scores(f"{cell.name} operation scores, {stage.replace('_', ' ')}", scores, expected)

    def edge_scores(self, recorded: Mapping[str, Any]) -> Iterator[Comparison]:
        """Rounds of topology events with all operations decided; edges dropped in earlier rounds are present again."""
        mixing, batches = self.architect.mixing(self.decisions(recorded["decided"])), self.batch_source(recorded)
        for key in (key for key in recorded if key in ROUNDS):
            later = "" if key == "first_round" else f", {key.replace('_', ' ')}"
            for cell, nodes in self.cells_in(recorded[key]):
                for node, edges in nodes.items():
                    with self.noise_of(recorded):
                        scores = score(self.supernet, without_each_edge(mixing, cell, list(edges)), batches)
                    title = f"{cell.name} edge scores, node {node}{later}"
                    yield from compare_scores(title, scores, _rows(edges))

    def events(self) -> Generator[Comparison, None, Decisions]:
        """The events of a selection, each by the rule of PT and followed by its tuning; returns the decisions."""
        decisions = Decisions()
        for number, event in enumerate(self.record["events"], start=1):
            cell = {cell.name: cell for cell in self.cell_types}[event.get("cell_type", self.cell_types[0].name)]
            by_cell: Any = {cell.name: event.get("criterion", "acc")}
            rule = PerturbationRule(batches=self.batch_source(event), criteria=Criteria(by_cell, by_cell))
            title = f"event {number}, {cell.name}"
            with self.noise_of(event):
                if "edge" in event:
                    choice: Any = rule.operation(self.architect, decisions, cell, event["edge"])
                    yield from compare_scores(f"{title} edge {event['edge']}", choice.scores, event["scores"])
                    yield _same(f"{title} edge {event['edge']}: kept", choice.operation, event["kept"])
                    decisions = decisions.with_operation(cell.name, event["edge"], event["kept"])
                else:
                    node = cell.edges[event["kept"][0]].target
                    choice = rule.edges(self.architect, decisions, cell, node)
                    yield _same(f"{title} node {node}: rounds", len(choice.rounds), len(event["rounds"]))
                    for ours, theirs in zip(choice.rounds, event["rounds"], strict=False):
                        yield from compare_scores(
                            f"{title} node {node}, {len(theirs)} edges", ours.scores, _rows(theirs)
                        )
                        yield _same(f"{title} node {node}, {len(theirs)} edges: which", ours.edges, tuple(theirs))
                    yield _same(f"{title} node {node}: kept", sorted(choice.kept), sorted(event["kept"]))
                    decisions = decisions.with_edges(cell.name, node, tuple(event["kept"]))
            if "tune_steps" in event:
                yield from self.tune_steps(f"{title}: tune step", event["tune_steps"], decisions)
        return decisions

    def genotype(self, decisions: Decisions) -> Iterator[Comparison]:
        """The final architecture, from alpha and the record's decisions."""
        recorded = self.record["genotype"]
        ours = self.supernet.genotype(self.architect.mixing(decisions))
        yield _same("genotype", ours, recorded if isinstance(ours, str) else genotype_of(recorded))

    def perturbations(self) -> Iterator[Comparison]:
        """SDARTS's mixing weights after the random and the adversarial perturbation."""
        if not self.record.keys() & {"random", "pgd"}:
            return
        if "state_dict_after_steps" in self.record:
            self.supernet.load_state_dict(self.record["state_dict_after_steps"])
        self.supernet.train()
        at = self.by_cell(self.record.get("alpha_at_perturbation", self.architect.alpha))
        alpha = {name: rows.detach().clone() for name, rows in at.items()}
        for key, title in (("random", "random perturbation"), ("pgd", "adversarial perturbation")):
            if key not in self.record:
                continue
            architect, recorded = RecordedPerturbation(self.supernet, alpha), self.record[key]
            architect.recorded = {key: recorded}
            batch, decisions = self.batches[recorded.get("batch", 0)], self.decisions(recorded.get("decided", {}))
            with self.noise_of(recorded if key == "pgd" else {}):
                ours = architect.perturbed(dict(architect.relaxed()), batch, decisions)
            yield compare(title, ours, self.by_cell(recorded["perturbed_weights"]))

    # Reading the record ------------------------------------------------------------------------------------------

    def cells_in(self, recorded: Any) -> list[tuple[CellType, Any]]:
        """The cell types in `recorded`, each with its part."""
        values = self.by_cell(recorded)
        return [(cell, values[cell.name]) for cell in self.cell_types if cell.name in values]

    def decisions(self, decided: Any) -> Decisions:
        """Decisions from {edge: operation}, or from the same per cell type."""
        return Decisions({name: dict(operations) for name, operations in self.by_cell(decided).items()})

    def recorded_decisions(self, key: str) -> Decisions | None:
        """The decisions in a part of the record with scores; those of the topology belong to `edge_scores`."""
        if key not in (*SCORES, "edge_scores") or "decided" not in self.record[key]:
            return None
        decisions = self.decisions(self.record[key]["decided"])
        if key == "edge_scores":
            for cell, kept in self.cells_in(self.record.get("edge_decisions", {})):
                for edges in kept.values():
                    decisions = decisions.with_edges(cell.name, cell.edges[edges[0]].target, tuple(edges))
        return decisions

    def batch_source(self, recorded: Mapping[str, Any]) -> Callable[[], list[Batch]]:
        """The record's valid batches, the same for every candidate."""
        return lambda: [self.batches[index] for index in recorded["valid_batches"]]

    def noise_of(self, part: Mapping[str, Any]) -> Any:
        """The operation noise of a part of the record, or else of the whole record."""
        return given_noise(self.supernet, part.get("noise", self.record.get("noise")))


def _options_in(config: Mapping[str, Any], options: type) -> dict[str, Any]:
    """The hyperparameters of this class in a record's configuration."""
    return {field.name: config[field.name] for field in dataclasses.fields(options) if field.name in config}


def _is_fixed(record: Mapping[str, Any]) -> bool:
    """Whether alpha never moves: "fix alpha"."""
    steps = [step["alpha_after"] for step in record.get("bilevel_steps", ()) if "alpha_after" in step]
    return bool(steps) and all(relative_error(after, record["alpha"]) == 0.0 for after in steps)


def _rows(scores: Mapping[int, Any]) -> Tensor:
    """{edge: [accuracy, loss]} as a tensor [edges, 2]."""
    return torch.stack([torch.as_tensor(row, dtype=torch.float64) for row in scores.values()])


def _same(quantity: str, ours: Any, theirs: Any) -> Comparison:
    """Compare two values that must be equal."""
    return Comparison(quantity, 0.0 if ours == theirs else float("inf"))
