"""A search: from options to a trained supernet."""

from __future__ import annotations

import dataclasses
from typing import Any

from darts_pt.commands.common import Selected, begin, describe, device_and_data, finish, saver_of, supernet_training
from darts_pt.commands.method_options import check_settings
from darts_pt.commands.options import given, with_preset
from darts_pt.methods import METHODS
from darts_pt.projection import decide_during_search, starts_of_selections
from darts_pt.run import checkpoint as checkpoints
from darts_pt.run.device import Generators
from darts_pt.run.experiment import Experiment
from darts_pt.run.processes import one_process
from darts_pt.run.resume import check_metrics, check_same_options, find_experiment
from darts_pt.search import search
from darts_pt.selection import Magnitude
from darts_pt.space import Search, SearchSpace


def run_search(space: SearchSpace[Search, Any], options: Search) -> Selected:
    """Train a supernet, from the beginning or from a checkpoint; the genotype is that of the largest alphas."""
    one_process("a search")
    check_settings(options, options.method)
    options = with_preset(options, {**space.preset(options), **METHODS[options.method].defaults})
    device, data = device_and_data(options)
    generators = Generators(options.seed, device)
    epochs, interval = given(options.epochs), given(options.ckpt_interval)
    training = supernet_training(space, options, data, generators, options.seed)
    training.scheduler = training.options.scheduler(training.weight_optimizer, epochs)
    folder, resumes = space.search_folder(options), options.resume_epoch != 0
    checkpoint: dict[str, Any] = {}
    if resumes:
        folder = find_experiment(space.experiments(options), options.resume_expid or folder.name)
        check_same_options(folder, dataclasses.asdict(options))
        path, checkpoint = checkpoints.load(folder, options.resume_epoch)
        training.restore(checkpoint, path)
        check_metrics(folder, checkpoint)
    with (
        Experiment(folder, options, device=device, resume=resumes, overwrite=options.overwrite) as experiment,
        saver_of(training, experiment, options, "--resume_epoch", starts_of_selections(training, epochs)) as saver,
    ):
        begin(experiment, checkpoint, device)
        search(
            training,
            experiment,
            saver,
            epochs,
            interval,
            options.report_freq,
            lambda epoch: describe(space, training, data, experiment),
            space.evaluates_test,
            options.evaluate_train,
            lambda: decide_during_search(training, Magnitude(), experiment, saver, epochs),
        )
        return finish(space, training, experiment, None)
