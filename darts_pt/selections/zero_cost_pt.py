"""Zero-Cost-PT (Xiang et al., *Zero-Cost Operation Scoring in Differentiable Architecture Search*, 2021): PT on an
untrained supernet, with a score at initialisation instead of accuracy and without tuning.

The operation stays whose removal leaves the lowest score.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode

from darts_pt.architect import Architect
from darts_pt.kernels.mixed import frozen_statistics
from darts_pt.run.errors import UserError
from darts_pt.run.processes import SINGLE_PROCESS, Ranks
from darts_pt.selection import Criteria, EdgesChoice, OperationChoice, drop_least_important
from darts_pt.selections import Option, Selection
from darts_pt.selections.pt import without_each_edge, without_each_operation
from darts_pt.supernet import CellType, Decisions, MixingWeights, Supernet
from darts_pt.training import SupernetTraining

SELECTION = Selection(
    title="Zero-Cost-PT",
    summary="pt on an untrained supernet, by a score at initialisation instead of accuracy and without tuning",
    implementation="by_zero_cost",
    options=(Option("zero_cost_score", "synflow", "the score", choices=("synflow", "nwot"), in_name="{}"),),
    tunes=False,
    trained=False,
)


class Score(NamedTuple):
    """A zero-cost score: the higher the better."""

    score: float


@dataclass(frozen=True)
class ZeroCostRule:
    """Choose by the zero-cost score that a removal leaves.

    Attributes:
        score: the score of a supernet under mixing weights.
        ranks: the processes that share the removals.
        skip: draws the random numbers of `score` without computing it.
    """

    score: Callable[[Supernet, MixingWeights], float]
    ranks: Ranks = SINGLE_PROCESS
    skip: Callable[[Supernet, MixingWeights], None] = lambda supernet, mixing: None

    def _scores(self, supernet: Supernet, removals: list[MixingWeights]) -> list[Score]:
        values = self.ranks.spread(
            removals, lambda mixing: self.score(supernet, mixing), lambda mixing: self.skip(supernet, mixing)
        )
        wrong = next((value for value in values if not value < math.inf), None)
        if wrong is not None:
            raise UserError(
                f"a zero-cost score is {wrong}, so candidates cannot be compared: use another score, or a smaller supernet"
            )
        return [Score(value) for value in values]

    def operation(self, architect: Architect, decisions: Decisions, cell_type: CellType, edge: int) -> OperationChoice:
        """Keep the operation whose removal leaves the lowest score; on ties the first."""
        removals = without_each_operation(architect.mixing(decisions), cell_type, edge)
        scores = self._scores(architect.supernet, removals)
        return OperationChoice(min(range(len(scores)), key=scores.__getitem__), scores, "score")

    def edges(self, architect: Architect, decisions: Decisions, cell_type: CellType, node: int) -> EdgesChoice:
        """Drop the edge whose removal leaves the highest score until as many remain as the node keeps."""
        mixing = architect.mixing(decisions)
        return drop_least_important(
            cell_type,
            node,
            lambda edges: self._scores(architect.supernet, without_each_edge(mixing, cell_type, edges)),
            lambda scores: max(range(len(scores)), key=lambda candidate: (scores[candidate], candidate)),
            "score",
        )


def by_zero_cost(training: SupernetTraining, criteria: Criteria, settings: Mapping[str, Any]) -> ZeroCostRule:
    """The rule, with scores on one batch of the train half."""
    with training.generators.rewound():  # A resumed selection scores on the same batch.
        images, _ = training.random_train_batch()
    if not isinstance(images, Tensor):
        raise UserError(f"zero-cost-pt scores networks with one tensor as their input, not a {type(images).__name__}")
    score, seen = {"synflow": (synflow, images[:1]), "nwot": (nwot, images)}[settings["zero_cost_score"]]
    return ZeroCostRule(
        lambda supernet, mixing: score(supernet, mixing, seen),
        training.ranks,
        lambda supernet, mixing: supernet.skip(seen, mixing),
    )


# Scores of an untrained network ----------------------------------------------------------------------------------


def synflow(supernet: Supernet, mixing: MixingWeights, images: Tensor) -> float:
    """log of the sum of |w · ∂R/∂w| over all weights, R the sum of the outputs for an image of ones.

    Tanaka et al., *Pruning neural networks without any data by iteratively conserving synaptic flow*, NeurIPS 2020; as a
    score of networks after Abdelfattah et al., ICLR 2021: weights by their absolute values, batch norms left out. The
    logarithm does not change which is larger and keeps the numbers readable. All is in float64: at the paper's size the
    sums of S1–S5 are beyond the largest float32.

    Args:
        images: only their shape and device matter.
    """
    ones = torch.ones_like(images[:1], dtype=torch.float64)
    mixing = mixing.with_tensors([tensor.double() for tensor in mixing.tensors()])
    with _linear(supernet), torch.enable_grad():
        weights = [
            weight
            for module in supernet.modules()
            if not isinstance(module, _BatchNorm)
            for weight in module.parameters(recurse=False)
            if weight.requires_grad
        ]
        total = supernet(ones, mixing).sum()
        gradients = torch.autograd.grad(total, weights, allow_unused=True)
        flows = [
            (weight.detach() * gradient).abs().sum()
            for weight, gradient in zip(weights, gradients, strict=True)
            if gradient is not None
        ]
    return math.log(max(float(torch.stack(flows).sum()), torch.finfo(torch.float64).tiny))


@contextmanager
def _linear(supernet: nn.Module) -> Iterator[None]:
    """Inside, weights are absolute and batch norms are identities (eval mode, mean 0, variance 1 − eps), all in float64."""
    tensors = [tensor for tensor in (*supernet.parameters(), *supernet.buffers()) if tensor.is_floating_point()]
    saved = [tensor.data for tensor in tensors]
    was_training = supernet.training
    supernet.eval()
    try:
        for tensor in tensors:
            tensor.data = tensor.data.double()
        with torch.no_grad():
            for weight in supernet.parameters():
                weight.abs_()
            for norm in supernet.modules():
                if isinstance(norm, _BatchNorm):
                    assert norm.running_mean is not None and norm.running_var is not None  # noqa: PT018
                    norm.running_mean.zero_()
                    norm.running_var.fill_(1.0 - norm.eps)
                    if norm.affine:
                        norm.weight.fill_(1.0)
                        norm.bias.zero_()
        yield
    finally:
        for tensor, data in zip(tensors, saved, strict=True):
            tensor.data = data
        supernet.train(was_training)


def nwot(supernet: Supernet, mixing: MixingWeights, images: Tensor) -> float:
    """log |det K|, where K[i, j] counts the ReLUs on which images i and j agree (both on or both off).

    Mellor et al., *Neural Architecture Search without Training*, ICML 2021 (NASWOT).

    Args:
        images: [batch, 3, height, width].
    """
    with frozen_statistics(supernet), torch.no_grad(), _Agreement(len(images), images.device) as agreement:
        supernet(images, mixing)
    return float(torch.linalg.slogdet(agreement.kernel).logabsdet)


class _Agreement(TorchDispatchMode):
    """Adds up the kernel K over all ReLUs computed inside, modules and functions."""

    def __init__(self, batch: int, device: torch.device) -> None:
        super().__init__()
        self.kernel = torch.zeros(batch, batch, dtype=torch.float64, device=device)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in (torch.ops.aten.relu.default, torch.ops.aten.relu_.default):
            on = (result > 0).flatten(1).to(self.kernel.dtype)
            self.kernel += on @ on.T + (1.0 - on) @ (1.0 - on).T
        return result
