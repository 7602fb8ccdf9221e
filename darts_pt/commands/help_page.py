"""`--help`: the options of a command in groups, with the values they have if they are left out.

Options that have no effect for the method or selection that is named before --help are left out. Cheap to import.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
import textwrap
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import tyro

from darts_pt.commands.options import RunOptions, SelectionOptions
from darts_pt.commands.own_options import SELECTION_SETTINGS, SETTINGS
from darts_pt.methods import METHODS
from darts_pt.run.provenance import PROJECT_ROOT
from darts_pt.selections import SELECTIONS
from darts_pt.space import SPACES, USUAL_DATASET, SearchSpace

SCRIPT = "DARTS_PT_SCRIPT"
"""Environment variable with the script that the user has typed."""

ESSENTIALS, SIZE, METHOD, SELECTION, DATA, OUTPUT, HARDWARE = (
    "essentials", "model and schedule", "method", "selection", "data", "output and resume", "hardware",
)  # fmt: skip
_GROUPS: dict[str, tuple[str, ...]] = {
    ESSENTIALS: ("arch", "resume_expid", "space", "dataset", "method", "selection", "size", "epochs", "seed", "fast"),
    SIZE: (),
    METHOD: ("change_method", *SETTINGS),
    SELECTION: ("proj_intv", "proj_crit", "proj_batches", "edge_decision", *SELECTION_SETTINGS),
    DATA: ("data", "data_root", "image_size", "cutout", "cutout_length", "table_dataset"),
    OUTPUT: (
        "experiments", "expid_tag", "log_tag", "script", "overwrite", "resume_epoch", "dev_resume_epoch", "dev_resume_log",
        "ckpt_interval", "ckpt_minutes", "keep", "on_nan", "report_freq", "evaluate_train",
    ),
    HARDWARE: ("gpu", "precision", "cuda_graph", "nproc_per_node", "max_restarts", "workers"),
}  # fmt: skip
"""Group -> options in their order. What is in none is an option of a space and stands under `model and schedule`."""
_NEED_COMPARING = ("proj_crit", "proj_crit_normal", "proj_crit_reduce", "proj_crit_edge", "proj_batches")
"""Options for selections that compare candidates by accuracy or loss."""
_INDENT = 25
_WIDEST = 100


class Described(NamedTuple):
    """An option in the help: how it is typed, and its text with the default."""

    name: str
    typed: str
    text: str


def typed_command(module: str) -> str:
    """The command for the help: the script that the user has typed, or else `module`, such as `python -m report.page`."""
    script = os.environ.get(SCRIPT)
    return f"bash {script}" if script else module


def page(options_type: type, given: Sequence[str], prog: str) -> str:
    """The help of a command.

    Args:
        given: what was typed before --help, by the script or by the user; it counts as the default.
    """
    values = _given(options_type, given)
    texts, hints = help_texts(options_type), get_type_hints(options_type, include_extras=True)
    defaults = _Defaults(options_type, values)
    positional: list[Described] = []
    required: list[str] = []
    described: dict[str, Described] = {}
    for field in dataclasses.fields(options_type):
        kind, argument, is_positional = _kind(hints[field.name])
        one_value = get_origin(kind) is Literal and len(get_args(kind)) == 1 and field.default is not None
        if field.name in defaults.left_out or one_value:
            continue
        metavar = getattr(argument, "metavar", None) or _metavar(kind)
        default = defaults.of(field, getattr(argument, "help_behavior_hint", None))
        text = " ".join(filter(None, (texts.get(field.name, ""), default)))
        if is_positional:
            positional.append(Described(field.name, metavar, text))
            continue
        names = [f"--{field.name}", *(getattr(argument, "aliases", None) or ())]
        if kind is bool and values.get(field.name, field.default) is True:
            names = [f"--{field.name}, --no_{field.name}"]
        described[field.name] = Described(field.name, ", ".join(names) + ("" if kind is bool else f" {metavar}"), text)
        if field.default is dataclasses.MISSING and field.name not in values:
            required.append(described[field.name].typed)
    words = [prog, *(one.typed for one in positional), *required, "[--key value]…"]
    usage = " ".join(["usage:", *words])
    width = min(shutil.get_terminal_size((_WIDEST, 24)).columns, _WIDEST)
    blocks = [
        usage,
        *(textwrap.fill(" ".join(part.split()), width, break_on_hyphens=False) for part in _paragraphs(options_type)),
    ]
    blocks += [_block("arguments", positional, width)] if positional else []
    blocks += [_block(group, members, width) for group, members in _grouped(options_type, described)]
    return "\n\n".join(blocks) + "\n"


def help_texts(options_type: type) -> dict[str, str]:
    """Option -> its help on one line: the text under its field, or that of its annotation."""
    import docstring_parser

    texts: dict[str, str] = {}
    for owner in reversed(options_type.__mro__[:-1]):  # A class overrides the help of its parents.
        for described in docstring_parser.parse_from_object(owner).params:
            if described.description:
                texts[described.arg_name] = " ".join(described.description.split())
    for name, hint in get_type_hints(options_type, include_extras=True).items():
        for extra in getattr(hint, "__metadata__", ()):
            texts[name] = getattr(extra, "help", None) or texts.get(name, "")
    return texts


def _paragraphs(options_type: type) -> list[str]:
    return (options_type.__doc__ or "").strip().split("\n\n")


def _grouped(options_type: type, described: Mapping[str, Described]) -> Iterator[tuple[str, list[Described]]]:
    if not issubclass(options_type, RunOptions):
        yield "options", list(described.values())
        return
    groups = dict(_GROUPS)
    if issubclass(options_type, SelectionOptions):  # Which supernet; of a search it is a matter of going on.
        groups[ESSENTIALS] = (*groups[ESSENTIALS], "resume_epoch")
        groups[ESSENTIALS] = tuple(name for name in groups[ESSENTIALS] if name != "epochs")
        groups[SELECTION] += tuple(name for name in described if name.startswith("proj_crit_"))
    elif "resume_epoch" in described:
        groups[ESSENTIALS] = tuple(name for name in groups[ESSENTIALS] if name != "resume_expid")
        groups[OUTPUT] += ("resume_expid",)
    placed: set[str] = set()
    members: dict[str, list[Described]] = {}
    for group, names in groups.items():
        members[group] = [described[name] for name in names if name in described and name not in placed]
        placed |= {one.name for one in members[group]}
    members[SIZE] = [one for name, one in described.items() if name not in placed]
    yield from ((group, found) for group, found in members.items() if found)


def _block(title: str, members: Sequence[Described], width: int) -> str:
    lines = [f"\x1b[1m{title}\x1b[0m" if sys.stdout.isatty() else title]
    for one in members:
        text = textwrap.wrap(one.text, max(30, width - _INDENT), break_on_hyphens=False)
        head = f"  {one.typed}"
        if len(head) + 2 <= _INDENT and text:
            lines.append(f"{head:<{_INDENT}}{text.pop(0)}")
        else:
            lines.append(head)
        lines += [" " * _INDENT + line for line in text]
    return "\n".join(lines)


# What an option takes --------------------------------------------------------------------------------------------


def _kind(hint: Any) -> tuple[Any, Any, bool]:
    """The type of an option without None, tyro's argument with its metavar and aliases, and whether it is positional."""
    extras: list[Any] = []
    while hasattr(hint, "__metadata__"):
        extras += hint.__metadata__
        hint = hint.__origin__
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(kind for kind in get_args(hint) if kind is not type(None))
    if hasattr(hint, "__metadata__"):
        inner, argument, is_positional = _kind(hint)
        return inner, next((one for one in extras if hasattr(one, "metavar")), argument), is_positional
    argument = next((one for one in extras if hasattr(one, "metavar")), None)
    return hint, argument, tyro.conf.Positional in extras


def _metavar(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "{" + ",".join(map(str, get_args(kind))) + "}"
    if get_origin(kind) is tuple:
        return f"[{_metavar(get_args(kind)[0])} …]"
    return {int: "N", float: "X", Path: "PATH"}.get(kind, "NAME")


def _given(options_type: type, words: Sequence[str]) -> dict[str, Any]:
    """Option -> the text of its value, or True or False of a switch; the last one counts."""
    names = {field.name for field in dataclasses.fields(options_type)}  # pyright: ignore[reportArgumentType]
    found: dict[str, Any] = {}
    for place, word in enumerate(words):
        name, equals, value = word.partition("=")
        name = name.lstrip("-").replace("-", "_")
        following = words[place + 1] if place + 1 < len(words) else "--"
        if word.startswith("--") and name in names:
            found[name] = value if equals else True if following.startswith("--") else following
        elif word.startswith("--no_") and name.removeprefix("no_") in names:
            found[name.removeprefix("no_")] = False
    return found


# Defaults --------------------------------------------------------------------------------------------------------


class _Defaults:
    """The values that options have if they are left out, and which options have no effect."""

    def __init__(self, options_type: type, given: Mapping[str, Any]) -> None:
        self.given = given
        fields = {field.name: field.default for field in dataclasses.fields(options_type)}  # pyright: ignore[reportArgumentType]
        known = {name: given.get(name, default) for name, default in fields.items()}
        self.from_search = issubclass(options_type, SelectionOptions)
        self.method = METHODS.get(known.get("method") or "")
        self.selection = SELECTIONS.get(known.get("selection") or "")
        self.dataset = str(known.get("dataset") or USUAL_DATASET)
        self.presets = {} if self.from_search else _presets(options_type, known)
        self.left_out: set[str] = set(getattr(options_type, "without_effect", ()))
        if self.from_search and not (self.method and self.method.decides_during_search):
            self.left_out.add("learning_rate_min")  # Tuning has a constant learning rate.
        if issubclass(options_type, RunOptions):
            own = {option.name for owner in (self.method, self.selection) if owner for option in owner.options}
            self.left_out |= (SETTINGS.keys() | SELECTION_SETTINGS.keys()) - own
        if self.selection is not None:
            self.left_out |= set() if self.selection.compares else set(_NEED_COMPARING)
            self.left_out |= set() if self.selection.tunes else {"proj_intv"}

    def of(self, field: dataclasses.Field[Any], hint: str | None) -> str:
        """In brackets, for the end of an option's text; empty if leaving it out says it all."""
        name = field.name
        if name in self.given:
            return "(on here)" if self.given[name] is True else f"(here: {self.given[name]})"
        if field.default is True:
            return "(on by default)"
        if field.default is dataclasses.MISSING:
            return "(required)"
        if field.default not in (None, ()) and field.default is not False:
            value = field.default
            shown = (
                " ".join(map(str, value)) if isinstance(value, tuple) else str(value).replace(f"{PROJECT_ROOT}/", "")
            )
            return f"(default: {shown})"
        by_dataset = {dataset: preset[name] for dataset, preset in self.presets.items() if name in preset}
        if by_dataset:
            first = by_dataset.pop(self.dataset, by_dataset.get(USUAL_DATASET))
            others = [f"{dataset}: {value}" for dataset, value in by_dataset.items() if value != first]
            return (
                f"(default: {first}{''.join(f'; {other}' for other in others) if 'dataset' not in self.given else ''})"
            )
        if hint and "preset" not in hint:
            return hint
        return "(default: the search's)" if hint and self.from_search else ""


def _presets(options_type: type, known: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Data set -> the values that the command's space gives to open options."""
    space = next((space for space in SPACES.families().values() if _has_command(space, options_type, known)), None)
    if space is None:
        return {}
    presets = space.training_presets if "arch" in known else space.search_presets
    datasets = [name for name in presets if _has_command(space, options_type, {**known, "dataset": name})]
    datasets = dict.fromkeys([str(known["dataset"]), *datasets])
    return {name: space.preset(SimpleNamespace(**{"size": None, **known, "dataset": name})) for name in datasets}


def _has_command(space: SearchSpace[Any, Any], options_type: type, known: Mapping[str, Any]) -> bool:
    return any(space.command(kind, known.get("dataset")).options is options_type for kind in space.commands)
