"""The "next:" line that a command prints is typed where the command was, until a network is trained."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from darts_pt.commands.scripts import SCRIPTS, selection_script
from darts_pt.methods import METHODS

DIGITS = "--dataset digits --gpu cpu --fast --epochs 1 --init_channels 2 --batch_size 128"


def typed(command: str, folder: Path) -> str:
    """The command that a command names as the next; empty if there is none."""
    environment = {**os.environ, "VIRTUAL_ENV": sys.prefix, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, f"{command}\n{ended.stdout[-500:]}\n{ended.stderr[-500:]}"
    found = re.findall(r"^next: (.*)$", ended.stdout, re.MULTILINE)
    return found[0] if found else ""


@pytest.mark.parametrize(
    ("first", "inside"),
    [("darts-201.sh --method gdas --cells_per_stage 1", True), ("blank-sota.sh --space s4 --layers 3", False)],
    ids=["from exp_scripts", "from elsewhere"],
)
def test_each_next_line_runs_where_it_was_printed(first: str, inside: bool, tmp_path: Path) -> None:
    folder = SCRIPTS if inside else tmp_path
    command = f"bash {SCRIPTS}/{first} {DIGITS} --experiments {tmp_path}/runs"
    selection = typed(command, folder)
    assert "-proj-" in selection
    training = typed(f"{selection} --gpu cpu --proj_intv 1", folder)
    assert "eval.sh" in training
    assert typed(f"{training} --gpu cpu --epochs 1 --init_channels 2", folder) == ""
    assert list((tmp_path / "runs").rglob("summary.json"))


@pytest.mark.parametrize("family", ["201", "sota"])
def test_there_is_a_selection_script_for_every_method(family: str) -> None:
    for method in METHODS:
        assert (SCRIPTS / selection_script(method, family)[0]).is_file()
