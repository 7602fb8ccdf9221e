"""`python -m sota.train`: train the network of a genotype of S1–S5 from scratch."""

from __future__ import annotations

from typing import Any

from darts_pt.commands.command_line import run_command
from darts_pt.commands.options import not_none, with_preset
from sota.space import SotaSpace, SotaTrainOptions, training_folder


def main(options: SotaTrainOptions) -> dict[str, Any]:
    """Train, and return the summary: accuracies, parameters, multiply-adds and seconds."""
    options = with_preset(options, SotaSpace().preset(options))
    from darts_pt.commands.training import network_size, run_training, training_options
    from sota.choice import find
    from sota.network import SotaNetwork

    choice = find(options.arch, options.experiments / "sota", options.dataset)
    sizes = not_none(options.init_channels), not_none(options.layers)
    how = training_options(options, auxiliary_weight=options.auxiliary_weight, drop_path_prob=options.drop_path_prob)
    return run_training(
        options,
        how,
        training_folder(options, choice.name),
        lambda data: SotaNetwork(choice.genotype, *sizes, data.classes, options.auxiliary),
        lambda model, data: choice.describe(options.arch) | network_size(model, *data.train.pixels.shape[2:]),
    )


if __name__ == "__main__":
    run_command(SotaTrainOptions, main)
