"""The code of docs/api.md and of examples/ runs as it is written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from darts_pt.run.provenance import PROJECT_ROOT

PAGE = (PROJECT_ROOT / "docs" / "api.md").read_text(encoding="utf-8")
EXAMPLES = sorted((PROJECT_ROOT / "examples").glob("*.py"))


def run(*arguments: str, folder: Path) -> str:
    process = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(PROJECT_ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_the_page_runs_from_top_to_bottom(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) > 8
    (tmp_path / "page.py").write_text("\n".join(blocks), encoding="utf-8")
    said = run("page.py", folder=tmp_path)
    assert "decided by pt" in said
    assert "1 (MixedOperation): candidates must return one shape, but 'a' returns (32, 16) and 'b' (32, 8)" in said
    assert (tmp_path / "runs" / "pt" / "result.json").is_file()


def test_the_page_names_every_public_name() -> None:
    import darts_pt

    assert [name for name in darts_pt.__all__ if name not in ("Event", "__version__") and name not in PAGE] == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_run_and_are_short(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Here with one epoch where the file has several."""
    text = example.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 80
    code = re.sub(r"(\bepochs(: int)? ?= ?)\d+", r"\g<1>1", text)
    exec(compile(code, str(example), "exec"), {"__name__": "__main__"})
    assert "decided by pt" in capsys.readouterr().out


def test_importing_the_package_is_quick() -> None:
    said = run("-c", "import sys, darts_pt; print(darts_pt.__version__, 'torch' in sys.modules)", folder=PROJECT_ROOT)
    assert said.split()[1] == "False"
