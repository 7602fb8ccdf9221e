"""Passes that are recorded and replayed: here by other means than CUDA graphs, which do the same where there is a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from darts_pt.data.data_set import DataSet
from darts_pt.data.halves import halves
from darts_pt.hyperparameters import WeightOptions
from darts_pt.image_training import Halves, ImageTraining
from darts_pt.kernels import passes
from darts_pt.kernels.passes import DIRECT_RUNS, MOST_RECORDINGS, Outputs, Pass, Recording, Replayed, replayed
from darts_pt.methods import METHODS
from darts_pt.run.device import Generators
from darts_pt.run.errors import UserError
from darts_pt.selections.pt import score, without_each_operation
from darts_pt.supernet import Decisions, MixingWeights, Supernet, initial_alpha
from darts_pt.training import sgd
from tests.helpers.equality import equal
from tests.helpers.spaces import supernet_of
from tests.helpers.toy import search_steps


class OnTheCpu:
    """As CUDA graphs do: what was recorded reads fixed inputs and leaves its results in fixed places."""

    def __init__(self) -> None:
        self.recordings = 0

    def __call__(self, function: Pass, inputs: tuple[Tensor, ...]) -> Recording:
        self.recordings += 1
        places: list[Any] = []

        def replay() -> None:
            found = function(*inputs)
            if not places:
                places.extend(None if output is None else output.clone() for output in found)
            for place, output in zip(places, found, strict=True):
                if place is not None and output is not None:
                    place.copy_(output)

        return Recording(inputs, places, replay)  # type: ignore[arg-type]


def train_and_score(
    data: DataSet, space: str, method: str, run: Callable[[Supernet], Any] | None, device: str = "cpu"
) -> tuple[Any, ...]:
    """Two epochs of search and one of tuning after a decision, and the scores of another decision."""
    generators = Generators(3, device)
    supernet = supernet_of(space, method, generators).to(device, torch.float64)
    if run is not None:
        supernet.run_pass = run(supernet)
    alpha = initial_alpha(supernet.cell_types, generators["alpha"], device, torch.float64)
    architect = METHODS[method].load()(supernet, alpha, None, None, generators)
    options = WeightOptions(batch_size=24)
    split = Halves(*halves(data, 0.5, 0))
    training = ImageTraining(architect, data, split, generators, options, sgd(supernet, options))
    losses = []
    for epoch in range(2):
        architect.start_epoch(epoch, 2)
        for result in search_steps(training):
            assert result is not None
            losses.append(float(result.loss))
        training.progress = None
        losses += training.evaluate(training.valid_batches())
    cell = supernet.cell_types[0]
    training.decisions = Decisions().with_operation(cell.name, 1, 1)
    training.tune()
    scores = score(
        supernet, without_each_operation(architect.mixing(training.decisions), cell, 0), training.valid_batches
    )
    return losses, training.to_checkpoint(), scores


@pytest.mark.parametrize(("method", "space"), [(method, "nasbench201") for method in METHODS] + [("darts", "s4")])
def test_replayed_passes_are_the_same_search_and_selection(
    few_digits: DataSet, monkeypatch: pytest.MonkeyPatch, method: str, space: str
) -> None:
    monkeypatch.setattr(passes, "DIRECT_RUNS", 1)  # Of the two passes of each kind in an epoch.
    recorder = OnTheCpu()
    found = train_and_score(few_digits, space, method, lambda supernet: Replayed(supernet, recorder))
    assert recorder.recordings > 0 or METHODS[method].not_replayable
    assert equal(found, train_and_score(few_digits, space, method, None))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize(
    ("method", "space"), [("darts", "nasbench201"), ("sdarts-adv", "nasbench201"), ("darts", "s4")]
)
def test_cuda_graphs_are_the_same_search_and_selection(few_digits: DataSet, method: str, space: str) -> None:
    from dataclasses import replace

    from darts_pt.data.data_set import Images

    train, test = (Images(part.pixels.cuda(), part.labels.cuda()) for part in (few_digits.train, few_digits.test))
    data = replace(few_digits, train=train, test=test)
    (losses, state, scores), (direct_losses, direct, direct_scores) = (
        train_and_score(data, space, method, run, "cuda") for run in (Replayed, None)
    )
    assert losses == pytest.approx(direct_losses, rel=1e-9)
    assert [score.loss for score in scores] == pytest.approx([score.loss for score in direct_scores], rel=1e-9)
    for found, expected in zip(state["alpha"], direct["alpha"], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


class Doubling:
    """A pass that doubles, and how often it ran."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, images: Tensor, *mixing: Tensor) -> Outputs:
        self.runs += 1
        return (2 * images,)


def mixing_of(active: int) -> MixingWeights:
    return MixingWeights({"cell": torch.zeros(1, 99)}, {"cell": ((active,),)})


def test_a_pass_runs_directly_before_it_is_recorded_and_each_pattern_has_its_own_recording() -> None:
    supernet = supernet_of("nasbench201", "darts", Generators(0, "cpu"))
    recorder, function = OnTheCpu(), Doubling()
    run = Replayed(supernet, recorder)
    for number in range(2 * DIRECT_RUNS):
        (output,) = run("double", function, [torch.full((2,), float(number))], mixing_of(0))
        assert output is not None
        assert output.tolist() == [2.0 * number] * 2
        assert recorder.recordings == (number >= DIRECT_RUNS)
    for change in ("shape", "pattern", "name", "mode"):
        before = recorder.recordings
        supernet.train(change != "mode")
        images = torch.ones(3 if change == "shape" else 2)
        name, pattern = "double" if change != "name" else "other", int(change == "pattern")
        for _ in range(DIRECT_RUNS + 1):
            run(name, function, [images], mixing_of(pattern))
        assert recorder.recordings == before + 1, change


def test_what_was_not_met_for_long_is_forgotten() -> None:
    recorder = OnTheCpu()
    run = Replayed(supernet_of("nasbench201", "darts", Generators(0, "cpu")), recorder)
    for pattern in (*range(MOST_RECORDINGS + 1), 0):
        for _ in range(DIRECT_RUNS + 1):
            run("double", Doubling(), [torch.ones(2)], mixing_of(pattern))
    assert recorder.recordings == MOST_RECORDINGS + 2


def test_what_cannot_be_recorded_is_refused() -> None:
    supernet = supernet_of("nasbench201", "darts", Generators(0, "cpu"))
    with pytest.raises(UserError, match="cuda_graph: needs a GPU"):
        replayed(supernet, torch.device("cpu"))
    with pytest.raises(UserError, match="gdas samples other operations for every step"):
        replayed(supernet, torch.device("cuda"), METHODS["gdas"].not_replayable)
