"""The bilevel step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darts_pt.architect import Architect, bilevel_step
from darts_pt.hyperparameters import AlphaOptions
from darts_pt.methods.blank import FixedAlpha
from darts_pt.supernet import Decisions
from tests.helpers.bilevel import GRAD_CLIP, batch, double, same, sgd, weights
from tests.helpers.oracle import mixing_weights
from tests.helpers.toy import toy_architect


def alpha_gradient(architect: Architect, data: tuple[Tensor, Tensor]) -> Tensor:
    alpha = architect.alpha["cell"]
    mixing = mixing_weights(architect.supernet.cell_types, architect.alpha, Decisions())
    return torch.autograd.grad(F.cross_entropy(architect.supernet(data[0], mixing), data[1]), alpha)[0]


def test_alpha_step_moves_alpha_alone() -> None:
    architect = double(toy_architect())
    before, alpha = weights(architect.supernet), architect.alpha["cell"].detach().clone()
    architect.supernet.train()
    architect.step(batch(1), Decisions())
    assert same(before, weights(architect.supernet))
    assert all(parameter.grad is None for parameter in architect.supernet.parameters())
    assert not torch.equal(architect.alpha["cell"], alpha)


def test_alpha_step_is_adams_with_weight_decay_and_without_clipping() -> None:
    architect = double(toy_architect(), AlphaOptions(arch_learning_rate=0.01, arch_weight_decay=0.1))
    architect.supernet.train()
    alpha = architect.alpha["cell"].detach().clone()
    gradient = alpha_gradient(architect, batch(1)) + 0.1 * alpha
    architect.step(batch(1), Decisions())
    # In Adam's first step the corrected moments are the gradient and its square.
    expected = alpha - 0.01 * gradient / (gradient.abs() + 1e-8)
    assert torch.allclose(architect.alpha["cell"], expected, rtol=1e-9, atol=0)


def test_alphas_learning_rate_and_betas_are_the_papers() -> None:
    group = toy_architect().optimizer.param_groups[0]
    assert (group["lr"], group["betas"], group["weight_decay"]) == (3e-4, (0.5, 0.999), 1e-3)


def test_a_decided_edges_alpha_gets_no_gradient() -> None:
    architect = double(toy_architect(), AlphaOptions(arch_weight_decay=0.0))
    before = architect.alpha["cell"].detach().clone()
    architect.supernet.train()
    architect.step(batch(1), Decisions().with_operation("cell", 1, 2))
    moved = (architect.alpha["cell"] != before).any(dim=1)
    assert moved.tolist() == [True, False, True]


def test_alpha_can_be_stepped_when_everything_is_decided() -> None:
    """Tuning goes on after the last event; then only alpha's weight decay acts, as in the original."""
    architect = double(toy_architect())
    decisions = Decisions({"cell": {0: 1, 1: 2, 2: 1}})
    before = architect.alpha["cell"].detach().clone()
    architect.step(batch(1), decisions)
    assert not torch.equal(architect.alpha["cell"], before)
    assert (before - architect.alpha["cell"]).sign().equal(before.sign())


def test_weight_step_leaves_alpha_where_its_own_step_put_it() -> None:
    architect, twin = double(toy_architect()), double(toy_architect())
    twin.supernet.train()
    twin.step(batch(1), Decisions())
    before = weights(architect.supernet)
    bilevel_step(architect, sgd(architect), batch(2), batch(1), Decisions(), GRAD_CLIP)
    assert torch.equal(architect.alpha["cell"], twin.alpha["cell"])
    assert not same(before, weights(architect.supernet))


def test_weight_step_is_sgd_under_the_alpha_that_was_just_stepped() -> None:
    architect, twin = double(toy_architect()), double(toy_architect())
    result = bilevel_step(architect, sgd(architect), batch(2), batch(1), Decisions(), GRAD_CLIP)
    twin.supernet.train()
    twin.step(batch(1), Decisions())
    images, labels = batch(2)
    logits = twin.supernet(images, twin.mixing(Decisions()))
    loss = F.cross_entropy(logits, labels)
    names, parameters = zip(*twin.supernet.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss, parameters)
    assert result.loss.item() == loss.item()
    assert result.correct.item() == (logits.argmax(1) == labels).sum().item()
    stepped = dict(architect.supernet.named_parameters())
    for name, parameter, gradient in zip(names, parameters, gradients, strict=True):
        expected = parameter - 0.1 * (gradient + 3e-4 * parameter)
        assert torch.allclose(stepped[name], expected, rtol=1e-9, atol=1e-12), name


def test_the_gradient_of_all_weights_together_is_clipped() -> None:
    architect, unclipped = double(toy_architect()), double(toy_architect())
    bilevel_step(unclipped, sgd(unclipped), batch(2), batch(1), Decisions(), 1e9)
    bilevel_step(architect, sgd(architect), batch(2), batch(1), Decisions(), 0.01)

    def norm(supernet: nn.Module) -> float:
        return float(torch.cat([p.grad.flatten() for p in supernet.parameters() if p.grad is not None]).norm())

    assert norm(unclipped.supernet) > 0.1
    assert norm(architect.supernet) == pytest.approx(0.01, rel=1e-3)
    assert norm(architect.supernet) <= 0.01


def test_both_steps_run_in_train_mode() -> None:
    architect = double(toy_architect())
    architect.supernet.eval()
    statistics = architect.supernet.stem[1].running_mean.clone()  # type: ignore[union-attr, index]
    bilevel_step(architect, sgd(architect), batch(2), batch(1), Decisions(), GRAD_CLIP)
    assert architect.supernet.training
    assert architect.supernet.stem[1].num_batches_tracked.item() == 2  # type: ignore[union-attr, index]
    assert not torch.equal(architect.supernet.stem[1].running_mean, statistics)  # type: ignore[union-attr, index]


def test_fixed_alpha_never_moves_and_needs_no_valid_batch() -> None:
    architect = double(toy_architect(method=FixedAlpha))
    before, alpha = weights(architect.supernet), architect.alpha["cell"].detach().clone()
    optimizer = sgd(architect)
    for step in range(3):
        bilevel_step(architect, optimizer, batch(step), None, Decisions(), GRAD_CLIP)
    bilevel_step(architect, optimizer, batch(3), batch(4), Decisions(), GRAD_CLIP)
    assert not architect.uses_valid_batches
    assert torch.equal(architect.alpha["cell"], alpha)
    assert not same(before, weights(architect.supernet))


def test_weights_of_removed_operations_are_not_trained() -> None:
    architect = double(toy_architect())
    before = weights(architect.supernet)
    decisions = Decisions().with_operation("cell", 0, 1)
    bilevel_step(architect, sgd(architect), batch(2), batch(1), decisions, GRAD_CLIP)
    unchanged = {name for name, tensor in weights(architect.supernet).items() if torch.equal(tensor, before[name])}
    assert unchanged == {"cells.0.convolutions.0.1.weight"}
