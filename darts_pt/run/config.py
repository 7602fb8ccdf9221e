"""config.json: what an experiment was run with, and how plain data becomes JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from darts_pt.run.errors import UserError
from darts_pt.run.files import read_json

PROJECT = "darts-pt"
"""Under the key `project` of config.json: the sign that a folder is an experiment of ours."""


def as_json(value: Any) -> Any:
    """`value` as JSON knows it: tensors and arrays as lists, paths as text, NaN and infinity as "nan", "inf", "-inf"."""
    if hasattr(value, "tolist"):  # Tensors, arrays and NumPy's scalars.
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):  # In an order that is the same in every run.
        value = sorted(value, key=repr)
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def is_experiment(folder: Path) -> bool:
    """Whether a run of this project made `folder`: only such a folder is replaced or resumed."""
    try:
        config = read_json(folder / "config.json")
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("project") == PROJECT


def options_of(experiment: Path) -> dict[str, Any]:
    """The resolved options an experiment was run with; empty if the original made it, which leaves none.

    Raises:
        UserError: config.json is there but broken.
    """
    path = experiment / "config.json"
    if not path.is_file():
        return {}
    try:
        options = read_json(path)["options"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UserError(f"{path} is not readable ({error}): restore it, or run the search again") from None
    if not isinstance(options, dict) or not isinstance(options.get("seed", 0), int):
        raise UserError(f"{path} holds no options with a seed: restore it, or run the search again")
    return {name: Path(value) if name == "data" and value else value for name, value in options.items()}
