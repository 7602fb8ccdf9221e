"""The code of docs/extending.md does what the page says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import darts_pt.methods
import darts_pt.selections
from darts_pt.architect import Architect
from darts_pt.commands.command_line import run_command
from darts_pt.methods import METHODS
from darts_pt.run.provenance import PROJECT_ROOT
from darts_pt.space import SPACES
from paper import __main__ as paper
from paper.options import PaperOptions
from runs import __main__ as runs
from sweep.results import rows
from tests.helpers.plans import graph_of, run_in_turn
from tests.helpers.toy import toy_architect

PAGE = PROJECT_ROOT / "docs" / "extending.md"


def code(name: str) -> str:
    """The block of the page whose first line is `# name`."""
    blocks = re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    return dict(blocks)[name]


def run_afresh(commands: list[list[str]], folder: Path, path: str, first: str = "pass") -> str:
    """Run commands as `python -m` would, one after the other in a new process after `first`; their output."""
    lines = [first, "import runpy, sys"]
    for module, *arguments in commands:
        lines += [
            f"sys.argv = {[module, *arguments]!r}",
            f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)",
        ]
    run = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=folder, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout


ANNEALED, AGREEMENT = "darts_pt/methods/annealed.py", "darts_pt/selections/agreement.py"


@pytest.fixture(params=["in the package", "in another package"])
def added(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    """The page's method and selection, as files in the package or as an installed package with entry points."""
    folder = tmp_path / "added"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for path, package in ((ANNEALED, darts_pt.methods), (AGREEMENT, darts_pt.selections)):
            own = folder / package.__name__
            own.mkdir()
            (own / Path(path).name).write_text(code(path), encoding="utf-8")
            if request.param == "in the package":
                patch.setattr(package, "__path__", [*package.__path__, str(own)])
            else:
                patch.syspath_prepend(own)
        if request.param == "in another package":
            installed = folder / "their_search-1.0.dist-info"
            installed.mkdir()
            (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: their-search\nVersion: 1.0\n")
            (installed / "entry_points.txt").write_text(
                "[darts_pt.methods]\nannealed = annealed\n[darts_pt.selections]\nagreement = agreement\n"
            )
            patch.syspath_prepend(folder)
        yield
    for name in ("annealed", "agreement", "darts_pt.methods.annealed", "darts_pt.selections.agreement"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("added")
def test_a_new_method_is_a_file(tmp_path: Path) -> None:
    assert "annealed" in METHODS
    assert METHODS["annealed"].title == "Annealed DARTS"
    architect = toy_architect(method=METHODS["annealed"].load())
    plain = Architect(architect.supernet, architect.alpha).relaxed()["cell"]
    architect.start_epoch(0, 10)
    early = architect.relaxed()["cell"]
    assert early.std() < plain.std(), "nearly equal at first"
    architect.start_epoch(9, 10)
    assert architect.relaxed()["cell"].equal(plain)


@pytest.mark.usefixtures("added")
def test_a_new_method_and_selection_are_run_with_options_of_their_own(tmp_path: Path) -> None:
    """In a process of its own: the commands' options are made when they are imported."""
    paths = [tmp_path / "added", *sorted((tmp_path / "added").iterdir()), PROJECT_ROOT]
    extend = "; ".join(
        f"import {package.__name__} as package; package.__path__ = {list(package.__path__)!r}"
        for package in (darts_pt.methods, darts_pt.selections)
    )
    common = ["--dataset", "digits", "--gpu", "cpu", "--experiments", str(tmp_path), "--fast"]
    name = "search-annealed-201-1-digits-fast"
    commands = [
        ["nasbench201.train_search", *common, "--method", "annealed", "--temperature", "3", "--epochs", "1"],
        ["nasbench201.projection", *common, "--resume_expid", name, "--selection", "agreement", "--proj_intv", "1"],
    ]
    run_afresh(commands, PROJECT_ROOT, os.pathsep.join(map(str, paths)), extend)
    folder = tmp_path / "nasbench201" / name
    assert json.loads((folder / "config.json").read_text())["options"]["temperature"] == 3.0
    (selection,) = folder.glob("log_resume-1-agreement-*/metrics.jsonl")
    events = [json.loads(line)["values"] for line in selection.read_text().splitlines() if "operation_event" in line]
    assert len(events) == 6
    for event in events:
        assert event["kept"] == event["candidates"][event["agreement"].index(min(event["agreement"]))]


@pytest.fixture
def plain_space(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The page's space in an installed package, which tells of it by an entry point."""
    installed = tmp_path / "site"
    (installed / "plain").mkdir(parents=True)
    for name in ("plain/space.py", "plain/supernet.py"):
        (installed / name).write_text(code(name), encoding="utf-8")
    (installed / "plain-0.1.dist-info").mkdir()
    (installed / "plain-0.1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: plain\nVersion: 0.1\n")
    entry = "[darts_pt.spaces]\nplain = plain.space\n"
    (installed / "plain-0.1.dist-info" / "entry_points.txt").write_text(entry)
    monkeypatch.syspath_prepend(installed)
    monkeypatch.setenv("PYTHONPATH", str(installed))
    monkeypatch.delitem(SPACES.__dict__, "_found", raising=False)


PLAN = """
spaces = ["plain"]
datasets = ["digits"]
methods = ["gdas"]
selections = ["pt", "zero-cost-pt"]
seeds = [1]
report = {formats = ["png"]}
[search]
epochs = 1
[search.plain]
fast = true
[select]
proj_intv = 1
fast = true
[evaluate]
epochs = 1
fast = true
"""


@pytest.mark.usefixtures("plain_space")
def test_a_new_space_has_every_command_and_sweeps_and_reports(tmp_path: Path) -> None:
    common = ["--dataset", "digits", "--gpu", "cpu", "--experiments", str(tmp_path), "--fast"]
    searched = "search-gdas-plain-1-digits-fast"
    commands = {
        "search": ["--method", "gdas", "--epochs", "1"],
        "selection": ["--resume_expid", searched, "--proj_intv", "1"],
        "training": ["--arch", searched, "--epochs", "1"],
    }
    for kind, arguments in commands.items():
        runs.main([kind, "plain", *common, *arguments])
    (path,) = (tmp_path / "plain" / searched).glob("log_resume-*/genotype.json")
    genotype = json.loads(path.read_text())["genotype"]
    assert re.fullmatch(r"1<-0:[135] 2<-0:[135] 2<-1:[135]", genotype)

    with pytest.raises(SystemExit) as end:  # In processes of their own, which must find the space again.
        runs.main(
            ["selection", "plain", *common, "--resume_expid", searched, "--proj_intv", "2", "--nproc_per_node", "2"]
        )
    assert end.value.code == 0
    assert list((tmp_path / "plain" / searched).glob("log_resume-*-intv-2*/genotype.json"))

    graph = graph_of(tmp_path, PLAN)
    run_in_turn(graph)
    assert [job.is_done for job in graph.jobs] == [True] * 5 + [False], "the report is made at every sweep"
    assert {row["method"]: len(row["test_accuracy"]["by_seed"]) for row in rows(graph)} == {
        "gdas + pt (trial)": 1,
        "gdas + zero-cost-pt (trial)": 1,
    }
    page = (tmp_path / "sweeps" / "plan" / "report" / "index.html").read_text()
    assert "space: Plain; data: digits" in page
    assert "python -m runs selection plain --seed 1" in page


@pytest.mark.usefixtures("plain_space")
@pytest.mark.parametrize("item", [["--figure", "2"], ["--figure", "6"], ["--table", "4"]])
def test_a_new_space_has_the_papers_figures_and_tables(item: list[str], tmp_path: Path) -> None:
    arguments = [*item, "--space", "plain", "--fast", "--gpu", "cpu", "--experiments", str(tmp_path)]
    run_command(PaperOptions, paper.main, [*arguments, "--output", str(tmp_path / "out")])
    assert "Plain" in (tmp_path / "out" / "paper.md").read_text()


def test_a_space_with_a_new_operation_is_a_line_and_a_module(tmp_path: Path) -> None:
    """In a copy of the project, edited as the page says: every command takes it, and shows it."""
    packages = shutil.ignore_patterns("__pycache__", "*.npz")
    for name in ("darts_pt", "nasbench201", "sota", "runs", "paper", "report", "sweep"):
        shutil.copytree(PROJECT_ROOT / name, tmp_path / name, ignore=packages)
    shutil.copy(PROJECT_ROOT / "pyproject.toml", tmp_path)
    blocks = dict(
        re.findall(r"```python\n# (sota/\w+\.py), in \w+\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    )
    edits = {
        "sota/spaces.py": ('    "s5": (_S5, _S5),\n', '    "s5": (_S5, _S5),\n' + blocks["sota/spaces.py"]),
        "sota/operations.py": ('    if name == "none":\n', blocks["sota/operations.py"] + '    if name == "none":\n'),
    }
    for name, (old, new) in edits.items():
        text = (tmp_path / name).read_text(encoding="utf-8")
        text = text.replace('    "conv_7x1_1x7",\n)', '    "conv_7x1_1x7",\n    "conv_5x5",\n)')
        assert old in text
        (tmp_path / name).write_text(text.replace(old, new, 1), encoding="utf-8")
    plan = 'spaces = ["s6"]\ndatasets = ["digits"]\nmethods = ["darts"]\nselections = ["magnitude"]\nseeds = [2]\n'
    plan += "[search]\nfast = true\nepochs = 1\n[select]\nfast = true\n"
    (tmp_path / "plan.toml").write_text(plan + "[evaluate]\nfast = true\nepochs = 1\n")
    small, where = ["--dataset", "digits", "--fast", "--gpu", "cpu"], ["--experiments", "e"]
    commands = [
        ["sota.train_search", "--space", "s6", "--epochs", "1", *small],
        ["sota.train", "--arch", "search-darts-sota-s6-2-fast", "--epochs", "1", *small],
        ["sweep", "plan.toml", "--dry_run"],
        ["sota.projection", "--resume_expid", "search-darts-sota-s6-2-fast", "--proj_intv", "1", *small],
        ["report.page", "-o", "report", "--formats", "svg", "--details", "0"],
        ["paper", "--figure", "6", "--space", "s6", "--fast", "--dry_run", "--experiments", "p"],
    ]
    said = run_afresh([[module, *where, *arguments] for module, *arguments in commands], tmp_path, str(tmp_path))
    assert "4 jobs, 1 of them done" in said
    page = (tmp_path / "report" / "index.html").read_text()
    assert "space: S6; data: digits." in page
    assert "--space s6" in said
