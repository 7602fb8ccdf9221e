"""The walls of the house: who may import whom, and how large folders and files are.

Read from the source, so that imports inside functions and under TYPE_CHECKING count too.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SPACES = ("nasbench201", "sota")
PACKAGES = ("darts_pt", *SPACES, "runs", "paper", "report", "sweep", "benchmarks")
Imports = dict[str, set[str]]
"""Module -> the modules of the project that it names in an import anywhere in its source."""


def modules_of(root: Path, packages: tuple[str, ...] = (*PACKAGES, "tests")) -> dict[str, Path]:
    """Dotted name -> file; a package has the name of its folder."""
    paths = sorted(path for package in packages for path in (root / package).rglob("*.py"))
    return {".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def imports_of(modules: dict[str, Path]) -> Imports:
    return {name: set(_imported(name, path, modules)) - {name} for name, path in modules.items()}


def _imported(name: str, path: Path, modules: dict[str, Path]) -> Iterator[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            # `from package import module` and `from module import name` look alike.
            found = [f"{base}.{alias.name}" if f"{base}.{alias.name}" in modules else base for alias in node.names]
        else:
            continue
        yield from (module for module in found if module in modules)


def circle_in(imports: Imports) -> list[str] | None:
    """Modules that import each other in a circle, if there are any."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return error.args[1]
    return None


def strangers(imports: Imports, of: str, *to: str) -> list[str]:
    """Imports from inside a package to the packages that it must not know."""
    return [
        f"{name} imports {target}"
        for name, targets in imports.items()
        if name.split(".")[0] == of
        for target in sorted(targets)
        if target.split(".")[0] in to
    ]


@pytest.fixture(scope="module")
def imports() -> Imports:
    return imports_of(modules_of(ROOT))


def test_a_circle_is_found_wherever_the_import_stands(tmp_path: Path) -> None:
    package = tmp_path / "darts_pt"
    (package / "run").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "a.py").write_text("import os\nfrom darts_pt.run import b\n")
    (package / "run" / "b.py").write_text("def later():\n    from .c import name\n")
    (package / "run" / "c.py").write_text("import os\n")
    modules = modules_of(tmp_path)
    assert imports_of(modules) == {
        "darts_pt": set(), "darts_pt.a": {"darts_pt.run.b"}, "darts_pt.run.b": {"darts_pt.run.c"}, "darts_pt.run.c": set(),
    }  # fmt: skip
    assert circle_in(imports_of(modules)) is None
    (package / "run" / "c.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from darts_pt.a import name\n"
    )
    assert set(circle_in(imports_of(modules)) or ()) == {"darts_pt.a", "darts_pt.run.b", "darts_pt.run.c"}


def test_no_circle_of_imports(imports: Imports) -> None:
    circle = circle_in(imports)
    assert circle is None, " <- ".join(circle)


def test_the_method_knows_neither_spaces_nor_tools(imports: Imports) -> None:
    assert strangers(imports, "darts_pt", *SPACES, *PACKAGES[3:], "tests") == []


def test_the_spaces_do_not_know_each_other_or_the_tools(imports: Imports) -> None:
    for space, other in (SPACES, SPACES[::-1]):
        assert strangers(imports, space, other, *PACKAGES[3:], "tests") == []


def test_nothing_imports_benchmarks_tests_or_what_stands_above_it(imports: Imports) -> None:
    for package in PACKAGES:
        assert strangers(imports, package, "tests", *({"benchmarks", "sweep"} - {package})) == []
    # The paper's figures share the report's style, not the other way round.
    assert strangers(imports, "report", "paper") == []


def test_runs_know_neither_the_page_nor_the_paper(imports: Imports) -> None:
    assert strangers(imports, "runs", "report", "paper") == []


def test_tests_share_by_helpers_alone(imports: Imports) -> None:
    shared = {
        f"{name} imports {target}"
        for name, targets in imports.items()
        for target in targets
        if target.startswith("tests.") and not target.startswith("tests.helpers")
    }
    assert shared == set()


FLAG = re.compile(r"(?<![\w-])--[a-z][a-z_]+")
OPTIONS_OF_GIT = ("--show-toplevel", "--porcelain", "--verify")


def method_files() -> list[Path]:
    return [path for path in (ROOT / "darts_pt").rglob("*.py") if "commands" not in path.relative_to(ROOT).parts]


def test_the_method_parses_no_options() -> None:
    parsers = re.compile(r"^\s*(?:import|from) (?:tyro|argparse)\b", re.MULTILINE)
    assert [str(path) for path in method_files() if parsers.search(path.read_text(encoding="utf-8"))] == []


def test_the_method_names_no_flag() -> None:
    named = {
        f"{path.relative_to(ROOT)}:{node.lineno}: {flag}"
        for path in method_files()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in OPTIONS_OF_GIT
        for flag in FLAG.findall(node.value)
    }
    assert named == set()


# Sizes -----------------------------------------------------------------------------------------------------------

MODULES_IN_A_FOLDER = 17
LINES_IN_A_FILE = 300
LONGER = {
    "benchmarks/speed.py": 347,
    "benchmarks/textbook.py": 333,
    "tests/darts_pt/test_selection.py": 328,
}
"""Files that are longer, and how long they may be: this list may only shrink."""


def test_folders_can_be_taken_in_at_a_glance() -> None:
    files = [
        path
        for package in (*PACKAGES, "tests")
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py"
    ]
    count = Counter(str(path.parent.relative_to(ROOT)) for path in files)
    assert {folder: number for folder, number in count.items() if number > MODULES_IN_A_FOLDER} == {}
    assert max(count.values()) == MODULES_IN_A_FOLDER, "the limit can be lowered"


def test_files_fit_in_a_head() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in modules_of(ROOT).values()
    }
    longer = {path: length for path, length in lengths.items() if length > LINES_IN_A_FILE}
    assert {path: length for path, length in longer.items() if length > LONGER.get(path, 0)} == {}
    assert [path for path in LONGER if path not in longer] == [], "no longer needed in the list of exceptions"
