"""Run a search: from options to a trained supernet."""

from __future__ import annotations

from typing import Any

from darts_pt.commands.options import not_none, with_preset
from darts_pt.commands.outcome import Selected, describe, finish
from darts_pt.commands.own_options import check_settings
from darts_pt.commands.resume import find_experiment, find_start
from darts_pt.commands.supernets import begin, data_on, saver_of, supernet_training
from darts_pt.methods import METHODS
from darts_pt.run.device import Generators, pick_device
from darts_pt.run.experiment import Experiment
from darts_pt.run.processes import one_process
from darts_pt.search_loop import first_decision, search
from darts_pt.selections.magnitude import MagnitudeRule
from darts_pt.space import Search, SearchSpace
from darts_pt.training import cosine


def resolved(space: SearchSpace[Search, Any], options: Search) -> Search:
    """Fill the open options from the space's preset and the method's defaults."""
    return with_preset(options, {**space.preset(options), **METHODS[options.method].defaults})


def run_search(space: SearchSpace[Search, Any], options: Search) -> Selected:
    """Train a supernet, from the beginning or from a checkpoint; its genotype is by magnitude."""
    one_process("a search")
    check_settings(options, options.method)
    options = resolved(space, options)
    device = pick_device(options.gpu)
    data = data_on(options, device)
    epochs = not_none(options.epochs)
    training = supernet_training(space, options, data, Generators(options.seed, device), options.seed)
    training.scheduler = cosine(training.weight_optimizer, options, epochs)
    folder = space.search_folder(options)
    if options.resume_epoch != 0:
        folder = find_experiment(space.experiments(options), options.resume_expid or folder.name)
    start = find_start(folder, options, options.resume_epoch or None, "resume_epoch")
    if start.path:
        training.restore(start.checkpoint, start.path)
    with (
        Experiment(folder, options, device=device, resume=bool(start.path), overwrite=start.overwrite) as experiment,
        saver_of(training, experiment, options, "--resume_epoch", first_decision(training, epochs)) as saver,
    ):
        run = f"{METHODS[options.method].title} in {space.title}"
        begin(experiment, start.checkpoint, device, options, run, len(training.halves.train), epochs)
        evaluate = ("train_half",) * options.evaluate_train + ("test",) * space.evaluates_test
        search(training, saver, epochs, describe(space, experiment), evaluate=evaluate, rule=MagnitudeRule())
        return finish(space, training, experiment)
