"""`python -m nasbench201.train`: train one architecture of NAS-Bench-201 from scratch."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from darts_pt.commands.command_line import run_command
from darts_pt.commands.options import given, with_preset
from nasbench201.architecture import chosen_architecture, operations_of
from nasbench201.space import SPACES, NasBench201TrainOptions

if TYPE_CHECKING:
    from darts_pt.data.data_set import DataSet
    from darts_pt.evaluation import EvaluationNetwork


def main(options: NasBench201TrainOptions) -> dict[str, Any]:
    """Train; the summary says accuracies, parameters, multiply-adds and seconds."""
    space = SPACES["nasbench201"]
    architecture = chosen_architecture(options.arch, space.experiments(options))
    options = dataclasses.replace(with_preset(options, space.preset(options)), arch=architecture)
    folder = given(space.training_folder(options))
    from darts_pt.commands.training import run_training, training_options
    from darts_pt.complexity import count_multiply_adds, count_parameters
    from nasbench201.network import NasBench201Network

    def network(data: DataSet) -> EvaluationNetwork:
        sizes = given(options.init_channels), given(options.cells_per_stage)
        return NasBench201Network(operations_of(options.arch), *sizes, data.classes)

    def describe(model: EvaluationNetwork, data: DataSet) -> dict[str, Any]:
        return {
            "architecture": options.arch,
            "parameters": count_parameters(model),
            "multiply_adds": count_multiply_adds(model, *data.train.pixels.shape[2:]),
        }

    return run_training(options, training_options(options, nesterov=True), folder, network, describe)


if __name__ == "__main__":
    run_command(NasBench201TrainOptions, main)
