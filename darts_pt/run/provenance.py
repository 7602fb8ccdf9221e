"""The origin of a run's results: code, versions, device, command line."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darts_pt.run.processes import launch
from darts_pt.version import __version__

if TYPE_CHECKING:
    import torch


_HERE = Path(__file__).resolve().parents[2]
_IS_CHECKOUT = (_HERE / "pyproject.toml").is_file()
PROJECT_ROOT = _HERE if _IS_CHECKOUT else Path.cwd()
"""The checkout that contains this code; the current folder if the code is installed without one."""
ENTRY_POINTS = "darts_pt.spaces"
"""Entry points of other packages: their modules with `SPACES`."""


def space_modules() -> list[str]:
    """The modules that define search spaces: of each folder beside darts_pt with a space.py, and of installed packages."""
    folders = sorted(path.parent for path in PROJECT_ROOT.glob("*/space.py")) if _IS_CHECKOUT else []
    found = [f"{folder.name}.space" for folder in folders if folder.name != "darts_pt"]
    found += [point.module for point in importlib.metadata.entry_points(group=ENTRY_POINTS)]
    return list(dict.fromkeys(found))


def packages() -> list[str]:
    """The packages whose code a run may use: their modules log, and those of the checkout are copied."""
    spaces = [module.partition(".")[0] for module in space_modules()]
    return ["darts_pt", *spaces, "runs", "paper", "report", "sweep", "benchmarks"]


def describe_run(device: torch.device | None) -> dict[str, Any]:
    """Date, command line, versions, git commit and device of this process, as plain data."""
    place = launch()
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": sys.orig_argv,
        "versions": versions(),
        "git": git_state(),
        "host": {"platform": platform.platform(), "cpus": os.cpu_count()},
        "device": describe_device(device),
        "processes": place.count if place else 1,
        "launch": place.run if place else None,
    }


def versions() -> dict[str, str | None]:
    """The versions of Python and of packages, without importing them; None if not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in ("torch", "torchvision", "numpy"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    found["darts-pt"] = __version__
    return found


def git_state() -> dict[str, Any] | None:
    """The checkout's commit, and whether files differ from it; None outside a git checkout or without git."""
    if _git("rev-parse", "--show-toplevel") != str(PROJECT_ROOT):
        return None  # Not a checkout, or inside another project's.
    changes = _git("status", "--porcelain")
    return {
        "commit": _git("rev-parse", "--verify", "-q", "HEAD"),
        "dirty": changes != "" if changes is not None else None,
    }


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(PROJECT_ROOT), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def describe_device(device: torch.device | None) -> str | None:
    """The GPU's model, or `cpu`."""
    if device is None or device.type != "cuda":
        return None if device is None else device.type
    import torch

    return f"{device} ({torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda})"


def copy_code(target: Path) -> None:
    """Copy the project's .py and .sh files to `target`, replacing an earlier copy."""
    if target.exists():
        shutil.rmtree(target)
    sources = [path for package in packages() for path in (PROJECT_ROOT / package).rglob("*.py")]
    sources += (PROJECT_ROOT / "exp_scripts").glob("*.sh")
    for source in sources:
        copy = target / source.relative_to(PROJECT_ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
