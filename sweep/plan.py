"""A sweep's plan: a TOML file, read and checked; errors name the place, such as `grid[0].methods[1]`.

docs/scale.md describes the file. Cheap to import; :mod:`sweep.options` checks the options of commands in it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from darts_pt.commands.options import Dataset
from darts_pt.methods import METHODS
from darts_pt.run.errors import UserError, did_you_mean, listed
from darts_pt.selections import SELECTIONS
from darts_pt.space import SPACES

PRESETS = Path(__file__).with_name("presets")
DATASETS: tuple[str, ...] = get_args(Dataset)
STAGES = ("search", "select", "evaluate")

_LISTS: dict[str, Collection[str] | None] = {
    "spaces": SPACES, "datasets": DATASETS, "methods": METHODS, "selections": SELECTIONS, "seeds": None,
}  # fmt: skip
"""The five lists whose product is a grid, with the allowed values (seeds: whole numbers)."""
_SINGLE: dict[str, tuple[type, str, str]] = {
    "name": (str, "[A-Za-z0-9._+=-]{1,64}", "up to 64 letters, digits and . _ + = -"),
    "tag": (str, "[A-Za-z0-9._+=-]{1,64}", "up to 64 letters, digits and . _ + = -"),
    "data": (str, ".*", "the path of a folder"),
    "train_nasbench201": (bool, ".*", "true or false"),
}
"""Keys with a single value: type, pattern, and both in words."""
_RESOURCES = ("num_cpus", "num_gpus", "memory_gb")

Place = tuple[str | int, ...]
"""Keys and indices that lead to a value of the plan."""


def refused(path: Path, place: Place, message: str) -> UserError:
    """The error for a place of a plan."""
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")
    return UserError(f"{path.name}: {where}: {message}" if where else f"{path.name}: {message}")


@dataclass(frozen=True)
class Resources:
    """Resources of a job while it runs; None leaves a number to the sweep's options or the cluster.

    Attributes:
        num_gpus: at most 1; with a fraction several jobs share a GPU.
    """

    num_cpus: float | None = None
    num_gpus: float | None = None
    memory_gb: float | None = None


@dataclass(frozen=True)
class Grid:
    """One product of spaces × data sets × methods × selections × seeds.

    Attributes:
        at: the grid's place in the plan.
        places: the place of each list.
    """

    spaces: tuple[str, ...]
    datasets: tuple[str, ...]
    methods: tuple[str, ...]
    selections: tuple[str, ...]
    seeds: tuple[int, ...]
    at: Place
    places: Mapping[str, Place]

    def place(self, key: str, value: Any) -> Place:
        """The place of a value of a list."""
        return (*self.places[key], getattr(self, key).index(value))


@dataclass(frozen=True)
class Plan:
    """The content of a plan's file.

    Attributes:
        options: stage -> options of its command, with narrower tables (for a family, a space, a data set) by name.
        report: options of the report; None for no report.
        train_nasbench201: train architectures even if a benchmark table has their accuracy.
    """

    path: Path
    name: str
    grids: tuple[Grid, ...]
    options: Mapping[str, Mapping[str, Any]]
    report: Mapping[str, Any] | None
    resources: Mapping[str, Resources]
    tag: str | None = None
    data: Path | None = None
    train_nasbench201: bool = False

    def refused(self, place: Place, message: str) -> UserError:
        return refused(self.path, place, message)

    @contextmanager
    def at(self, place: Place) -> Iterator[None]:
        """Add the place to errors raised inside."""
        try:
            yield
        except UserError as error:
            raise self.refused(place, str(error).replace(" (--help explains every option)", "")) from None


def find_plan(plan: str) -> Path:
    """The file of a plan, by its path or a preset's name.

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
        UserError: naming the place of the mistake.
    """
    content = _parse(path)
    _check_keys(path, (), content, [*_LISTS, *_SINGLE, "grid", *STAGES, "report", "resources"])
    single = {"name": path.stem, **{key: content[key] for key in _SINGLE if key in content}}
    for key, value in single.items():
        kind, pattern, expected = _SINGLE[key]
        if type(value) is not kind or not re.fullmatch(pattern, str(value)):
            raise refused(path, (key,), f"expected {expected}, got {value!r}")
    grids = content.get("grid")
    if grids is not None and (not isinstance(grids, list) or not all(isinstance(grid, dict) for grid in grids)):
        raise refused(path, ("grid",), "expected tables, written [[grid]]")
    report = content.get("report", {})
    if not isinstance(report, bool | dict):
        raise refused(path, ("report",), "expected true, false, or a table of options of the report")
    return Plan(
        path,
        single["name"],
        tuple(_grid(path, content, number) for number in range(len(grids))) if grids else (_grid(path, content, None),),
        {stage: _table(path, content, (stage,)) for stage in STAGES},
        None if report is False else {} if report is True else report,
        {stage: _resources(path, content, stage) for stage in STAGES},
        single.get("tag"),
        Path(single["data"]).expanduser().resolve() if single.get("data") else None,
        single.get("train_nasbench201", False),
    )


def _parse(path: Path) -> dict[str, Any]:
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
        return tomllib.loads(path.read_text(encoding="utf-8").replace("\r\n", "\n"))
    except UnicodeDecodeError:
        raise UserError(f"{path} is not a text in UTF-8: expected a plan in TOML") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path.name}: not valid TOML: {error}") from None


def _check_keys(path: Path, place: Place, table: Mapping[str, Any], known: Collection[str]) -> None:
    for key in table:
        if key not in known:
            close = did_you_mean(key, known)
            raise refused(path, (*place, key), f"unknown key{close}; expected {listed(known, most=20)}")


def _table(path: Path, table: Mapping[str, Any], place: Place) -> Mapping[str, Any]:
    """The table at the last key of `place`; empty if there is none."""
    found = table.get(str(place[-1]), {})
    if not isinstance(found, dict):
        raise refused(path, place, f"expected a table, written [{'.'.join(map(str, place))}]")
    return found


def _grid(path: Path, content: Mapping[str, Any], number: int | None) -> Grid:
    """A [[grid]]; what it leaves out is taken from the top of the file."""
    table: Mapping[str, Any] = {} if number is None else content["grid"][number]
    inside: Place = () if number is None else ("grid", number)
    _check_keys(path, inside, table, _LISTS)
    places: dict[str, Place] = {key: (*inside, key) if key in table else (key,) for key in _LISTS}
    lists = {key: _list(path, places[key], table.get(key, content.get(key)), _LISTS[key]) for key in _LISTS}
    return Grid(**lists, at=inside, places=places)


def _list(path: Path, place: Place, values: Any, allowed: Collection[str] | None) -> tuple[Any, ...]:
    if values is None:
        raise refused(path, place, "is missing: expected a list, here or in every [[grid]]")
    if not isinstance(values, list) or not values:
        raise refused(path, place, f"expected a list with something in it, got {values!r}")
    for index, value in enumerate(values):
        here = (*place, index)
        if allowed is None and (type(value) is not int or not 0 <= value < 2**63):
            raise refused(path, here, f"expected a whole number from 0 on, got {value!r}")
        if allowed is not None and not (isinstance(value, str) and value in allowed):
            close = did_you_mean(value, allowed) if isinstance(value, str) else ""
            raise refused(path, here, f"unknown {value!r}{close}; expected {listed(allowed)}")
        if value in values[:index]:
            raise refused(path, here, f"{value!r} is there twice, which makes duplicate jobs")
    return tuple(values)


def _resources(path: Path, content: Mapping[str, Any], stage: str) -> Resources:
    """The resources of a stage's jobs; numbers directly in [resources] apply to all stages."""
    common = _table(path, content, ("resources",))
    _check_keys(path, ("resources",), common, [*_RESOURCES, *STAGES])
    own = _table(path, common, ("resources", stage))
    _check_keys(path, ("resources", stage), own, _RESOURCES)
    amounts: dict[str, float] = {}
    for table, place in ((common, ("resources",)), (own, ("resources", stage))):
        for key in [key for key in _RESOURCES if key in table]:
            least, most = (1e-9, 1e6) if key == "memory_gb" else (0, 1) if key == "num_gpus" else (0, 1e6)
            value = amounts[key] = table[key]
            if type(value) not in (int, float) or not least <= value <= most:
                limits = "from 0 to 1, since a job uses one GPU" if key == "num_gpus" else "of CPUs or GB"
                raise refused(path, (*place, key), f"expected a number {limits}, got {value!r}")
    return Resources(**amounts)
