"""Repeat a golden record of a supernet, and compare every quantity with the record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from darts_pt.architect import Architect, Batch, bilevel_step
from darts_pt.hyperparameters import WeightOptions
from darts_pt.methods.blank import FixedAlpha
from darts_pt.methods.sdarts_adv import Adversarial
from darts_pt.methods.sdarts_rs import projected
from darts_pt.run.epoch import Metrics
from darts_pt.selections.pt import score_edges, score_operations
from darts_pt.supernet import Alpha, CellType, Decisions, Supernet
from darts_pt.training import sgd

TOLERANCE = 1e-9
ACCURACY_TOLERANCE = 1e-6
"""The authors' code computes accuracies in float32."""
LEAST_MAGNITUDE = 1e-5
"""Errors are relative to at least this: some quantities are 0 up to rounding, such as the mean of a normalised map after
an average pooling."""


class Comparison(NamedTuple):
    """One quantity of a record, with its largest relative error and its tolerance."""

    quantity: str
    error: float
    tolerance: float = TOLERANCE

    @property
    def agrees(self) -> bool:
        """True if the error is within the tolerance; False for NaN."""
        return self.error <= self.tolerance


def compare(quantity: str, ours: Any, theirs: Any, tolerance: float = TOLERANCE) -> Comparison:
    """Compare numbers, tensors, or mappings of them."""
    return Comparison(quantity, relative_error(ours, theirs), tolerance)


def relative_error(ours: Any, theirs: Any) -> float:
    """The largest difference relative to the record's largest magnitude; of a mapping the largest over its items."""
    if isinstance(theirs, Mapping):
        return max((relative_error(ours[key], value) for key, value in theirs.items()), default=0.0)
    ours = torch.as_tensor(ours, dtype=torch.float64).detach().cpu()
    theirs = torch.as_tensor(theirs, dtype=torch.float64).cpu()
    if ours.shape != theirs.shape:
        return float("inf")
    if theirs.numel() == 0:
        return 0.0
    difference = (ours - theirs).abs().max().item()
    if difference != difference:
        return float("inf")
    return difference / max(theirs.abs().max().item(), LEAST_MAGNITUDE)


def compare_scores(title: str, ours: list[Metrics], theirs: Any) -> Iterator[Comparison]:
    """Compare scores with a record's rows of accuracy and loss."""
    table, theirs = torch.tensor(ours, dtype=torch.float64), torch.as_tensor(theirs, dtype=torch.float64).cpu()
    yield compare(f"{title}: accuracy", table[:, 0], theirs[..., 0].flatten(), ACCURACY_TOLERANCE)
    yield compare(f"{title}: loss", table[:, 1], theirs[..., 1].flatten())


def gradient_norm(network: nn.Module) -> float:
    """The norm of the gradient by all weights together."""
    return float(nn.utils.clip_grad_norm_(network.parameters(), float("inf")))


# Supernets -------------------------------------------------------------------------------------------------------

SUPERNET_KEYS = {
    "config", "method", "edge_order", "op_names", "batches", "state_dict", "alpha", "train_forward", "eval_forward",
    "bilevel_steps", "state_dict_after_steps", "perturbation_scores", "operation_scores", "edge_scores", "edge_decisions",
    "tune_steps", "alpha_at_perturbation", "random", "pgd", "genotype",
}  # fmt: skip
"""The keys of a supernet's record; the command lists any others as not compared."""


def supernet_of(record: dict[str, Any]) -> Supernet:
    """A supernet of the record's configuration in float64, with weights of its own."""
    config = record["config"]
    if "cells_per_stage" in config:
        from nasbench201.supernet import NasBench201Supernet

        return NasBench201Supernet(config["init_channels"], config["cells_per_stage"], config["num_classes"]).double()
    from sota.spaces import cell_types
    from sota.supernet import SotaSupernet

    if any("noise" in names for cell in cell_types(config["space"]) for names in cell.operations):
        raise ValueError(f"space {config['space']} holds the operation noise, which is drawn at random in every pass")
    return SotaSupernet(config["space"], config["init_channels"], config["layers"], config["num_classes"]).double()


class SupernetRepetition:
    """Repeats a supernet's record step by step."""

    def __init__(self, record: dict[str, Any]) -> None:
        self.record = record
        self.supernet = supernet_of(record).to(record["batches"][0][0].device)
        self.cell_types = self.supernet.cell_types
        self.batches: list[Batch] = [(images, labels) for images, labels in record["batches"]]
        self.options = WeightOptions(batch_size=64)
        self.restart()

    def restart(self) -> None:
        """Load the record's initial weights and alpha, and make fresh optimisers."""
        self.supernet.load_state_dict(self.record["state_dict"])
        alpha: Alpha = {
            name: rows.clone().requires_grad_() for name, rows in self.by_cell(self.record["alpha"]).items()
        }
        self.architect = (FixedAlpha if _is_blank(self.record) else Architect)(self.supernet, alpha)
        self.weight_optimizer = sgd(self.supernet, self.options)

    def by_cell(self, recorded: Any) -> dict[str, Any]:
        """Cell type -> its part of `recorded`.

        Records of S1–S5 hold a value per cell type, or of one only. Those of NAS-Bench-201 hold the value itself, and so
        do decisions that both cell types share.
        """
        names = [cell.name for cell in self.cell_types]
        if isinstance(recorded, Mapping) and any(name in recorded for name in names):
            return {name: recorded[name] for name in names if name in recorded}
        return dict.fromkeys(names, recorded)

    def comparisons(self) -> Iterator[Comparison]:
        """All quantities, in the order of recording."""
        yield from self.forward()
        self.restart()
        yield from self.bilevel_steps("bilevel_steps", Decisions())
        if "state_dict_after_steps" in self.record:
            state = self.supernet.state_dict()
            yield compare("state after the steps", state, self.record["state_dict_after_steps"])
        for key in ("perturbation_scores", "operation_scores"):
            if key in self.record:
                yield from self.operation_scores(self.record[key])
        if "edge_scores" in self.record:
            yield from self.edge_scores(self.record["edge_scores"])
        if "tune_steps" in self.record:
            # The selection makes the weight optimiser again, with a tenth of the learning rate.
            self.weight_optimizer = sgd(self.supernet, self.options, self.options.learning_rate / 10)
            decided = self.decisions(self.record["perturbation_scores"]["decided"])
            yield from self.bilevel_steps("tune_steps", decided)
        if "alpha_at_perturbation" in self.record:
            yield from self.perturbations()
        if "genotype" in self.record:
            yield Comparison("genotype", 0.0 if self.genotype_agrees() else float("inf"))

    def forward(self) -> Iterator[Comparison]:
        """Train mode on the first batch, with gradients; then eval mode."""
        images, labels = self.batches[0]
        expected, alpha = self.record["train_forward"], self.architect.alpha
        self.supernet.train()
        logits = self.supernet(images, self.architect.alpha_weights(Decisions()))
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        yield compare("train-mode logits", logits, expected["logits"])
        yield compare("train-mode loss", loss, expected["loss"])
        gradients = {name: torch.zeros_like(rows) if rows.grad is None else rows.grad for name, rows in alpha.items()}
        yield compare("gradient by alpha", gradients, self.by_cell(expected["alpha_grad"]))
        yield compare("norm of the gradient by the weights", gradient_norm(self.supernet), expected["weight_grad_norm"])
        if "state_dict_after" in expected:
            yield compare("running statistics after it", self.supernet.state_dict(), expected["state_dict_after"])
        self.supernet.eval()
        with torch.no_grad():
            logits = self.supernet(images, self.architect.alpha_weights(Decisions()))
        yield compare("eval-mode logits", logits, self.record["eval_forward"]["logits"])

    def bilevel_steps(self, key: str, decisions: Decisions) -> Iterator[Comparison]:
        """Each step's alpha and training loss."""
        for number, step in enumerate(self.record[key], start=1):
            valid = self.batches[step["valid_batch"]] if self.architect.uses_valid_batches else None
            train = self.batches[step["train_batch"]]
            clip = self.options.grad_clip
            result = bilevel_step(self.architect, self.weight_optimizer, train, valid, decisions, clip)
            assert result is not None
            yield compare(f"{key} {number}: alpha", self.architect.alpha, self.by_cell(step["alpha_after"]))
            yield compare(f"{key} {number}: training loss", result.loss, step["train_loss"])
            if "mixing_weights" in step:
                values = self.architect.mixing(decisions).values
                yield compare(f"{key} {number}: mixing weights", values, self.by_cell(step["mixing_weights"]))

    def operation_scores(self, recorded: Mapping[str, Any]) -> Iterator[Comparison]:
        """Accuracy and loss without one operation, for every operation of every edge (or of the record's edges)."""
        for stage in ("none_decided", "after_decisions"):
            if stage not in recorded:
                continue
            decisions = self.decisions(recorded["decided"]) if stage == "after_decisions" else Decisions()
            mixing, batches = self.architect.mixing(decisions), self.batch_source(recorded)
            for cell, expected in self.cells_in(recorded[stage]):
                scores = [
                    metrics
                    for edge in recorded.get("edges", range(len(cell.edges)))
                    for metrics in score_operations(self.supernet, mixing, cell, edge, batches)
                ]
                yield from compare_scores(f"{cell.name} operation scores, {stage.replace('_', ' ')}", scores, expected)

    def edge_scores(self, recorded: Mapping[str, Any]) -> Iterator[Comparison]:
        """The first round of the topology events, with every operation decided."""
        mixing, batches = self.architect.mixing(self.decisions(recorded["decided"])), self.batch_source(recorded)
        for cell, nodes in self.cells_in(recorded["first_round"]):
            for node, edges in nodes.items():
                scores = score_edges(self.supernet, mixing, cell, list(edges), batches)
                expected = torch.stack([torch.as_tensor(row, dtype=torch.float64) for row in edges.values()])
                yield from compare_scores(f"{cell.name} edge scores, node {node}", scores, expected)

    def perturbations(self) -> Iterator[Comparison]:
        """SDARTS's mixing weights after the random and the adversarial perturbation."""
        if "state_dict_after_steps" in self.record:
            self.supernet.load_state_dict(self.record["state_dict_after_steps"])
        self.supernet.train()
        alpha = {name: rows.clone() for name, rows in self.by_cell(self.record["alpha_at_perturbation"]).items()}
        if "random" in self.record:
            recorded = self.record["random"]
            relaxed = Adversarial(self.supernet, alpha).relaxed()
            ours = {name: projected(relaxed[name] + noise) for name, noise in self.by_cell(recorded["noise"]).items()}
            yield compare("random perturbation", ours, self.by_cell(recorded["perturbed_weights"]))
        if "pgd" in self.record:
            recorded = self.record["pgd"]
            architect = Adversarial(self.supernet, alpha, settings={"epsilon_alpha": recorded["epsilon"]})
            relaxed, batch = architect.relaxed(), self.batches[recorded["batch"]]
            ours = architect.ascend(relaxed, relaxed, batch, Decisions(), recorded["steps"])
            yield compare("adversarial perturbation", ours, self.by_cell(recorded["perturbed_weights"]))

    def genotype_agrees(self) -> bool:
        """Compare the final architecture, from alpha and the record's decisions."""
        recorded = self.record["genotype"]
        if "edge_scores" not in self.record:
            decided = self.record.get("perturbation_scores", {}).get("decided", {})
            return str(self.supernet.genotype(self.architect.mixing(self.decisions(decided)))) == recorded
        decisions = self.decisions(self.record["edge_scores"]["decided"])
        for cell, kept in self.cells_in(self.record["edge_decisions"]):
            for node, edges in kept.items():
                target = cell.edges[self.record["edge_scores"]["incoming_edges"][node][0]].target
                decisions = decisions.with_edges(cell.name, target, tuple(edges))
        ours: Any = self.supernet.genotype(self.architect.mixing(decisions))
        return all(_as_lists(getattr(ours, name)) == _as_lists(value) for name, value in recorded.items())

    def cells_in(self, recorded: Any) -> list[tuple[CellType, Any]]:
        """The cell types in `recorded`, each with its part."""
        values = self.by_cell(recorded)
        return [(cell, values[cell.name]) for cell in self.cell_types if cell.name in values]

    def decisions(self, decided: Any) -> Decisions:
        """Decisions from {edge: operation}, or from the same per cell type."""
        return Decisions({name: dict(operations) for name, operations in self.by_cell(decided).items()})

    def batch_source(self, recorded: Mapping[str, Any]) -> Callable[[], list[Batch]]:
        """The record's valid batches, the same for every candidate."""
        return lambda: [self.batches[index] for index in recorded["valid_batches"]]


def _is_blank(record: dict[str, Any]) -> bool:
    """True for "fix alpha": by the record's method, or else if its alpha never moves."""
    method = record.get("method", record["config"].get("method"))
    if method is not None:
        return method == "blank"
    return all(relative_error(step["alpha_after"], record["alpha"]) == 0.0 for step in record["bilevel_steps"])


def _as_lists(value: Any) -> Any:
    return [_as_lists(item) for item in value] if isinstance(value, list | tuple) else value
