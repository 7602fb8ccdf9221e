"""Run a selection: from a searched supernet to an architecture."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import torch

from darts_pt.commands.options import SelectionOptions, not_none, with_preset
from darts_pt.commands.outcome import Selected, by_magnitude, by_search, describe, finish
from darts_pt.commands.own_options import SETTINGS, check_selection, check_settings, settings_of
from darts_pt.commands.resume import find_experiment, find_start
from darts_pt.commands.scripts import selection_script
from darts_pt.commands.selection_names import continues_search, selection_name
from darts_pt.commands.supernets import begin, data_on, open_experiment, saver_of, supernet_training
from darts_pt.image_training import ImageTraining
from darts_pt.methods import METHODS
from darts_pt.run import checkpoint as checkpoints
from darts_pt.run.config import options_of
from darts_pt.run.device import Generators, pick_device
from darts_pt.run.errors import UserError, listed
from darts_pt.run.processes import joined
from darts_pt.run.saver import Saver
from darts_pt.search_loop import search
from darts_pt.selection import Criteria, schedule, select, select_at_once
from darts_pt.selections import SELECTIONS
from darts_pt.space import SPACES, SearchSpace, Selection
from darts_pt.training import TUNING_FRACTION, cosine, sgd


class Searched(NamedTuple):
    """A searched supernet, ready to be tuned.

    Attributes:
        training: the supernet, alpha and the data.
        options: the selection's; open ones are filled from the search, or else from the preset.
        folder: the search's experiment.
        path: its checkpoint, after `epoch` epochs of search.
        epochs: of the whole search; None if unknown (the original's checkpoints).
        method: of the search.
    """

    training: ImageTraining
    options: Any
    folder: Path
    path: Path
    epoch: int
    epochs: int | None
    method: str

    def baseline(self, space: SearchSpace[Any, Any]) -> dict[str, Any] | None:
        """The baseline of the selection: magnitude's choice from the supernet before it is tuned."""
        if self.options.selection == "magnitude":
            return None
        if continues_search(self.options):
            return by_search(space, self.folder, self.method)
        return by_magnitude(space, self.training, self.method, SELECTIONS[self.options.selection].trained)


def open_search(space: SearchSpace[Any, Selection], options: Selection, device: torch.device | None = None) -> Searched:
    """Load the supernet that the options `resume_expid` and `resume_epoch` name.

    Args:
        device: by default that of the options.

    Raises:
        UserError: there is no such experiment or checkpoint, or the options contradict it.
    """
    folder = _find_search(space, options)
    began = options_of(folder)
    _check_agrees(options, began, folder)
    _check_method(space, options, began, folder)
    own = {*_SELECTIONS_OWN, *(SETTINGS if options.method not in (None, began.get("method")) else ())}
    asked = options
    try:
        options = with_preset(options, {name: value for name, value in began.items() if name not in own})
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{folder / 'config.json'} has invalid options ({error}): restore it, or search again"
        ) from None
    options = with_preset(options, {"dataset": "cifar10", "method": "darts", "precision": "torch"})
    options = dataclasses.replace(options, fast=options.fast or bool(began.get("fast")))
    wanted = asked.resume_epoch
    if wanted is None and not continues_search(options):
        wanted = int(options.epochs or began.get("epochs") or space.paper_epochs)
    path, checkpoint = _start_of_selection(options, folder, wanted)
    options = with_preset(options, space.sizes(checkpoint["state_dict"], path))
    method, selection = METHODS[not_none(options.method)], SELECTIONS[options.selection]
    options = with_preset(options, {**space.preset(options), **method.defaults})

    device = device or pick_device(options.gpu)
    data = data_on(options, device)
    training = supernet_training(
        space, options, data, Generators(options.seed, device), int(began.get("seed", options.seed))
    )
    searched_by = began.get("method") or not_none(options.method)
    epochs = int(began["epochs"]) if began.get("epochs") else None
    if not selection.trained:
        return Searched(training, options, folder, path, 0, epochs, searched_by)
    if continues_search(options):
        assert epochs is not None
        training.scheduler = cosine(training.weight_optimizer, options, epochs)
        training.restore({name: value for name, value in checkpoint.items() if name != "generators"}, path)
    else:
        training.restore_supernet(checkpoint, path)
        training.weight_optimizer = sgd(training.supernet, options, options.learning_rate * TUNING_FRACTION)
    return Searched(training, options, folder, path, int(checkpoint["epoch"]), epochs, searched_by)


def run_selection(space: SearchSpace[Any, Selection], options: Selection) -> Selected:
    """Select an architecture from a searched supernet: by perturbation, magnitude, …

    With several processes, each tunes the whole supernet on the same batches and scores some of an event's candidates.
    """
    device = pick_device(options.gpu)
    with joined(device) as ranks:
        searched = open_search(space, options, device)
        training, options = searched.training, searched.options
        training.ranks = ranks
        baseline = searched.baseline(space)
        name = selection_name(options, searched.epoch)
        if options.dev_resume_log is not None:
            name = options.dev_resume_log.removesuffix(".txt").rstrip("/").rsplit("/", 1)[-1]
        folder, asked = searched.folder / name, options.dev_resume_epoch
        start = ranks.from_first(lambda: find_start(folder, options, asked, "dev_resume_epoch"))
        if start.path:
            training.restore(start.checkpoint, start.path)

        log_file = folder.with_name(f"{name}.txt")
        with (
            open_experiment(ranks, folder, options, device, start, log_file) as experiment,
            saver_of(training, experiment, options, "--dev_resume_epoch") as saver,
        ):
            run = f"{METHODS[searched.method].title} + {SELECTIONS[options.selection].title} in {space.title}"
            epochs = _epochs(searched)
            begin(experiment, start.checkpoint, device, options, run, len(training.halves.train), epochs)
            if SELECTIONS[options.selection].trained:
                experiment.log.info("selecting from %s", searched.path)
            _select(space, searched, saver)
            valid = training.evaluate(training.valid_batches())
            return finish(space, training, experiment, valid, options.selection, baseline)


def _select(space: SearchSpace[Any, Any], searched: Searched, saver: Saver) -> None:
    """Take all decisions, in the loop of the selection or of the method."""
    training, options = searched.training, searched.options
    selection = SELECTIONS[options.selection]
    criteria = Criteria(*space.criteria(options), same_batches=options.proj_batches == "cached")
    rule = selection.load()(training, criteria, settings_of(options, selection))
    described = describe(space, saver.experiment)
    if continues_search(options):
        epochs = not_none(searched.epochs)
        saver.save_only_last()
        search(training, saver, epochs, described, evaluate=("test",) * space.evaluates_test, rule=rule)
    elif selection.tunes:
        select(training, rule, saver, options.proj_intv, options.edge_decision, described)
    else:
        select_at_once(training, rule, saver, options.edge_decision)


def _epochs(searched: Searched) -> int:
    """The total number of epochs that the selection trains for."""
    if continues_search(searched.options):
        return not_none(searched.epochs)
    tunes = SELECTIONS[searched.options.selection].tunes
    return schedule(searched.training.supernet.cell_types, searched.options.proj_intv)[1] if tunes else 0


def _start_of_selection(options: SelectionOptions, searched: Path, wanted: int | None) -> tuple[Path, dict[str, Any]]:
    """The checkpoint to select from: that of the epoch `wanted` or, to continue a search, the last without decisions."""
    if not continues_search(options):
        return checkpoints.load(searched, not_none(wanted), within_epochs=False)
    epochs = [wanted] if wanted not in (None, -1) else checkpoints.epochs_in(searched)[::-1]
    for epoch in epochs:
        path = checkpoints.find(searched, not_none(epoch))
        checkpoint = checkpoints.read(path)
        if not any((checkpoint.get("decisions") or {}).get("operations", {}).values()):
            return path, checkpoint
    raise UserError(
        f"--method {options.method} with --selection {options.selection} starts before the first decision of the search, "
        f"but the checkpoints of {searched.name}{f' of epoch {wanted}' if epochs == [wanted] else ''} are past it: "
        f"leave --resume_epoch out, or run the search again"
    )


_SELECTIONS_OWN = ("resume_epoch", "resume_expid", "epochs", "ckpt_interval", "keep")
"""Options that mean something else in a search, so their values are not taken from it."""


def _find_search(space: SearchSpace[Any, Any], options: SelectionOptions) -> Path:
    """The experiment to select from; the UserError for one of another family names the scripts for it."""
    try:
        return find_experiment(space.experiments(options), options.resume_expid, options.fast)
    except UserError:
        for other in SPACES.families().values():
            if other.family != space.family and f"-{other.scripts}-" in options.resume_expid:
                raise UserError(
                    f"--resume_expid {options.resume_expid}: not a search of {space.family} but of {other.family}; select "
                    f"with its scripts, such as darts-proj-{other.scripts}.sh"
                ) from None
        raise


def _check_agrees(options: SelectionOptions, began: dict[str, Any], searched: Path) -> None:
    """Raises UserError if the selection has another data set, space or size than the search."""
    for name in ("dataset", "space", "size"):
        asked = getattr(options, name, None)
        there = began.get(name, None if name == "size" else asked)
        if asked is not None and there != asked:
            raise UserError(
                f"--{name} {asked}: the supernet of {searched.name} was searched with {there or 'none'}; "
                f"leave --{name} out, or give another --resume_expid"
            )


def _check_method(
    space: SearchSpace[Any, Any], options: SelectionOptions, began: dict[str, Any], searched: Path
) -> None:
    """Raises UserError if the selection is not defined for the method, or the method cannot tune the supernet."""
    search_method = began.get("method", "darts")
    if not isinstance(search_method, str) or search_method not in METHODS:
        raise UserError(
            f"{searched / 'config.json'} names the method {search_method!r}, expected one of {listed(METHODS)}"
        )
    method = options.method or search_method
    check_settings(options, method)
    check_selection(method, options.selection)
    for name in (method, search_method):
        if method != search_method and METHODS[name].exclusive:
            raise UserError(
                f"--method {method}: {searched.name} was searched by {search_method}, and {name} "
                f"{METHODS[name].exclusive}: expected --method {search_method}"
            )
    if "method" in began and method != search_method and not options.change_method:
        script = " ".join(selection_script(search_method, space.scripts))
        raise UserError(
            f"--method {method}: {searched.name} was searched by {search_method}; select from it with {script}, or tune it "
            f"by {method} all the same with --change_method"
        )
    if options.change_method and method == search_method:
        raise UserError(f"--change_method: {searched.name} was searched by {search_method} already; leave it out")
