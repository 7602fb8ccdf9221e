"""SDARTS: how mixing weights are perturbed, and that alpha's step is not."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from benchmarks.parity.__main__ import comparisons, read
from benchmarks.textbook import TextbookSota
from darts_pt.architect import Architect
from darts_pt.methods import METHODS
from darts_pt.methods.sdarts_adv import Adversarial
from darts_pt.methods.sdarts_rs import RandomSmoothing, projected
from darts_pt.supernet import Decisions
from sota.spaces import cell_types
from sota.supernet import SotaSupernet
from tests.helpers.bilevel import batch, double
from tests.helpers.toy import toy_architect


def test_both_perturbations_agree_with_the_originals(records: Path) -> None:
    checked = {
        comparison.quantity: comparison.error
        for comparison in comparisons(read(records / "sota_s2_sdarts.pt"))
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
    perturbed, plain = double(toy_architect(method=METHODS[name].load())), double(toy_architect())
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


def test_an_operation_whose_weight_has_become_0_is_not_computed() -> None:
    """The original's mixed operation leaves it out, so that the ascent does not bring it back by itself."""
    architect = double(toy_architect(method=Adversarial))
    assert isinstance(architect, Adversarial)
    architect.supernet.train()
    start = {"cell": torch.tensor([[0.2, 0.8, 0.0], [0.0, 0.5, 0.5], [0.1, 0.0, 0.9]], dtype=torch.float64)}
    gradient = architect._gradients(start, batch(2), Decisions())["cell"]
    assert torch.equal(gradient != 0, (start["cell"] != 0) & torch.tensor([False, True, True])), "none has none either"
    architect.perturbed = lambda values, images, decisions: start  # type: ignore[method-assign]
    mixing = architect.training_weights(batch(2), Decisions())
    assert mixing.active["cell"] == ((0, 1), (1, 2), (0, 2))


@pytest.mark.parametrize("space", ["s2", "s3", "s5"])
def test_the_ascent_is_the_originals_where_weights_reach_0(space: str) -> None:
    """Against the ascent written out, on the textbook's network, which leaves out what has weight 0."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        supernet = SotaSupernet(space, init_channels=2, layers=3).double()
        images, labels = torch.randn(4, 3, 8, 8, dtype=torch.float64), torch.arange(4)
        alpha = {cell.name: torch.randn(14, len(cell.operations[0])).double() for cell in supernet.cell_types}
    textbook = TextbookSota(cell_types(space), 2, 3, 10, skips_zero=True).double().eval()
    textbook.load_state_dict(supernet.state_dict())
    centre = {name: rows.softmax(-1) for name, rows in alpha.items()}
    moving = {name: rows.clone().requires_grad_() for name, rows in centre.items()}
    zeros = 0
    for _ in range(7):
        loss = F.cross_entropy(textbook(images, moving), labels)
        for rows, gradient in zip(moving.values(), torch.autograd.grad(loss, list(moving.values())), strict=True):
            rows.data.add_(2 * 0.3 / 7 * gradient.sign())
        for name, rows in moving.items():
            rows.data.copy_(centre[name] + (rows.data - centre[name]).clamp(-0.3, 0.3))
            for row in rows.data:
                row.clamp_(0, 1).div_(row.sum())
            zeros += int((rows == 0).sum())
    assert zeros > 10
    architect = Adversarial(supernet, alpha)
    ours = architect.ascend(centre, centre, (images, labels), Decisions())
    for name, rows in moving.items():
        torch.testing.assert_close(ours[name], rows.detach(), rtol=1e-9, atol=1e-9)


def test_a_perturbation_that_lowers_the_loss_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    adversary = double(toy_architect(method=Adversarial))
    assert isinstance(adversary, Adversarial)
    centre = dict(adversary.relaxed())
    losses = iter([torch.tensor(1.0), torch.tensor(0.9)])
    monkeypatch.setattr(adversary, "_loss", lambda *arguments: next(losses))
    kept = adversary.ascend(centre, centre, batch(2), Decisions())
    assert torch.equal(kept["cell"], centre["cell"])
