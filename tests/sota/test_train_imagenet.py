"""Training on ImageNet: the published size of its network, images decoded as they are needed, the command."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from darts_pt.commands.command_line import run_command
from darts_pt.complexity import count_multiply_adds, count_parameters
from darts_pt.data.loaders import MicroBatch
from darts_pt.run import checkpoint as checkpoints
from darts_pt.run.device import Generators
from darts_pt.run.processes import SINGLE_PROCESS, Ranks
from sota import train_imagenet
from sota.genotypes import parse, published
from sota.imagenet import ImageNetLoader
from sota.network import ImageNetNetwork
from tests.helpers.command_line import refused

DARTS_V2 = """Genotype(
    normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 1),
            ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5],
    reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0),
            ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"""
"""The cells of DARTS, second order, whose size on ImageNet its paper gives (Liu et al., ICLR 2019, table 2)."""

CLASSES = ("cat", "dog", "eel")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """15 images to train on and 7 to test on, of three classes and several sizes; a class is a colour."""
    folder = tmp_path_factory.mktemp("imagenet")
    random = np.random.default_rng(0)
    for part, count in (("train", 15), ("val", 7)):
        for number in range(count):
            label = number % len(CLASSES)
            pixels = random.integers(0, 60, (36 + number, 50, 3), dtype=np.uint8)
            pixels[..., label] += 150
            path = folder / part / CLASSES[label] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return folder


def train(images: Path, root: Path, *arguments: str) -> Path:
    command = [
        "--arch", "darts_pt_s5_0", "--data", str(images), "--image_size", "32", "--init_channels", "4", "--layers", "3",
        "--epochs", "2", "--batch_size", "4", "--learning_rate", "0.05", "--ckpt_interval", "1", "--workers", "0",
        "--auxiliary", "--gpu", "cpu", "--experiments", str(root), *arguments,
    ]  # fmt: skip
    run_command(train_imagenet.ImageNetOptions, train_imagenet.main, command)
    (folder,) = (root / "sota" / "imagenet" / "eval").iterdir()
    return folder


def test_the_network_of_darts_is_as_large_as_published() -> None:
    network = ImageNetNetwork(parse(DARTS_V2), 48, 14, 1000, auxiliary=True)
    assert round(count_parameters(network) / 1e6, 1) == 4.7
    assert 500e6 < count_multiply_adds(network, 224, 224) < 600e6, "the mobile setting"
    names = network.state_dict()
    assert {"stem0.0.weight", "stem0.3.weight", "stem1.1.weight", "cells.0.preprocess0.conv_1.weight"} <= set(names)
    assert names["auxiliary_head.classifier.weight"].shape == (1000, 768)
    head = [name for name in names if name.startswith("auxiliary_head.features.") and name.endswith("weight")]
    assert head == [f"auxiliary_head.features.{place}.weight" for place in (2, 3, 5)], (
        "as in DARTS, no second batch norm"
    )


def test_maps_of_7_pixels_are_pooled_to_2_for_the_auxiliary_head() -> None:
    network = ImageNetNetwork(published("darts_pt_s5_0"), 4, 3, 10, auxiliary=True).train()
    sizes: list[tuple[int, ...]] = []
    head = network.auxiliary_head
    assert head is not None
    head.features[1].register_forward_hook(lambda module, inputs, output: sizes.append(tuple(output.shape[2:])))
    logits, auxiliary_logits = network(torch.zeros(2, 3, 224, 224))
    assert auxiliary_logits is not None
    assert (logits.shape, auxiliary_logits.shape, sizes) == ((2, 10), (2, 10), [(2, 2)])


class TestLoader:
    """Images decoded by worker processes."""

    BATCHES = (torch.tensor([3, 1, 4]), torch.tensor([2, 0]), torch.tensor([5, 6, 9]))

    def loaded(
        self, images: Path, batches: Sequence[Tensor], epoch: int = 1, ranks: Ranks = SINGLE_PROCESS, workers: int = 0
    ) -> list[MicroBatch]:
        loader = ImageNetLoader(images, 32, workers, 7, torch.device("cpu"))
        return list(loader.train_batches(batches, epoch, ranks, Generators(0, "cpu"), torch.float32))

    def check_same(self, found: list[MicroBatch], expected: list[MicroBatch]) -> None:
        for ours, theirs in zip(found, expected, strict=True):
            assert torch.equal(ours.images, theirs.images)
            assert torch.equal(ours.labels, theirs.labels)
            assert ours.share == theirs.share

    def test_augmentation_depends_on_image_epoch_and_seed_only(self, images: Path) -> None:
        state = torch.get_rng_state()
        whole = self.loaded(images, self.BATCHES)
        assert torch.equal(torch.get_rng_state(), state), "the global generator is left alone"
        assert [len(batch.labels) for batch in whole] == [3, 2, 3]
        self.check_same(self.loaded(images, self.BATCHES, workers=2), whole)
        self.check_same(self.loaded(images, self.BATCHES[2:]), whole[2:])  # resumed there
        assert not torch.equal(self.loaded(images, self.BATCHES, epoch=2)[0].images, whole[0].images)

    def test_ranks_get_shares_of_it(self, images: Path) -> None:
        whole = self.loaded(images, self.BATCHES)[1]
        shares = [self.loaded(images, self.BATCHES, ranks=Ranks(rank, 3))[1] for rank in range(3)]
        assert [len(share.images) for share in shares] == [0, 1, 1]
        assert torch.equal(torch.cat([share.images for share in shares]), whole.images)
        assert torch.equal(torch.cat([share.labels for share in shares]), whole.labels)

    def test_labels_are_the_class_folders_in_order(self, images: Path) -> None:
        loader = ImageNetLoader(images, 32, 0, 7, torch.device("cpu"))
        assert (loader.class_names, len(loader.train), len(loader.test)) == (CLASSES, 15, 7)
        (batch,) = loader.test_batches([torch.arange(7)], SINGLE_PROCESS, Generators(0, "cpu"), torch.float32)
        assert batch.images.shape == (7, 3, 32, 32)
        brightest = batch.images.mean(dim=(2, 3)).argmax(dim=1)
        assert torch.equal(brightest, batch.labels)


def test_it_trains_and_goes_on_exactly(images: Path, tmp_path: Path) -> None:
    whole = train(images, tmp_path / "whole")
    parts = Path(shutil.copytree(tmp_path / "whole", tmp_path / "parts")) / whole.relative_to(tmp_path / "whole")
    (parts / checkpoints.name(2)).unlink()
    assert train(images, tmp_path / "parts", "--resume_epoch", "1") == parts
    for name in (checkpoints.name(2), "metrics.jsonl"):
        assert (parts / name).read_bytes() == (whole / name).read_bytes()
    summary = (whole / "summary.json").read_text()
    assert '"test_top5_accuracy": 100.0' in summary, "there are only three classes"
    assert '"classes": 3' in summary
    metrics = (whole / "metrics.jsonl").read_text()
    assert '"learning_rate": 0.05' in metrics
    assert '"learning_rate": 0.025' in metrics, "it falls linearly"


def without(part: str) -> Callable[[Path], None]:
    return lambda folder: shutil.rmtree(folder / part)


def break_image(folder: Path) -> None:
    (folder / "train" / "cat" / "0.png").write_bytes(b"\x89PNG no more")


def empty_class(folder: Path) -> None:
    for path in (folder / "train" / "eel").iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("harm", "arguments", "message"),
    [
        (without("train"), (), "train holds no class folders"),
        (without("val"), (), "no folder val"),
        (empty_class, (), "eel holds no images"),
        (without("val/dog"), (), "val lacks the class 'dog'"),
        (break_image, (), "0.png cannot be read as an image"),
        (shutil.rmtree, (), "is not a folder"),
        (None, ("--batch_size", "16"), "--batch_size: expected at most 15"),
        (None, ("--accumulate", "3"), "expected a multiple of 3"),
        (None, ("--cutout",), "no cutout"),
        (None, ("--dataset", "cifar10"), "--dataset"),
        (None, ("--image_size", "8"), "--image_size: expected a number from 32"),
    ],
)
def test_bad_input_is_one_line(
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    harm: Callable[[Path], None] | None,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    if harm:
        images = Path(shutil.copytree(images, tmp_path / "images"))
        harm(images)
    line = refused(capsys, train, images, tmp_path / "root", *arguments)
    assert message in line
    assert not list((tmp_path / "root").rglob("checkpoint*"))
