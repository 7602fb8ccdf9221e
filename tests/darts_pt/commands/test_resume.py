"""Finding what earlier runs left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from darts_pt.commands.resume import check_same_options, find_experiment
from darts_pt.commands.scripts import say_next
from darts_pt.run import checkpoint as checkpoints
from darts_pt.run.config import options_of
from darts_pt.run.errors import UserError, did_you_mean, listed
from darts_pt.run.experiment import Experiment
from darts_pt.run.provenance import PROJECT_ROOT


def experiment(root: Path, name: str = "search-darts-201-1", **options: Any) -> Path:
    Experiment(root / name, {"seed": 1, "data": Path("pictures"), **options}, tensorboard=False).close()
    return root / name


def test_experiments_are_found_by_name_and_by_path(tmp_path: Path) -> None:
    folder = experiment(tmp_path)
    assert find_experiment(tmp_path, folder.name) == folder
    assert find_experiment(tmp_path / "elsewhere", str(folder)) == folder


def test_a_trial_goes_by_the_name_of_the_run_that_it_tries(tmp_path: Path) -> None:
    trial = experiment(tmp_path, "search-darts-201-1-fast")
    assert find_experiment(tmp_path, "search-darts-201-1", trial=True) == trial
    with pytest.raises(UserError, match="no such experiment"):
        find_experiment(tmp_path, "search-darts-201-1")
    run = experiment(tmp_path)
    assert find_experiment(tmp_path, "search-darts-201-1", trial=True) == run


def test_the_originals_folders_are_experiments_by_their_checkpoints(tmp_path: Path) -> None:
    checkpoints.write({}, tmp_path / "theirs" / checkpoints.name(100))
    assert find_experiment(tmp_path, "theirs") == tmp_path / "theirs"
    assert options_of(tmp_path / "theirs") == {}


@pytest.mark.parametrize(
    "name", ["search-dart-201-1", "nothing like it", "", "..", "search-darts-201-1/scripts", "~nobody/x"]
)
def test_an_experiment_that_is_not_there_is_told_with_those_that_are(tmp_path: Path, name: str) -> None:
    experiment(tmp_path)
    with pytest.raises(UserError, match=r"--resume_expid .*no such experiment .*search-darts-201-1") as raised:
        find_experiment(tmp_path, name)
    assert "\n" not in str(raised.value)


def test_without_any_experiment_that_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has none yet"):
        find_experiment(tmp_path / "nowhere", "x")


def test_options_come_back_as_they_were(tmp_path: Path) -> None:
    assert options_of(experiment(tmp_path, epochs=5)) == {"seed": 1, "data": Path("pictures"), "epochs": 5}


def test_a_resumed_run_has_the_options_it_began_with(tmp_path: Path) -> None:
    folder = experiment(tmp_path, epochs=5, gpu="0")
    same = {"seed": 1, "data": Path("pictures"), "epochs": 5}
    check_same_options(folder, {**same, "gpu": "cpu", "resume_epoch": 3})
    check_same_options(folder, {**same, "an option of a later version": 1})
    with pytest.raises(UserError, match="--epochs is 6 but search-darts-201-1 was started with 5"):
        check_same_options(folder, {**same, "epochs": 6})


def test_what_to_type_next_has_the_data_and_can_be_typed_where_one_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PROJECT_ROOT)
    say_next(experiment(tmp_path, dataset="folder", experiments="my runs"), "eval.sh", "--arch", "|none~0|")
    line = "next: bash exp_scripts/eval.sh --arch '|none~0|' --dataset folder --data pictures --experiments 'my runs'\n"
    assert capsys.readouterr().out == line
    for folder, script in (("exp_scripts", "eval.sh"), ("docs", "../exp_scripts/eval.sh")):
        monkeypatch.chdir(PROJECT_ROOT / folder)
        say_next(experiment(tmp_path / folder, dataset="cifar10", data=None), "eval.sh", "--arch", "x")
        assert capsys.readouterr().out == f"next: bash {script} --arch x\n"


def test_the_configuration_is_plain_json(tmp_path: Path) -> None:
    assert json.loads((experiment(tmp_path) / "config.json").read_text())["project"] == "darts-pt"


def test_suggestions() -> None:
    assert did_you_mean("cifr10", ["cifar10", "svhn"]) == ", did you mean cifar10?"
    assert did_you_mean("xyz", ["cifar10", "svhn"]) == ""
    assert listed(["a", "b"]) == "a, b"
    assert listed([str(number) for number in range(20)], most=3) == "0, 1, 2 … (20 in all)"
