"""Comparing a supernet with the textbook formulation of `benchmarks.textbook`, in float64; mixing weights for it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darts_pt.supernet import Alpha, CellType, Decisions, MixingWeights, Supernet, fixed_by

TOLERANCE = 1e-10


def mixing_weights(cell_types: tuple[CellType, ...], alpha: Alpha, decisions: Decisions) -> MixingWeights:
    """softmax(alpha) per edge under `decisions`, differentiable by alpha: DARTS's mixing weights, without its architect."""
    return fixed_by(decisions, cell_types, {name: torch.softmax(rows, dim=-1) for name, rows in alpha.items()})


def random_mixing(supernet: Supernet, generator: torch.Generator, decided: int) -> MixingWeights:
    """Random mixing weights after `decided` random operation decisions per cell type, and an edge dropped if many."""
    decisions = Decisions()
    for cell in supernet.cell_types:
        for edge in torch.randperm(len(cell.edges), generator=generator)[:decided].tolist():
            operation = int(torch.randint(len(cell.operations[edge]), (), generator=generator))
            decisions = decisions.with_operation(cell.name, edge, operation)
        if decided > 4 and cell.choosing_nodes:
            node = cell.choosing_nodes[-1]
            decisions = decisions.with_edges(cell.name, node, cell.incoming[node][1:3])
    values = {cell.name: _random_rows(cell, generator) for cell in supernet.cell_types}
    return fixed_by(decisions, supernet.cell_types, values)


def _random_rows(cell: CellType, generator: torch.Generator) -> Tensor:
    return torch.rand(len(cell.edges), len(cell.operations[0]), generator=generator, dtype=torch.float64) + 0.1


def assert_same(supernet: Supernet, textbook: nn.Module, mixing: MixingWeights, images: Tensor, train: bool) -> None:
    """Logits, every gradient (by images, weights and mixing weights) and the buffers agree; both start from the same."""
    textbook.load_state_dict(supernet.state_dict())
    results = []
    for network in (supernet, textbook):
        network.train(train)
        network.zero_grad(set_to_none=True)
        inputs = images.clone().requires_grad_()
        values = {name: rows.clone().requires_grad_() for name, rows in mixing.values.items()}
        weights = MixingWeights(values, mixing.active) if network is supernet else values
        logits = network(inputs, weights)
        labels = torch.arange(len(images)) % logits.shape[1]
        leaves = {"images": inputs, **dict(network.named_parameters()), **values}
        gradients = torch.autograd.grad(
            F.cross_entropy(logits, labels), list(leaves.values()), allow_unused=True, materialize_grads=True
        )
        results.append(
            {"logits": logits.detach()}
            | {f"gradient by {name}": gradient for name, gradient in zip(leaves, gradients, strict=True)}
            | {name: buffer.clone() for name, buffer in network.named_buffers()}
        )
    ours, theirs = results
    for name, active in mixing.active.items():  # The textbook's gradient by weights that are 0 is not ours to have.
        for edge, operations in enumerate(active):
            for result in results:
                rows = result[f"gradient by {name}"]
                rows[edge] = torch.stack(
                    [value if index in operations else value * 0 for index, value in enumerate(rows[edge])]
                )
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(
            ours[name], value, rtol=TOLERANCE, atol=TOLERANCE, msg=lambda text, n=name: f"{n}: {text}"
        )
