"""README and docs say what is there: links lead somewhere, named code exists, the options are the commands' own."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from darts_pt.run.provenance import PROJECT_ROOT
from paper.files import page
from runs.reference import MARK, PAGE, options_page

README = PROJECT_ROOT / "README.md"
PAGES = [README, *sorted((PROJECT_ROOT / "docs").glob("*.md")), PROJECT_ROOT / "data" / "README.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", prose)
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def test_the_readme_is_short() -> None:
    assert len(README.read_bytes()) <= 8192


def test_the_index_of_the_code_names_what_is_there() -> None:
    index = README.read_text(encoding="utf-8").partition("## The code")[2]
    files = re.findall(r"`([\w/]+\.py)`", index)
    assert len(files) > 8
    assert [file for file in files if not (PROJECT_ROOT / file).is_file()] == []
    named = re.findall(r"`([\w/]+\.py)`: ((?:`[\w.]+`(?:, )?)+)", index)
    for file, names in named:
        code = (PROJECT_ROOT / file).read_text(encoding="utf-8")
        for name in re.findall(r"`[\w.]*?(\w+)`", names):
            assert re.search(rf"(def|class) {name}\b", code), f"{file} has no {name}"


def test_the_page_of_the_papers_figures_is_what_their_files_say() -> None:
    docs = PROJECT_ROOT / "docs"
    assert (docs / "paper.md").read_text(encoding="utf-8") == page(docs / "figures")


def test_the_scripts_of_the_reference_are_those_there_are() -> None:
    folder = PROJECT_ROOT / "exp_scripts"
    there = {path.name for path in folder.glob("*.s*")} - {"common.sh"}
    named = set(re.findall(r"`([\w-]+\.s(?:h|batch))", PAGE.read_text(encoding="utf-8")))
    assert named == there


def test_the_options_of_the_reference_are_those_of_the_commands() -> None:
    written = PAGE.read_text(encoding="utf-8").partition(MARK)[2]
    assert written == "\n" + options_page(), "run python -m runs.reference"


def test_the_messages_of_the_troubleshooting_page_are_printed_by_the_code() -> None:
    """Each fixed part of a message stands in a string of the code, or in the scripts."""
    printed = [path.read_text(encoding="utf-8") for path in (PROJECT_ROOT / "exp_scripts").glob("*.sh")]
    for package in ("darts_pt", "nasbench201", "sota", "runs"):
        for path in (PROJECT_ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                parts = node.values if isinstance(node, ast.JoinedStr) else [node]
                fixed = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
                printed += ["".join(fixed), *fixed] if fixed else []
    text = (PROJECT_ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    messages = re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)
    assert len(messages) >= 12
    for message in messages:
        for part in filter(None, (part.strip(" :;,") for part in re.split("…|--…", message))):
            assert any(part in one for one in printed), f"{part!r} is printed nowhere"
