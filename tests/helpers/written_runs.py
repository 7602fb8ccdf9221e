"""Experiment folders in the format of real ones, written in milliseconds: for pages on more runs than one can make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

NASBENCH201 = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
ENDS = {
    "nasbench201": [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)],
    "s2": [(target, source) for target in range(2, 6) for source in range(target)],
}
GENOTYPE = {
    "nasbench201": "|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|",
    "s2": "Genotype(normal=(('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 0), ('skip_connect', 1), ('skip_connect', 0), ('sep_conv_3x3', 1)), normal_concat=(2, 3, 4, 5), "
    "reduce=(('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('skip_connect', 1), ('skip_connect', 0), ('sep_conv_3x3', 1)), reduce_concat=(2, 3, 4, 5))",
}


def write_search(root: Path, space: str, method: str, seed: int, epochs: int = 3) -> Path:
    """A search of `epochs` epochs; its folder."""
    short = "201" if space == "nasbench201" else f"sota-{space}"
    folder = root / ("nasbench201" if space == "nasbench201" else "sota/digits") / f"search-{method}-{short}-{seed}"
    options = {"seed": seed, "dataset": "digits", "method": method, "epochs": epochs, "init_channels": 4}
    _write(folder, options | _of(space), _epochs(space, epochs, 0.9))
    return folder


def write_selection(
    searched: Path,
    space: str,
    method: str,
    selection: str,
    seed: int,
    accuracy: float,
    by_magnitude: float | None = None,
) -> Path:
    """A selection from a search; `accuracy` (percent) is what the table would say of its architecture.

    Args:
        by_magnitude: what it would say of magnitude's.
    """
    folder = searched / f"log_resume-3-{selection}-acc-seed-{seed}"
    options = {"seed": seed, "dataset": "digits", "method": method, "selection": selection, "proj_crit": "acc"}
    cell = "cell" if space == "nasbench201" else "normal"
    operations = list(NASBENCH201) if space == "nasbench201" else ["skip_connect", "sep_conv_3x3"]
    events = [
        _record("operation_event", 0, {
            "event": edge, "cell_type": cell, "edge": edge, "kept": operations[-1], "candidates": operations,
            "accuracy": [accuracy - place for place in range(len(operations))],
        })
        for edge in range(len(ENDS[space]))
    ]  # fmt: skip
    genotype = {"genotype": GENOTYPE[space], "supernet_valid_accuracy": accuracy - 5}
    genotype |= {"table": {"digits test": accuracy, "rank": 7}} if space == "nasbench201" else {}
    if by_magnitude is not None:
        table = {"table": {"digits test": by_magnitude, "rank": 700}} if space == "nasbench201" else {}
        genotype |= {"baseline": {"by": "magnitude", "genotype": GENOTYPE[space], **table}}
    _write(folder, options | {"init_channels": 4} | _of(space), events + _epochs(space, 2, accuracy / 100), genotype)
    return folder


def _of(space: str) -> dict[str, Any]:
    return {"cells_per_stage": 1} if space == "nasbench201" else {"space": space, "layers": 3}


def _epochs(space: str, epochs: int, last: float) -> list[dict[str, Any]]:
    operations = NASBENCH201 if space == "nasbench201" else ("skip_connect", "sep_conv_3x3")
    cell = "cell" if space == "nasbench201" else "normal"
    share = 1 / len(operations)
    weights = {f"{n}:{a}<-{b}": dict.fromkeys(operations, share) for n, (a, b) in enumerate(ENDS[space])}
    return [
        _record("epoch", epoch, {
            "train_accuracy": 100 * last * epoch / epochs, "valid_accuracy": 99 * last * epoch / epochs,
            "train_loss": 2.0 / epoch, "valid_loss": 2.1 / epoch, "mixing_weights": {cell: weights},
        })
        for epoch in range(1, epochs + 1)
    ]  # fmt: skip


def _record(kind: str, epoch: int, values: dict[str, Any]) -> dict[str, Any]:
    return {"kind": kind, "epoch": epoch, "step": None, "values": values}


def _write(
    folder: Path, options: dict[str, Any], records: list[dict[str, Any]], genotype: dict[str, Any] | None = None
) -> None:  # fmt: skip
    folder.mkdir(parents=True)
    space = str(options.get("space", "nasbench201"))
    config = {"project": "darts-pt", "options": options, "seed": options["seed"], "device": "cpu"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (folder / "timing.jsonl").write_text('{"kind": "epoch", "epoch": 1, "seconds": 2.5, "memory_mib": 400.0}\n' * 3)
    (folder / "genotype.json").write_text(json.dumps(genotype or {"genotype": GENOTYPE[space]}))
