"""Networks side by side compute what each computes alone, in float64 to rounding."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from darts_pt.data.data_set import DataSet, Images
from darts_pt.data.loaders import TensorLoader
from darts_pt.evaluation import NetworkTraining, TrainingOptions
from darts_pt.run.device import Generators, seeded
from darts_pt.run.experiment import Experiment
from darts_pt.run.saver import Saver
from darts_pt.search import Metrics
from nasbench201.architecture import operations_of
from nasbench201.digits_table.side_by_side import SideBySideTraining, side_by_side, train_side_by_side
from nasbench201.network import NasBench201Network

ARCHITECTURES = (
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|skip_connect~0|none~1|nor_conv_3x3~2|",
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|none~0|skip_connect~1|nor_conv_3x3~2|",
    "|none~0|+|none~0|nor_conv_1x1~1|+|avg_pool_3x3~0|nor_conv_3x3~1|skip_connect~2|",
    "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
)
"""Equal and unequal neighbours on every edge, nodes without input, a convolution of zeros, and a cell of zeros."""

OPTIONS = TrainingOptions(epochs=2, batch_size=20, learning_rate=0.1, weight_decay=5e-4, nesterov=True)


def networks(seeds: list[int], dtype: torch.dtype = torch.float64) -> tuple[list[NasBench201Network], list[Generators]]:
    generators = [Generators(seed, "cpu") for seed in seeds]
    made = []
    for architecture, own in zip(ARCHITECTURES, generators, strict=True):
        with seeded(own["weights"]):
            made.append(NasBench201Network(operations_of(architecture), 3, 2, 10).to(dtype))
    return made, generators


def train_epoch(alone: NetworkTraining, experiment: Experiment, saver: Saver) -> Metrics:
    trained = alone.train_epoch(experiment, saver, report_freq=100)
    alone.end_epoch()
    return trained


def test_the_joined_network_says_what_each_says() -> None:
    singles, _ = networks([1, 2, 3, 4])
    joined = side_by_side(singles)
    images = torch.randn(6, 4, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for mode in (True, False):
        joined.train(mode)
        logits = joined(images.flatten(1, 2))[0].view(6, 4, 10)
        for index, network in enumerate(singles):
            alone = network.train(mode)(images[:, index])[0]
            torch.testing.assert_close(logits[:, index], alone, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("augmented", [True, False])
def test_training_together_is_training_each_alone(few_digits: DataSet, experiment: Experiment, augmented: bool) -> None:
    """Initial weights, batches, augmentation, optimiser and evaluation: the same as evaluation training has them."""
    augmentation = (
        few_digits.augmentation if augmented else dataclasses.replace(few_digits.augmentation, crop_padding=0)
    )
    data = dataclasses.replace(few_digits, augmentation=augmentation)
    valid = Images(data.test.pixels[:30], data.test.labels[:30])
    seeds = [1, 2, 1, 4]
    singles, generators = networks(seeds)
    training = SideBySideTraining(singles, data, generators, OPTIONS)
    outcomes, seconds = train_side_by_side(training, valid)
    assert seconds > 0
    singles, generators = networks(seeds)  # from the beginning again
    for index, (network, own, outcome) in enumerate(zip(singles, generators, outcomes, strict=True)):
        alone = NetworkTraining(network, data, own, OPTIONS)
        with Saver(alone, experiment, "--resume_epoch") as saver:
            train = [train_epoch(alone, experiment, saver) for _ in range(OPTIONS.epochs)][-1]
        tested = alone.test()
        alone.loader = TensorLoader(dataclasses.replace(data, test=valid))
        validated = alone.test()
        assert outcome.train_accuracy == pytest.approx(train.accuracy, abs=1e-9), index
        assert (outcome.test_accuracy, outcome.valid_accuracy) == pytest.approx((tested.accuracy, validated.accuracy))
        assert outcome.test_loss == pytest.approx(tested.loss, rel=1e-5)  # evaluation sums its losses in float32
        assert outcome.valid_loss == pytest.approx(validated.loss, rel=1e-5)
        weights = training.network.get_parameter("classifier.weight")[index]
        torch.testing.assert_close(weights, network.classifier.weight, rtol=1e-8, atol=1e-10)
        if index != 3:  # a cell of zeros cuts the stem off: alone it gets no gradient, here a zero one, so it decays
            stem = training.network.get_parameter("stem.0.weight").chunk(4)[index]
            torch.testing.assert_close(stem, network.stem[0].weight, rtol=1e-8, atol=1e-10)
