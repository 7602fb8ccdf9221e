"""Scripts run what they say, and the "next:" line that a command prints can be typed where the command was."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from darts_pt.commands.scripts import SCRIPTS
from darts_pt.methods import METHODS

TINY = "--dataset digits --gpu cpu --fast --epochs 1 --init_channels 4 --batch_size 16"
Typed = Callable[[str, Path], str]


def next_line(said: str) -> str:
    """The command that a command names as the next; empty if there is none."""
    return next(iter(re.findall(r"^next: (.*)$", said, re.MULTILINE)), "")


def in_bash(command: str, folder: Path) -> str:
    """Type the command in `folder`; returns its next line."""
    environment = {**os.environ, "VIRTUAL_ENV": sys.prefix, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, f"{command}\n{ended.stdout[-500:]}\n{ended.stderr[-500:]}"
    return next_line(ended.stdout)


@pytest.fixture
def in_this_process(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Typed:
    """The same without bash: the line of the script that starts Python is read, and its module run."""

    def typed(command: str, folder: Path) -> str:
        bash, script, *words = shlex.split(command)
        assert bash == "bash"
        text = (folder / script).resolve(strict=True).read_text()
        (line,) = re.findall(r'^run_module (.*) "\$@"$', text, re.MULTILINE)
        module, *given = shlex.split(line)
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", [module, *given, *words])
        for name in (module, f"{module}.__main__"):  # Or Python warns that they are run again.
            monkeypatch.delitem(sys.modules, name, raising=False)
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        return next_line(capsys.readouterr().out)

    return typed


def follow(typed: Typed, first: str, folder: Path, runs: Path, small: str = "--proj_intv 1") -> None:
    """Type the command and each that is named as the next, made small; `small`: how the selection is."""
    selection = typed(f"bash {os.path.relpath(SCRIPTS, folder)}/{first} {TINY} --experiments {runs}", folder)
    assert "-proj-" in selection
    training = typed(f"{selection} --gpu cpu {small}", folder)
    assert "eval.sh" in training
    assert typed(f"{training} --gpu cpu --epochs 1 --init_channels 4 --batch_size 16", folder) == ""
    assert list(runs.rglob("summary.json"))


def test_each_next_line_runs_where_it_was_printed(tmp_path: Path) -> None:
    follow(in_bash, "blank-sota.sh --space s4 --layers 3", tmp_path, tmp_path / "runs")


def test_the_readmes_commands_can_be_tried_by_adding_fast_to_each(in_this_process: Typed, tmp_path: Path) -> None:
    readme = (SCRIPTS.parent / "README.md").read_text(encoding="utf-8").partition("Step by step")[2]
    commands = [line.partition("  ")[0] for line in readme.split("```")[1].splitlines() if line.startswith("bash ")]
    assert len(commands) == 6
    small = {"search": "--epochs 1", "proj": "--proj_intv 1", "eval.sh": "--epochs 1"}
    for command in commands:
        script = command.split()[1]
        kind = next((kind for kind in ("proj", "eval.sh", "report.sh") if kind in script), "search")
        added = f"--fast --gpu cpu {small[kind]}" if kind in small else f"--details 0 -o {tmp_path}/page"
        in_this_process(f"{command} {added} --experiments {tmp_path}/runs", SCRIPTS)
    assert len(list((tmp_path / "runs").rglob("genotype.json"))) == 4
    assert len(list((tmp_path / "runs").rglob("summary.json"))) == 1
    assert (tmp_path / "page" / "index.html").is_file()


@pytest.mark.parametrize("method", METHODS)
def test_each_next_line_runs_for_every_method(in_this_process: Typed, method: str, tmp_path: Path) -> None:
    by_magnitude = (
        "--selection magnitude"  # In bash it was by PT, which takes longer; test_methods has it for every method.
    )
    for family, size in (("201", "--cells_per_stage 1"), ("sota", "--space s2 --layers 3")):
        first = f"darts-{family}.sh {size} --method {method}"
        follow(in_this_process, first, SCRIPTS, tmp_path / family, by_magnitude)


@pytest.mark.parametrize(
    ("arguments", "module"),
    [
        ("blank-proj-201.sh --resume_expid search-blank-201-1", "runs selection nasbench201 --method blank"),
        ("blank-proj-sota.sh --resume_expid x", "sota.projection --method blank"),
        ("darts-proj-sota.sh --resume_expid x", "sota.projection --method darts"),
        ("blank-sota.sh", "sota.train_search --method blank"),
        ("darts-sota.sh", "sota.train_search --method darts"),
        ("eval.sh --arch darts_pt_s5_0", "runs training s5 --arch darts_pt_s5_0"),
        ("eval-c100.sh", "sota.train --script eval-c100 --dataset cifar100 --cutout --auxiliary"),
        ("eval-svhn.sh", "sota.train --script eval-svhn --dataset svhn --cutout --auxiliary"),
    ],
)
def test_scripts_run_the_module_that_is_meant(arguments: str, module: str, tmp_path: Path) -> None:
    """With an environment whose Python only says what it is asked to run."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\n[ "$1" = - ] || echo "$@"\n')
    python.chmod(0o755)
    environment = {"VIRTUAL_ENV": str(tmp_path), "PATH": "/usr/bin:/bin"}
    output = subprocess.run(
        ["bash", "-c", f"bash {SCRIPTS}/{arguments}"],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert output.startswith(f"-m {module}")
