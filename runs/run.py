"""A run as data: a search, a selection from it, or a training of the selected architecture; its folder, command and state.

A run is identified by the folder that its command writes, and its state is read from there alone. Nothing here imports
torch once a run is made: the workers of a sweep use this module.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darts_pt.methods import METHODS
from darts_pt.run.errors import UserError
from darts_pt.run.results import GENOTYPE_FILE, SUMMARY_FILE
from darts_pt.space import SPACES, Kind, SearchSpace
from runs.commands import command_line
from runs.reading import read_object

RESUME_OPTION = {"search": "resume_epoch", "selection": "dev_resume_epoch", "training": "resume_epoch"}


@dataclass(frozen=True)
class Run:
    """One run of a space's command.

    Attributes:
        space: its name.
        options: those of the command; `command_options` adds the `arch` of a training.
        resolved: the options with the presets' values, as far as they are known before the run.
        pattern: the folder it writes; a `*` stands for a part that is only known later. None for a training.
        source: the run that it starts from.
    """

    space: str
    kind: Kind
    options: Any
    resolved: Any
    pattern: Path | None = None
    source: Run | None = None

    @property
    def folder(self) -> Path | None:
        """The folder as far as it is known; None for a training whose architecture is not known yet."""
        if self.pattern is not None:
            if "*" not in self.pattern.name:
                return self.pattern
            found = filter(Path.is_dir, self.pattern.parent.glob(self.pattern.name))
            return min(found, default=self.pattern)
        return space_of(self).training_folder(self._with_arch(self.resolved))

    @property
    def command_options(self) -> Any:
        """The options with which its command starts."""
        return self._with_arch(self.options)

    def _with_arch(self, options: Any) -> Any:
        if self.kind != "training" or self.source is None or self.source.folder is None:
            return options
        selected = self.source.folder  # By name, not by path, so that equal runs on two machines have equal options.
        return dataclasses.replace(options, arch=f"{selected.parent.name}/{selected.name}")

    @property
    def is_done(self) -> bool:
        """Whether it has written its last file."""
        last = SUMMARY_FILE if self.kind == "training" else GENOTYPE_FILE
        return self.folder is not None and read_object(self.folder / last) is not None

    @property
    def is_begun(self) -> bool:
        """Whether there is a checkpoint to continue from."""
        return self.folder is not None and any(self.folder.glob("checkpoint_*.pth.tar"))

    @property
    def next_options(self) -> Any:
        """The options with which the command starts the run or continues it."""
        if self.folder is None or not self.folder.exists():
            return self.command_options
        changes = {RESUME_OPTION[self.kind]: -1} if self.is_begun else {"overwrite": True}
        return dataclasses.replace(self.command_options, **changes)

    def command(self, options: Any = None) -> list[str]:
        """The command line; `options` are `command_options` by default."""
        space, options = space_of(self), options or self.command_options
        return command_line(space, self.kind, dataclasses.asdict(options))

    def check_options(self, advice: str) -> None:
        """Check that a run of this name, if there is one, has the same options.

        Raises:
            UserError: naming the first option that differs, and the advice.
        """
        for name, value, began in self.differing():
            raise UserError(f"{self.folder} was run with --{name} {began}, where this takes {value}: {advice}")

    def differing(self) -> list[tuple[str, Any, Any]]:
        """The options with another value in a run of the same name, as (name, here, there)."""
        folder = self.folder
        if folder is None or not (self.is_begun or self.is_done):
            return []
        from darts_pt.commands.resume import other_options

        ignored = {"arch"} | ({"proj_intv"} if self.kind == "search" else set())
        options = {name: value for name, value in dataclasses.asdict(self.resolved).items() if name not in ignored}
        return other_options(folder, {name: value for name, value in options.items() if value is not None})


def search(space: SearchSpace[Any, Any], options: Any) -> Run:
    """A search in the space; options that the preset fills may be open."""
    from darts_pt.commands.options import with_preset

    options = dataclasses.replace(options, space=space.name) if hasattr(options, "space") else options
    resolved = with_preset(options, {**space.preset(options), **METHODS[options.method].defaults})
    run = Run(space.name, "search", options, resolved, space.search_folder(resolved))
    return _with_own_name(run, "expid_tag", lambda tagged: search(space, tagged))


def selection(searched: Run, options: Any, epoch: int | None = None) -> Run:
    """A selection from a search, from its last checkpoint or that of an epoch."""
    from darts_pt.commands.selection_names import selection_pattern

    assert searched.pattern is not None
    fast = options.fast or searched.options.fast  # A selection from a trial is a trial.
    options = dataclasses.replace(options, resume_expid=searched.pattern.name, resume_epoch=epoch, fast=fast)
    known = dataclasses.replace(options, method=options.method or searched.options.method)
    name = selection_pattern(known, searched.resolved.epochs if epoch is None else epoch)
    run = Run(searched.space, "selection", options, options, searched.pattern / name, searched)
    return _with_own_name(run, "log_tag", lambda tagged: selection(searched, tagged, epoch))


def training(selected: Run, options: Any) -> Run:
    """A training from scratch of the architecture that a selection has selected or will select."""
    from darts_pt.commands.options import with_preset

    space = SPACES[selected.space]
    options = dataclasses.replace(options, **space.training_options(options.dataset))
    run = Run(selected.space, "training", options, with_preset(options, space.preset(options)), None, selected)
    return _with_own_name(run, "expid_tag", lambda tagged: training(selected, tagged))


def _with_own_name(run: Run, tag: str, again: Callable[[Any], Run]) -> Run:
    """The run; if a run with other options, such as fewer epochs, has its name, with a tag that says how it differs."""
    differing = run.differing()
    if not differing or getattr(run.options, tag):
        return run
    name, value, _ = differing[0]
    words = name if value is True else f"no_{name}" if value is False else f"{name}-{value}"
    return again(dataclasses.replace(run.options, **{tag: re.sub(r"[^A-Za-z0-9._+=-]", "_", words)[:64]}))


def space_of(run: Run) -> SearchSpace[Any, Any]:
    """The run's space, with its files in the run's `data_root`."""
    return SPACES[run.space].at(run.options.data_root)
