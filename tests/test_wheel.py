"""`pip install .` brings the method and the spaces, not the tools of this repository."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from darts_pt.run.provenance import PROJECT_ROOT


def test_the_wheel_brings_three_packages_and_one_command(tmp_path: Path) -> None:
    pytest.importorskip("setuptools")
    source = tmp_path / "source"
    for name in ("darts_pt", "nasbench201", "sota", "report", "sweep", "runs", "paper", "benchmarks"):
        shutil.copytree(PROJECT_ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (*PROJECT_ROOT.glob("requirements*.txt"), PROJECT_ROOT / "pyproject.toml", PROJECT_ROOT / "README.md"):
        shutil.copy(path, source)
    build = "from setuptools import build_meta; build_meta.build_wheel('dist')"
    made = subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    (wheel,) = (source / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        files = content.namelist()
        (points,) = (content.read(name).decode() for name in files if name.endswith("entry_points.txt"))
    assert {name.split("/")[0] for name in files if ".dist-info/" not in name} == {"darts_pt", "nasbench201", "sota"}
    assert {"sota/genotypes.json", "nasbench201/table/means.npz"} <= set(files)
    assert "darts-pt = darts_pt.commands.entry:main" in points


@pytest.mark.parametrize("words", [["serach"], ["search", "s9"], []])
def test_the_command_says_what_it_expects(words: list[str]) -> None:
    code = "from darts_pt.commands.entry import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: unknown")
    assert ended.stderr.count("\n") == 1
