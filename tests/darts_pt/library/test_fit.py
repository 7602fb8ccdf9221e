"""Search, select and derive on models of all kinds: methods, losses, batches, folders."""

from __future__ import annotations

import copy
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

import darts_pt
from darts_pt.library.derive import KeptInputs
from tests.helpers.library.small_models import WIDTH, Node, choice, data, loaders, mlp

QUIET: dict[str, Any] = {"quiet": True}


def search(model: nn.Module, epochs: int = 2, **more: Any) -> darts_pt.Result:
    return darts_pt.search(model, *loaders(), epochs, **QUIET | more)


def select(model: nn.Module, **more: Any) -> darts_pt.Result:
    return darts_pt.select(model, *loaders(), **{"interval": 1} | QUIET | more)


def tensors(model: nn.Module) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in model.state_dict().values()]


def equal(first: nn.Module, second: nn.Module) -> bool:
    return all(map(torch.equal, tensors(first), tensors(second)))


@pytest.mark.parametrize("method", [name for name in darts_pt.METHODS if name != "pc-darts"])
def test_every_method_searches_and_pt_selects(method: str) -> None:
    model = mlp(Node("n"), choice(), Node("n"))
    own = {"decide_by": "pt", "criterion": "loss"} if method == "sgas" else {}
    searched = search(model, 4, method=method, **own)
    dropped = {f"n[{place}]" for place in range(3) if place not in searched.inputs["n"]}
    assert len(dropped) == 1
    assert {"2", "n[0]", "n[1]", "n[2]"} - dropped <= set(searched.decisions)
    if method == "sgas":
        assert searched.events
        with pytest.raises(ValueError, match=r"decide_by='pt'"):
            select(model)
        return
    selected = select(model)
    assert selected.settings["method"] == method
    assert len(selected.events) == 5
    assert all(event.rounds for event in selected.events)


@pytest.mark.parametrize("selection", darts_pt.SELECTIONS)
def test_every_selection_decides_everything(selection: str) -> None:
    model = mlp(Node("n"), choice(), Node("n"))
    if selection != "zero-cost-pt":
        search(model)
    own = {"oneshot": {"oneshot_epochs": 1}, "zero-cost-pt": {"zero_cost_score": "nwot"}}.get(selection)
    result = select(model, selection=selection, options=own, criterion="loss")
    assert [event.name for event in result.events][-1] == "n"
    assert sorted(event.name for event in result.events) == ["2", "n", "n[0]", "n[1]", "n[2]"]
    assert result.weights["2"][result.decisions["2"]] == 1.0


def test_what_is_derived_computes_what_the_decided_supernet_does_and_exports() -> None:
    model = mlp(choice(), Node("n"), MixedInNode(), Node("n"))
    search(model)
    result = select(model)
    before = tensors(model)
    network = darts_pt.derive(model, result)
    x, _ = data()
    model.eval(), network.eval()
    torch.testing.assert_close(network(x), model(x))
    assert not any(isinstance(module, darts_pt.MixedOperation | darts_pt.MixedInputs) for module in network.modules())
    assert sum(isinstance(module, KeptInputs) for module in network.modules()) == 2
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
    assert all(map(torch.equal, before, tensors(model)))
    program = torch.export.export(network, (x,))
    torch.testing.assert_close(program.module()(x), network(x))
    copy.deepcopy(model)


class MixedInNode(nn.Module):
    """A choice inside a candidate of another."""

    def __init__(self) -> None:
        super().__init__()
        inner = nn.Sequential(nn.Linear(WIDTH, WIDTH), choice("inner"))
        self.outer = darts_pt.MixedOperation({"plain": nn.Identity(), "deep": inner}, "outer")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.outer(x)


def test_in_place_activations_after_a_kept_skip_do_not_change_what_others_read() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mixed, self.relu = choice("m"), nn.ReLU(inplace=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.relu(self.mixed(x)) + x

    model = mlp(Residual())
    result = select(model, selection="magnitude", start={"m": [1.0, 0.0, 0.0]})
    assert result.decisions == {"m": "skip"}
    x, _ = data()
    torch.testing.assert_close(darts_pt.derive(model, result).eval()(x), model.eval()(x))


def test_results_are_repeatable_and_leave_the_global_random_numbers_alone() -> None:
    models = mlp(), mlp()
    torch.manual_seed(5)
    expected = torch.rand(3)
    for model, seed in zip(models, (5, 5), strict=True):
        torch.manual_seed(seed)
        search(model, method="gdas")
        assert torch.equal(torch.rand(3), expected)
    assert equal(*models)
    assert select(models[0]) == select(models[1])
    assert search(mlp(), seed=1) != search(mlp(), seed=2)


@pytest.mark.parametrize("stop_after", [3, 8])
def test_a_run_that_was_stopped_ends_as_one_that_was_not(tmp_path: Path, stop_after: int) -> None:
    whole, stopped = mlp(), mlp()
    expected = search(whole, 3, folder=tmp_path / "whole")
    steps = 0

    class Counted(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            nonlocal steps
            if torch.is_grad_enabled():
                steps += 1
                if steps == 2 * stop_after:
                    os.kill(os.getpid(), signal.SIGINT)
            return x

    with pytest.raises(KeyboardInterrupt, match="resume=True"):
        search(nn.Sequential(stopped, Counted()), 3, folder=tmp_path / "stopped", resume=True)
    resumed = nn.Sequential(mlp(), nn.Identity())
    found = search(resumed, 3, folder=tmp_path / "stopped", resume=True)
    assert found.history == expected.history
    assert equal(resumed, whole)
    again = search(nn.Sequential(mlp(), nn.Identity()), 3, folder=tmp_path / "stopped", resume=True)
    assert again == found, "a run that has ended is only read"


def test_a_folder_is_an_experiment(tmp_path: Path) -> None:
    search(mlp(), folder=tmp_path / "search")
    model = mlp()
    selected = select(model, start=tmp_path / "search", folder=tmp_path / "pt")
    assert darts_pt.Result.load(tmp_path / "pt" / "result.json") == selected
    for run, kind in (("search", "epoch"), ("pt", "operation_event")):
        lines = map(json.loads, (tmp_path / run / "metrics.jsonl").read_text().splitlines())
        assert kind in {line["kind"] for line in lines}
        assert {"config.json", "log.txt", "genotype.json"} <= {path.name for path in (tmp_path / run).iterdir()}
    with pytest.raises(ValueError, match="overwrite"):
        search(mlp(), folder=tmp_path / "search")
    with pytest.raises(ValueError, match=r"learning_rate: is 0\.5 here"):
        search(mlp(), folder=tmp_path / "search", resume=True, learning_rate=0.5)
    search(mlp(), 1, folder=tmp_path / "search", overwrite=True)


def test_a_selection_starts_from_the_search_of_the_model_or_from_a_file(tmp_path: Path) -> None:
    model = mlp()
    searched = search(model, method="blank")
    searched.save(tmp_path / "r.json")
    twin = copy.deepcopy(model)
    first = select(model, criterion="loss")
    assert first.settings["method"] == "blank"
    assert first.settings["learning_rate"] == pytest.approx(0.0025)
    assert select(twin, criterion="loss", start=darts_pt.Result.load(tmp_path / "r.json")) == first


def test_inputs_may_be_several_and_frozen_weights_stay(tmp_path: Path) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = mlp()
            self.body[0].weight.requires_grad_(False)

        def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
            return self.body(left + right)

    x, y = data()
    for batches in ([((x, x), y)] * 2, [({"left": x, "right": x}, y)] * 2):
        model = Two()
        before = model.body[0].weight.clone()
        darts_pt.search(
            model, batches, batches, 2, optimizer=lambda weights: torch.optim.AdamW(weights, lr=1e-3), **QUIET
        )
        assert torch.equal(model.body[0].weight, before)
        darts_pt.select(model, batches, batches, interval=1, **QUIET)


def test_any_loss_and_criterion() -> None:
    x, _ = data()
    pairs = [(x, x[:, :1] ** 2)]
    model = mlp(outputs=1)
    searched = darts_pt.search(model, pairs, pairs, 2, loss=F.mse_loss, **QUIET)
    assert set(searched.history[0]) == {"epoch", "learning_rate", "train_loss", "valid_loss"}

    def acc(outputs: torch.Tensor, targets: torch.Tensor) -> float:
        """Not accuracy, whatever its name."""
        return float(-(outputs - targets).abs().max())

    result = darts_pt.select(model, pairs, pairs, interval=1, loss=F.mse_loss, criterion=acc, **QUIET)
    scores = result.events[0].rounds[0]
    assert min(scores, key=lambda name: scores[name]["criterion"]) == result.events[0].kept
    assert set(scores["skip"]) == {"loss", "criterion"}
    assert "criterion without the candidate" in str(result)
    assert "<svg" in result._repr_html_()


def test_resnet_with_kernels_to_choose_from() -> None:
    """A model outside this project: torchvision's ResNet-18 on 32-pixel images."""
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=10)
    for block in (block for stage in (model.layer1, model.layer4) for block in stage):
        c = block.conv2.in_channels
        block.conv2 = darts_pt.MixedOperation(
            {f"conv{k}": nn.Conv2d(c, c, k, padding=k // 2, bias=False) for k in (1, 3, 5)}
        )
    batches = [(torch.randn(4, 3, 32, 32), torch.randint(10, (4,))) for _ in range(2)]
    darts_pt.search(model, batches, batches, epochs=1, **QUIET)
    result = darts_pt.select(model, batches, batches, interval=1, criterion="loss", **QUIET)
    assert list(result.decisions) == ["layer1.0.conv2", "layer1.1.conv2", "layer4.0.conv2", "layer4.1.conv2"]
    network = darts_pt.derive(model, result).eval()
    torch.testing.assert_close(network(batches[0][0]), model.eval()(batches[0][0]))


def test_before_and_after_the_model_computes_by_itself() -> None:
    model = mlp().eval()
    x, _ = data()
    choices = [module for module in model if isinstance(module, darts_pt.MixedOperation)]
    assert all(module.weights == [1 / 3] * 3 for module in choices)
    result = search(model)
    assert not model.training
    assert choices[0].weights == list(result.weights["1"].values())
    model(x).sum().backward()
