"""Facts that hold for every search method, whatever it changes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from darts_pt.data.data_set import DataSet
from darts_pt.methods import METHODS
from darts_pt.run.experiment import Experiment
from darts_pt.run.provenance import PROJECT_ROOT
from darts_pt.run.saver import Saver
from darts_pt.search_loop import search
from darts_pt.selections.magnitude import MagnitudeRule
from darts_pt.supernet import Decisions
from darts_pt.training import SupernetTraining
from tests.helpers.interrupted import contents, run
from tests.helpers.toy import TWO_EDGES_EACH, toy_architect, toy_training


def test_names_are_known_without_torch() -> None:
    code = "import sys, sota.space, nasbench201.space; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, check=False).returncode == 0


def search_three_epochs(training: SupernetTraining, experiment: Experiment, saver: Saver) -> None:
    search(training, saver, 3, rule=MagnitudeRule())


@pytest.mark.parametrize("name", METHODS)
def test_a_search_stopped_anywhere_goes_on_to_the_same_bits(few_digits: DataSet, tmp_path: Path, name: str) -> None:
    def training() -> SupernetTraining:
        return toy_training(few_digits, TWO_EDGES_EACH, METHODS[name].load(), epochs=3, batch_size=24)

    assert run(training(), tmp_path / "whole", search_three_epochs)
    assert not run(training(), tmp_path / "stopped", search_three_epochs, stop_after=11)
    assert run(training(), tmp_path / "stopped", search_three_epochs)
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")


@pytest.mark.parametrize("name", METHODS)
def test_decided_and_dropped_edges_are_so_in_every_step(name: str) -> None:
    architect = toy_architect(TWO_EDGES_EACH, METHODS[name].load())
    architect.supernet.train()
    decisions = Decisions().with_operation("normal", 0, 2).with_operation("normal", 2, 1).with_operation("normal", 3, 2)
    decisions = decisions.with_edges("normal", 3, (2, 3))
    generator = torch.Generator().manual_seed(0)
    batch = torch.randn(8, 3, 8, 8, generator=generator), torch.randint(10, (8,), generator=generator)
    for mixing in (
        architect.mixing(decisions),
        architect.alpha_weights(decisions),
        architect.training_weights(batch, decisions),
    ):
        values, active = mixing.values["normal"].detach(), mixing.active["normal"]
        for edge, operation in ((0, 2), (2, 1), (3, 2)):
            assert values[edge].tolist() == [float(operation == index) for index in range(3)]
            assert active[edge] == (operation,)
        assert values[4].tolist() == [0.0, 0.0, 0.0]
        assert active[4] == ()
        rows = torch.cat([mixing.values["reduce"].detach(), values[[1, 5, 6, 7, 8]]])
        torch.testing.assert_close(rows.sum(dim=1), torch.ones(len(rows)))
        assert (rows >= 0).all()
