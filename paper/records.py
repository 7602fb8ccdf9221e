"""Small records of runs to commit with the code: what figures and tables need, without checkpoints.

    python -m paper.records EXPERIMENT… --into docs/results/laptop

writes a JSON file for each search and each selection, finished or not; :func:`read` reads them as runs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from darts_pt.commands.command_line import USER_ERROR_CODE
from darts_pt.run.errors import UserError
from darts_pt.run.files import atomic_write
from runs.costs import added
from runs.reading import find_runs, read_run
from runs.recorded import Record, Recorded

LEFT_OUT = (
    "data", "data_root", "experiments", "gpu", "resume_epoch", "dev_resume_epoch", "dev_resume_log", "overwrite",
)  # fmt: skip
"""Options that only concern the machine or a resumption."""
KEPT = ("date", "versions", "git", "device")
DIGITS = 5
"""Significant digits of measured numbers."""


def write(run: Recorded, folder: Path) -> Path:
    """Write the record of a run as JSON into `folder`; returns its path."""
    options = {name: value for name, value in run.options.items() if value is not None and name not in LEFT_OUT}
    host = {"cpus": (run.config.get("host") or {}).get("cpus")}
    content = {
        "run": run.name,
        "config": {"options": options, **{name: run.config[name] for name in KEPT if name in run.config}, "host": host},
        "genotype": run.genotype and {"genotype": run.architecture},
        "timing": [added(run.timing)._asdict()],
        "records": [
            {"kind": record.kind, "epoch": record.epoch, "values": _short(_needed(run, record.values))}
            for record in run.records
        ],
    }
    path = folder / f"{run.name.replace('/', '+')}.json"
    atomic_write(path, json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n")
    return path


def _needed(run: Recorded, values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the table's numbers, which are looked up when drawing, and the mixing weights of selections."""
    left_out = {"table"} if run.kind == "search" else {"table", "mixing_weights"}
    return {name: value for name, value in values.items() if name not in left_out}


def _short(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _short(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_short(item) for item in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def read(folder: Path) -> list[Recorded]:
    """The runs whose records are in `folder`, sorted by name; unfinished ones have no genotype."""
    return [_read(path) for path in sorted(folder.glob("*.json"))]


def _read(path: Path) -> Recorded:
    content = json.loads(path.read_text(encoding="utf-8"))
    records = tuple(Record(**record) for record in content["records"])
    return Recorded(
        Path(content["run"]), content["config"], records, content["genotype"], timing=tuple(content["timing"])
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="EXPERIMENT", help="folders of searches, or of experiments")
    parser.add_argument("--into", type=Path, required=True, metavar="DIR")
    options = parser.parse_args()
    try:
        folders = find_runs(options.runs, Path())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(USER_ERROR_CODE)
    for folder in folders:
        run = read_run(folder)
        if run.kind in ("search", "selection") and run.records:
            print(write(run, options.into))


if __name__ == "__main__":
    main()
