"""Running table 1: the accuracies of a supernet, a ResNet and a VGG before and after edges or layers change places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from darts_pt.commands.options import TrainOptions
from darts_pt.run.chosen import SUMMARY_FILE
from report.reading import read_run
from report.run import Run
from runs.costs import counted
from runs.making import Maker

if TYPE_CHECKING:
    from darts_pt.run.experiment import Experiment

KIND = "shuffled"
DIGITS = {
    "channels": 8, "layers": 4, "epochs": 15, "batch_size": 64, "learning_rate": 0.1, "weight_decay": 5e-4,
    "grad_clip": 0.0, "ckpt_interval": 15,
}  # fmt: skip
PAPER = DIGITS | {"channels": 16, "epochs": 200, "batch_size": 128, "ckpt_interval": 50}
"""Sizes and training of the two plain networks; the paper does not say its own."""


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


def shuffled(maker: Maker, seed: int) -> list[Shuffled]:
    """The supernet, the ResNet and the VGG of a seed; without those that are not there and may not be run."""
    searched = maker.search("darts", seed)
    found = [shuffled_supernet(maker, searched, seed) if searched else None]
    found += [shuffled_network(maker, "ResNet", seed), shuffled_network(maker, "VGG", seed)]
    return [item for item in found if item is not None]


def shuffled_supernet(maker: Maker, searched: Path, seed: int) -> Shuffled | None:
    """Of the supernet that `searched` has trained: two random edges of every cell change places."""
    folder = searched / f"analysis-shuffling-{maker.scale.shuffles}-seed-{seed}"

    def measure(experiment: Experiment) -> None:
        import torch

        from darts_pt.commands.selection import open_search
        from paper.shuffling import cells_of, draw_pairs, exchanged, exchanged_weights, prefixes_of_edges

        training = open_search(maker.commands, maker.selection_options(searched, "pt", seed)).training
        supernet, generator = training.supernet, torch.Generator().manual_seed(seed)
        groups = prefixes_of_edges(supernet.state_dict())
        assert [len(group) for group in groups] == [len(supernet.cell_types[0].edges)] * len(cells_of(supernet))
        _record(experiment, 0, training.evaluate(training.test_batches()).accuracy, [])
        for draw in range(1, maker.scale.shuffles + 1):
            pairs = draw_pairs(supernet.state_dict(), groups, generator)
            with exchanged(supernet, groups, pairs), exchanged_weights(supernet, pairs):
                _record(experiment, draw, training.evaluate(training.test_batches()).accuracy, pairs)

    return _shuffled("DARTS supernet", folder, maker, {"seed": seed, "dataset": maker.dataset}, measure)


def shuffled_network(maker: Maker, name: Literal["ResNet", "VGG"], seed: int) -> Shuffled | None:
    """Of a plain network trained here: two random layers of every stage change places."""
    sizes = DIGITS if maker.dataset == "digits" else PAPER
    options = ReferenceOptions(
        arch=name, seed=seed, gpu=maker.gpu, dataset=maker.dataset,  # pyright: ignore[reportArgumentType]
        experiments=maker.experiments, data_root=maker.data_root, fast=maker.fast, **sizes,  # pyright: ignore[reportArgumentType]
    )  # fmt: skip
    folder = maker.experiments / "reference" / "eval" / f"{name.lower()}-{maker.dataset}-{seed}"
    trained = maker.made(folder, SUMMARY_FILE, lambda again: _train(options, folder, again), f"# {_in_words(options)}")
    if trained is None:
        return None

    def measure(experiment: Experiment) -> None:
        import torch

        from paper.reference_networks import layer_groups
        from paper.shuffling import draw_pairs, exchanged

        training = _restored(options, folder)
        groups = layer_groups(training.network)
        generator = torch.Generator().manual_seed(seed)
        _record(experiment, 0, training.test().accuracy, [])
        for draw in range(1, maker.scale.shuffles + 1):
            pairs = draw_pairs(training.network.state_dict(), groups, generator)
            with exchanged(training.network, groups, pairs):
                _record(experiment, draw, training.test().accuracy, pairs)

    shuffles = folder / f"analysis-shuffling-{maker.scale.shuffles}-seed-{seed}"
    return _shuffled(name, shuffles, maker, {"seed": seed, "dataset": maker.dataset}, measure)


def _network(options: ReferenceOptions, classes: int) -> Any:
    from paper.reference_networks import LAYERS, StagedNetwork

    return StagedNetwork(LAYERS[options.arch], options.channels, options.layers, classes)


def _in_words(options: ReferenceOptions) -> str:
    sizes = f"{options.channels} channels, {options.layers} layers a stage, {options.epochs} epochs"
    return f"training of a {options.arch} on {options.dataset}: {sizes}, seed {options.seed}"


def _train(options: ReferenceOptions, folder: Path, again: dict[str, Any]) -> None:
    import dataclasses

    from darts_pt.commands.training import run_training, training_options

    options = dataclasses.replace(options, **again)
    how = training_options(options, nesterov=True)
    run_training(
        options,
        how,
        folder,
        lambda data: _network(options, data.classes),
        lambda network, _: {"parameters": sum(parameter.numel() for parameter in network.parameters())},
    )


def _restored(options: ReferenceOptions, folder: Path) -> Any:
    """The training as it ended."""
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
    name: str, folder: Path, maker: Maker, options: dict[str, Any], measure: Callable[[Experiment], None]
) -> Shuffled | None:
    """What `folder` holds, measured first if it is not complete."""
    found = _read(name, folder, maker.scale.shuffles)
    if found is None and maker.planned is not None:
        maker.plan(f"# analysis of {folder.parent.name}: {maker.scale.shuffles} draws of pairs that change places")
    elif found is None and maker.run:
        from darts_pt.run.experiment import Experiment

        settings = {"analysis": "shuffling", **options}
        with (
            counted(folder, maker.experiments),
            Experiment(folder, settings, overwrite=folder.exists(), tensorboard=False) as experiment,
        ):
            measure(experiment)
        found = _read(name, folder, maker.scale.shuffles)
    if found is not None and folder not in maker.folders:
        maker.folders.append(folder)
    return found


def _read(name: str, folder: Path, shuffles: int) -> Shuffled | None:
    run: Run | None = read_run(folder) if folder.is_dir() else None
    accuracies = [record.values["test_accuracy"] for record in run.records if record.kind == KIND] if run else []
    return Shuffled(name, accuracies[0], tuple(accuracies[1:])) if len(accuracies) == shuffles + 1 else None
