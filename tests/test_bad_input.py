"""Hostile input, file by file, through the commands: one clear line, exit code 2, and not a byte changed.

`python -m pytest -m hostile` runs all of it and says how much there is. That every truncation and every flipped bit is
found is tested where the files are read, under the same mark; so is what single options refuse.
"""

from __future__ import annotations

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
from tests.helpers.hostile import PICKLES, Harmful, Refuse, saved, search
from tests.helpers.toy import toy_training

pytestmark = pytest.mark.hostile

NAME = "search-darts-201-1-digits-fast"


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
    "an empty archive": b"PK\x05\x06" + bytes(18),
    "a module's class": saved(torch.nn.Linear(1, 1)),
    "no keys": saved({}),
}


@pytest.mark.parametrize("name", NOT_CHECKPOINTS)
def test_files_that_are_not_checkpoints(experiment: Path, name: str, refuse: Refuse) -> None:
    path, damage = experiment / checkpoints.name(2), NOT_CHECKPOINTS[name]
    path.write_bytes(damage if isinstance(damage, bytes) else damage(path.read_bytes()))
    said = refuse(select, "--resume_epoch", "2")
    assert "checkpoint_2" in said
    assert "harmful" not in name or "neither plain data nor tensors" in said


BIAS, MOMENTS = "classifier.bias", {0: {"step": torch.ones(()), "exp_avg": torch.ones(3)}}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"state_dict": {"surplus": torch.zeros(1)}}, "has weights surplus that this network lacks"),
    ({"state_dict": {BIAS: torch.zeros(11)}}, "classifier.bias has shape (11,), expected (10,)"),
    ({"state_dict": {BIAS: "zeros"}}, "classifier.bias has shape str"),
    ({"state_dict": {BIAS: torch.zeros(10).to_sparse()}}, "its weights do not fit"),
    ({"alpha": [torch.zeros(6, 4)]}, "alpha of cell has shape (6, 4), expected (6, 5)"),
    ({"alpha": [torch.zeros(6, 5)] * 2}, "has 2 alphas, expected 1"),
    ({"optimizer": {"state": {}, "param_groups": []}}, "the optimiser of the weights does not fit"),
    ({"arch_optimizer": {"state": MOMENTS}}, "exp_avg has shape (3,), expected (6, 5)"),
    ({"decisions": {"operations": {"x": {0: 0}}, "edges": {}}}, "its decisions do not fit"),
    ({"decisions": {"operations": {"cell": {99: 0}}, "edges": {}}}, "its decisions do not fit"),
    ({"decisions": {"operations": {"cell": {0: 99}}, "edges": {}}}, "its decisions do not fit"),
    ({"progress": {"steps": 1, "unheard": 2}}, "its progress"),
    ({"generators": {"batches": torch.zeros(3)}}, "random state"),
    ({"decisions": {"operations": {}, "edges": {"cell": {1: [0]}}}}, "its decisions do not fit"),
    ({"scheduler": {"last_epoch": -4, "_step_count": 1}}, "its scheduler lacks its position"),
    ({"scheduler": {"last_epoch": 1.5, "_step_count": 2}}, "scheduler"),
    ({"scheduler": {"get_lr": 1}}, "scheduler"),
    ({"metrics_size": 10**9}, "metrics.jsonl has lost lines"),
]


@pytest.mark.parametrize(("change", "complaint"), WRONG)
def test_checkpoints_with_the_wrong_things_in_them(
    experiment: Path, change: dict[str, Any], complaint: str, refuse: Refuse
) -> None:
    """A search that is resumed takes all of a checkpoint."""
    path = experiment / checkpoints.name(1)
    content = checkpoints.read(path)
    for key, value in change.items():
        content[key] = content[key] | value if key in ("state_dict", "arch_optimizer") else value
    path.write_bytes(saved(content))
    assert complaint in refuse(search, "--resume_epoch", "1")


JUNK = (None, -1, 1.5, True, "x", [], {}, [None], [1.0], {"x": 3}, torch.zeros(3))
USABLE = {
    ("scheduler", "None"), ("scheduler", "{}"), ("generators", "{}"), ("decisions", "None"), ("progress", "None"),
    ("progress", "{}"), ("skipped", "-1"), ("skipped", "1.5"), ("skipped", "True"),
}  # fmt: skip
"""Values that stand for a beginning, or numbers where a number is expected."""


@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")
def test_no_value_of_a_checkpoint_can_have_another_type(
    few_digits: DataSet, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    whole = toy_training(few_digits).to_checkpoint()
    for key in whole.keys() - {"method_state", "metrics_size"}:  # of which one is the method's, one the experiment's
        for junk in JUNK:
            if (key, repr(junk)) in USABLE:
                continue
            record_property("inputs", 1)
            path = tmp_path / "checkpoint_1.pth.tar"
            checkpoints.write(whole | {key: junk}, path)
            try:
                toy_training(few_digits).restore(checkpoints.read(path), path)
            except UserError:
                continue
            pytest.fail(f"{key} may be {junk!r}")


# Configurations --------------------------------------------------------------------------------------------------

IN_FULL = '{"project": "darts-pt", "options": {"seed": 1, "dataset": "digits"%s}}'
NO_OPTIONS = '{"project": "darts-pt"}'
CONFIGS = [
    "", "\0", "[]", "3", IN_FULL[:30], "\udcff" + IN_FULL, NO_OPTIONS[:-1] + ', "options": ' + "[" * 100_000, NO_OPTIONS,
    NO_OPTIONS[:-1] + ', "options": []}', '{"project": "another", "options": {}}', IN_FULL % ', "seed": "one"',
    NO_OPTIONS[:-1] + ', "options": {"seed": -1}}', IN_FULL % ', "dataset": "mnist"', IN_FULL % ', "method": "magic"',
    IN_FULL % ', "train_portion": [1]', IN_FULL % ', "batch_size": 0', IN_FULL % ', "batch_size": "x"',
]  # fmt: skip


def test_configurations_that_are_broken(experiment: Path, refuse: Refuse) -> None:
    (experiment / checkpoints.name(2)).unlink()
    for text in CONFIGS:
        (experiment / "config.json").write_text(text, encoding="utf-8", errors="surrogateescape")
        for command in (select, search) if text != NO_OPTIONS else (select,):
            refuse(command, "--resume_epoch", "-1")
