"""A selection: from a searched supernet to an architecture."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from darts_pt.commands.common import (
    Selected,
    begin,
    describe,
    device_and_data,
    finish,
    open_experiment,
    saver_of,
    supernet_training,
)
from darts_pt.commands.method_options import SETTINGS, check_selection, check_settings
from darts_pt.commands.options import SelectionOptions, given, with_preset
from darts_pt.methods import METHODS
from darts_pt.projection import decide_during_search, project, select_at_once
from darts_pt.run import checkpoint as checkpoints
from darts_pt.run.device import Generators, pick_device
from darts_pt.run.errors import UserError
from darts_pt.run.experiment import Experiment
from darts_pt.run.processes import joined
from darts_pt.run.resume import find_experiment, find_start, options_of
from darts_pt.run.saver import Saver
from darts_pt.run.suggestions import listed
from darts_pt.search import SupernetTraining, search
from darts_pt.selections import SELECTIONS, Circumstances
from darts_pt.space import SearchSpace, Selection

TUNING_FRACTION = 0.1
"""Selection tunes at this fraction of the search's initial learning rate, constant."""


class Searched(NamedTuple):
    """A supernet as its search left it, ready to be tuned, with the options that a selection from it has.

    Attributes:
        training: the supernet, alpha and the data; weights at a tenth of the search's learning rate, constant.
        options: resolved: what the user left open is the search's, or the preset's.
        folder: the search's experiment.
        path: the checkpoint it is from, after `epoch` epochs of search.
    """

    training: SupernetTraining
    options: Any
    folder: Path
    path: Path
    epoch: int


def open_search(space: SearchSpace[Any, Selection], options: Selection) -> Searched:
    """The supernet that `--resume_expid` and `--resume_epoch` name.

    Raises:
        UserError: there is no such experiment or checkpoint, or the options contradict it.
    """
    searched = find_experiment(space.experiments(options), options.resume_expid)
    began = options_of(searched)
    _check_agrees(options, began, searched)
    _check_method(options, began, searched)
    own = {*_SELECTIONS_OWN, *(SETTINGS if options.method not in (None, began.get("method")) else ())}
    try:
        options = with_preset(options, {name: value for name, value in began.items() if name not in own})
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{searched / 'config.json'} holds options that are none ({error}): restore it, or search again"
        ) from None
    options = with_preset(options, {"dataset": "cifar10", "method": "darts", "precision": "torch"})
    path, checkpoint = _start_of_selection(space, options, searched)
    options = with_preset(options, space.sizes(checkpoint["state_dict"], path))
    options = with_preset(options, {**space.preset(options), **METHODS[given(options.method)].defaults})

    device, data = device_and_data(options)
    generators = Generators(options.seed, device)
    training = supernet_training(space, options, data, generators, int(began.get("seed", options.seed)))
    selection = SELECTIONS[options.selection]
    if not selection.trained:
        return Searched(training, options, searched, path, 0)
    if _continues_search(options):
        training.scheduler = training.options.scheduler(training.weight_optimizer, int(began["epochs"]))
        training.restore({name: value for name, value in checkpoint.items() if name != "generators"}, path)
    else:
        training.restore_supernet(checkpoint, path)
        learning_rate = options.learning_rate * TUNING_FRACTION
        training.weight_optimizer = training.options.optimizer(training.supernet, learning_rate)
    return Searched(training, options, searched, path, int(checkpoint["epoch"]))


def run_selection(space: SearchSpace[Any, Selection], options: Selection) -> Selected:
    """Select an architecture from a searched supernet: by perturbation or by magnitude.

    Of the processes that torchrun has started each tunes the whole supernet, on the same batches; the candidates of an
    event are spread over them.
    """
    with joined(pick_device(options.gpu)) as ranks:
        training, options, searched, path, epoch = open_search(space, options)
        training.ranks = ranks
        device = training.generators.device
        name = selection_name(options, epoch)
        if options.dev_resume_log is not None:
            name = options.dev_resume_log.removesuffix(".txt").rstrip("/").rsplit("/", 1)[-1]
        folder, asked = searched / name, options.dev_resume_epoch
        start = ranks.from_first(lambda: find_start(folder, options, asked, "--dev_resume_epoch"))
        if start.path:
            training.restore(start.checkpoint, start.path)

        def opened() -> Experiment:
            resume, overwrite = start.resumes, start.overwrite
            return Experiment.selection(searched, name, options, device=device, resume=resume, overwrite=overwrite)

        with (
            open_experiment(ranks, folder, opened) as experiment,
            saver_of(training, experiment, options, "--dev_resume_epoch") as saver,
        ):
            begin(experiment, start.checkpoint, device)
            if SELECTIONS[options.selection].trained:
                experiment.log.info("selecting from %s", path)
            _select(space, training, options, experiment, saver, searched)
            return finish(space, training, experiment, training.evaluate(training.valid_batches()))


def _select(
    space: SearchSpace[Any, Selection],
    training: SupernetTraining,
    options: Selection,
    experiment: Experiment,
    saver: Saver,
    searched: Path,
) -> None:
    """Take all decisions, in the loop that the selection and the method ask for."""
    selection = SELECTIONS[options.selection]
    rule = selection.rule(Circumstances(training, *space.criteria(options), options))

    def after_epoch(epoch: int) -> dict[str, Any]:
        return describe(space, training, training.data, experiment)

    if _continues_search(options):
        epochs = int(options_of(searched)["epochs"])
        search(
            training,
            experiment,
            saver,
            epochs,
            epochs,
            options.report_freq,
            after_epoch,
            space.evaluates_test,
            before_epoch=lambda: decide_during_search(training, rule, experiment, saver, epochs),
        )
    elif selection.tunes:
        interval, order = options.proj_intv, options.edge_decision
        project(training, rule, experiment, saver, interval, order, options.report_freq, after_epoch)
    else:
        select_at_once(training, rule, experiment, saver, options.edge_decision)


def _continues_search(options: SelectionOptions) -> bool:
    """Whether the selection takes over a search before its first decision, and goes on as that would have (SGAS)."""
    return METHODS[given(options.method)].decides_during_search and SELECTIONS[options.selection].tunes


def _start_of_selection(
    space: SearchSpace[Any, Selection], options: Selection, searched: Path
) -> tuple[Path, dict[str, Any]]:
    """The checkpoint to select from: the one asked for or the last; the last before any decision if the search goes on."""
    if not _continues_search(options):
        return checkpoints.load(searched, _resume_epoch(space, options, searched), within_epochs=False)
    asked = options.resume_epoch
    epochs = [asked] if asked not in (None, -1) else checkpoints.epochs_in(searched)[::-1]
    for epoch in epochs:
        path = checkpoints.find(searched, given(epoch))
        checkpoint = checkpoints.read(path)
        if not any((checkpoint.get("decisions") or {}).get("operations", {}).values()):
            return path, checkpoint
    raise UserError(
        f"--method {options.method} with --selection {options.selection} starts before the first decision of the search, "
        f"but the checkpoints of {searched.name}{f' of epoch {asked}' if epochs == [asked] else ''} are past it: "
        f"leave --resume_epoch out, or run the search again"
    )


_SELECTIONS_OWN = ("resume_epoch", "resume_expid", "epochs", "ckpt_interval", "keep")
"""Options that a selection has under the same name as a search, but with another meaning."""


def selection_name(options: SelectionOptions, epoch: int) -> str:
    """The name of a selection's folder and log, from all that tells two selections of one supernet apart."""
    selection = SELECTIONS[options.selection]
    parts = [f"log_resume-{epoch}", options.selection, *selection.name_parts(options), f"seed-{options.seed}"]
    if options.selection != "magnitude":
        parts += [f"intv-{options.proj_intv}"] if selection.tunes and options.proj_intv != 5 else []
        parts += [options.edge_decision] if options.edge_decision != "random" else []
        parts += [options.proj_batches] if options.proj_batches != "fresh" else []
    return "-".join(parts + ([options.log_tag] if options.log_tag else []))


def selection_pattern(options: SelectionOptions, epochs: int) -> str:
    """The name of the folder of a selection from a search of `epochs` epochs, before that search has been run.

    Where a selection starts at a decision of the search (SGAS), a `*` stands for the epoch. `options.method` must be given.
    """
    if _continues_search(options):
        return "log_resume-*" + selection_name(options, 0).removeprefix("log_resume-0")
    return selection_name(options, epochs if SELECTIONS[options.selection].trained else 0)


def _resume_epoch(space: SearchSpace[Any, Selection], options: Selection, searched: Path) -> int:
    """The epoch the user asked for; else the search's last one, or the paper's where its options are not known."""
    if options.resume_epoch is not None:
        return options.resume_epoch
    return int(options.epochs or options_of(searched).get("epochs") or space.paper_epochs)


def _check_agrees(options: SelectionOptions, began: dict[str, Any], searched: Path) -> None:
    """Selection happens on the data and in the space of the search."""
    for name in ("dataset", "space"):
        asked = getattr(options, name, None)
        if asked is not None and began.get(name, asked) != asked:
            raise UserError(
                f"--{name} {asked}: the supernet of {searched.name} was searched with {began[name]}; "
                f"leave --{name} out, or name another --resume_expid"
            )


def _check_method(options: SelectionOptions, began: dict[str, Any], searched: Path) -> None:
    """The selection must be defined for the method, and the supernet be one that the method can go on with.

    Raises:
        UserError: naming what does not go together, and why.
    """
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
