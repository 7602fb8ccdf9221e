"""`python -m sota.train_imagenet`: train the network of a genotype of S1–S5 on ImageNet, in the mobile setting."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from darts_pt.commands.command_line import run_command
from darts_pt.commands.options import PresetFloat, not_none, with_preset
from darts_pt.run.errors import UserError, in_range
from darts_pt.run.provenance import PROJECT_ROOT
from sota.space import SotaTrainOptions, training_folder

if TYPE_CHECKING:
    import torch

    from darts_pt.evaluation import EvaluationNetwork
    from sota.imagenet import ImageNetLoader

PROTOCOL = {
    "epochs": 250, "batch_size": 1024, "learning_rate": 0.5, "weight_decay": 3e-5, "grad_clip": 5.0,
    "init_channels": 48, "layers": 14, "image_size": 224, "ckpt_interval": 10,
}  # fmt: skip
"""The mobile setting of DARTS, at the batch and learning rate of several GPUs."""


@dataclass(frozen=True, kw_only=True)
class ImageNetOptions(SotaTrainOptions):
    """Train an architecture of S1–S5 on ImageNet from scratch, and report its top-1 and top-5 accuracy.

    224 pixels, 48 channels, 14 layers, 250 epochs; SGD with label smoothing, the learning rate falling linearly to 0;
    random crops of random size, flips, colours; eval-imagenet.sh adds the auxiliary head. --nproc_per_node N, or torchrun,
    runs it on several GPUs with the same batch.
    """

    dataset: Literal["imagenet"] = "imagenet"  # type: ignore[assignment]
    """The data set: images in class folders."""
    data: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = PROJECT_ROOT / "data" / "imagenet"
    """A folder that holds train/CLASS/ and val/CLASS/."""
    image_size: Annotated[int | None, tyro.conf.arg(metavar="PIXELS", help_behavior_hint="(default: 224)")] = None
    """Side in pixels of the images that the network gets."""
    learning_rate: PresetFloat = None
    """Initial learning rate; it falls linearly to 0."""
    workers: int = min(8, os.cpu_count() or 1)
    """Processes that decode images, per training process."""
    label_smoothing: float = 0.1
    """Label smoothing of the training loss."""
    drop_path_prob: float = 0.0
    """Drop-path probability in the last epoch; it grows linearly from 0."""
    script: Literal["eval-imagenet"] = "eval-imagenet"  # type: ignore[assignment]
    """The first word in the name of the experiment folder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range("workers", self.workers, 0, 1024)

        if self.cutout:
            raise UserError("--cutout: training on ImageNet has no cutout; leave it out")
        if self.image_size is not None:
            in_range("image_size", self.image_size, 32, 4096)


def main(options: ImageNetOptions) -> dict[str, Any]:
    """Train, and return the summary: accuracies, parameters, multiply-adds and seconds."""
    options = with_preset(options, PROTOCOL)
    from darts_pt.commands.training import network_size, run_training, training_options
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
        return {**choice.describe(options.arch), **network_size(model, side, side), **images}

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
