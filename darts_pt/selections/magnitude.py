"""Keep the operations and edges with the largest mixing weights, all at once: the baseline, as in DARTS (section 2.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from darts_pt.architect import Architect
from darts_pt.selection import Criteria, EdgesChoice, OperationChoice
from darts_pt.selections import Selection
from darts_pt.supernet import CellType, Decisions
from darts_pt.training import SupernetTraining

SELECTION = Selection(title="magnitude", summary="by alpha, at once", implementation="by_magnitude", tunes=False)


class MagnitudeRule:
    def operation(self, architect: Architect, decisions: Decisions, cell_type: CellType, edge: int) -> OperationChoice:
        """Keep the operation with the largest alpha; never none in spaces whose nodes choose edges, as in genotypes."""
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


def by_magnitude(training: SupernetTraining, criteria: Criteria, settings: Mapping[str, Any]) -> MagnitudeRule:
    return MagnitudeRule()
