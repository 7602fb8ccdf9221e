"""Run table 1: the accuracies of a supernet, a ResNet and a VGG before and after edges or layers are exchanged."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from darts_pt.commands.options import TrainOptions
from darts_pt.run.errors import UserError
from darts_pt.run.results import SUMMARY_FILE
from paper.study import Study
from runs.reading import read_run
from runs.run import Run, selection, space_of

if TYPE_CHECKING:
    import torch

    from darts_pt.run.experiment import Experiment

KIND = "shuffled"
DIGITS = {
    "channels": 8, "layers": 4, "epochs": 15, "batch_size": 64, "learning_rate": 0.1, "weight_decay": 5e-4,
    "grad_clip": 0.0, "ckpt_interval": 15,
}  # fmt: skip
PAPER = DIGITS | {"channels": 16, "epochs": 200, "batch_size": 128, "ckpt_interval": 50}
"""Sizes and training of ResNet and VGG; the paper does not give its own."""


class Shuffled(NamedTuple):
    """A network's test accuracies in percent: before, and after each draw."""

    network: str
    before: float
    after: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class ReferenceOptions(TrainOptions):
    """Train the ResNet or the VGG of table 1."""

    arch: Literal["ResNet", "VGG"] = "ResNet"
    """Which one."""
    channels: int = 16
    """Channels of the first stage."""
    layers: int = 4
    """Layers per stage."""


def shuffled(study: Study, seed: int) -> list[Shuffled]:
    """The supernet, the ResNet and the VGG of a seed, without those that are missing and may not be run."""
    searched = study.search("darts", seed)
    found = [shuffled_supernet(study, searched) if searched else None]
    found += [shuffled_network(study, "ResNet", seed), shuffled_network(study, "VGG", seed)]
    return [item for item in found if item is not None]


def shuffled_supernet(study: Study, searched: Run) -> Shuffled | None:
    """Exchange two random edges of every cell of a searched supernet."""

    def measure(experiment: Experiment, generator: torch.Generator) -> None:
        from darts_pt.commands.selection import open_search
        from paper.shuffling import cells_of, draw_pairs, exchanged, exchanged_weights, prefixes_of_edges

        options = selection(searched, study.selection_options(searched, "pt")).options
        training = open_search(space_of(searched), options).training
        supernet = training.supernet
        groups = prefixes_of_edges(supernet.state_dict())
        if [len(group) for group in groups] != [len(supernet.cell_types[0].edges)] * len(cells_of(supernet)):
            raise UserError(
                f"--space {study.space}: table 1 needs a supernet of cells that keep the weights of each edge"
            )
        _record(experiment, 0, training.evaluate(training.test_batches()).accuracy, [])
        for draw in range(1, study.scale.shuffles + 1):
            pairs = draw_pairs(supernet.state_dict(), groups, generator)
            with exchanged(supernet, groups, pairs), exchanged_weights(supernet, pairs):
                _record(experiment, draw, training.evaluate(training.test_batches()).accuracy, pairs)

    assert searched.folder is not None
    return _shuffled("DARTS supernet", searched.folder, study, searched.options.seed, measure)


def shuffled_network(study: Study, name: Literal["ResNet", "VGG"], seed: int) -> Shuffled | None:
    """Train a ResNet or VGG, and exchange two random layers of every stage."""
    sizes: dict[str, Any] = DIGITS if study.dataset == "digits" else PAPER
    dataset: Any = study.dataset
    options = ReferenceOptions(arch=name, seed=seed, dataset=dataset, **study.common, **sizes)
    folder = study.experiments / "reference" / "eval" / f"{name.lower()}-{study.dataset}-{seed}"
    line = (
        f"# training of a {name} on {study.dataset}: {options.channels} channels, {options.layers} layers a stage, "
        f"{options.epochs} epochs, seed {seed}"
    )
    is_done = (folder / SUMMARY_FILE).is_file
    if not study.runner.obtain(lambda: folder, is_done, lambda: _train(options, folder), line):
        return None

    def measure(experiment: Experiment, generator: torch.Generator) -> None:
        from paper.reference_networks import layer_groups
        from paper.shuffling import draw_pairs, exchanged

        training = _restored(options, folder)
        groups = layer_groups(training.network)
        _record(experiment, 0, training.test().accuracy, [])
        for draw in range(1, study.scale.shuffles + 1):
            pairs = draw_pairs(training.network.state_dict(), groups, generator)
            with exchanged(training.network, groups, pairs):
                _record(experiment, draw, training.test().accuracy, pairs)

    return _shuffled(name, folder, study, seed, measure)


def _network(options: ReferenceOptions, classes: int) -> Any:
    from paper.reference_networks import LAYERS, StagedNetwork

    return StagedNetwork(LAYERS[options.arch], options.channels, options.layers, classes)


def _train(options: ReferenceOptions, folder: Path) -> None:
    from darts_pt.commands.training import run_training, training_options

    begun = any(folder.glob("checkpoint_*.pth.tar"))
    options = dataclasses.replace(options, **({"resume_epoch": -1} if begun else {"overwrite": folder.exists()}))
    run_training(
        options,
        training_options(options, nesterov=True),
        folder,
        lambda data: _network(options, data.classes),
        lambda network, _: {"parameters": sum(parameter.numel() for parameter in network.parameters())},
    )


def _restored(options: ReferenceOptions, folder: Path) -> Any:
    """The finished training."""
    from darts_pt.commands.training import training_options
    from darts_pt.data.sources import load
    from darts_pt.evaluation import CHECKPOINT_KEYS, NetworkTraining
    from darts_pt.run import checkpoint as checkpoints
    from darts_pt.run.device import Generators, pick_device

    device = pick_device(options.gpu)
    data = load(options.dataset, options.data_root, device)
    network = _network(options, data.classes).to(device)
    how = training_options(options, nesterov=True)
    training = NetworkTraining(network, data, Generators(options.seed, device), how, options.fast)
    path, checkpoint = checkpoints.load(folder, -1, required=CHECKPOINT_KEYS)
    training.restore(checkpoint, path)
    return training


def _record(experiment: Experiment, draw: int, accuracy: float, pairs: list[tuple[int, int]]) -> None:
    experiment.log.info("draw %d: test accuracy %.2f %%", draw, accuracy)
    experiment.record(KIND, {"draw": draw, "test_accuracy": accuracy, "pairs": pairs}, epoch=draw)


def _shuffled(
    name: str, network: Path, study: Study, seed: int, measure: Callable[[Experiment, torch.Generator], None]
) -> Shuffled | None:
    """The accuracies of the network in a run's folder, measured if they have not been yet."""
    draws = study.scale.shuffles
    folder = network / f"analysis-shuffling-{draws}-seed-{seed}"

    def make() -> None:
        import torch

        from darts_pt.run.experiment import Experiment

        options = {"analysis": "shuffling", "seed": seed, "dataset": study.dataset}
        with Experiment(folder, options, overwrite=folder.exists(), tensorboard=False) as experiment:
            measure(experiment, torch.Generator().manual_seed(seed))

    line = f"# analysis of {network.name}: {draws} draws of pairs that change places"
    study.runner.obtain(lambda: folder, lambda: _read(name, folder, draws) is not None, make, line)
    return _read(name, folder, draws)


def _read(name: str, folder: Path, draws: int) -> Shuffled | None:
    records = read_run(folder).records if folder.is_dir() else ()
    accuracies = [record.values["test_accuracy"] for record in records if record.kind == KIND]
    return Shuffled(name, accuracies[0], tuple(accuracies[1:])) if len(accuracies) == draws + 1 else None
