"""The strength of an operation by discretisation (paper section 3.2): the accuracy with it alone on its edge, after tuning.

Each (edge, operation) starts from the same searched supernet. Results go to an experiment inside the search's folder,
line by line, so that an interrupted analysis continues where it stopped.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from paper.study import Study
from runs.reading import read_run
from runs.run import Run, selection, space_of

if TYPE_CHECKING:
    from darts_pt.training import SupernetTraining

KIND = "discretised"


class Strength(NamedTuple):
    """An operation on an edge: its mixing weight after the search, and the accuracy (%) with it alone on the edge."""

    cell_type: str
    edge: int
    operation: str
    weight: float
    accuracy: float


def strengths(study: Study, searched: Run, edges: int | None) -> list[Strength]:
    """The strengths of all operations on `edges` random edges (None: all edges) of the first cell type.

    Earlier measurements are reused; the rest is measured if runs may be made.
    """
    assert searched.folder is not None
    folder = searched.folder / f"analysis-discretisation-tuning-{study.scale.tuning}-seed-{searched.options.seed}"
    which = "every edge" if edges is None else f"{edges} random edges"
    study.runner.obtain(
        lambda: folder,
        lambda: not study.runner.may_run and folder.is_dir(),  # Otherwise _measure finds out what is missing.
        lambda: _measure(study, searched, folder, edges),
        f"# analysis of {searched.folder.name}: every operation of {which} alone there, tuned for at most "
        f"{study.scale.tuning} epochs",
    )
    found = _measured(folder)
    kept = list(dict.fromkeys(strength.edge for strength in found))[:edges]
    return sorted((strength for strength in found if strength.edge in kept), key=lambda strength: strength.edge)


def _measure(study: Study, searched: Run, folder: Path, edges: int | None) -> None:
    import torch

    from darts_pt.commands.selection import open_search
    from darts_pt.run.config import is_experiment
    from darts_pt.run.experiment import Experiment

    seed = searched.options.seed
    options = selection(searched, study.selection_options(searched, "pt")).options
    opened = open_search(space_of(searched), options)
    training = opened.training
    cell = training.supernet.cell_types[0]
    order = torch.randperm(len(cell.edges), generator=torch.Generator().manual_seed(seed)).tolist()[:edges]
    before = {(item.edge, item.operation) for item in _measured(folder)}
    names = [(edge, index, name) for edge in order for index, name in enumerate(cell.operations[edge])]
    todo = [item for item in names if (item[0], item[2]) not in before]
    if not todo:
        return
    weights = training.mixing().values[cell.name].tolist()
    config = {"analysis": "discretisation", "tuning": study.scale.tuning, **dataclasses.asdict(opened.options)}
    device, resume = training.generators.device, is_experiment(folder)
    with Experiment(folder, config, device=device, resume=resume, tensorboard=False) as experiment:
        for edge, index, name in experiment.progress(todo, "operations on edges alone"):
            accuracy = _accuracy_alone(training, cell.name, edge, index, study.scale.tuning)
            experiment.log.info("edge %d with %s alone: %.2f %%", edge, name, accuracy)
            strength = Strength(cell.name, edge, name, weights[edge][index], accuracy)
            experiment.record(KIND, {"strength": strength._asdict()}, epoch=study.scale.tuning)


def _measured(folder: Path) -> list[Strength]:
    records = read_run(folder).records if folder.is_dir() else ()
    return [Strength(**record.values["strength"]) for record in records if record.kind == KIND]


def _accuracy_alone(training: SupernetTraining, cell: str, edge: int, operation: int, epochs: int) -> float:
    """Valid accuracy at convergence: after tuning until an epoch brings no improvement, at most `epochs`."""
    from darts_pt.selections.oneshot import restored

    best = 0.0
    with restored(training):
        training.decisions = training.decisions.with_operation(cell, edge, operation)
        for _ in range(epochs):
            training.tune()
            accuracy = training.evaluate(training.valid_batches()).accuracy
            if accuracy <= best:
                break
            best = accuracy
    return best
