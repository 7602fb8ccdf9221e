"""Small records of runs to commit with the code: what figures and tables need, without checkpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import tyro

from darts_pt.commands.command_line import run_command
from darts_pt.run.errors import UserError, first_line
from darts_pt.run.files import atomic_write
from darts_pt.space import SPACES
from paper.options import LAPTOP_SPACE
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
    """The runs whose records are in `folder`, sorted by name; unfinished ones have no genotype.

    Raises:
        UserError: a file holds something else.
    """
    return [_read(path) for path in sorted(folder.glob("*.json"))]


def _read(path: Path) -> Recorded:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        records = tuple(Record(**record) for record in content["records"])
        genotype, timing = content["genotype"], tuple(content["timing"])
        return Recorded(Path(content["run"]), content["config"], records, genotype, timing=timing)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no record of a run, or a damaged one ({first_line(error)})") from None


# What was found -------------------------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    """The result of a selection; magnitude's needs no run, since a search records it after every epoch.

    Attributes:
        seed: of the search.
        run: the selection, or the search for magnitude's.
    """

    method: str
    selection: str
    seed: int
    epoch: int
    architecture: str
    last: bool
    run: Recorded

    def accuracy(self, dataset: str) -> float:
        return accuracy(self.architecture, dataset)


def accuracy(architecture: str, dataset: str) -> float:
    """Test accuracy (%) by the benchmark table."""
    return SPACES[LAPTOP_SPACE].look_up(architecture, dataset)[f"{dataset} test"]


def outcomes(runs: Sequence[Recorded]) -> list[Outcome]:
    """The results of finished searches and of the finished selections from them.

    Raises:
        UserError: there are two for the same seed, method, selection and epoch.
    """
    searches = {run.name: run for run in runs if run.kind == "search" and run.genotype}
    found = []
    for run in searches.values():
        method, seed, last = run.options["method"], run.seed or 0, run.epochs[-1].epoch
        found += [
            Outcome(method, "magnitude", seed, record.epoch, record.values["genotype"], record.epoch == last, run)
            for record in run.epochs
        ]
    for run in runs:
        source = searches.get(run.folder.parent.name)
        selection = run.options.get("selection", "pt")
        if run.kind == "selection" and source and run.architecture and run.snapshot and selection != "magnitude":
            last, method = run.snapshot == source.epochs[-1].epoch, source.options["method"]
            found.append(Outcome(method, selection, source.seed or 0, run.snapshot, run.architecture, last, run))
    first: dict[tuple[str, str, int, int], Outcome] = {}
    for one in found:
        other = first.setdefault(one[:4], one)
        if other is not one:
            what = f"{one.selection} from epoch {one.epoch} of {one.method}, seed {one.seed}"
            raise UserError(f"{one.run.name} and {other.run.name} are both {what}: leave one record out")
    return found


# The command ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class RecordsOptions:
    """Write small records of searches and their selections, finished or not: a JSON file each, without checkpoints.

    Trials (--fast) are left out.
    """

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="EXPERIMENT …")]
    """Folders of searches, or of experiments."""
    into: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Where the records go, such as docs/results/laptop."""


def main(options: RecordsOptions) -> None:
    for folder in find_runs(options.runs, Path()):
        run = read_run(folder)
        if run.is_trial:
            print(f"{run.name} is a trial (--fast): left out")
        elif run.kind in ("search", "selection") and run.records:
            print(write(run, options.into))


if __name__ == "__main__":
    run_command(RecordsOptions, main)
