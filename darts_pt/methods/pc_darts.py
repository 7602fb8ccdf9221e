"""PC-DARTS (Xu et al., *PC-DARTS: Partial Channel Connections for Memory-Efficient Architecture Search*, ICLR 2020).

One in `partial_channels` channels passes through the candidate operations, the others bypass them, and all are shuffled:
the supernet's cells do that (`partial.py` of each space). A second set of parameters, beta, has one value per edge: a node
is the sum of its incoming edges weighted by softmax(beta) over them (edge normalisation). Alpha and beta stay as
initialised during a warm-up, three tenths of the search as in the paper (15 of 50 epochs).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from darts_pt.architect import Architect, Batch, WeightStep
from darts_pt.methods import Method, Option
from darts_pt.supernet import Decisions, MixingWeights

METHOD = Method(
    title="PC-DARTS",
    summary="part of the channels passes through the operations, and edges have weights",
    implementation="PartialChannels",
    options=(
        Option("partial_channels", 4, "share of channels that pass the operations, 1 in N", above=0, for_supernet=True),
    ),
    exclusive="passes part of the channels through its operations",
)

WARMUP = 0.3
"""Share of the search in which only the weights are trained."""


class PartialChannels(Architect):
    """First-order DARTS with edge normalisation, on a supernet with partial channels.

    Attributes:
        beta: cell type -> [edges], stepped together with alpha.
    """

    defaults: ClassVar = METHOD.defaults
    _warming_up = False

    @cached_property
    def beta(self) -> dict[str, Tensor]:
        stream = self.generators["alpha"]
        return {
            name: (1e-3 * torch.randn(len(rows), generator=stream)).to(rows.device, rows.dtype).requires_grad_()
            for name, rows in self.alpha.items()
        }

    def parameters(self) -> list[Tensor]:
        return [*super().parameters(), *self.beta.values()]

    def mixing(self, decisions: Decisions) -> MixingWeights:
        with torch.no_grad():
            return self._with_edges(super().mixing(decisions), decisions)

    def alpha_weights(self, decisions: Decisions) -> MixingWeights:
        return self._with_edges(super().alpha_weights(decisions), decisions)

    def _with_edges(self, mixing: MixingWeights, decisions: Decisions) -> MixingWeights:
        return dataclasses.replace(mixing, edge_weights=self.edge_weights(decisions))

    def edge_weights(self, decisions: Decisions) -> Mapping[str, Tensor]:
        """Cell type -> [edges]: softmax(beta) over the incoming edges that a node still has; 0 for dropped edges."""
        weights = {}
        for cell in self.supernet.cell_types:
            beta, dropped = self.beta[cell.name].unbind(), decisions.dropped_edges(cell)
            shares: dict[int, Tensor] = {edge: torch.zeros_like(beta[0]) for edge in dropped}
            for edges in cell.incoming.values():
                kept = [edge for edge in edges if edge not in dropped]
                # Indexing with a list would make a GPU wait for it.
                own = torch.stack([beta[edge] for edge in kept])
                shares |= dict(zip(kept, torch.softmax(own, dim=0), strict=True))
            weights[cell.name] = torch.stack([shares[edge] for edge in range(len(cell.edges))])
        return weights

    def start_epoch(self, epoch: int, epochs: int) -> None:
        self._warming_up = epoch < round(WARMUP * epochs)

    def step(self, batch: Batch, decisions: Decisions, weight_step: WeightStep | None = None) -> None:
        """Step alpha and beta, after the warm-up."""
        if not self._warming_up:
            super().step(batch, decisions, weight_step)

    def state(self) -> dict[str, Any]:
        return {"beta": {name: beta.detach() for name, beta in self.beta.items()}}

    def restore_state(self, state: Mapping[str, Any]) -> None:
        with torch.no_grad():
            for name, beta in self.beta.items():
                saved = state["beta"][name]
                if saved.shape != beta.shape:
                    raise ValueError(f"beta of {name} has shape {tuple(saved.shape)}, expected {tuple(beta.shape)}")
                beta.copy_(saved)
