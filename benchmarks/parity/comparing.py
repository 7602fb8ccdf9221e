"""The keys of golden records, and the comparison of their numbers with ours. docs/faithfulness.md explains each key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

TOLERANCE = 1e-9
ACCURACY_TOLERANCE = 1e-6
"""The authors' code computes accuracies in float32."""
LEAST_MAGNITUDE = 1e-5
"""Smallest denominator of relative errors: some quantities are 0 up to rounding, such as the mean of a normalised map."""


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
    """The largest difference relative to the record's largest magnitude; for a mapping the maximum over its items."""
    if isinstance(theirs, Mapping):
        return max((relative_error(ours[key], value) for key, value in theirs.items()), default=0.0)
    ours = torch.as_tensor(ours, dtype=torch.float64).detach().cpu()
    theirs = torch.as_tensor(theirs, dtype=torch.float64).cpu()
    if ours.shape != theirs.shape and not ours.numel() == theirs.numel() == 1:
        return float("inf")
    if theirs.numel() == 0:
        return 0.0
    difference = (ours.view(theirs.shape) - theirs).abs().max().item()
    if difference != difference:
        return float("inf")
    return difference / max(theirs.abs().max().item(), LEAST_MAGNITUDE)


def compare_scores(title: str, ours: Sequence[Any], theirs: Any) -> Iterator[Comparison]:
    """Compare scores (accuracy, loss) with a record's rows of them."""
    table, theirs = torch.tensor(ours, dtype=torch.float64), torch.as_tensor(theirs, dtype=torch.float64).cpu()
    yield compare(f"{title}: accuracy", table[:, 0], theirs[..., 0].flatten(), ACCURACY_TOLERANCE)
    yield compare(f"{title}: loss", table[:, 1], theirs[..., 1].flatten())


def gradient_norm(network: nn.Module) -> float:
    """The norm of the gradient by all weights together."""
    return float(nn.utils.clip_grad_norm_(network.parameters(), float("inf")))


def compare_recorded(recorded: Mapping[str, Any], measured: Mapping[str, tuple[str, Any]]) -> Iterator[Comparison]:
    """Compare the values in a part of a record with ours: key -> (quantity, our value)."""
    for key, (quantity, ours) in measured.items():
        if recorded.get(key) is not None:
            yield compare(quantity, ours, recorded[key])


def tensors_in(recorded: Any) -> list[Tensor]:
    """The tensors in nested lists and dictionaries, in order; everything else is left out."""
    if isinstance(recorded, Tensor):
        return [recorded]
    if isinstance(recorded, Mapping):
        recorded = list(recorded.values())
    return [tensor for item in recorded for tensor in tensors_in(item)] if isinstance(recorded, list | tuple) else []


# The keys of records; the command lists any others as not compared --------------------------------------------------

STEP = ("train_batch", "valid_batch", "noise", "random", "pgd", "alpha_after", "train_loss", "mixing_weights")
SCORES = ("valid_batches", "columns", "noise", "edges", "none_decided", "decided", "after_decisions")
ROUNDS = ("first_round", "second_round", "third_round")
PERTURBATION = ("epsilon", "steps", "random_start", "batch", "decided", "noise", "perturbed_weights")

Keys = dict[str, tuple[str, ...]]
"""Key -> the keys of that part; empty if the value is data."""

SUPERNET: Keys = {
    **dict.fromkeys(("source", "config", "method", "edge_order", "op_names"), ()),
    **dict.fromkeys(("batches", "state_dict", "alpha", "noise"), ()),
    "train_forward": ("noise", "logits", "loss", "alpha_grad", "weight_grad_norm", "state_dict_after"),
    "eval_forward": ("noise", "logits"),
    "bilevel_steps": STEP,
    "state_dict_after_steps": (),
    "perturbation_scores": SCORES,
    "operation_scores": SCORES,
    "edge_scores": ("valid_batches", "columns", "noise", "decided", "incoming_edges", *ROUNDS),
    "edge_decisions": (),
    "tune_steps": STEP,
    "events": (
        "cell_type", "valid_batches", "criterion", "noise", "edge", "scores", "rounds", "kept", "tune_steps",
    ),
    "alpha_at_perturbation": (),
    "random": PERTURBATION,
    "pgd": PERTURBATION,
    "genotype": (),
}  # fmt: skip

NETWORK: Keys = dict.fromkeys(
    (
        "source", "config", "x", "y", "state_dict", "noise", "drop_path_masks", "train_logits", "train_aux_logits",
        "train_loss", "grad_norm", "state_dict_after", "eval_logits",
    ), (),
)  # fmt: skip
