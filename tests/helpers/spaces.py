"""The spaces' own supernets, small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from darts_pt.run.device import Generators, seeded
from darts_pt.supernet import Supernet


def supernet_of(space: str, method: str, generators: Generators) -> Supernet:
    """4 channels; one cell per stage, or 3 layers."""
    from nasbench201.space import NasBench201SearchOptions, NasBench201Space
    from sota.options import SotaSearchOptions
    from sota.space import SotaSpace

    sizes: dict[str, Any] = {"method": method, "init_channels": 4, "dataset": "digits"}
    partial: dict[str, Any] = {"partial_channels": 2} if method == "pc-darts" else {}
    if space == "nasbench201":
        options, found = NasBench201SearchOptions(cells_per_stage=1, **sizes), NasBench201Space(Path())
    else:
        options, found = SotaSearchOptions(space=space, layers=3, **sizes), SotaSpace()  # type: ignore[arg-type]
    with seeded(generators["weights"]):
        return found.supernet(options, 10, generators, **partial)  # type: ignore[arg-type]
