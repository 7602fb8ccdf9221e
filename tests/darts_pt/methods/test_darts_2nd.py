"""Second-order DARTS: its gradient against the exact one."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from darts_pt.architect import Architect, WeightStep, bilevel_step
from darts_pt.methods import darts_2nd
from darts_pt.methods.darts_2nd import SecondOrder
from darts_pt.supernet import Decisions
from tests.helpers.bilevel import GRAD_CLIP, batch, double, same, sgd, weights
from tests.helpers.toy import toy_architect


def trained_a_little() -> tuple[SecondOrder, torch.optim.SGD]:
    """A toy with alpha away from its origin and an optimiser that has momentum."""
    architect = double(toy_architect(method=SecondOrder))
    assert isinstance(architect, SecondOrder)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(5)
        architect.alpha["cell"].add_(torch.randn(3, 3, generator=generator, dtype=torch.float64))
    optimizer = sgd(architect)
    for step in range(3):
        bilevel_step(architect, optimizer, batch(10 + step), batch(20 + step), Decisions(), GRAD_CLIP)
    return architect, optimizer


def exact_gradient(architect: Architect, optimizer: torch.optim.SGD, train: object, valid: object) -> Tensor:
    """The gradient by alpha through the weight step itself, by autograd."""
    names = [name for name, _ in architect.supernet.named_parameters()]
    parameters = list(architect.supernet.parameters())
    buffers = {name: buffer.clone() for name, buffer in architect.supernet.named_buffers()}
    group = optimizer.param_groups[0]

    def loss(at: list[Tensor], data: tuple[Tensor, Tensor]) -> Tensor:
        mixing = architect.alpha_weights(Decisions())
        state = {**buffers, **dict(zip(names, at, strict=True))}
        return F.cross_entropy(functional_call(architect.supernet, state, (data[0], mixing)), data[1])

    gradients = torch.autograd.grad(loss(list(parameters), train), parameters, create_graph=True)  # type: ignore[arg-type]
    moved = [
        weight
        - group["lr"]
        * (gradient + group["weight_decay"] * weight + group["momentum"] * optimizer.state[weight]["momentum_buffer"])
        for weight, gradient in zip(parameters, gradients, strict=True)
    ]
    return torch.autograd.grad(loss(moved, valid), architect.alpha["cell"])[0]  # type: ignore[arg-type]


def test_the_gradient_is_the_exact_unrolled_one(monkeypatch) -> None:
    architect, optimizer = trained_a_little()
    train, valid = batch(1), batch(2)
    exact = exact_gradient(architect, optimizer, train, valid)
    monkeypatch.setattr(darts_2nd, "DIFFERENCE", 1e-5)  # the paper's 0.01 is what the difference costs in accuracy
    (ours,) = architect.unrolled_gradient(valid, Decisions(), WeightStep(train, optimizer))
    torch.testing.assert_close(ours, exact, rtol=1e-6, atol=1e-9)
    assert (first_order(architect, valid) - exact).abs().max() > 1e-3 * exact.abs().max(), "the toy tells them apart"


def first_order(architect: Architect, valid: tuple[Tensor, Tensor]) -> Tensor:
    loss = F.cross_entropy(architect.supernet(valid[0], architect.alpha_weights(Decisions())), valid[1])
    return torch.autograd.grad(loss, architect.alpha["cell"])[0]


def test_at_the_papers_radius_it_is_close() -> None:
    architect, optimizer = trained_a_little()
    exact = exact_gradient(architect, optimizer, batch(1), batch(2))
    (ours,) = architect.unrolled_gradient(batch(2), Decisions(), WeightStep(batch(1), optimizer))
    error = torch.linalg.norm(ours - exact)
    assert error < 0.1 * torch.linalg.norm(exact)
    assert error < 0.5 * torch.linalg.norm(first_order(architect, batch(2)) - exact)


def test_looking_ahead_leaves_weights_statistics_and_momentum_as_they_were() -> None:
    architect, optimizer = trained_a_little()
    before = weights(architect.supernet)
    buffers = {name: buffer.clone() for name, buffer in architect.supernet.named_buffers()}
    momenta = [optimizer.state[weight]["momentum_buffer"].clone() for weight in architect.supernet.parameters()]
    alpha = architect.alpha["cell"].detach().clone()
    architect.step(batch(2), Decisions(), WeightStep(batch(1), optimizer))
    assert same(before, weights(architect.supernet))
    assert same(buffers, dict(architect.supernet.named_buffers()))
    for weight, momentum in zip(architect.supernet.parameters(), momenta, strict=True):
        assert torch.equal(optimizer.state[weight]["momentum_buffer"], momentum)
    assert not torch.equal(alpha, architect.alpha["cell"])
