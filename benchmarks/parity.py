"""Compare this implementation with golden records of the original's own arithmetic.

    python -m benchmarks.parity FILE [FILE …] [--device cuda]

For each record the network is built in float64, the weights are loaded under the original's names, and everything that
the record holds is repeated by the code that searches and selections run. One line per quantity gives the largest
error, relative to the largest magnitude in the record; the exit code is 1 if any exceeds its tolerance.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from darts_pt.architect import Architect, Batch, bilevel_step
from darts_pt.complexity import AUXILIARY
from darts_pt.methods.blank import FixedAlpha
from darts_pt.methods.sdarts_adv import Adversarial
from darts_pt.methods.sdarts_rs import add_noise
from darts_pt.run import checkpoint as checkpoints
from darts_pt.run.errors import UserError
from darts_pt.search import Metrics, WeightOptions
from darts_pt.selection import score_edges, score_operations
from darts_pt.supernet import Alpha, CellType, Decisions, Supernet

if TYPE_CHECKING:
    from sota.genotypes import Genotype

TOLERANCE = 1e-9
ACCURACY_TOLERANCE = 1e-6
"""The original computes accuracies in float32."""
LEAST_MAGNITUDE = 1e-5
"""What a quantity's errors are relative to at least. Some are 0 but for rounding, such as the mean of a normalised map
after an average pooling, and no two ways of adding up leave the same rest."""


class Comparison(NamedTuple):
    """One quantity of a record: its largest relative error, and how large it may be."""

    quantity: str
    error: float
    tolerance: float = TOLERANCE


def relative_error(ours: Any, theirs: Any) -> float:
    """The largest difference relative to the record's largest magnitude; mappings: the largest of their items'."""
    if isinstance(theirs, Mapping):
        return max((relative_error(ours[key], value) for key, value in theirs.items()), default=0.0)
    ours = torch.as_tensor(ours, dtype=torch.float64).cpu()
    theirs = torch.as_tensor(theirs, dtype=torch.float64).cpu()
    if ours.shape != theirs.shape:
        return float("inf")
    if theirs.numel() == 0:
        return 0.0
    difference = (ours - theirs).abs().max().item()
    if difference != difference:
        return float("inf")
    return difference / max(theirs.abs().max().item(), LEAST_MAGNITUDE)


KEYS = {
    "config", "method", "edge_order", "op_names", "batches", "state_dict", "alpha", "train_forward", "eval_forward",
    "bilevel_steps", "state_dict_after_steps", "perturbation_scores", "operation_scores", "edge_scores", "edge_decisions",
    "tune_steps", "alpha_at_perturbation", "random", "pgd", "genotype",
}  # fmt: skip
"""What a supernet's record may hold; anything else is said not to have been compared."""
NETWORK_KEYS = {
    "config", "x", "y", "state_dict", "train_logits", "train_aux_logits", "train_loss", "grad_norm", "eval_logits",
}  # fmt: skip
"""Likewise a derived network's."""


# Supernets -------------------------------------------------------------------------------------------------------


def supernet_of(record: dict[str, Any]) -> Supernet:
    """The supernet of a record's configuration, in float64, not yet with its weights."""
    config = record["config"]
    if "cells_per_stage" in config:
        from nasbench201.supernet import NasBench201Supernet

        return NasBench201Supernet(config["init_channels"], config["cells_per_stage"], config["num_classes"]).double()
    from sota.spaces import SPACES
    from sota.supernet import SotaSupernet

    if any("noise" in names for cell in SPACES[config["space"]] for names in cell.operations):
        raise ValueError(f"space {config['space']} holds the operation noise, which nobody computes twice")
    return SotaSupernet(config["space"], config["init_channels"], config["layers"], config["num_classes"]).double()


class SupernetParity:
    """A supernet record and the state of its repetition."""

    def __init__(self, record: dict[str, Any]) -> None:
        self.record = record
        self.supernet = supernet_of(record).to(record["batches"][0][0].device)
        self.cell_types = self.supernet.cell_types
        self.batches: list[Batch] = [(images, labels) for images, labels in record["batches"]]
        self.restart()

    def restart(self) -> None:
        """The record's initial weights and alpha, fresh optimisers."""
        self.supernet.load_state_dict(self.record["state_dict"])
        alpha: Alpha = {
            cell.name: self.of_cell(self.record["alpha"], cell).clone().requires_grad_() for cell in self.cell_types
        }
        method = FixedAlpha if _is_blank(self.record) else Architect
        self.architect = method(self.supernet, alpha)
        self.options = WeightOptions()
        self.weight_optimizer = self.options.optimizer(self.supernet)

    def of_cell(self, recorded: Any, cell: CellType) -> Any:
        """NAS-Bench-201 records hold one value where S-space records hold one per cell type, or of one cell type only."""
        if not isinstance(recorded, Mapping) or not any(other.name in recorded for other in self.cell_types):
            return recorded
        return recorded.get(cell.name, {})

    def per_cell(self, values: Mapping[str, Tensor], recorded: Any) -> float:
        """The largest error over the cell types."""
        return max(relative_error(values[cell.name], self.of_cell(recorded, cell)) for cell in self.cell_types)

    def comparisons(self) -> Iterator[Comparison]:
        """Everything the record holds, in the order in which it was recorded."""
        yield from self.forward()
        self.restart()
        yield from self.bilevel_steps("bilevel_steps")
        if "state_dict_after_steps" in self.record:
            state = self.supernet.state_dict()
            yield Comparison("state after the steps", relative_error(state, self.record["state_dict_after_steps"]))
        for key in ("perturbation_scores", "operation_scores"):
            if key in self.record:
                yield from self.operation_scores(key)
        if "edge_scores" in self.record:
            yield from self.edge_scores()
        if "tune_steps" in self.record:
            yield from self.tune_steps()
        if "alpha_at_perturbation" in self.record:
            yield from self.perturbations()
        if "genotype" in self.record:
            yield Comparison("genotype", 0.0 if self.genotype_agrees() else float("inf"))

    def forward(self) -> Iterator[Comparison]:
        """Train mode on the first batch, with gradients; then eval mode."""
        images, labels = self.batches[0]
        expected = self.record["train_forward"]
        alpha = self.architect.alpha
        self.supernet.train()
        logits = self.supernet(images, self.architect.alpha_weights(Decisions()))
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        yield Comparison("train-mode logits", relative_error(logits.detach(), expected["logits"]))
        yield Comparison("train-mode loss", relative_error(loss.item(), expected["loss"]))
        gradients = {name: torch.zeros_like(rows) if rows.grad is None else rows.grad for name, rows in alpha.items()}
        yield Comparison("gradient by alpha", self.per_cell(gradients, expected["alpha_grad"]))
        squares = [weight.grad.square().sum() for weight in self.supernet.parameters() if weight.grad is not None]
        norm = torch.stack(squares).sum().sqrt().item()
        yield Comparison("norm of the gradient by the weights", relative_error(norm, expected["weight_grad_norm"]))
        if "state_dict_after" in expected:
            state = self.supernet.state_dict()
            yield Comparison("running statistics after it", relative_error(state, expected["state_dict_after"]))
        self.supernet.eval()
        with torch.no_grad():
            logits = self.supernet(images, self.architect.alpha_weights(Decisions()))
        yield Comparison("eval-mode logits", relative_error(logits, self.record["eval_forward"]["logits"]))

    def bilevel_steps(self, key: str, decisions: Decisions | None = None) -> Iterator[Comparison]:
        """Each step's alpha and training loss."""
        decisions = decisions or Decisions()
        for number, step in enumerate(self.record[key], start=1):
            valid = self.batches[step["valid_batch"]] if self.architect.uses_valid_batches else None
            train = self.batches[step["train_batch"]]
            result = bilevel_step(
                self.architect, self.weight_optimizer, train, valid, decisions, self.options.grad_clip
            )
            title = f"{key} {number}"
            yield Comparison(f"{title}: alpha", self.per_cell(self.architect.alpha, step["alpha_after"]))
            assert result is not None
            yield Comparison(f"{title}: training loss", relative_error(result.loss.item(), step["train_loss"]))
            if "mixing_weights" in step:
                values = self.architect.mixing(decisions).values
                yield Comparison(f"{title}: mixing weights", self.per_cell(values, step["mixing_weights"]))

    def operation_scores(self, key: str) -> Iterator[Comparison]:
        """Accuracy and loss with one operation removed, for every edge and operation."""
        recorded = self.record[key]
        stages = [("none_decided", Decisions())]
        if "after_decisions" in recorded:
            stages.append(("after_decisions", self.decisions_of(recorded["decided"])))
        for stage, decisions in stages:
            for cell in self.cell_types:
                expected = self.of_cell(recorded[stage], cell)
                if isinstance(expected, Mapping):  # the record is of the other cell type only
                    continue
                mixing = self.architect.mixing(decisions)
                scores = torch.stack(
                    [
                        _table(score_operations(self.supernet, mixing, cell, edge, self.batch_source(recorded)))
                        for edge in range(len(cell.edges))
                    ]
                )
                title = f"{cell.name} operation scores, {stage.replace('_', ' ')}"
                yield from _score_comparisons(title, scores, expected)

    def edge_scores(self) -> Iterator[Comparison]:
        """First round of the topology events, every operation decided."""
        recorded = self.record["edge_scores"]
        mixing = self.architect.mixing(self.decisions_of(recorded["decided"]))
        for cell in self.cell_types:
            for node, edges in self.of_cell(recorded["first_round"], cell).items():
                names = list(edges)
                scores = score_edges(self.supernet, mixing, cell, names, self.batch_source(recorded))
                expected = torch.stack([torch.as_tensor(edges[edge], dtype=torch.float64) for edge in names])
                yield from _score_comparisons(f"{cell.name} edge scores, node {node}", _table(scores), expected)

    def tune_steps(self) -> Iterator[Comparison]:
        """Tuning after two decisions: the weight optimiser is made anew at a tenth of the learning rate."""
        self.weight_optimizer = self.options.optimizer(self.supernet, self.options.learning_rate / 10)
        yield from self.bilevel_steps("tune_steps", self.decisions_of(self.record["perturbation_scores"]["decided"]))

    def perturbations(self) -> Iterator[Comparison]:
        """SDARTS: the mixing weights after the random and the adversarial perturbation."""
        state = self.record.get("state_dict_after_steps", self.record["state_dict"])
        self.supernet.load_state_dict(state)
        self.supernet.train()
        alpha: Alpha = {
            cell.name: self.of_cell(self.record["alpha_at_perturbation"], cell).clone() for cell in self.cell_types
        }
        if "random" in self.record:
            recorded = self.record["random"]
            relaxed = Adversarial(self.supernet, alpha).relaxed()
            noise = {cell.name: self.of_cell(recorded["noise"], cell) for cell in self.cell_types}
            ours = {name: add_noise(rows, noise[name]) for name, rows in relaxed.items()}
            yield Comparison("random perturbation", self.per_cell(ours, recorded["perturbed_weights"]))
        if "pgd" in self.record:
            recorded = self.record["pgd"]
            architect = Adversarial(self.supernet, alpha, settings={"epsilon_alpha": recorded["epsilon"]})
            relaxed = architect.relaxed()
            batch = self.batches[recorded["batch"]]
            ours = architect.ascend(relaxed, relaxed, batch, Decisions(), recorded["steps"])
            yield Comparison("adversarial perturbation", self.per_cell(ours, recorded["perturbed_weights"]))

    def genotype_agrees(self) -> bool:
        """The final architecture: from alpha and the record's decisions."""
        if "edge_scores" not in self.record:
            decided = self.record.get("perturbation_scores", {}).get("decided", {})
            ours = self.supernet.genotype(self.architect.mixing(self.decisions_of(decided)))
            return str(ours) == str(self.record["genotype"])
        decisions = self.decisions_of(self.record["edge_scores"]["decided"])
        for cell in self.cell_types:
            kept = self.of_cell(self.record["edge_decisions"], cell)
            incoming = self.record["edge_scores"]["incoming_edges"]
            for key, edges in kept.items():
                target = cell.edges[incoming[key][0]].target
                decisions = decisions.with_edges(cell.name, target, tuple(edges))
        ours = self.supernet.genotype(self.architect.mixing(decisions))
        recorded = self.record["genotype"]
        return all(
            [tuple(item) if isinstance(item, list | tuple) else item for item in getattr(ours, name)]
            == [tuple(item) if isinstance(item, list | tuple) else item for item in value]
            for name, value in recorded.items()
        )

    def decisions_of(self, decided: Mapping[Any, Any]) -> Decisions:
        """{edge: operation}, or the same per cell type, as decisions."""
        return Decisions({cell.name: dict(self.of_cell(decided, cell)) for cell in self.cell_types})

    def batch_source(self, recorded: Mapping[str, Any]) -> Callable[[], list[Batch]]:
        """The record's valid batches, the same for every candidate."""
        return lambda: [self.batches[index] for index in recorded["valid_batches"]]


def _is_blank(record: dict[str, Any]) -> bool:
    """Whether alpha stays fixed: the record says so, or its alpha never moves."""
    method = record.get("method", record["config"].get("method"))
    if method is not None:
        return method == "blank"
    alpha = record["alpha"]
    return all(relative_error(step["alpha_after"], alpha) == 0.0 for step in record["bilevel_steps"])


def _table(scores: list[Metrics]) -> Tensor:
    return torch.tensor([[metrics.accuracy, metrics.loss] for metrics in scores], dtype=torch.float64)


def _score_comparisons(title: str, ours: Tensor, theirs: Tensor) -> Iterator[Comparison]:
    theirs = torch.as_tensor(theirs, dtype=torch.float64)
    yield Comparison(f"{title}: accuracy", relative_error(ours[..., 0], theirs[..., 0]), ACCURACY_TOLERANCE)
    yield Comparison(f"{title}: loss", relative_error(ours[..., 1], theirs[..., 1]))


# Derived networks ------------------------------------------------------------------------------------------------


def network_comparisons(record: dict[str, Any]) -> Iterator[Comparison]:
    """The derived S-space network on one batch: train mode with gradients, then eval mode from the initial state."""
    from sota.network import ImageNetNetwork, SotaNetwork

    config = record["config"]
    has_auxiliary_head = any(name.startswith(AUXILIARY) for name in record["state_dict"])
    network = (ImageNetNetwork if "stem0.0.weight" in record["state_dict"] else SotaNetwork)(
        _genotype(config["genotype"]),
        config["init_channels"],
        config["layers"],
        config["num_classes"],
        has_auxiliary_head,
    ).to(record["x"].device, torch.float64)
    network.load_state_dict(record["state_dict"])
    network.train()
    logits, auxiliary_logits = network(record["x"], config.get("drop_path_prob", 0.0))
    loss = F.cross_entropy(logits, record["y"])
    if auxiliary_logits is not None:
        loss = loss + config["auxiliary_weight"] * F.cross_entropy(auxiliary_logits, record["y"])
    loss.backward()
    squares = [weight.grad.square().sum() for weight in network.parameters() if weight.grad is not None]
    yield Comparison("train-mode logits", relative_error(logits.detach(), record["train_logits"]))
    if auxiliary_logits is not None:
        yield Comparison("auxiliary logits", relative_error(auxiliary_logits.detach(), record["train_aux_logits"]))
    yield Comparison("loss", relative_error(loss.item(), record["train_loss"]))
    yield Comparison(
        "norm of the gradient", relative_error(torch.stack(squares).sum().sqrt().item(), record["grad_norm"])
    )
    network.load_state_dict(record["state_dict"])
    network.eval()
    with torch.no_grad():
        logits = network(record["x"])[0]
    yield Comparison("eval-mode logits", relative_error(logits, record["eval_logits"]))


def _genotype(named: Any) -> Genotype:
    """A record's genotype: the name of a published one, its text, or its fields."""
    from sota.genotypes import from_plain, parse, published

    if isinstance(named, Mapping):
        return from_plain(named)
    return parse(named) if named.startswith("Genotype(") else published(named)


# Command ---------------------------------------------------------------------------------------------------------


def comparisons(path: Path, device: str = "cpu") -> Iterator[Comparison]:
    """All comparisons of one record, repeated on a device.

    Raises:
        UserError: the file is no golden record.
    """
    record = _on(device, checkpoints.read(path, ("config", "state_dict")))
    if "x" in record:
        return network_comparisons(record)
    missing = [key for key in ("batches", "alpha", "train_forward", "bilevel_steps") if key not in record]
    if missing:
        raise UserError(f"{path} is no golden record: it lacks {', '.join(missing)}")
    try:
        repetition = SupernetParity(record)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise UserError(f"{path} is no golden record: its network cannot be built ({_reason(error)})") from None
    return repetition.comparisons()


def _on(device: str, value: Any) -> Any:
    """A record's tensors, however deep they lie, on the device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {key: _on(device, item) for key, item in value.items()}
    return type(value)(_on(device, item) for item in value) if type(value) in (list, tuple) else value


def not_compared(path: Path) -> list[str]:
    """What a record holds besides what :func:`comparisons` looks at."""
    record = checkpoints.read(path, ("config", "state_dict"))
    return [key for key in record if key not in (NETWORK_KEYS if "x" in record else KEYS)]


def _reason(error: Exception) -> str:
    """An error in one line: a KeyError says no more than the key."""
    text = str(error).splitlines()[0] if str(error) else ""
    return f"it lacks {text}" if isinstance(error, KeyError) else text or type(error).__name__


def main(arguments: list[str] | None = None) -> int:
    """Check every file named; the exit code."""
    words, device = list(sys.argv[1:] if arguments is None else arguments), "cpu"
    if words[-2:-1] == ["--device"]:
        device = words.pop()
        words.pop()
    paths = [Path(word) for word in words]
    if not paths or any(word in ("-h", "--help") for word in words):
        print(__doc__)
        return 0 if words else 2
    if (device == "cuda" and not torch.cuda.is_available()) or device not in ("cpu", "cuda"):
        print(f"error: --device {device}: expected cpu{', there is no GPU' * (device == 'cuda')}", file=sys.stderr)
        return 2
    failures = 0
    for path in paths:
        print(path)
        try:
            for comparison in comparisons(path, device):
                failed = not comparison.error <= comparison.tolerance
                failures += failed
                print(f"  {'FAIL' if failed else 'ok  '}  {comparison.error:8.1e}  {comparison.quantity}", flush=True)
            for key in not_compared(path):
                print(f"  --              {key}: not compared, it is of no kind that is known here")
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            print(f"error: {path} cannot be repeated any further ({_reason(error)})", file=sys.stderr)
            return 2
    print(f"{failures} quantities exceed the tolerance" if failures else "all quantities agree")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
