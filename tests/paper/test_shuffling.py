"""Edges and layers change places, and nothing else changes."""

from __future__ import annotations

import pytest
import torch

from darts_pt.run.device import Generators, seeded
from darts_pt.supernet import Decisions, initial_alpha
from nasbench201.supernet import NasBench201Supernet
from paper.reference_networks import LAYERS, StagedNetwork, layer_groups
from paper.shuffling import cells_of, draw_pairs, exchanged, exchanged_weights, interchangeable, prefixes_of_edges
from sota.supernet import SotaSupernet
from tests.helpers.oracle import mixing_weights

IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def supernet() -> NasBench201Supernet:
    with seeded(torch.Generator().manual_seed(1)):
        return NasBench201Supernet(4, 1, 10).eval()


def mixing(supernet: NasBench201Supernet | SotaSupernet, scale: float = 1000.0):
    alpha = initial_alpha(supernet.cell_types, Generators(0, "cpu")["alpha"])
    with torch.no_grad():
        spread = {name: scale * rows for name, rows in alpha.items()}
    return mixing_weights(supernet.cell_types, spread, Decisions())


@pytest.mark.parametrize("space", ["nasbench201", "s1", "s2", "s4", "s5"])
def test_every_cell_has_its_edges_in_alphas_order(space: str) -> None:
    network = NasBench201Supernet(2, 1) if space == "nasbench201" else SotaSupernet(space, 2, 3)
    groups = prefixes_of_edges(network.state_dict())
    assert len(groups) == len(cells_of(network)) == 3
    assert [len(group) for group in groups] == [len(network.cell_types[0].edges)] * 3
    pairs = draw_pairs(network.state_dict(), groups, torch.Generator().manual_seed(0))
    for group, (first, second) in zip(groups, pairs, strict=True):
        assert interchangeable(network.state_dict(), group[first], group[second])


@torch.no_grad()
@pytest.mark.parametrize("space", ["nasbench201", "s2", "s5"])
def test_a_shuffled_supernet_computes_something_else_and_is_put_back(space: str) -> None:
    with seeded(torch.Generator().manual_seed(1)):
        network = (NasBench201Supernet(4, 1) if space == "nasbench201" else SotaSupernet(space, 2, 3)).eval()
    weights, groups = mixing(network), prefixes_of_edges(network.state_dict())
    before = network(IMAGES, weights)
    with exchanged(network, groups, [(0, 1)] * 3), exchanged_weights(network, [(0, 1)] * 3):
        assert not torch.allclose(network(IMAGES, weights), before)
    assert torch.equal(network(IMAGES, weights), before)


@torch.no_grad()
def test_edges_between_the_same_nodes_may_change_places_for_free(supernet: NasBench201Supernet) -> None:
    """Edges 3<-0 and 3<-1 read the same where 1<-0 is the identity: then exchanging them changes nothing."""
    weights = mixing(supernet)
    values = weights.values["cell"].clone()
    values[0] = torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0])  # skip_connect alone
    values[1] = values[2] = torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0])  # nothing enters node 2
    weights = type(weights)({"cell": values}, weights.active)
    groups = prefixes_of_edges(supernet.state_dict())
    before = supernet(IMAGES, weights)
    with exchanged(supernet, groups, [(3, 4)] * 3):
        assert not torch.allclose(supernet(IMAGES, weights), before, atol=1e-6)  # the weights alone: not the same
        with exchanged_weights(supernet, [(3, 4)] * 3):
            assert torch.allclose(supernet(IMAGES, weights), before, atol=1e-5)


def test_edges_of_different_stride_do_not_change_places() -> None:
    state = SotaSupernet("s5", 2, 3).state_dict()
    reduction = prefixes_of_edges(state)[1]
    assert interchangeable(state, reduction[0], reduction[1])
    assert not interchangeable(state, reduction[0], reduction[4])


@torch.no_grad()
@pytest.mark.parametrize("name", ["ResNet", "VGG"])
def test_layers_of_a_stage_change_places(name: str) -> None:
    with seeded(torch.Generator().manual_seed(1)):
        network = StagedNetwork(LAYERS[name], channels=4, layers=4, num_classes=10).eval()
    groups = layer_groups(network)
    for seed in range(10):
        for stage, (first, second) in enumerate(
            draw_pairs(network.state_dict(), groups, torch.Generator().manual_seed(seed))
        ):
            assert first < second < 4
            assert first > 0 or stage == 0  # the first layer of a later stage is wider than it reads
    before = network(IMAGES)[0]
    with exchanged(network, groups, [(1, 2)] * 3):
        assert not torch.equal(network(IMAGES)[0], before)
    assert torch.equal(network(IMAGES)[0], before)
