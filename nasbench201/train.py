"""`python -m nasbench201.train`: train one architecture of NAS-Bench-201 from scratch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darts_pt.commands.command_line import run_command
from darts_pt.commands.options import TrainOptions, given, with_preset
from nasbench201.architecture import OPERATIONS, chosen_architecture, operations_of
from nasbench201.space import SizeOptions

if TYPE_CHECKING:
    from darts_pt.data.data_set import DataSet
    from darts_pt.evaluation import EvaluationNetwork

PROTOCOL = {
    "epochs": 200,
    "batch_size": 256,
    "learning_rate": 0.1,
    "weight_decay": 5e-4,
    "grad_clip": 0.0,
    "ckpt_interval": 20,
    "init_channels": 16,
    "cells_per_stage": 5,
}
"""How NAS-Bench-201 trains its architectures (Dong & Yang, ICLR 2020, table 1)."""

PRESETS = {"digits": PROTOCOL | {"epochs": 40, "batch_size": 64, "init_channels": 8, "cells_per_stage": 1}}


@dataclass(frozen=True, kw_only=True)
class NasBench201TrainOptions(TrainOptions, SizeOptions):
    """Train an architecture of NAS-Bench-201 from scratch on the whole training set, by the benchmark's protocol.

    SGD with Nesterov momentum, cosine to 0, random crop and flip. The benchmark trains 16 channels and 5 cells per stage
    for 200 epochs in batches of 256 (digits: 8, 1, 40 and 64), at a learning rate of 0.1, with weight decay 5e-4 and
    gradients not clipped; a checkpoint every 20 epochs.
    """

    arch: str
    """The architecture: |op~0|+|op~0|op~1|+|op~0|op~1|op~2|, a genotype file, or an experiment that has selected one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        chosen_architecture(self.arch, self.experiments / "nasbench201")


def folder_of(options: NasBench201TrainOptions) -> Path:
    """The experiment folder; the architecture is named by its operations' numbers, 0 (none) to 4 (avg_pool_3x3)."""
    digits = "".join(str(OPERATIONS.index(name)) for name in operations_of(options.arch))
    tag = f"-{options.expid_tag}" if options.expid_tag else ""
    return options.experiments / "nasbench201" / "eval" / f"{options.dataset}-{digits}-{options.seed}{tag}"


def main(options: NasBench201TrainOptions) -> dict[str, Any]:
    """Train; the summary says accuracies, parameters, multiply-adds and seconds."""
    architecture = chosen_architecture(options.arch, options.experiments / "nasbench201")
    options = dataclasses.replace(with_preset(options, PRESETS.get(options.dataset, PROTOCOL)), arch=architecture)
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

    return run_training(options, training_options(options, nesterov=True), folder_of(options), network, describe)


if __name__ == "__main__":
    run_command(NasBench201TrainOptions, main)
