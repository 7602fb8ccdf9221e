"""GDAS and DrNAS: the distributions they draw mixing weights from, and the gradients through the draws."""

from __future__ import annotations

import pytest
import torch

from darts_pt.methods.drnas import DirichletSampling, sample_dirichlet
from darts_pt.methods.gdas import GumbelSampling
from darts_pt.supernet import Decisions
from tests.helpers.bilevel import batch, double
from tests.helpers.toy import toy_architect

DRAWS = 20000


def gdas(tau: float = 1.0) -> GumbelSampling:
    architect = toy_architect(method=GumbelSampling)
    assert isinstance(architect, GumbelSampling)
    architect._tau = tau
    return architect


# GDAS ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tau", [10.0, 0.1])
def test_an_operation_is_sampled_as_often_as_softmax_says(tau: float) -> None:
    alpha = torch.tensor([0.5, -1.0, 1.5]).expand(DRAWS, 3)
    samples = gdas(tau).sample(alpha)
    assert set(samples.unique().tolist()) <= {0.0, 1.0}, "one-hot, exactly"
    assert torch.equal(samples.sum(dim=1), torch.ones(DRAWS))
    expected = torch.softmax(alpha[0], dim=0)
    deviation = (expected * (1 - expected) / DRAWS).sqrt()
    assert ((samples.mean(dim=0) - expected).abs() < 5 * deviation).all(), "whatever the temperature"


def test_the_gradient_is_that_of_the_relaxed_sample() -> None:
    architect = gdas(tau=2.0)
    alpha = torch.tensor([[0.5, -1.0, 1.5]], dtype=torch.float64, requires_grad=True)
    upstream = torch.tensor([[0.3, -0.7, 0.2]], dtype=torch.float64)
    state = architect.generators["gumbel"].get_state()
    (gradient,) = torch.autograd.grad((architect.sample(alpha) * upstream).sum(), alpha)
    architect.generators["gumbel"].set_state(state)
    gumbel = -torch.empty_like(alpha).exponential_(generator=architect.generators["gumbel"]).log()
    soft = torch.softmax((torch.log_softmax(alpha, dim=-1) + gumbel) / 2.0, dim=-1)
    (expected,) = torch.autograd.grad((soft * upstream).sum(), alpha)
    torch.testing.assert_close(gradient, expected)


def test_the_temperature_falls_linearly() -> None:
    architect = toy_architect(method=GumbelSampling)
    assert isinstance(architect, GumbelSampling)
    assert architect.tau == 0.1, "in selection"
    seen = []
    for epoch in range(11):
        architect.start_epoch(epoch, 11)
        seen.append(architect.tau)
    assert seen[0] == 10.0
    assert seen[5] == pytest.approx((10.0 + 0.1) / 2)
    assert seen[10] == pytest.approx(0.1)


def test_only_the_sampled_operation_is_computed_and_decisions_stand() -> None:
    architect = gdas()
    decisions = Decisions().with_operation("cell", 1, 2)
    mixing = architect.alpha_weights(decisions)
    assert [len(active) for active in mixing.active["cell"]] == [1, 1, 1]
    assert mixing.active["cell"][1] == (2,)
    for edge, (active,) in enumerate(mixing.active["cell"]):
        assert mixing.values["cell"][edge, active] == 1.0
    before = architect.alpha["cell"].detach().clone()
    architect.supernet.train()
    architect.step(batch_of_floats(), decisions)
    assert not torch.equal(before, architect.alpha["cell"])
    assert not architect.training_weights(batch_of_floats(), decisions).values["cell"].requires_grad


def batch_of_floats() -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = batch(1)
    return images.float(), labels


# DrNAS -----------------------------------------------------------------------------------------------------------


def test_draws_have_the_moments_of_the_dirichlet_distribution() -> None:
    concentration = torch.tensor([0.7, 1.0, 2.5], dtype=torch.float64)
    samples = sample_dirichlet(concentration.expand(DRAWS, 3), torch.Generator().manual_seed(3))
    torch.testing.assert_close(samples.sum(dim=1), torch.ones(DRAWS, dtype=torch.float64))
    total = concentration.sum()
    mean = concentration / total
    variance = mean * (1 - mean) / (total + 1)
    assert ((samples.mean(dim=0) - mean).abs() < 5 * (variance / DRAWS).sqrt()).all()
    torch.testing.assert_close(samples.var(dim=0), variance, rtol=0.05, atol=0)


def test_the_gradient_through_draws_is_that_of_the_expectation() -> None:
    """For f(x) = Σ cᵢxᵢ the expectation Σ cᵢβᵢ/Σβ has a closed-form gradient; the mean over draws must agree."""
    concentration = torch.tensor([0.7, 1.0, 2.5], dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    samples = sample_dirichlet(concentration.expand(DRAWS, 3), torch.Generator().manual_seed(4))
    (estimate,) = torch.autograd.grad((samples @ weights).mean(), concentration)
    (exact,) = torch.autograd.grad((concentration / concentration.sum()) @ weights, concentration)
    torch.testing.assert_close(estimate, exact, atol=0.01, rtol=0.03)


def test_zero_alpha_is_the_uniform_distribution_and_the_mean_is_evaluated() -> None:
    architect = double(toy_architect(method=DirichletSampling))
    assert isinstance(architect, DirichletSampling)
    with torch.no_grad():
        architect.alpha["cell"].copy_(torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, -1.0], [2.0, 2.0, 2.0]]))
    concentration = architect.concentration()["cell"]
    torch.testing.assert_close(concentration[0], torch.ones(3, dtype=torch.float64))
    e = torch.exp(torch.tensor(-1.0, dtype=torch.float64))
    torch.testing.assert_close(concentration[1], torch.stack([2 + 0 * e, 1 + 0 * e, e]))
    torch.testing.assert_close(
        architect.mixing(Decisions()).values["cell"], concentration / concentration.sum(dim=1, keepdim=True)
    )


def test_every_step_draws_anew_and_moves_alpha() -> None:
    architect = double(toy_architect(method=DirichletSampling))
    architect.supernet.train()
    first, second = (architect.training_weights(batch(1), Decisions()).values["cell"] for _ in range(2))
    assert not torch.equal(first, second)
    assert not first.requires_grad
    before = architect.alpha["cell"].detach().clone()
    architect.step(batch(1), Decisions())
    assert not torch.equal(before, architect.alpha["cell"])
