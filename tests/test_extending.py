"""The code of docs/extending.md does what the page says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType

import pytest

import darts_pt.methods
import darts_pt.selections
from darts_pt.architect import Architect
from darts_pt.commands.command_line import run_command
from darts_pt.methods import METHODS
from darts_pt.registry import Registry
from darts_pt.run.provenance import PROJECT_ROOT
from darts_pt.selections import SELECTIONS
from darts_pt.space import SPACES
from paper import __main__ as paper
from paper.options import PaperOptions
from runs import __main__ as runs
from sweep.results import rows
from tests.helpers.nasbench201 import search, select
from tests.helpers.plans import graph_of, run_in_turn
from tests.helpers.toy import toy_architect

PAGE = PROJECT_ROOT / "docs" / "extending.md"


def code(name: str) -> str:
    """The block of the page whose first line is `# name`."""
    blocks = re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    return dict(blocks)[name]


def add(monkeypatch: pytest.MonkeyPatch, folder: Path, package: ModuleType, registry: Registry, path: str) -> None:
    """What adding the file does, in a folder of the test's own."""
    name = Path(path).stem
    (folder / f"{name}.py").write_text(code(path), encoding="utf-8")
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    monkeypatch.setattr(registry, "names", Registry(package.__name__, folder, "").names + registry.names)


def test_a_new_method_is_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    add(monkeypatch, tmp_path, darts_pt.methods, METHODS, "darts_pt/methods/annealed.py")
    assert "annealed" in METHODS
    architect = toy_architect(method=METHODS["annealed"])
    plain = Architect(architect.supernet, architect.alpha).relaxed()["cell"]
    architect.start_epoch(0, 10)
    early = architect.relaxed()["cell"]
    assert early.std() < plain.std(), "nearly equal at first"
    architect.start_epoch(9, 10)
    assert architect.relaxed()["cell"].equal(plain)
    search(tmp_path, "--method", "annealed", "--epochs", "1", "--fast")
    folder = tmp_path / "nasbench201" / "search-annealed-201-1-digits"
    select(tmp_path, "--method", "annealed", "--resume_expid", folder.name, "--proj_intv", "1", "--fast")
    assert list(folder.glob("log_resume-1-pt-*/genotype.json"))


def test_a_new_selection_is_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    add(monkeypatch, tmp_path, darts_pt.selections, SELECTIONS, "darts_pt/selections/agreement.py")
    search(tmp_path, "--epochs", "1", "--fast")
    folder = tmp_path / "nasbench201" / "search-darts-201-1-digits"
    select(tmp_path, "--resume_expid", folder.name, "--selection", "agreement", "--proj_intv", "1", "--fast")
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
    monkeypatch.delitem(SPACES.__dict__, "_found", raising=False)


PLAN = """
spaces = ["plain"]
datasets = ["digits"]
methods = ["gdas"]
selections = ["pt", "zero-cost-pt"]
seeds = [1]
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
    searched = "search-gdas-plain-1-digits"
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

    graph = graph_of(tmp_path, PLAN)
    run_in_turn(graph)
    assert [job.is_done for job in graph.jobs] == [True] * 5 + [False], "the report is made at every sweep"
    assert {row.label: len(row.trained) for row in rows(graph)} == {"gdas + pt": 1, "gdas + zero-cost-pt": 1}
    page = (tmp_path / "sweeps" / "plan" / "report" / "index.html").read_text()
    assert "Plain, digits" in page
    assert "python -m runs selection plain --seed 1" in page


@pytest.mark.usefixtures("plain_space")
@pytest.mark.parametrize("item", [["--figure", "2"], ["--figure", "6"], ["--table", "4"]])
def test_a_new_space_has_the_papers_figures_and_tables(item: list[str], tmp_path: Path) -> None:
    arguments = [*item, "--space", "plain", "--fast", "--gpu", "cpu", "--experiments", str(tmp_path)]
    run_command(PaperOptions, paper.main, [*arguments, "--output", str(tmp_path / "out")])
    assert "Plain" in (tmp_path / "out" / "paper.md").read_text()
