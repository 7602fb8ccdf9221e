"""config.json, which holds an experiment's options, and the conversion of plain data to JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from darts_pt.run.errors import UserError
from darts_pt.run.files import read_json

PROJECT = "darts-pt"
"""Value of `project` in config.json: it marks a folder as an experiment of this project."""


def as_json(value: Any) -> Any:
    """Convert for JSON: tensors and arrays to lists, paths to text, NaN and infinity to "nan", "inf", "-inf"."""
    if hasattr(value, "tolist"):  # Tensors, arrays and NumPy's scalars.
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):  # Sorted, so that the order is the same in every run.
        value = sorted(value, key=repr)
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def size_in_words(options: Mapping[str, Any]) -> str:
    """The size of network and images in words, such as `8 channels, 3 layers`."""
    names = {
        "init_channels": "channel{}",
        "layers": "layer{}",
        "cells_per_stage": "cell{} per stage",
        "image_size": "pixel{} a side",
    }
    known = [(options[key], name) for key, name in names.items() if options.get(key)]
    return ", ".join(f"{count} {name.format('' if count == 1 else 's')}" for count, name in known)


def is_experiment(folder: Path) -> bool:
    """True if a run of this project made `folder`: only such a folder is replaced or resumed."""
    try:
        config = read_json(folder / "config.json")
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("project") == PROJECT


def options_of(experiment: Path) -> dict[str, Any]:
    """The resolved options of an experiment; empty for one of the original, which has no config.json.

    Raises:
        UserError: config.json is damaged.
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
