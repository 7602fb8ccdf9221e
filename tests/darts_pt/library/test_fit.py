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
from torch import nn
from torch.nn import functional as F

import darts_pt
from tests.helpers.library.small_models import QUIET, Node, choice, data, mlp, search, select, tensors


def equal(first: nn.Module, second: nn.Module) -> bool:
    return all(map(torch.equal, tensors(first), tensors(second)))


def choosing(method: str = "darts") -> nn.Module:
    """Two nodes that decide together, and a choice by itself."""
    partial = 2 if method == "pc-darts" else 1
    return mlp(
        Node("n", partial_channels=partial), choice(partial_channels=partial), Node("n", partial_channels=partial)
    )


@pytest.mark.parametrize("method", darts_pt.METHODS)
def test_every_method_searches_and_every_selection_follows_it(method: str) -> None:
    model = choosing(method)
    own = {"decide_by": "pt", "criterion": "loss"} if method == "sgas" else {}
    searched = search(model, 4, method=method, **own)
    dropped = {f"n[{place}]" for place in range(3) if place not in searched.inputs["n"]}
    assert len(dropped) == 1
    assert {"2", "n[0]", "n[1]", "n[2]"} - dropped <= set(searched.decisions)
    assert bool(searched.events) == darts_pt.METHODS[method].decides_during_search
    for name, selection in darts_pt.SELECTIONS.items():
        twin = copy.deepcopy(model)
        more: dict[str, Any] = {"selection": name, "criterion": "loss"}
        if name in darts_pt.METHODS[method].refuses:
            with pytest.raises(ValueError, match=f"selection: {name} with {method}"):
                select(twin, **more)
        elif not selection.trained:
            with pytest.raises(ValueError, match="scores an untrained model"):
                select(twin, **more)
        elif searched.events and selection.tunes:
            with pytest.raises(ValueError, match=f"decide_by='{name}'"):
                select(twin, **more)
        else:
            decides_all(select(twin, **more), method, done=bool(searched.events))


def decides_all(result: darts_pt.Result, method: str, done: bool = False) -> None:
    assert result.settings["method"] == method
    if done:
        return
    assert [event.name for event in result.events][-1] == "n"
    assert sorted(event.name for event in result.events) == ["2", "n", "n[0]", "n[1]", "n[2]"]
    assert result.weights["2"][result.decisions["2"]] == 1.0
    by_magnitude = result.settings["selection"] in ("magnitude", "pt-mag")
    assert [bool(event.rounds) for event in result.events] == [not by_magnitude] * 5


def test_a_selection_of_untrained_models_needs_no_search() -> None:
    decides_all(select(choosing(), selection="zero-cost-pt", options={"zero_cost_score": "nwot"}), "darts")


def test_pixels_without_a_label_count_neither_way() -> None:
    body = nn.Conv1d(4, 2, 1)
    model = nn.Sequential(darts_pt.MixedOperation({"a": nn.Identity(), "b": nn.Identity()}), body)
    x = torch.randn(3, 4, 10)
    with torch.no_grad():
        labels = model(x).argmax(1)
    labels[:, 5:] = -100  # As cross-entropy ignores.
    labels[0, 0] = 1 - labels[0, 0]
    result = darts_pt.search(model, [(x, labels)], [(x, labels)], 1, learning_rate=1e-9, learning_rate_min=0.0, **QUIET)
    assert result.valid["accuracy"] == pytest.approx(100 * 14 / 15)


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


def test_a_selection_at_once_goes_on_with_its_own_rule(tmp_path: Path) -> None:
    """It must not be completed by magnitude."""
    forwards, stop_at = 0, 0

    class Counted(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            nonlocal forwards
            forwards += 1
            if forwards == stop_at:
                os.kill(os.getpid(), signal.SIGINT)
            return x

    def selected(folder: str) -> darts_pt.Result:
        how = {"selection": "zero-cost-pt", "options": {"zero_cost_score": "nwot"}}
        return select(nn.Sequential(choosing(), Counted()), folder=tmp_path / folder, resume=True, **how)

    expected = selected("whole")
    stop_at = forwards + forwards // 2  # while candidates are scored
    with pytest.raises(KeyboardInterrupt):
        selected("stopped")
    assert selected("stopped") == expected


def test_a_folder_is_an_experiment(tmp_path: Path) -> None:
    search(mlp(), folder=tmp_path / "search")
    model = mlp()
    selected = select(model, start=tmp_path / "search", folder=tmp_path / "pt")
    assert darts_pt.Result.load(tmp_path / "pt") == darts_pt.Result.load(tmp_path / "pt" / "result.json") == selected
    for run, kind in (("search", "epoch"), ("pt", "operation_event")):
        lines = map(json.loads, (tmp_path / run / "metrics.jsonl").read_text().splitlines())
        assert kind in {line["kind"] for line in lines}
        assert {"config.json", "log.txt", "genotype.json"} <= {path.name for path in (tmp_path / run).iterdir()}
    with pytest.raises(ValueError, match="overwrite"):
        search(mlp(), folder=tmp_path / "search")
    with pytest.raises(ValueError, match=r"learning_rate: is 0\.5 here"):
        search(mlp(), folder=tmp_path / "search", resume=True, learning_rate=0.5)
    search(mlp(), 1, folder=tmp_path / "search", overwrite=True)


def test_a_selection_that_has_ended_is_read_again_by_the_same_call(tmp_path: Path) -> None:
    model = mlp()
    search(model)
    first = select(model, folder=tmp_path / "pt", resume=True)
    assert select(model, folder=tmp_path / "pt", resume=True) == first


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
    assert "criterion (acc) without the candidate" in str(result)
    assert "<svg" in result._repr_html_()


def test_before_and_after_the_model_computes_by_itself() -> None:
    model = mlp().eval()
    x, _ = data()
    choices = [module for module in model if isinstance(module, darts_pt.MixedOperation)]
    assert all(module.weights == [1 / 3] * 3 for module in choices)
    result = search(model)
    assert not model.training
    assert choices[0].weights == list(result.weights["1"].values())
    model(x).sum().backward()
