"""A sweep's plan: a TOML file, read and checked; whatever is wrong with it is refused with its line.

docs/scale.md describes the file. Cheap to import and torch-free; the plan's options are checked where it is expanded
(:mod:`sweep.expansion`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from darts_pt.commands.command_line import Dataset
from darts_pt.methods import METHODS
from darts_pt.run.errors import UserError
from darts_pt.run.suggestions import did_you_mean, listed
from darts_pt.selections import SELECTIONS
from sweep.toml_lines import Lines

PRESETS = Path(__file__).with_name("presets")
SPACES = ("nasbench201", "s1", "s2", "s3", "s4", "s5")
DATASETS: tuple[str, ...] = get_args(Dataset)
STAGES = ("search", "select", "evaluate")
FAMILIES = ("nasbench201", "sota")

_LISTS: dict[str, Sequence[str] | None] = {
    "spaces": SPACES,
    "datasets": DATASETS,
    "methods": tuple(METHODS),
    "selections": tuple(SELECTIONS),
    "seeds": None,
}
"""The five lists whose product is a grid, with what may be in them (seeds: whole numbers)."""
_TOP = (*_LISTS, "grid", "name", "tag", "data", "train_nasbench201", *STAGES, "report", "resources")
_RESOURCES = ("num_cpus", "num_gpus", "memory_gb")


def family_of(space: str) -> str:
    """The package that holds a space."""
    return "nasbench201" if space == "nasbench201" else "sota"


@dataclass(frozen=True)
class Resources:
    """What a job is given while it runs; None: what the sweep's options or the cluster say.

    Attributes:
        num_gpus: of one GPU, at most 1; a fraction lets several jobs share one.
    """

    num_cpus: float | None = None
    num_gpus: float | None = None
    memory_gb: float | None = None


@dataclass(frozen=True)
class Grid:
    """One product of spaces × data sets × methods × selections × seeds.

    Attributes:
        where: the place in the file of each list.
    """

    spaces: tuple[str, ...]
    datasets: tuple[str, ...]
    methods: tuple[str, ...]
    selections: tuple[str, ...]
    seeds: tuple[int, ...]
    where: Mapping[str, tuple[str | int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """A plan as its file says it.

    Attributes:
        options: stage -> options of its command; narrower tables (a family, a space, a data set) stand in it by name.
        report: options of the report; None if there is to be none.
        train_nasbench201: train architectures of NAS-Bench-201 even where the benchmark table knows their accuracy.
    """

    path: Path
    lines: Lines
    name: str
    grids: tuple[Grid, ...]
    options: Mapping[str, Mapping[str, Any]]
    report: Mapping[str, Any] | None
    resources: Mapping[str, Resources]
    tag: str | None = None
    data: Path | None = None
    train_nasbench201: bool = False

    def refused(self, where: Sequence[str | int], message: str, value: Any = None) -> UserError:
        """The error that names a line of the file."""
        return UserError(f"{self.path.name}:{self.lines.of(where, value)}: {message}")


def find_plan(plan: str) -> Path:
    """The file that the user named: a path, or a preset's name.

    Raises:
        UserError: there is no such file.
    """
    names = sorted(path.stem for path in PRESETS.glob("*.toml"))
    if plan in names:
        return PRESETS / f"{plan}.toml"
    path = Path(plan).expanduser()
    if not path.is_file():
        close = did_you_mean(plan, names)
        raise UserError(f"{plan}: no such plan{close.rstrip('?')}; expected a TOML file, or a preset: {listed(names)}")
    return path


def read_plan(path: Path) -> Plan:
    """The plan in a file.

    Raises:
        UserError: naming the line that is wrong.
    """
    content, lines = _parse(path)
    reader = _Reader(path, lines)
    reader.known(content, _TOP, ())
    grids = content.get("grid", [{}])
    if not isinstance(grids, list) or not all(isinstance(grid, dict) for grid in grids):
        raise reader.refused(("grid",), "grid: expected tables, written [[grid]]")
    report = content.get("report", {})
    if report not in (True, False) and not isinstance(report, dict):
        raise reader.refused(("report",), "report: expected true, false, or a table of options of the report")
    tag = reader.typed(content, "tag", str, "a text")
    name = reader.typed(content, "name", str, "a text") or path.stem
    for key, text in (("tag", tag), ("name", name)):
        if text is not None and not re.fullmatch(r"[A-Za-z0-9._+=-]{1,64}", text):
            raise reader.refused((key,), f"{key}: expected up to 64 letters, digits and . _ + = - , got {text!r}")
    data = reader.typed(content, "data", str, "the path of a folder")
    return Plan(
        path,
        lines,
        name,
        tuple(reader.grid(content, grid, number if "grid" in content else None) for number, grid in enumerate(grids)),
        {stage: reader.table(content, stage) for stage in STAGES},
        None if report is False else {} if report is True else report,
        reader.resources(content),
        tag,
        Path(data).expanduser().resolve() if data else None,
        reader.typed(content, "train_nasbench201", bool, "true or false") or False,
    )


def _parse(path: Path) -> tuple[dict[str, Any], Lines]:
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        try:
            import tomli as tomllib  # pyright: ignore[reportMissingImports]
        except ModuleNotFoundError:
            raise UserError(
                "plans are TOML, which Python 3.10 cannot read by itself: python -m pip install tomli"
            ) from None
    try:
        text = path.read_text(encoding="utf-8").replace("\r\n", "\n")
        return tomllib.loads(text), Lines(text)
    except UnicodeDecodeError:
        raise UserError(f"{path} is not a text in UTF-8: expected a plan in TOML") from None
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        at = re.search(r"at line (\d+)", message)
        line = int(at.group(1)) if at else path.read_text(encoding="utf-8").count("\n") + 1
        raise UserError(f"{path.name}:{line}: not valid TOML: {message}") from None


@dataclass(frozen=True)
class _Reader:
    """Takes values out of the parsed file and checks them."""

    path: Path
    lines: Lines

    def refused(self, where: Sequence[str | int], message: str, value: Any = None) -> UserError:
        return UserError(f"{self.path.name}:{self.lines.of(where, value)}: {message}")

    def known(self, table: Mapping[str, Any], keys: Sequence[str], where: tuple[str | int, ...]) -> None:
        """Refuses keys that mean nothing."""
        for key in table:
            if key not in keys:
                close = did_you_mean(key, keys)
                raise self.refused((*where, key), f"unknown key {key!r}{close}; expected {listed(keys, most=20)}")

    def typed(self, table: Mapping[str, Any], key: str, kind: type, expected: str) -> Any:
        value = table.get(key)
        if value is not None and type(value) is not kind:
            raise self.refused((key,), f"{key}: expected {expected}, got {value!r}")
        return value

    def grid(self, content: Mapping[str, Any], grid: Mapping[str, Any], number: int | None) -> Grid:
        """A [[grid]]; what it does not say is as at the top of the file."""
        inside: tuple[str | int, ...] = () if number is None else ("grid", number)
        if number is not None:
            self.known(grid, list(_LISTS), inside)
        lists, where = {}, {}
        for key, allowed in _LISTS.items():
            where[key] = (*inside, key) if key in grid else (key,)
            values = grid.get(key, content.get(key))
            if values is None:
                place = inside if inside else ("grid",)
                raise self.refused(place, f"{key} is missing: expected a list, here or at the top of the plan")
            lists[key] = self._list(key, values, where[key], allowed)
        return Grid(**lists, where=where)

    def _list(
        self, key: str, values: Any, where: tuple[str | int, ...], allowed: Sequence[str] | None
    ) -> tuple[Any, ...]:
        if not isinstance(values, list) or not values:
            raise self.refused(where, f"{key}: expected a list with something in it, got {values!r}")
        for value in values:
            if allowed is None and (type(value) is not int or not 0 <= value < 2**63):
                raise self.refused(where, f"{key}: expected whole numbers from 0 on, got {value!r}", value)
            if allowed is not None and value not in allowed:
                close = did_you_mean(value, allowed) if isinstance(value, str) else ""
                raise self.refused(where, f"{key}: unknown {value!r}{close}; expected {listed(allowed)}", value)
            if values.count(value) > 1:
                line = self.lines.repeated(where, value)
                raise UserError(f"{self.path.name}:{line}: {key}: {value!r} is there twice, which makes duplicate jobs")
        return tuple(values)

    def table(self, content: Mapping[str, Any], stage: str) -> Mapping[str, Any]:
        table = content.get(stage, {})
        if not isinstance(table, dict):
            raise self.refused((stage,), f"{stage}: expected a table of options, written [{stage}]")
        return table

    def resources(self, content: Mapping[str, Any]) -> dict[str, Resources]:
        """By stage; numbers directly in [resources] are for all stages."""
        table = content.get("resources", {})
        if not isinstance(table, dict):
            raise self.refused(("resources",), "resources: expected a table, written [resources]")
        self.known(table, [*_RESOURCES, *STAGES], ("resources",))
        common = {key: value for key, value in table.items() if key in _RESOURCES}
        found = {}
        for stage in STAGES:
            narrow = table.get(stage, {})
            if not isinstance(narrow, dict):
                raise self.refused(("resources", stage), f"expected a table, written [resources.{stage}]")
            self.known(narrow, _RESOURCES, ("resources", stage))
            for key, value in (common | narrow).items():
                where = ("resources", stage, key) if key in narrow else ("resources", key)
                self._amount(key, value, where)
            found[stage] = Resources(**(common | narrow))
        return found

    def _amount(self, key: str, value: Any, where: tuple[str, ...]) -> None:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if key == "num_gpus" and not (number and 0 <= value <= 1):
            raise self.refused(
                where, f"num_gpus: expected a number from 0 to 1, since a job uses one GPU, got {value!r}"
            )
        if not (number and 0 <= value < 1e6 and (value > 0 or key != "memory_gb")):
            raise self.refused(where, f"{key}: expected a number, got {value!r}")
