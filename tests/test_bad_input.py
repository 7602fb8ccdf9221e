"""Hostile input, file by file, through the commands: one clear line, exit code 2, and not a byte changed.

`python -m pytest -m hostile` runs all of it and says how much there is. That every truncation and every flipped bit is
found is tested where the files are read, under the same mark; so is what single options refuse.
"""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from darts_pt.commands.command_line import run_command
from darts_pt.data.data_set import DataSet
from darts_pt.run import checkpoint as checkpoints
from darts_pt.run.errors import UserError
from nasbench201 import projection
from nasbench201.space import NasBench201SelectionOptions
from tests.helpers.hostile import PICKLES, Harmful, Refuse, count, saved, search
from tests.helpers.toy import toy_training

pytestmark = pytest.mark.hostile

NAME = "search-darts-201-1-digits"


def select(*more: str) -> None:
    arguments = ["--gpu", "cpu", "--fast", "--experiments", ".", "--resume_expid", NAME, *more]
    run_command(NasBench201SelectionOptions, projection.main, arguments)


def test_the_harm_of_these_files_is_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(PICKLES["harmful pickle 2"])
    assert (tmp_path / "harmed").is_dir()


# Checkpoints -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("searched")
    search("--experiments", str(root))
    return root / "nasbench201" / NAME


@pytest.fixture
def experiment(searched: Path, tmp_path: Path) -> Path:
    """A copy of a search, without the code that ran."""
    ignored = shutil.ignore_patterns("scripts", "runs", "cells.*")
    return Path(shutil.copytree(searched, tmp_path / "nasbench201" / NAME, ignore=ignored))


NOT_CHECKPOINTS: dict[str, bytes | Callable[[bytes], bytes]] = {
    **PICKLES,
    "harmful among the weights": saved({"epoch": 1, "state_dict": {"stem": Harmful()}}),
    "empty": b"",
    "cut": lambda whole: whole[: len(whole) // 2],
    "doubled": lambda whole: whole[: len(whole) // 2] + whole,
    "a byte of another value": lambda whole: whole[:9000] + bytes([whole[9000] ^ 4]) + whole[9001:],
    "text": b"not a checkpoint\n",
    "an empty archive": b"PK\x05\x06" + bytes(18),
    "a module's class": saved(torch.nn.Linear(1, 1)),
    "no keys": saved({}),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_CHECKPOINTS)
def test_files_that_are_not_checkpoints(experiment: Path, name: str, refuse: Refuse) -> None:
    path, damage = experiment / checkpoints.name(2), NOT_CHECKPOINTS[name]
    path.write_bytes(damage if isinstance(damage, bytes) else damage(path.read_bytes()))
    assert "checkpoint_2" in refuse(select, "--resume_epoch", "2")


MOMENTS = {"state": {0: {"step": torch.ones(()), "exp_avg": torch.ones(3)}}}
WRONG: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "no optimizer": lambda plain: {name: value for name, value in plain.items() if name != "optimizer"},
    "a weight too many": lambda plain: {"state_dict": plain["state_dict"] | {"surplus": torch.zeros(1)}},
    "a weight of another shape": lambda plain: {"state_dict": plain["state_dict"] | {"classifier.bias": torch.zeros(11)}},
    "alpha of another shape": lambda _: {"alpha": [torch.zeros(6, 4)]},
    "two alphas": lambda _: {"alpha": [torch.zeros(6, 5)] * 2},
    "no groups": lambda _: {"optimizer": {"state": {}, "param_groups": []}},
    "another's moments": lambda plain: {"arch_optimizer": plain["arch_optimizer"] | MOMENTS},
    "a decision for another cell": lambda _: {"decisions": {"operations": {"x": {0: 0}}, "edges": {}}},
    "a decision for an unknown edge": lambda _: {"decisions": {"operations": {"cell": {99: 0}}, "edges": {}}},
    "a decision for an unknown operation": lambda _: {"decisions": {"operations": {"cell": {0: 99}}, "edges": {}}},
    "unknown progress": lambda _: {"progress": {"steps": 1, "unheard": 2}},
    "a generator's state of three numbers": lambda _: {"generators": {"batches": torch.zeros(3)}},
    "a schedule before its beginning": lambda _: {"scheduler": {"last_epoch": -4, "_step_count": 1}},
    "more metrics than there are": lambda _: {"metrics_size": 10**9},
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_checkpoints_with_the_wrong_things_in_them(experiment: Path, name: str, refuse: Refuse) -> None:
    """A search that is resumed takes all of a checkpoint."""
    path = experiment / checkpoints.name(1)
    plain, change = checkpoints.read(path), WRONG[name]
    changed = change(plain)
    path.write_bytes(saved(changed if name.startswith("no opt") else plain | changed))
    refuse(search, "--resume_epoch", "1")


JUNK = (None, -1, 1.5, True, "x", [], {}, [None], [1.0], {"x": 3}, torch.zeros(3))
USABLE = {
    ("scheduler", "None"), ("scheduler", "{}"), ("generators", "{}"), ("decisions", "None"), ("progress", "None"),
    ("progress", "{}"), ("skipped", "-1"), ("skipped", "1.5"), ("skipped", "True"),
}  # fmt: skip
"""What stands for a beginning, or is a number where a number is expected."""


@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")
def test_no_value_of_a_checkpoint_can_have_another_type(few_digits: DataSet, tmp_path: Path) -> None:
    whole = toy_training(few_digits).to_checkpoint()
    for key in whole.keys() - {"method_state", "metrics_size"}:  # of which one is the method's, one the experiment's
        for junk in JUNK:
            if (key, repr(junk)) in USABLE:
                continue
            count()
            path = tmp_path / "checkpoint_1.pth.tar"
            checkpoints.write(whole | {key: junk}, path)
            try:
                toy_training(few_digits).restore(checkpoints.read(path), path)
            except UserError:
                continue
            pytest.fail(f"{key} may be {junk!r}")


# Configurations --------------------------------------------------------------------------------------------------

CONFIGS: dict[str, Any] = {
    "empty": "",
    "cut": '{"project": "darts-pt", "opt',
    "deep": '{"project": "darts-pt", "options": ' + "[" * 100_000,
    "not UTF-8": '{"project": "darts-pt", "options": "\udcff"}',
    "a list": [],
    "a number": 3,
    "of another project": {"project": "another", "options": {}},
    "no options": {"project": "darts-pt"},
    "options that are a list": {"project": "darts-pt", "options": []},
    "a seed that is text": {"seed": "one"},
    "a negative seed and no data set": {"project": "darts-pt", "options": {"seed": -1}},
    "an unknown data set": {"dataset": "mnist"},
    "an unknown method": {"method": "magic"},
    "a batch size of nothing": {"batch_size": 0},
    "a batch size of text": {"batch_size": "x"},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_configurations_that_are_broken(experiment: Path, name: str, refuse: Refuse) -> None:
    content = CONFIGS[name]
    if isinstance(content, dict) and "project" not in content:
        content = {"project": "darts-pt", "options": {"seed": 1, "dataset": "digits"} | content}
    text = content if isinstance(content, str) else json.dumps(content)
    (experiment / "config.json").write_text(text, encoding="utf-8", errors="surrogateescape")
    (experiment / checkpoints.name(2)).unlink()
    for command in (select, search) if name != "no options" else (select,):
        refuse(command, "--resume_epoch", "-1")
