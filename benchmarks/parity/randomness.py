"""Random numbers from a golden record instead of fresh ones: S4's noise, drop-path's masks, SDARTS's perturbation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.parity.comparing import tensors_in
from darts_pt.architect import Batch
from darts_pt.methods.sdarts_adv import STEPS, Adversarial
from darts_pt.methods.sdarts_rs import RandomSmoothing
from darts_pt.supernet import Decisions, MixingWeights
from sota.network import GENES, SotaNetwork
from sota.operations import Noise

# The operation noise (S4) ---------------------------------------------------------------------------------------------


def noise_modules(network: nn.Module) -> list[tuple[int, int, int, Noise]]:
    """(cell, edge or gene, operation, module) of every operation noise, in the order in which the authors' code draws."""
    found = []
    for number, cell in enumerate(network.cells):  # type: ignore[arg-type]
        for edge, candidate in enumerate(getattr(cell, "_ops", ())):
            for operation, module in enumerate(getattr(candidate, "_ops", [candidate])):
                if isinstance(module, Noise):
                    found.append((number, edge, operation, module))
    return found


@contextmanager
def given_noise(network: nn.Module, recorded: Any) -> Iterator[None]:
    """Make the operation noise return the maps of a record.

    Args:
        recorded: maps [batch, C, H, W], nested in any way, in the order of the cells and their edges. If there
            is one per noise operation of the network, every pass gets these maps. Otherwise they are those of all passes in
            turn, without the operations that a pass leaves out.

    Raises:
        ValueError: there are too few maps.
    """
    places, maps = noise_modules(network), tensors_in(recorded)
    if not places:
        yield
        return
    if not maps:
        raise ValueError("its space has the operation noise, but it gives no noise for this pass")
    remaining = iter(maps)

    def next_pass(network: nn.Module, arguments: tuple[Any, ...]) -> None:
        drawn = places
        if len(maps) != len(places):
            mixing = arguments[1] if len(arguments) > 1 and isinstance(arguments[1], MixingWeights) else None
            drawn = [place for place in places if mixing is None or _is_active(network, mixing, place)]
        given = maps if len(maps) == len(places) else remaining
        for place, noise in zip(drawn, given, strict=False):
            place[3].draw = partial(_first, noise)  # type: ignore[method-assign]

    def missing(like: Tensor, batch: int) -> Tensor:
        raise ValueError(f"it gives {len(maps)} maps of noise, which are too few")

    def forget(*arguments: Any) -> None:
        for _, _, _, module in places:
            module.draw = missing  # type: ignore[method-assign]

    handles = [network.register_forward_pre_hook(next_pass), network.register_forward_hook(forget)]
    forget()
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for _, _, _, module in places:
            del module.draw


def _is_active(network: Any, mixing: MixingWeights, place: tuple[int, int, int, Noise]) -> bool:
    cell, edge, operation, _ = place
    return operation in mixing.active[network.cells[cell].cell_type.name][edge]


def _first(noise: Tensor, like: Tensor, batch: int) -> Tensor:
    if noise.shape[1:] != like.shape[1:] or len(noise) < batch:
        raise ValueError(f"its noise is {list(noise.shape)} where the maps are {[batch, *like.shape[1:]]}")
    return noise[:batch].to(like.dtype)


# Drop-path ------------------------------------------------------------------------------------------------------------


def drop_path_factors(network: SotaNetwork, recorded: Any, probability: float) -> Tensor:
    """Drop-path's factors [cells, genes, batch, 1, 1, 1] of a record's masks.

    Args:
        recorded: a mask [batch] (or [batch, 1, 1, 1]) for each gene of each cell, nested in any way; genes that are the
            identity may be left out. 0 drops the path of an image, anything else keeps it.

    Raises:
        ValueError: the number of masks is not that of the operations, or their sizes differ.
    """
    masks = _masks(recorded)
    dropping = [
        [not isinstance(module, nn.Identity) for module in cell._ops]  # type: ignore[attr-defined]
        for cell in network.cells
    ]
    counts = sum(map(sum, dropping)), GENES * len(dropping)
    if len(masks) not in counts:
        raise ValueError(f"it has {len(masks)} drop-path masks: expected {counts[0]}, without the identities")
    given, whole = iter(masks), len(masks) == counts[1]
    batch = masks[0].numel()
    rows = [
        [next(given).reshape(batch) if drops or whole else masks[0].new_ones(batch) for drops in cell]
        for cell in dropping
    ]
    kept = torch.stack([torch.stack(row) for row in rows]) != 0
    return (kept.double() / (1.0 - probability))[..., None, None, None]


def _masks(recorded: Any) -> Sequence[Tensor]:
    """A tensor [cells, genes, batch, …] or [operations, batch, …], or such masks in nested lists."""
    if isinstance(recorded, Tensor):
        squeezed = (
            recorded.reshape(recorded.shape[: recorded.dim() - 3]) if recorded.shape[-3:] == (1, 1, 1) else recorded
        )
        return list(squeezed.flatten(0, -2))
    return tensors_in(recorded)


# SDARTS ---------------------------------------------------------------------------------------------------------------


class RecordedPerturbation(Adversarial):
    """Trains the weights under the perturbation of a record, if it has one.

    Attributes:
        recorded: `random` (with its `noise`), or `pgd` (with `epsilon`; with `noise` for its random start); or neither.
    """

    recorded: Mapping[str, Any]

    def training_weights(self, batch: Batch, decisions: Decisions) -> MixingWeights:
        if not self.recorded.keys() & {"random", "pgd"}:
            return self.mixing(decisions)
        return super().training_weights(batch, decisions)

    def perturbed(self, values: dict[str, Tensor], batch: Batch, decisions: Decisions) -> Mapping[str, Tensor]:
        ascent = self.recorded.get("pgd")
        noise = (self.recorded["random"] if ascent is None else ascent).get("noise")
        start: Mapping[str, Tensor] = values
        if noise is not None:
            self._noise = iter(noise[name] for name in values) if isinstance(noise, Mapping) else iter([noise])
            start = RandomSmoothing.perturbed(self, values, batch, decisions)
        if ascent is None:
            return start
        if ascent.get("random_start") and noise is None:
            raise ValueError("its adversary starts at random, but it does not give the noise")
        self._epsilon = ascent["epsilon"]
        return self.ascend(values, start, batch, decisions, ascent.get("steps", STEPS))

    def uniform_noise(self, rows: Tensor) -> Tensor:
        return next(self._noise)
