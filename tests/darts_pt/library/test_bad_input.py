"""Bad input of the library: a ValueError or TypeError that says what and where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import darts_pt
from tests.helpers.library.small_models import WIDTH, Node, choice, data, loaders, mlp


class Looks(nn.Module):
    """NaN in train mode: at the first look, in eval mode, all is well."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * float("nan") if self.training else x


def searched(*layers: nn.Module, train: Any = None, valid: Any = None, **more: Any) -> Any:
    first, second = loaders()
    return darts_pt.search(mlp(*layers), train or first, valid or second, **{"epochs": 1, "quiet": True} | more)


def selected(**more: Any) -> Any:
    return darts_pt.select(mlp(), *loaders(), **{"interval": 1, "quiet": True, "start": ALPHA} | more)


def selected_twice() -> Any:
    model = mlp()
    darts_pt.search(model, *loaders(), 1, quiet=True)
    for _ in range(2):
        darts_pt.select(model, *loaders(), interval=1, quiet=True)


def mixed(**candidates: nn.Module) -> nn.Module:
    return darts_pt.MixedOperation(candidates)


x, y = data()
ALPHA = {"1": [0.0, 0.1, 0.0], "b": [0.0, 0.1, 0.0]}
EMPTY = type("Empty", (), {"__iter__": lambda self: iter(())})()
OTHER = {"x": nn.Identity(), "y": nn.Tanh()}
BAD: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: searched(mixed(a=nn.Identity(), b=nn.Linear(WIDTH, 3))), ValueError, r"1 \(MixedOperation\).*'a'.*'b'"),
    (lambda: searched(mixed(a=nn.Identity(), b=nn.LSTM(WIDTH, WIDTH))), TypeError, r"1 .*'b' returns a tuple"),
    (lambda: searched(mixed(a=nn.ReLU(inplace=True), b=nn.Identity())), ValueError, r"1 .*'a' changes its input in place"),
    (lambda: searched(mixed(a=nn.Identity(), b=nn.Linear(3, WIDTH))), ValueError, r"1 .*'b' fails: .*mat1 and mat2 shapes"),
    (lambda: searched(choice(), train=[(x.double(), y)]), ValueError, r"model fails with .*\(float64\) as inputs: "),
    (lambda: searched(nn.Identity()), ValueError, "no MixedOperation in the model"),
    (lambda: searched(choice("a"), darts_pt.MixedOperation(OTHER, "a")), ValueError, r"2 .*1 "),
    (lambda: searched(Node("n"), choice("n")), ValueError, "keeps None inputs, and another choice named 'n' keeps 2"),
    (lambda: searched(Looks(), choice()), ValueError, r"output of 1 \(Looks\)\) is not a finite number in step 1"),
    (lambda: searched(train=[(x * float("nan"), y)]), ValueError, "inputs of the first train batch hold NaN"),
    (lambda: searched(train=[{"x": x}]), TypeError, r"train: expected every batch to be a pair .* got a dict"),
    (lambda: searched(valid=[(x, y, y)]), TypeError, "valid: .* got 3 values"),
    (lambda: searched(train=iter([(x, y)])), TypeError, "can be read only once"),
    (lambda: searched(train=7), TypeError, "train: expected a DataLoader"),
    (lambda: searched(valid=EMPTY), ValueError, "valid: there is no batch"),
    (lambda: searched(epochs=0), ValueError, "epochs: expected a number above 0"),
    (lambda: searched(epochs="3"), TypeError, "epochs"),
    (lambda: searched(method="dart"), ValueError, "did you mean darts"),
    (lambda: searched(method="pc-darts"), ValueError, r"pc-darts passes part .*MixedOperation\(…, partial_channels=4\)"),
    (lambda: searched(choice(partial_channels=4)), ValueError, r"1 .*multiple of partial_channels=4 channels, got 6"),
    (lambda: choice(partial_channels=0), ValueError, "partial_channels: expected 1 or more"),
    (lambda: searched(method="gdas", options={"tau": 1}), ValueError, "no option 'tau', did you mean tau_min or tau_max"),
    (lambda: searched(method="gdas", options={"tau_max": -1.0}), ValueError, "tau_max: expected a number above 0"),
    (lambda: searched(learning_rate=-1), ValueError, "learning_rate"),
    (lambda: searched(learning_rate="1"), TypeError, "learning_rate: expected a number, got '1'"),
    (lambda: searched(learning_rate=None), TypeError, "learning_rate: expected a number"),
    (lambda: searched(seed="a"), TypeError, "seed: expected a whole number"),
    (lambda: searched(quiet=1), TypeError, "quiet: expected True or False"),
    (lambda: searched(options=["a"]), TypeError, "options: expected a dict, got a list"),
    (lambda: searched(method=None), TypeError, "method: expected a name"),
    (lambda: searched(loss="mse"), TypeError, "loss: expected a function"),
    (lambda: searched(device="cudda"), ValueError, "device: "),
    (lambda: searched(resume=True), ValueError, "resume: .* give folder="),
    (lambda: searched(train=[(x, y + 5)]), ValueError, r"loss: it fails with a tensor of shape \(48, 2\).*out of bounds"),
    (lambda: searched(loss=lambda o, t: F.cross_entropy(o, t).detach()), TypeError, "loss has no gradient"),
    (lambda: searched(loss=lambda o, t: o), TypeError, "loss must return a tensor of one number"),
    (lambda: searched(optimizer=lambda weights: None), TypeError, "optimizer"),
    (lambda: searched(optimizer=torch.optim.SGD(mlp().parameters(), 1.0)), TypeError, "optimizer: expected a function"),
    (lambda: searched(optimizer=lambda weights: torch.optim.Adam(mlp().parameters())), ValueError, "of another model"),
    (lambda: searched(method="darts-2nd", optimizer=torch.optim.Adam), ValueError, "optimizer: .*SGD"),
    (lambda: selected(criterion=lambda o, t: o), TypeError, r"criterion: .* one number, .*got a tensor of shape \(8, 2\)"),
    (lambda: selected(criterion="f1"), ValueError, "criterion: expected 'acc', 'loss' or a function"),
    (lambda: selected(criterion=lambda o, t: float("nan")), ValueError, "criterion is NaN"),
    (lambda: selected(selection="p"), ValueError, "selection: unknown 'p'"),
    (lambda: selected(order="up"), ValueError, "order"),
    (lambda: selected(start={"1": [0.0, 0.0]}), ValueError, "b missing; expected 1, b"),
    (lambda: selected(start={"1": [0.0, 0.0], "b": [0.0] * 3}), ValueError, "alpha of '1': expected 3 finite numbers"),
    (lambda: selected(start=None), ValueError, "start: this model has not been searched"),
    (selected_twice, ValueError, "start: an earlier selection has tuned this model"),
    (lambda: selected(start=3), TypeError, "start: expected a Result"),
    (lambda: selected(start="nowhere"), ValueError, r"nowhere has no result\.json"),
    (lambda: darts_pt.search("model", [], [], 1), TypeError, "model: expected an nn.Module"),  # type: ignore[arg-type]
    (lambda: darts_pt.MixedOperation({"a": nn.Identity()}), ValueError, "at least two candidates"),
    (lambda: darts_pt.MixedOperation([nn.Identity()]), TypeError, "expected a dict"),  # type: ignore[arg-type]
    (lambda: darts_pt.MixedOperation({"a": nn.Identity(), "b": torch.relu}), TypeError, "'b'"),  # type: ignore[dict-item]
    (lambda: darts_pt.MixedOperation({"a.b": nn.Identity(), "c": nn.Tanh()}), ValueError, "name"),
    (lambda: darts_pt.MixedInputs([choice(), nn.Identity()], 1), ValueError, "as many candidates"),
    (lambda: darts_pt.MixedInputs([choice(), choice()], 3), ValueError, "keep: expected 1 to 2"),
    (lambda: darts_pt.MixedInputs([choice(), choice()], 1)(x), ValueError, "expected 2 inputs"),
    (lambda: darts_pt.derive(mlp(Node("m")), searched()), ValueError, "derive: .*another model"),
    (lambda: darts_pt.derive(mlp(), 3), TypeError, "derive: expected the Result"),  # type: ignore[arg-type]
    (lambda: darts_pt.Result.load(__file__), ValueError, "is not a result that Result.save has written"),
]  # fmt: skip


@pytest.mark.hostile
@pytest.mark.parametrize(("call", "kind", "message"), BAD, ids=[message[:40] for _, _, message in BAD])
def test_the_message_says_what_and_where(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()


def test_steps_with_a_nan_can_be_skipped() -> None:
    unclean = [(x * float("nan"), y), (x, y)]
    result = searched(Looks(), choice(), train=unclean, on_nan="skip")
    assert result.history[0]["valid_loss"] == result.history[0]["valid_loss"]


def test_infinity_and_nan_in_a_batch_are_welcome_where_the_model_means_them() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = mlp(outputs=1)

        def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return self.body(x) + mask.exp()

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (outputs - targets)[~targets.isnan()].square().mean()

    targets = x[:, :1].where(x[:, :1] > 0, torch.nan)
    batches = [((x, torch.full((48, 1), -torch.inf)), targets)]
    assert darts_pt.search(Masked(), batches, batches, 1, loss=loss, quiet=True).valid["loss"] > 0


def test_regression_has_no_accuracy_to_compare() -> None:
    pairs = [(x, x[:, :1])]
    with pytest.raises(ValueError, match="criterion: 'acc' needs logits"):
        darts_pt.select(mlp(outputs=1), pairs, pairs, start=ALPHA, loss=F.mse_loss, criterion="acc", quiet=True)
