"""SGAS (Li et al., *SGAS: Sequential Greedy Architecture Search*, CVPR 2020), criterion 1: edges are decided one by one
during the search.

After a warm-up, at every interval, each cell type decides the undecided edge with the highest product of edge importance
and selection certainty, by the largest alpha; SGAS+PT (paper, section 5.1) keeps that order and chooses by PT. A node
that has as many decided edges as it keeps drops the others. The growing batch size of the SGAS code is left out.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from darts_pt.architect import Architect
from darts_pt.methods import Method, Option
from darts_pt.supernet import CellType, Decisions

METHOD = Method(
    title="SGAS",
    summary="edges are decided during the search",
    implementation="SequentialGreedy",
    options=(
        Option("sgas_warmup", None, "epochs before the first decision (a fifth of the search)", kind=int, above=0),
        Option("sgas_interval", None, "epochs between decisions (a tenth of the search)", kind=int, above=0),
    ),
    refuses={
        "pt-mag": "sgas already decides by magnitude while it trains on, so this would be the same thing twice",
        "zero-cost-pt": "sgas decides during the training of the supernet, zero-cost-pt has none",
    },
    exclusive="decides edges during the search",
    decides_during_search=True,
)

WARMUP = 0.2
INTERVAL = 0.1
"""Shares of the search: 10 and 5 of the paper's 50 epochs, so that the 8 edges of a cell are decided by epoch 45."""


class SequentialGreedy(Architect):
    """First-order DARTS that decides edges during the search."""

    defaults: ClassVar = METHOD.defaults

    def edges_due(self, epoch: int, epochs: int, decisions: Decisions) -> list[tuple[CellType, int]]:
        """An undecided edge of every cell type, at the end of the warm-up and at every interval after it."""
        warmup = self.settings["sgas_warmup"] or max(1, round(WARMUP * epochs))
        interval = self.settings["sgas_interval"] or max(1, round(INTERVAL * epochs))
        if epoch < warmup or (epoch - warmup) % interval:
            return []
        return [
            (cell, self.next_edge(cell, undecided))
            for cell in self.supernet.cell_types
            if (undecided := decisions.undecided_edges(cell))
        ]

    def next_edge(self, cell_type: CellType, undecided: list[int]) -> int:
        """The undecided edge with the highest score; on ties the first."""
        with torch.no_grad():
            rows = self.relaxed()[cell_type.name][undecided]
            names = [cell_type.operations[edge] for edge in undecided]
            return undecided[int(criterion_1(rows, names).argmax())]


def criterion_1(rows: Tensor, names: list[tuple[str, ...]]) -> Tensor:
    """Edge importance times selection certainty [edges], both min–max normalised over the edges (SGAS, equations 3–5).

    Args:
        rows: mixing weights [edges, operations] of the undecided edges.
        names: the operations of each edge; `none` does not count.
    """
    importances, certainties = [], []
    for row, operations in zip(rows, names, strict=True):
        weights = row[[index for index, name in enumerate(operations) if name != "none"]]
        importances.append(weights.sum())
        shares = weights / weights.sum()
        entropy = -(shares * shares.clamp_min(torch.finfo(rows.dtype).tiny).log()).sum()
        certainties.append(1.0 - entropy / math.log(len(shares)) if len(shares) > 1 else torch.ones_like(entropy))
    return _normalised(torch.stack(importances)) * _normalised(torch.stack(certainties))


def _normalised(values: Tensor) -> Tensor:
    """Scale to [0, 1]; equal values become 1, so that the other factor decides."""
    spread = values.max() - values.min()
    rounding = 8 * torch.finfo(values.dtype).eps
    return torch.ones_like(values) if spread <= rounding else (values - values.min()) / spread
