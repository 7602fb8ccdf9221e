"""`python -m sota.train`: train the network of a genotype of S1–S5 from scratch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darts_pt.commands.command_line import run_command
from darts_pt.commands.options import given, with_preset
from sota.space import SotaSpace, SotaTrainOptions, training_folder

if TYPE_CHECKING:
    from darts_pt.data.data_set import DataSet
    from darts_pt.evaluation import EvaluationNetwork
    from sota.choice import Choice


def main(options: SotaTrainOptions) -> dict[str, Any]:
    """Train; the summary says accuracies, parameters, multiply-adds and seconds."""
    options = with_preset(options, SotaSpace().preset(options))
    from darts_pt.commands.training import run_training, training_options
    from sota.choice import find

    choice = find(options.arch, options.experiments / "sota", options.dataset)
    how = training_options(options, auxiliary_weight=options.auxiliary_weight, drop_path_prob=options.drop_path_prob)
    return run_training(
        options,
        how,
        training_folder(options, choice.name),
        lambda data: network_of(options, choice, data),
        lambda model, data: describe(options, choice, model, data),
    )


def network_of(options: SotaTrainOptions, choice: Choice, data: DataSet) -> EvaluationNetwork:
    """The network to train."""
    from sota.network import SotaNetwork

    sizes = given(options.init_channels), given(options.layers)
    return SotaNetwork(choice.genotype, *sizes, data.classes, options.auxiliary)


def describe(options: SotaTrainOptions, choice: Choice, model: EvaluationNetwork, data: DataSet) -> dict[str, Any]:
    """What the summary says of the network besides how well it does."""
    # Counted on a copy: a forward pass of the network itself would use up random numbers of the operation noise.
    copy = network_of(options, choice, data)
    return describe_network(options.arch, choice, model, copy, *data.train.pixels.shape[2:])


def describe_network(
    arch: str, choice: Choice, model: EvaluationNetwork, copy: EvaluationNetwork, height: int, width: int
) -> dict[str, Any]:
    """What an architecture is and how large its network, for images of a size; `copy` is another one like `model`."""
    from darts_pt.complexity import count_multiply_adds, count_parameters
    from darts_pt.run.device import Generators

    copy.draw_from(Generators(0, "cpu"))
    return {
        "architecture": arch,
        "architecture_source": choice.source,
        "genotype": str(choice.genotype),
        "parameters": count_parameters(model),
        "multiply_adds": count_multiply_adds(copy, height, width),
    }


if __name__ == "__main__":
    run_command(SotaTrainOptions, main)
