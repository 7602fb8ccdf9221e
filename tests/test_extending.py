"""The code of docs/extending.md does what the page says."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

import darts_pt.methods
import darts_pt.selections
from darts_pt.architect import Architect
from darts_pt.methods import METHODS
from darts_pt.registry import Registry
from darts_pt.run.provenance import PROJECT_ROOT
from darts_pt.selections import SELECTIONS
from tests.helpers.nasbench201 import search, select
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


def test_a_new_space_has_every_method_and_selection(tmp_path: Path) -> None:
    (tmp_path / "plain_space.py").write_text(code("plain_space.py"), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        module = importlib.import_module("plain_space")
        common = ["--dataset", "digits", "--gpu", "cpu", "--experiments", str(tmp_path), "--fast"]
        module.search([*common, "--method", "gdas", "--epochs", "1"])
        for selection in ("pt", "zero-cost-pt"):
            arguments = ["--resume_expid", "search-gdas-plain-1", "--selection", selection, "--proj_intv", "1"]
            module.select([*common, *arguments])
    found = list((tmp_path / "plain" / "search-gdas-plain-1").glob("log_resume-*/genotype.json"))
    assert len(found) == 2
    for path in found:
        assert re.fullmatch(r"1<-0:[135] 2<-0:[135] 2<-1:[135]", json.loads(path.read_text())["genotype"])
