"""Derived networks: sizes, the auxiliary head, drop-path."""

from __future__ import annotations

import json
from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darts_pt.complexity import count_multiply_adds, count_parameters
from darts_pt.run.device import Generators, seeded
from sota.genotypes import CONCAT, PUBLISHED, Genotype, published, published_names
from sota.network import AuxiliaryHead, SotaNetwork
from sota.operations import rectified_halves

CONVOLUTIONS = published("darts_pt_s5_0")


def tiny(genotype: Genotype = CONVOLUTIONS, layers: int = 3, auxiliary: bool = False) -> SotaNetwork:
    generators = Generators(0, "cpu")
    with seeded(generators["weights"]):
        network = SotaNetwork(genotype, 2, layers, 10, auxiliary)
    network.draw_from(generators)
    return network


@cache
def images(size: int = 32) -> Tensor:
    return torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def without_initialisation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting needs no initial weights."""
    for module in (nn.Conv2d, nn.BatchNorm2d, nn.Linear):
        monkeypatch.setattr(module, "reset_parameters", lambda self: None)


@pytest.mark.usefixtures("without_initialisation")
@pytest.mark.parametrize(("size", "channels", "layers"), [("C=16 L=8", 16, 8), ("C=36 L=20", 36, 20)])
def test_every_published_network_has_its_published_number_of_parameters(size: str, channels: int, layers: int) -> None:
    table = json.loads(PUBLISHED.read_text())
    for name in published_names():
        recorded = table[name]["million_parameters"][size]
        network = SotaNetwork(published(name), channels, layers, recorded["classes"], auxiliary=True)
        assert round(count_parameters(network) / 1e6, 6) == recorded["value"], name


def test_multiply_adds_are_those_that_torch_counts() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    network = tiny(auxiliary=True).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(images()[:1])
    network.train()
    assert count_multiply_adds(network, 32, 32) == counter.get_total_flops() // 2 > 0
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())


def test_the_auxiliary_head_speaks_in_train_mode_only() -> None:
    network = tiny(auxiliary=True)
    assert network.train()(images())[1].shape == (4, 10)
    assert network.eval()(images())[1] is None
    assert tiny().train()(images())[1] is None


@pytest.mark.parametrize(("side", "stride", "of_maps"), [(8, 3, 8), (8, 3, 9), (8, 3, 10), (7, 2, 7), (7, 2, 8)])
def test_the_auxiliary_head_pools_as_the_original_whatever_that_can_take(side: int, stride: int, of_maps: int) -> None:
    head = AuxiliaryHead(3, 10, side).eval()
    maps = torch.randn(2, 3, of_maps, of_maps, generator=torch.Generator().manual_seed(1))
    pooled = F.avg_pool2d(F.relu(maps), 5, stride)
    assert torch.equal(head(maps), head.classifier(head.features[2:](pooled).flatten(1)))


@pytest.mark.parametrize("size", [4, 7, 8, 33, 64])
def test_images_of_other_sizes_pass_too(size: int) -> None:
    logits, auxiliary_logits = tiny(auxiliary=True).train()(images(size))
    assert logits.shape == auxiliary_logits.shape == (4, 10)


@pytest.mark.parametrize("layers", [1, 2, 3, 5])
def test_any_depth_passes(layers: int) -> None:
    assert tiny(layers=layers, auxiliary=True).train()(images())[0].shape == (4, 10)


@pytest.mark.parametrize("name", ["noise", "sep_conv_7x7", "conv_7x1_1x7", "max_pool_3x3"])
def test_operations_that_no_published_genotype_has_pass_too(name: str) -> None:
    genes = tuple((name, source) for _ in range(4) for source in (0, 1))
    network = tiny(Genotype(genes, CONCAT, genes, CONCAT))
    assert network(images())[0].isfinite().all()


def test_drop_path_leaves_eval_mode_and_probability_0_alone() -> None:
    network = tiny().eval()
    assert torch.equal(network(images(), 0.9)[0], network(images())[0])
    network.train()
    assert torch.equal(network(images(), 0.0)[0], network(images())[0])


def test_dropped_paths_follow_from_the_seed() -> None:
    first, second = (tiny().train()(images(), 0.5)[0] for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, tiny().train()(images())[0])


def test_drop_path_spares_the_identity_and_nothing_else() -> None:
    """With all other paths dropped, only what identities carry is left."""
    skips = (("skip_connect", 0), ("sep_conv_3x3", 1)) * 4
    network = tiny(Genotype(skips, CONCAT, skips, CONCAT))
    normal, reduction = network.cells[0], network.cells[1]
    inputs = torch.randn(4, 6, 8, 8, generator=torch.Generator().manual_seed(2))
    dropped = torch.zeros(8, 4, 1, 1, 1)
    with torch.no_grad():
        carried = normal.preprocess0(inputs)
        assert torch.allclose(normal(inputs, inputs, dropped), carried.repeat(1, 4, 1, 1))
        # At stride 2 a skip connection is a factorised reduce, which is dropped like any operation.
        assert not reduction(inputs, torch.randn(4, 8, 8, 8), dropped).any()


def test_what_is_kept_is_scaled_up_to_the_same_mean() -> None:
    network = tiny().train()
    kept = network._kept_paths(torch.zeros(5000, 3, 1, 1), 0.2)
    assert set(kept.unique().tolist()) == {0.0, 1.25}
    assert kept.mean().item() == pytest.approx(1.0, abs=0.01)


def test_drop_path_without_a_generator_is_refused() -> None:
    network = SotaNetwork(CONVOLUTIONS, 2, 1, 10)
    with pytest.raises(RuntimeError, match="draw_from"):
        network.train()(images(), 0.5)


@pytest.mark.parametrize("shape", [(4, 4), (5, 4), (4, 7), (5, 5), (1, 1), (2, 1)])
def test_halves_are_slices_of_the_rectified_map(shape: tuple[int, int]) -> None:
    maps = torch.randn(
        2, 3, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True
    )
    rectified = torch.relu(maps)
    shifted = F.pad(rectified[:, :, 1:, 1:], (0, shape[1] % 2, 0, shape[0] % 2))
    expected = [rectified[:, :, ::2, ::2], shifted[:, :, ::2, ::2]]
    found = rectified_halves(maps)
    torch.testing.assert_close(list(found), expected, rtol=0, atol=0)
    torch.testing.assert_close(
        torch.autograd.grad([half.square().sum() for half in found], maps),
        torch.autograd.grad([half.square().sum() for half in expected], maps),
    )
