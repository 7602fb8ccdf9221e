"""Hostile input, file by file, through the commands: one clear line, exit code 2, and not a byte changed.

`python -m pytest -m hostile` runs all of it and says how much there is; what single readers and options refuse stands in
their own tests, under the same mark.
"""

from __future__ import annotations

import io
import pickle
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import nasbench201.projection
import sota.visualize
from darts_pt.commands.command_line import run_command
from darts_pt.run import checkpoint as checkpoints
from nasbench201 import train, train_search
from nasbench201.space import NasBench201SearchOptions, NasBench201SelectionOptions
from nasbench201.table import __main__ as table
from sota.genotypes import published
from sota.visualize import VisualizeOptions
from tests.helpers.hostile import SEARCH, Harmful, cut, refused_unchanged, saved
from tests.helpers.nasbench201 import ARCHITECTURE

pytestmark = pytest.mark.hostile

NAME = "search-darts-201-1-digits"


def search(root: Path, *more: str) -> None:
    run_command(NasBench201SearchOptions, train_search.main, [*SEARCH, "--experiments", str(root), *more])


def select(root: Path, *more: str) -> None:
    arguments = ["--gpu", "cpu", "--fast", "--experiments", str(root), "--resume_expid", NAME, *more]
    run_command(NasBench201SelectionOptions, nasbench201.projection.main, arguments)


# Checkpoints -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("searched")
    search(root)
    return root / "nasbench201" / NAME


@pytest.fixture
def experiment(searched: Path, tmp_path: Path) -> Path:
    """A copy of a search, without the code that ran."""
    ignored = shutil.ignore_patterns("scripts", "runs", "cells.*")
    return Path(shutil.copytree(searched, tmp_path / "nasbench201" / NAME, ignore=ignored))


def flip(seed: int) -> Callable[[bytes], bytes]:
    """A flipped bit within a record's content, which its checksum guards; the archive's own fields may be redundant."""

    def flipped(whole: bytes) -> bytes:
        with zipfile.ZipFile(io.BytesIO(whole)) as archive:
            records = [info for info in archive.infolist() if info.file_size > 16]
        dice = random.Random(seed)
        info = dice.choice(records)
        lengths = whole[info.header_offset + 26 : info.header_offset + 30]  # of the name and of what follows it
        begin = info.header_offset + 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
        position = begin + dice.randrange(info.file_size)
        return whole[:position] + bytes([whole[position] ^ 1 << dice.randrange(8)]) + whole[position + 1 :]

    return flipped


BYTES: dict[str, Callable[[bytes], bytes]] = {
    **{f"cut at {share}": cut(share) for share in (0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999)},
    **{f"flipped bit {seed}": flip(seed) for seed in range(24)},
    **{f"harmful pickle {protocol}": (lambda _, p=protocol: pickle.dumps(Harmful(), p)) for protocol in range(6)},
    "harmful archive": lambda _: saved(Harmful()),
    "harmful legacy file": lambda _: saved(Harmful(), _use_new_zipfile_serialization=False),
    "harmful among the weights": lambda _: saved({"epoch": 1, "state_dict": {"stem": Harmful()}}),
    "text": lambda _: b"not a checkpoint\n",
    "an empty archive": lambda _: b"PK\x05\x06" + bytes(18),
    "noise": lambda _: random.Random(0).randbytes(4000),
    "doubled": lambda whole: whole[: len(whole) // 2] + whole,
    "a list": lambda _: saved([1, 2]),
    "a tensor": lambda _: saved(torch.zeros(3)),
    "a module's class": lambda _: saved(torch.nn.Linear(1, 1)),
    "no keys": lambda _: saved({}),
}


@pytest.mark.parametrize("name", BYTES)
def test_files_that_are_no_checkpoints(
    experiment: Path, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(experiment)
    path = experiment / checkpoints.name(2)
    path.write_bytes(BYTES[name](path.read_bytes()))
    said = refused_unchanged(capsys, experiment, select, experiment.parents[1], "--resume_epoch", "2")
    assert "checkpoint_2" in said


def without(key: str) -> Callable[[dict[str, Any]], Any]:
    return lambda plain: {name: value for name, value in plain.items() if name != key}


def with_(key: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda plain: plain | {key: value}


def with_weights(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda plain: plain | {"state_dict": plain["state_dict"] | changes}


def each(key: str, *values: Any) -> dict[str, Callable[[dict[str, Any]], Any]]:
    """Checkpoints with each of the values under a key."""
    return {f"{key}: {value!r}"[:60]: with_(key, value) for value in values}


def decided(*decision: int) -> dict[str, Any]:
    edge, operation = decision
    return {"operations": {"cell": {edge: operation}}, "edges": {}}


WRONG: dict[str, Callable[[dict[str, Any]], Any]] = {
    **{f"without {key}": without(key) for key in checkpoints.SEARCH_KEYS},
    **each("epoch", -1, "2", 1.5, None, True, [2]),
    **each("state_dict", None, [], {}, "x", 3),
    "a weight too many": with_weights(surplus=torch.zeros(1)),
    "a weight of another shape": with_weights(**{"classifier.bias": torch.zeros(11)}),
    "a weight that is text": with_weights(**{"classifier.bias": "zeros"}),
    "a sparse weight": with_weights(**{"classifier.bias": torch.zeros(10).to_sparse()}),
    **each("alpha", None, {}, [], "x", [None], [1.0]),
    "alpha of another shape": with_("alpha", [torch.zeros(6, 4)]),
    "two alphas": with_("alpha", [torch.zeros(6, 5)] * 2),
    **each("optimizer", None, {}, [], "x", {"state": {}, "param_groups": []}),
    **each("arch_optimizer", None, {}, "x"),
    "another's moments": lambda plain: (
        plain
        | {
            "arch_optimizer": plain["arch_optimizer"]
            | {"state": {0: {"step": torch.ones(()), "exp_avg": torch.ones(3)}}}
        }
    ),
    **each("decisions", 3, [], {"operations": 3}, {"operations": {"x": {0: 0}}, "edges": {}}),
    "a decision for no edge": with_("decisions", decided(99, 0)),
    "a decision for no operation": with_("decisions", decided(0, 99)),
    **each("progress", 3, [], {"steps": 1, "unheard": 2}),
    **each("generators", 3, {"batches": 3}, {"batches": torch.zeros(3)}),
    **each("scheduler", 3, {"last_epoch": "x"}, {"last_epoch": -4, "_step_count": 1}),
    **each("metrics_size", "x", -1, 10**9, None),
    **each("skipped", "x", None),
}


@pytest.mark.parametrize("name", WRONG)
def test_checkpoints_with_the_wrong_things_in_them(
    experiment: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A search that is resumed takes all of a checkpoint."""
    path = experiment / checkpoints.name(1)
    path.write_bytes(saved(WRONG[name](checkpoints.read(path))))
    refused_unchanged(capsys, experiment, search, experiment.parents[1], "--resume_epoch", "1")


# Configurations --------------------------------------------------------------------------------------------------

CONFIGS: dict[str, str] = {
    "empty": "",
    "cut": '{"project": "darts-pt", "opt',
    "a list": "[]",
    "a number": "3",
    "of another project": '{"project": "another", "options": {}}',
    "no options": '{"project": "darts-pt"}',
    "options that are a list": '{"project": "darts-pt", "options": []}',
    "a seed that is text": '{"project": "darts-pt", "options": {"seed": "one"}}',
    "a negative seed": '{"project": "darts-pt", "options": {"seed": -1}}',
    "an unknown data set": '{"project": "darts-pt", "options": {"seed": 1, "dataset": "mnist"}}',
    "an unknown method": '{"project": "darts-pt", "options": {"seed": 1, "dataset": "digits", "method": "magic"}}',
    "a batch size of nothing": '{"project": "darts-pt", "options": {"seed": 1, "dataset": "digits", "batch_size": 0}}',
    "a batch size of text": '{"project": "darts-pt", "options": {"seed": 1, "dataset": "digits", "batch_size": "x"}}',
    "deep": '{"project": "darts-pt", "options": ' + "[" * 100_000,
    "not UTF-8": '{"project": "darts-pt", "options": "\udcff"}',
}


@pytest.mark.parametrize("name", CONFIGS)
def test_configurations_that_are_none(experiment: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = experiment / "config.json"
    path.write_text(CONFIGS[name], encoding="utf-8", errors="surrogateescape")
    (experiment / checkpoints.name(2)).unlink()
    for command in (select, search) if name != "no options" else (select,):
        refused_unchanged(capsys, experiment, command, experiment.parents[1], "--resume_epoch", "-1")


# Genotypes and architectures -------------------------------------------------------------------------------------

GENOTYPE = str(published("darts_pt_s5_0"))
GENOTYPES: dict[str, str] = {
    "empty": "",
    "cut": GENOTYPE[: len(GENOTYPE) // 2],
    "without a bracket": GENOTYPE[:-1],
    "code": "__import__('os').mkdir('harmed')",
    "code inside": GENOTYPE.replace("'sep_conv_3x3'", "__import__('os').mkdir('harmed')", 1),
    "a comprehension": "Genotype(normal=[x for x in ()], normal_concat=[], reduce=[], reduce_concat=[])",
    "an unknown operation": GENOTYPE.replace("sep_conv_3x3", "sep_conv_9x9", 1),
    "an edge from the future": GENOTYPE.replace(", 0)", ", 7)", 1),
    "an edge from before": GENOTYPE.replace(", 0)", ", -1)", 1),
    "an edge from half a node": GENOTYPE.replace(", 0)", ", 0.5)", 1),
    "two reductions": GENOTYPE.replace("normal=", "reduce=", 1),
    "nothing in it": "Genotype()",
    "another class": GENOTYPE.replace("Genotype", "Architecture"),
    "JSON of something else": "[1, 2, 3]",
    "JSON without cells": '{"normal": []}',
    "JSON that is cut": '{"normal": [["sep_conv_3x3", 0]',
    "JSON with null": '{"normal": null, "normal_concat": null, "reduce": null, "reduce_concat": null}',
    "an architecture of the other space": ARCHITECTURE,
    "deep": "Genotype(" + "[" * 20_000,
    "long": "Genotype(normal=" + "1+" * 100_000 + "1)",
    "noise": "".join(chr(33 + number * 7 % 90) for number in range(3000)),
    "a null byte": "Genotype(\0)",
}


@pytest.mark.parametrize("name", GENOTYPES)
def test_files_that_are_no_genotypes(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "genotype.txt").write_text(GENOTYPES[name])
    arguments = ["genotype.txt", "-o", "cells.svg", "--experiments", str(tmp_path / "none")]
    refused_unchanged(capsys, tmp_path, run_command, VisualizeOptions, sota.visualize.main, arguments)


ARCHITECTURES = [
    "", " ", "none", "|none~0|", "|none~0|+|none~0|none~1|", ARCHITECTURE[:-1], ARCHITECTURE[1:], ARCHITECTURE * 2,
    ARCHITECTURE.replace("none", "noone"), ARCHITECTURE.replace("~0", "~1"), ARCHITECTURE.replace("+", "-"),
    ARCHITECTURE.replace("|", "/"), ARCHITECTURE.upper(), ARCHITECTURE + "|", ARCHITECTURE + "+|none~0|",
    ARCHITECTURE.replace("none~1", "none~-1"), ARCHITECTURE.replace("none~1", "none~1.0"),
    "|" * 1000, "+" * 1000, "~" * 1000,
    "../../etc/passwd", "\x1b[31m", "π" * 50, "__import__('os')", GENOTYPE,
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(ARCHITECTURES)))
def test_texts_that_are_no_architectures(
    tmp_path: Path, number: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = ARCHITECTURES[number]
    refused_unchanged(capsys, tmp_path, table.main, ["query", text])
    arguments = [*SEARCH, "--arch", text, "--experiments", str(tmp_path)]
    refused_unchanged(capsys, tmp_path, run_command, train.NasBench201TrainOptions, train.main, arguments)
