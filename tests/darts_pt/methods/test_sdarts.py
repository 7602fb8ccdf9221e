"""SDARTS: how mixing weights are perturbed, and that alpha's step is not."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from benchmarks.parity import comparisons
from darts_pt.architect import Architect
from darts_pt.methods import METHODS
from darts_pt.methods.sdarts_adv import Adversarial
from darts_pt.methods.sdarts_rs import RandomSmoothing, projected
from darts_pt.supernet import Decisions
from tests.darts_pt.test_architect import batch, double
from tests.toy import toy_architect


def test_both_perturbations_agree_with_the_originals(golden: Path) -> None:
    checked = {
        comparison.quantity: comparison.error
        for comparison in comparisons(golden / "sota_s2_sdarts.pt")
        if "perturbation" in comparison.quantity
    }
    assert set(checked) == {"random perturbation", "adversarial perturbation"}
    assert max(checked.values()) < 1e-12


def test_rows_are_clipped_and_normalised() -> None:
    rows = torch.tensor([[0.5, -0.2, 0.3], [1.5, 0.5, 0.0], [-0.3, -0.1, -0.2], [0.25, 0.25, 0.5]])
    expected = torch.tensor([[0.625, 0.0, 0.375], [2 / 3, 1 / 3, 0.0], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5]])
    torch.testing.assert_close(projected(rows), expected)


def test_the_radius_grows_linearly_and_stands_at_its_end_in_selection() -> None:
    architect = toy_architect(method=RandomSmoothing)
    assert isinstance(architect, RandomSmoothing)
    assert architect.epsilon == 0.3, "before any epoch of search, as in selection"
    radii = []
    for epoch in range(50):
        architect.start_epoch(epoch, 50)
        radii.append(architect.epsilon)
    assert radii[0] == pytest.approx(0.03)
    assert radii[25] == pytest.approx(0.03 + 0.27 / 2)
    assert radii[49] == pytest.approx(0.03 + 0.27 * 49 / 50)


def test_the_noise_is_uniform_in_the_box() -> None:
    architect = toy_architect(method=RandomSmoothing)
    assert isinstance(architect, RandomSmoothing)
    noise = architect.uniform_noise(torch.zeros(100, 200))
    assert noise.abs().max() <= 0.3
    assert noise.mean().abs() < 0.3 / math.sqrt(3 * 20000) * 5
    assert noise.square().mean() == pytest.approx(0.3**2 / 3, rel=0.03)


@pytest.mark.parametrize("name", ["sdarts-rs", "sdarts-adv"])
def test_alphas_step_and_what_is_scored_are_unperturbed(name: str) -> None:
    perturbed, plain = double(toy_architect(method=METHODS[name])), double(toy_architect())
    for architect in (perturbed, plain):
        architect.supernet.train()
        architect.step(batch(1), Decisions())
    assert torch.equal(perturbed.alpha["cell"], plain.alpha["cell"])
    decisions = Decisions().with_operation("cell", 1, 2)
    mixing, training = perturbed.mixing(decisions).values["cell"], perturbed.training_weights(batch(2), decisions)
    assert torch.equal(mixing, plain.mixing(decisions).values["cell"])
    assert not torch.equal(mixing, training.values["cell"])
    assert torch.equal(mixing[1], training.values["cell"][1]), "a decided edge is not perturbed"
    assert not training.values["cell"].requires_grad


def loss_of(architect: Architect, values: dict[str, torch.Tensor]) -> float:
    architect.supernet.eval()
    images, labels = batch(2)
    mixing = architect.mixing(Decisions())
    with torch.no_grad():
        return float(F.cross_entropy(architect.supernet(images, type(mixing)(values, mixing.active)), labels))


def test_the_adversary_raises_the_loss_and_more_than_chance() -> None:
    adversary, random = double(toy_architect(method=Adversarial)), double(toy_architect(method=RandomSmoothing))
    for architect in (adversary, random):
        architect.supernet.train()
    worst = loss_of(adversary, dict(adversary.training_weights(batch(2), Decisions()).values))
    by_chance = [loss_of(random, dict(random.training_weights(batch(2), Decisions()).values)) for _ in range(20)]
    assert worst > max(by_chance)
    adversary.supernet.train()
    adversary.training_weights(batch(2), Decisions())
    assert adversary.supernet.training, "eval mode is for the ascent alone"


def test_a_perturbation_that_lowers_the_loss_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    adversary = double(toy_architect(method=Adversarial))
    assert isinstance(adversary, Adversarial)
    centre = dict(adversary.relaxed())
    losses = iter([torch.tensor(1.0), torch.tensor(0.9)])
    monkeypatch.setattr(adversary, "_loss", lambda *arguments: next(losses))
    kept = adversary.ascend(centre, centre, batch(2), Decisions())
    assert torch.equal(kept["cell"], centre["cell"])
