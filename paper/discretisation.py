"""How strong an operation is by discretisation (paper section 3.2): the supernet's accuracy with it alone, after tuning.

Every (edge, operation) starts from the same searched supernet. Results go to an experiment inside the search's folder,
line by line, so that an interrupted analysis goes on where it was.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from report.reading import read_run
from runs.costs import counted
from runs.making import Maker

if TYPE_CHECKING:
    from darts_pt.run.experiment import Experiment
    from darts_pt.supernet import CellType

KIND = "discretised"


class Strength(NamedTuple):
    """An operation on an edge: its mixing weight at the end of the search, and the accuracy (%) with it alone there."""

    cell_type: str
    edge: int
    operation: str
    weight: float
    accuracy: float


def strengths(maker: Maker, searched: Path, seed: int, edges: int | None) -> list[Strength]:
    """Of all operations on `edges` random edges (None: all edges) of the first cell type.

    What has been measured before is read; the rest is measured if the maker may run.
    """
    folder = searched / f"analysis-discretisation-tuning-{maker.scale.tuning}-seed-{seed}"
    if maker.planned is not None:
        which = "every edge" if edges is None else f"{edges} random edges"
        maker.plan(
            f"# analysis of {searched.name}: every operation of {which} alone there, tuned for at most "
            f"{maker.scale.tuning} epochs"
        )
    elif maker.run:
        with counted(folder, maker.experiments):
            _measure(maker, searched, folder, seed, edges)
    records = read_run(folder).records if folder.is_dir() else ()
    if records and folder not in maker.folders:
        maker.folders.append(folder)
    found = [Strength(**record.values["strength"]) for record in records if record.kind == KIND]
    wanted = dict.fromkeys(strength.edge for strength in found)
    kept = list(wanted)[:edges] if edges is not None else list(wanted)
    return sorted((strength for strength in found if strength.edge in kept), key=lambda strength: strength.edge)


def _measure(maker: Maker, searched: Path, folder: Path, seed: int, edges: int | None) -> None:
    import torch

    from darts_pt.commands.selection import open_search
    from darts_pt.run.experiment import Experiment, is_experiment

    opened = open_search(maker.commands, maker.selection_options(searched, "pt", seed))
    training = opened.training
    cell = training.supernet.cell_types[0]
    order = torch.randperm(len(cell.edges), generator=torch.Generator().manual_seed(seed)).tolist()[:edges]
    before = {(item.edge, item.operation) for item in _measured(folder)}
    todo = [
        (edge, index)
        for edge in order
        for index, name in enumerate(cell.operations[edge])
        if (edge, name) not in before
    ]  # fmt: skip
    if not todo:
        return
    weights = training.architect.mixing(training.decisions).values[cell.name].tolist()
    options = {"analysis": "discretisation", "tuning": maker.scale.tuning, **_plain(opened.options)}
    with Experiment(
        folder, options, device=training.generators.device, resume=is_experiment(folder), tensorboard=False
    ) as experiment:
        for edge, index in experiment.progress(todo, "operations on edges alone"):
            accuracy = _accuracy_with(maker, searched, seed, cell, edge, index, experiment)
            strength = Strength(cell.name, edge, cell.operations[edge][index], weights[edge][index], accuracy)
            experiment.record(KIND, {"strength": strength._asdict()}, epoch=maker.scale.tuning)


def _measured(folder: Path) -> list[Strength]:
    if not folder.is_dir():
        return []
    return [Strength(**record.values["strength"]) for record in read_run(folder).records if record.kind == KIND]


def _plain(options: Any) -> dict[str, Any]:
    import dataclasses

    return dataclasses.asdict(options)


def _accuracy_with(
    maker: Maker, searched: Path, seed: int, cell: CellType, edge: int, operation: int, experiment: Experiment
) -> float:
    """Valid accuracy at convergence: epochs are tuned until one is no better than the best before, up to a limit."""
    from darts_pt.commands.selection import open_search

    training = open_search(maker.commands, maker.selection_options(searched, "pt", seed)).training
    training.decisions = training.decisions.with_operation(cell.name, edge, operation)
    best = 0.0
    for _ in range(maker.scale.tuning):
        training.tune()
        accuracy = training.evaluate(training.valid_batches()).accuracy
        if accuracy <= best:
            break
        best = accuracy
    experiment.log.info("edge %d with %s alone: %.2f %%", edge, cell.operations[edge][operation], best)
    return best
