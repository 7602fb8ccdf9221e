"""`python -m sota.train`: train the network of a genotype of S1–S5 from scratch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from darts_pt.commands.command_line import in_range, run_command
from darts_pt.commands.options import TrainOptions, given, with_preset
from darts_pt.run.errors import UserError
from sota.space import SizeOptions

if TYPE_CHECKING:
    from darts_pt.data.data_set import DataSet
    from darts_pt.evaluation import EvaluationNetwork
    from sota.choice import Choice

PROTOCOL = {
    "epochs": 600,
    "batch_size": 96,
    "learning_rate": 0.025,
    "weight_decay": 3e-4,
    "grad_clip": 5.0,
    "ckpt_interval": 50,
    "init_channels": 36,
    "layers": 20,
}
"""How the paper trains its architectures, after DARTS."""

PRESETS = {"digits": PROTOCOL | {"epochs": 40, "batch_size": 64, "ckpt_interval": 20, "init_channels": 8, "layers": 5}}


@dataclass(frozen=True, kw_only=True)
class SotaTrainOptions(TrainOptions, SizeOptions):
    """Train an architecture of S1–S5 from scratch on the whole training set, and report its test accuracy.

    SGD with a cosine to 0, random crop and flip, drop-path; eval.sh adds cutout and the auxiliary head. The paper's
    network has 36 channels and 20 layers and trains for 600 epochs in batches of 96 (digits: 8, 5, 40 and 64), at a
    learning rate of 0.025, with weight decay 3e-4 and gradients clipped at 5; a checkpoint every 50 epochs (digits: 20).
    """

    seed: int = 2
    """Seed of every random choice; two runs with the same seed on the CPU are identical."""
    arch: str
    """The architecture: a published name such as darts_pt_s5_0, a genotype file, or an experiment, such as
    search-darts-sota-s5-2, whose selection is meant."""
    auxiliary: bool = False
    """Train with an auxiliary head after the second reduction cell."""
    auxiliary_weight: float = 0.4
    """Weight of the auxiliary head's loss."""
    drop_path_prob: float = 0.2
    """What the probability of dropping a path grows to, linearly over the epochs."""
    script: Literal["eval", "eval-c100", "eval-svhn"] = "eval"
    """The first word in the name of the experiment folder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.auxiliary and self.batch_size == 1:
            raise UserError("--batch_size 1: the auxiliary head's batch norm needs at least 2 images")
        in_range("auxiliary_weight", self.auxiliary_weight, 0, 1e6)
        in_range("drop_path_prob", self.drop_path_prob, 0, 0.99)


def folder_of(options: SotaTrainOptions, name: str) -> Path:
    """The experiment folder of training the architecture called `name`."""
    parts = [options.script, name, str(options.seed)]
    parts += [f"cutout-{options.cutout_length}-1.0"] if options.cutout else []
    parts += [f"auxiliary-{options.auxiliary_weight}"] if options.auxiliary else []
    parts += [options.expid_tag] if options.expid_tag else []
    return options.experiments / "sota" / options.dataset / "eval" / "-".join(parts)


def main(options: SotaTrainOptions) -> dict[str, Any]:
    """Train; the summary says accuracies, parameters, multiply-adds and seconds."""
    options = with_preset(options, PRESETS.get(options.dataset, PROTOCOL))
    from darts_pt.commands.training import run_training, training_options
    from sota.choice import find

    choice = find(options.arch, options.experiments / "sota", options.dataset)
    how = training_options(options, auxiliary_weight=options.auxiliary_weight, drop_path_prob=options.drop_path_prob)
    return run_training(
        options,
        how,
        folder_of(options, choice.name),
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
