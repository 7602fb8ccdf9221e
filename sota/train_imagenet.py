"""`python -m sota.train_imagenet`: train the network of a genotype of S1–S5 on ImageNet, in the mobile setting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darts_pt.commands.command_line import run_command
from darts_pt.commands.options import not_none, with_preset
from sota.options import ImageNetOptions, training_folder
from sota.space import SotaSpace

if TYPE_CHECKING:
    import torch

    from darts_pt.evaluation import EvaluationNetwork
    from sota.imagenet import ImageNetLoader


def main(options: ImageNetOptions) -> dict[str, Any]:
    """Train, and return the summary: accuracies, parameters, multiply-adds and seconds."""
    options = with_preset(options, SotaSpace().preset(options))
    from darts_pt.commands.training import network_size, run_training, training_options, trial_note
    from sota.choice import find
    from sota.network import ImageNetNetwork

    choice = find(options.arch, options.experiments / "sota", options.dataset)
    sizes = not_none(options.init_channels), not_none(options.layers)
    how = training_options(
        options,
        auxiliary_weight=options.auxiliary_weight,
        drop_path_prob=options.drop_path_prob,
        label_smoothing=options.label_smoothing,
        schedule="linear",
        top5=True,
    )

    def describe(model: EvaluationNetwork, data: ImageNetLoader) -> dict[str, Any]:
        side = not_none(options.image_size)
        images = {"classes": data.classes, "train_images": len(data.train), "test_images": len(data.test)}
        described = choice.describe(options.arch) | trial_note(options, "sota")
        return {**described, **network_size(model, side, side), **images}

    return run_training(
        options,
        how,
        training_folder(options, choice.name),
        lambda data: ImageNetNetwork(choice.genotype, *sizes, data.classes, options.auxiliary),
        describe,
        _read,
    )


def _read(options: ImageNetOptions, device: torch.device) -> ImageNetLoader:
    from sota.imagenet import ImageNetLoader

    return ImageNetLoader(not_none(options.data), not_none(options.image_size), options.workers, options.seed, device)


if __name__ == "__main__":
    run_command(ImageNetOptions, main)
