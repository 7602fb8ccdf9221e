"""What the commands of every space do: search, select, train a derived network; from options to files.

The spaces' command modules add their options and call one of these functions.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch

from darts_pt import checkpoint as checkpoints
from darts_pt.architect import AlphaOptions
from darts_pt.data import DataSet, halves, load
from darts_pt.device import Generators, pick_device, seeded
from darts_pt.errors import UserError
from darts_pt.evaluation import CHECKPOINT_KEYS, EvaluationNetwork, NetworkTraining, TrainingOptions, train_network
from darts_pt.experiment import Experiment, as_json
from darts_pt.files import atomic_write
from darts_pt.method_options import SETTINGS, check_selection, check_settings, settings_of
from darts_pt.methods import METHODS
from darts_pt.options import RunOptions
from darts_pt.projection import decide_during_search, project, select_at_once
from darts_pt.resume import check_same_options, find_experiment, options_of
from darts_pt.run_options import SelectionOptions, SupernetOptions, TrainOptions, given, with_preset
from darts_pt.saving import Saveable, Saver
from darts_pt.search import Halves, Metrics, SupernetTraining, WeightOptions, search
from darts_pt.selection import Magnitude
from darts_pt.selections import SELECTIONS, Circumstances
from darts_pt.space import Search, SearchSpace, Selection
from darts_pt.supernet import Decisions, initial_alpha

TUNING_FRACTION = 0.1
"""Selection tunes at this fraction of the search's initial learning rate, constant."""

CUTOUT_IMAGE = 32
"""Side of the images that --cutout_length is meant for; others get a hole in proportion, or 16 would wipe out digits."""

Options = TypeVar("Options", bound=RunOptions)


class Selected(NamedTuple):
    """What a search or a selection leaves: the genotype, the supernet's valid metrics with it, the files' folder."""

    genotype: Any
    valid: Metrics | None
    folder: Path


# Search ----------------------------------------------------------------------------------------------------------


def run_search(space: SearchSpace[Search, Any], options: Search) -> Selected:
    """Train a supernet, from the beginning or from a checkpoint; the genotype is that of the largest alphas."""
    check_settings(options, options.method)
    options = with_preset(options, {**space.preset(options), **METHODS[options.method].defaults})
    device, data = _device_and_data(options)
    generators = Generators(options.seed, device)
    epochs, interval = given(options.epochs), given(options.ckpt_interval)
    training = _supernet_training(space, options, data, generators, options.seed)
    training.scheduler = training.options.scheduler(training.weight_optimizer, epochs)
    folder, resumes = space.search_folder(options), options.resume_epoch != 0
    checkpoint: dict[str, Any] = {}
    if resumes:
        folder = find_experiment(space.experiments(options), options.resume_expid or folder.name)
        check_same_options(folder, dataclasses.asdict(options))
        path, checkpoint = checkpoints.load(folder, options.resume_epoch)
        training.restore(checkpoint, path)
    with (
        Experiment(folder, options, device=device, resume=resumes, overwrite=options.overwrite) as experiment,
        _saver(training, experiment, options, "--resume_epoch") as saver,
    ):
        _begin(experiment, checkpoint, device)
        search(
            training,
            experiment,
            saver,
            epochs,
            interval,
            options.report_freq,
            lambda epoch: _describe(space, training, data, experiment),
            space.evaluates_test,
            options.evaluate_train,
            lambda: decide_during_search(training, Magnitude(), experiment, saver, epochs),
        )
        return _finish(space, training, experiment, None)


# Selection -------------------------------------------------------------------------------------------------------


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
    options = with_preset(options, {name: value for name, value in began.items() if name not in own})
    options = dataclasses.replace(options, dataset=options.dataset or "cifar10", method=options.method or "darts")
    path, checkpoint = _start_of_selection(space, options, searched)
    options = with_preset(options, space.sizes(checkpoint["state_dict"], path))
    options = with_preset(options, {**space.preset(options), **METHODS[given(options.method)].defaults})

    device, data = _device_and_data(options)
    generators = Generators(options.seed, device)
    training = _supernet_training(space, options, data, generators, int(began.get("seed", options.seed)))
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
    """Select an architecture from a searched supernet: by perturbation or by magnitude."""
    training, options, searched, path, epoch = open_search(space, options)
    device = training.generators.device
    name = selection_name(options, epoch)
    resumed: dict[str, Any] = {}
    resumes = options.dev_resume_epoch is not None
    if resumes:
        name = (options.dev_resume_log or name).removesuffix(".txt").rstrip("/").rsplit("/", 1)[-1]
        check_same_options(searched / name, dataclasses.asdict(options))
        event_path, resumed = checkpoints.load(searched / name, given(options.dev_resume_epoch), "--dev_resume_epoch")
        training.restore(resumed, event_path)
    with (
        Experiment.selection(
            searched, name, options, device=device, resume=resumes, overwrite=options.overwrite
        ) as experiment,
        _saver(training, experiment, options, "--dev_resume_epoch") as saver,
    ):
        _begin(experiment, resumed, device)
        if SELECTIONS[options.selection].trained:
            experiment.log.info("selecting from %s", path)
        _select(space, training, options, experiment, saver, searched)
        return _finish(space, training, experiment, training.evaluate(training.valid_batches()))


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

    def describe(epoch: int) -> dict[str, Any]:
        return _describe(space, training, training.data, experiment)

    if _continues_search(options):
        epochs = int(options_of(searched)["epochs"])
        search(
            training,
            experiment,
            saver,
            epochs,
            epochs,
            options.report_freq,
            describe,
            space.evaluates_test,
            before_epoch=lambda: decide_during_search(training, rule, experiment, saver, epochs),
        )
    elif selection.tunes:
        interval, order = options.proj_intv, options.edge_decision
        project(training, rule, experiment, saver, interval, order, options.report_freq, describe)
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


_SELECTIONS_OWN = ("resume_epoch", "resume_expid", "epochs", "ckpt_interval")
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
    method = options.method or search_method
    check_settings(options, method)
    check_selection(method, options.selection)
    for name in (method, search_method):
        if method != search_method and METHODS[name].exclusive:
            raise UserError(
                f"--method {method}: {searched.name} was searched by {search_method}, and {name} "
                f"{METHODS[name].exclusive}: expected --method {search_method}"
            )


# Both ------------------------------------------------------------------------------------------------------------


def _supernet_training(
    space: SearchSpace[Any, Any], options: SupernetOptions, data: DataSet, generators: Generators, halves_seed: int
) -> SupernetTraining:
    """A training at its beginning."""
    with seeded(generators["weights"]):
        supernet = space.supernet(options, data.classes, generators)
    supernet.to(generators.device)
    alpha = initial_alpha(supernet.cell_types, generators["alpha"], generators.device)
    alpha_options = AlphaOptions(options.arch_learning_rate, options.arch_weight_decay)
    method = METHODS[given(options.method)]
    architect = method(supernet, alpha, alpha_options, settings_of(options, method), generators)
    weight_options = WeightOptions(
        given(options.batch_size),
        options.learning_rate,
        options.learning_rate_min,
        options.momentum,
        options.weight_decay,
        options.grad_clip,
    )
    return SupernetTraining(
        architect,
        data,
        Halves(*halves(data, given(options.train_portion), halves_seed)),
        generators,
        weight_options,
        weight_options.optimizer(supernet),
        fast=options.fast,
    )


def _describe(
    space: SearchSpace[Any, Any], training: SupernetTraining, data: DataSet, experiment: Experiment
) -> dict[str, Any]:
    """What is recorded of the mixing weights after each epoch: the genotype, the weights, what a table knows."""
    mixing = training.architect.mixing(training.decisions)
    genotype = training.supernet.genotype(mixing)
    known = space.look_up(genotype, data.name)
    experiment.log.info("genotype: %s%s", genotype, _in_words(known))
    weights = {
        cell.name: {
            f"{number}:{edge.target}<-{edge.source}": dict(zip(cell.operations[number], row, strict=True))
            for number, (edge, row) in enumerate(zip(cell.edges, mixing.values[cell.name].tolist(), strict=True))
        }
        for cell in training.supernet.cell_types
    }
    return {"genotype": str(genotype), "mixing_weights": weights} | ({"table": known} if known else {})


def _in_words(known: dict[str, Any]) -> str:
    numbers = [
        f"{name} {value:.2f}" if isinstance(value, float) else f"{name} {value}" for name, value in known.items()
    ]
    return f" ({', '.join(numbers)})" if numbers else ""


def _finish(
    space: SearchSpace[Any, Any], training: SupernetTraining, experiment: Experiment, valid: Metrics | None
) -> Selected:
    """Write the genotype and say it."""
    genotype = training.supernet.genotype(training.architect.mixing(training.decisions))
    content = space.plain(genotype)
    known = space.look_up(genotype, training.data.name)
    if training.decisions != Decisions():
        content |= {"decisions": training.decisions.to_dict()}
    if valid:
        content |= {"supernet_valid_accuracy": valid.accuracy, "supernet_valid_loss": valid.loss}
        experiment.log.info("supernet with it: valid accuracy %.2f %%, loss %.4f", valid.accuracy, valid.loss)
    if known:
        content |= {"table": known}
    atomic_write(experiment.folder / "genotype.json", json.dumps(as_json(content), indent=2) + "\n")
    experiment.log.info("genotype: %s%s", genotype, _in_words(known))
    space.finish(genotype, experiment.folder)
    experiment.log.info("files: %s", experiment.folder)
    return Selected(genotype, valid, experiment.folder)


# Evaluation training ---------------------------------------------------------------------------------------------


def training_options(options: TrainOptions, **space: Any) -> TrainingOptions:
    """How a derived network is trained, from the command line; `space` adds what a space fixes or offers besides."""
    return TrainingOptions(
        epochs=given(options.epochs),
        batch_size=given(options.batch_size),
        learning_rate=given(options.learning_rate),
        momentum=options.momentum,
        weight_decay=given(options.weight_decay),
        grad_clip=given(options.grad_clip),
        precision=options.precision,
        **space,
    )


def run_training(
    options: TrainOptions,
    how: TrainingOptions,
    folder: Path,
    network: Callable[[DataSet], EvaluationNetwork],
    describe: Callable[[EvaluationNetwork, DataSet], dict[str, Any]],
) -> dict[str, Any]:
    """Train a derived network; the summary is returned and written to summary.json.

    Args:
        network: makes the network for a data set.
        describe: what else the summary should say of it (architecture, parameters, …).
    """
    device, data = _device_and_data(options)
    generators = Generators(options.seed, device)
    with seeded(generators["weights"]):
        model = network(data)
    training = NetworkTraining(model.to(device), data, generators, how, options.fast)
    resumes = options.resume_epoch != 0
    checkpoint: dict[str, Any] = {}
    if resumes:
        check_same_options(folder, dataclasses.asdict(options))
        path, checkpoint = checkpoints.load(folder, options.resume_epoch, required=CHECKPOINT_KEYS)
        training.restore(checkpoint, path)
    with (
        Experiment(folder, options, device=device, resume=resumes, overwrite=options.overwrite) as experiment,
        _saver(training, experiment, options, "--resume_epoch") as saver,
    ):
        _begin(experiment, checkpoint, device)
        described = describe(model, data)
        for name, value in described.items():
            experiment.log.info("%s: %s", name, value)
        summary = described | train_network(
            training, experiment, saver, given(options.ckpt_interval), options.report_freq
        )
        atomic_write(folder / "summary.json", json.dumps(as_json(summary), indent=2) + "\n")
        experiment.log.info(
            "test accuracy %.2f %% (best %.2f %%)", summary["test_accuracy"], summary["best_test_accuracy"]
        )
        experiment.log.info("files: %s", folder)
        return summary


# All -------------------------------------------------------------------------------------------------------------


def _device_and_data(options: RunOptions) -> tuple[torch.device, DataSet]:
    device = pick_device(options.gpu)
    data = load(options.dataset, options.data_root, device, options.image_size, options.data)
    if options.cutout:
        side = max(1, round(options.cutout_length * data.train.pixels.shape[-1] / CUTOUT_IMAGE))
        augmentation = dataclasses.replace(data.augmentation, cutout=side)
        data = dataclasses.replace(data, augmentation=augmentation)
    return device, data


def _saver(training: Saveable, experiment: Experiment, options: RunOptions, resume_option: str) -> Saver:
    """What saves the run; the guard of its numbers is set as well."""
    training.guard.on_nan = options.on_nan
    return Saver(training, experiment, resume_option, options.ckpt_minutes, options.keep)


def _begin(experiment: Experiment, checkpoint: dict[str, Any], device: torch.device) -> None:
    """The first lines of a log; a resumed run forgets what was recorded after its checkpoint."""
    if checkpoint:
        if "metrics_size" in checkpoint:  # the original's checkpoints lack it
            experiment.rewind(int(checkpoints.number_in(checkpoint, "metrics_size", experiment.folder)))
        experiment.log.info("resumed after epoch %d", checkpoint["epoch"])
    experiment.log.info("%s on %s", experiment.folder, device)
