"""The plan of a pass that scores (:mod:`sota.cells.scoring`), for a pattern of active operations."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from darts_pt.supernet import ActiveOperations, CellType
from sota.cells.plan import Mixture, Place, by_name, layout
from sota.spaces import INPUTS, NODES

Kind = Literal["sep_conv", "dil_conv", "reduce", "pool", "skip", "noise"]
KNOWN = {"none", "noise", "skip_connect", "max_pool_3x3", "avg_pool_3x3"} | {
    f"{kind}_conv_{size}x{size}" for kind in ("sep", "dil") for size in (3, 5)
}
"""The operations that can be in a plan; a cell with others is scored like any pass."""


def is_planned(cell_type: CellType) -> bool:
    return KNOWN.issuperset(name for names in cell_type.operations for name in names)


class Family(NamedTuple):
    """Operations on the edges that leave one node, computed as one.

    Attributes:
        names: of the poolings, each a map for all its edges.
        places: of the others, each with a map of its own.
        rows: its maps' place among the rows of :attr:`ScoringPlan.reads`, in which there are `C` for each map.
        kernels: the shapes of what is gathered for it.
    """

    kind: Kind
    names: tuple[str, ...]
    places: tuple[Place, ...]
    rows: slice
    kernels: tuple[tuple[int, ...], ...]


class ScoredSource(NamedTuple):
    """The work on one node.

    Attributes:
        kernels: where the elements of all families' kernels lie in the cell's bank, behind whose end there is a 0.
        sizes: how many of them belong to each kernel in turn.
    """

    families: tuple[Family, ...]
    kernels: Tensor
    sizes: tuple[int, ...]


class ScoringPlan(NamedTuple):
    """The work of a cell.

    Attributes:
        reads: [maps · nodes] where each map's weight in each node lies among the mixing weights, flattened.
        spread: [maps, C, nodes, C] 1 where a map's channel meets the same channel of a node that it reaches, else 0.
    """

    sources: tuple[ScoredSource, ...]
    reads: Tensor
    spread: Tensor

    def matrix(self, mixing: Tensor) -> Tensor:
        """The mixing weights [14, K] as a matrix [maps · C, nodes · C]."""
        maps, channels, nodes, _ = self.spread.shape
        weights = mixing.flatten().index_select(0, self.reads).view(maps, 1, nodes, 1)
        return (weights * self.spread).view(maps * channels, nodes * channels)


def prepared(mixture: Mixture, reduction: bool, channels: int, side: int) -> tuple[ScoringPlan, Tensor]:
    """The plan and its matrix of mixing weights, made once for all cells of a forward pass."""
    key = reduction, channels, side
    if key not in mixture.scoring:
        weights = mixture.weights
        work = scoring_plan(mixture.cell_type, reduction, mixture.active, channels, side, weights.dtype, weights.device)
        mixture.scoring[key] = work, work.matrix(weights)
    return mixture.scoring[key]


@lru_cache(maxsize=16)
def scoring_plan(
    cell_type: CellType,
    reduction: bool,
    active: ActiveOperations,
    channels: int,
    side: int,
    dtype: torch.dtype,
    device: torch.device,
) -> ScoringPlan:
    """The plan for a pattern of active operations.

    Args:
        channels, side: of the cell's inputs after its preprocessing.
    """
    kernels = _KernelPlaces(cell_type, reduction, channels)
    sources: list[ScoredSource] = []
    reads: list[dict[int, Place]] = []  # Map by map: node -> whose weight it has there.
    for source in range(INPUTS + NODES - 1):
        halves = reduction and source < INPUTS
        families: list[Family] = []
        gathered: list[Tensor] = []
        for kind, names in _kinds(by_name(cell_type, source, active), halves).items():
            shared = kind in ("pool", "skip")
            places = tuple(place for own in names.values() for place in own)
            first = len(reads)
            for group in names.values() if shared else [[place] for place in places]:
                reads.append({cell_type.edges[edge].target - INPUTS: (edge, index) for edge, index in group})
            pieces = kernels.of(kind, places, side, halves)
            gathered += [piece.flatten() for piece in pieces]
            rows = slice(first * channels, len(reads) * channels)
            shapes = tuple(tuple(piece.shape) for piece in pieces)
            families.append(Family(kind, tuple(names), places, rows, shapes))
        with torch.inference_mode(False):
            found = torch.cat([torch.zeros(0, dtype=torch.int32), *gathered]).to(device)
        sources.append(ScoredSource(tuple(families), found, tuple(map(len, gathered))))
        side = -(-side // 2) if reduction and source == INPUTS - 1 else side
    columns = len(cell_type.operations[0])
    with torch.inference_mode(False):
        read, reaches = torch.zeros(len(reads), NODES, dtype=torch.int64), torch.zeros(len(reads), 1, NODES, 1)
        for row, ends in enumerate(reads):
            for node, (edge, index) in ends.items():
                read[row, node], reaches[row, 0, node] = edge * columns + index, 1.0
        spread = (reaches * torch.eye(channels)[:, None]).to(device, dtype)
        return ScoringPlan(tuple(sources), read.flatten().to(device), spread)


def _kinds(names: dict[str, list[Place]], halves: bool) -> dict[Kind, dict[str, list[Place]]]:
    """The operations on the edges that leave a node, by kind and name."""
    kinds: dict[Any, dict[str, list[Place]]] = {}
    for name, places in names.items():
        kind = name.removesuffix("_3x3").removesuffix("_5x5").removeprefix("max_").removeprefix("avg_")
        kind = ("reduce" if halves else "skip") if name == "skip_connect" else kind
        kinds.setdefault(kind, {})[name] = places
    return kinds


class _KernelPlaces:
    """Where the elements of stacked kernels lie in a cell's bank."""

    def __init__(self, cell_type: CellType, reduction: bool, channels: int) -> None:
        self._channels = channels
        self._operations = cell_type.operations
        stored = layout(cell_type, reduction).convolutions
        begins = list(accumulate((self._size(*key) for key in stored), initial=0))
        self._begin = dict(zip(stored, begins, strict=False))
        self._zero = begins[-1]

    def _name(self, place: Place) -> str:
        return self._operations[place[0]][place[1]]

    def _size(self, place: Place, which: int) -> int:
        name, channels = self._name(place), self._channels
        if name == "skip_connect":
            return channels * (channels // 2 if which == 0 else channels - channels // 2)
        return channels * (channels if which % 2 else int(name[-1]) ** 2)

    def of(self, kind: str, places: Sequence[Place], side: int, halves: bool) -> list[Tensor]:
        """The kernels of a family in turn; `side` is that of the maps that it reads."""
        with torch.inference_mode(False):
            if kind == "dil_conv":
                return self._stage(places, 0, (side - 1) // 2, reads_one=True)
            if kind == "sep_conv":
                after = -(-side // 2) if halves else side
                return self._stage(places, 0, side - 1, reads_one=True) + self._stage(places, 2, after - 1)
            return [self._reducing(places)] if kind == "reduce" else []

    def _stage(self, places: Sequence[Place], which: int, reach: int, reads_one: bool = False) -> list[Tensor]:
        """A depthwise convolution [n · C, 1, k, k], and a 1x1 convolution [n · C in, n · C out] behind it.

        Args:
            reads_one: all of them read one map, rather than each its own; the outputs between lie channel by channel.
        """
        depthwise, pointwise = self._depthwise(places, which, reach), self._pointwise(places, which + 1)
        if reads_one:
            depthwise, pointwise = depthwise.transpose(0, 1), pointwise.transpose(0, 1)
        size, width = depthwise.shape[3], len(places) * self._channels
        return [depthwise.reshape(width, 1, size, size), pointwise.reshape(width, width)]

    def _own(self, place: Place, which: int, *shape: int) -> Tensor:
        begin = self._begin[place, which]
        return torch.arange(begin, begin + self._size(place, which), dtype=torch.int32).view(shape)

    def _zeros(self, *shape: int) -> Tensor:
        return torch.full(shape, self._zero, dtype=torch.int32)

    def _depthwise(self, places: Sequence[Place], which: int, reach: int) -> Tensor:
        """[n, C, k, k], no larger than maps on which pixels are at most `reach` apart."""
        sizes = [int(self._name(place)[-1]) for place in places]
        size = min(max(sizes), 2 * reach + 1)
        found = self._zeros(len(places), self._channels, size, size)
        for kernel, place, own in zip(found, places, sizes, strict=True):
            cut, rim = max(0, (own - size) // 2), max(0, (size - own) // 2)
            inside = self._own(place, which, self._channels, own, own)[:, cut : own - cut, cut : own - cut]
            kernel[:, rim : size - rim, rim : size - rim] = inside
        return found

    def _pointwise(self, places: Sequence[Place], which: int) -> Tensor:
        """[n, C in, n, C out]: blocks on a diagonal."""
        found = self._zeros(len(places), self._channels, len(places), self._channels)
        for number, place in enumerate(places):
            found[number, :, number] = self._own(place, which, self._channels, self._channels).t()
        return found

    def _reducing(self, places: Sequence[Place]) -> Tensor:
        """[2 · C in, n · C out]: half of the outputs are made of the first C inputs, half of the second."""
        found, half = self._zeros(2, self._channels, len(places), self._channels), self._channels // 2
        for number, place in enumerate(places):
            found[0, :, number, :half] = self._own(place, 0, -1, self._channels).t()
            found[1, :, number, half:] = self._own(place, 1, -1, self._channels).t()
        return found.view(2 * self._channels, -1)
