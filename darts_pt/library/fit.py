"""Search and select on any model, by the loops, steps and rules of the scripts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from darts_pt import search_loop
from darts_pt import selection as selection_loop
from darts_pt.hyperparameters import AlphaOptions, Criterion, EdgeOrder, OnNan, WeightOptions
from darts_pt.library.building import (
    Alphas,
    MakeOptimizer,
    continue_from,
    own_settings,
    set_alpha,
    training_of,
)
from darts_pt.library.result import Result
from darts_pt.library.running import carried_out, check_together, falling, plain_arguments, search_before
from darts_pt.library.session import pythonic_errors
from darts_pt.library.supernet import Loss
from darts_pt.run import checkpoint as checkpoints
from darts_pt.run.errors import one_of
from darts_pt.run.saver import Saver
from darts_pt.selection import Criteria, SelectionRule
from darts_pt.selections import SELECTIONS
from darts_pt.training import TUNING_FRACTION


def search(
    model: nn.Module,
    train: Iterable[Any],
    valid: Iterable[Any],
    epochs: int,
    *,
    method: str = "darts",
    options: Mapping[str, Any] | None = None,
    loss: Loss = F.cross_entropy,
    learning_rate: float = 0.025,
    learning_rate_min: float = 0.001,
    momentum: float = 0.9,
    weight_decay: float = 3e-4,
    grad_clip: float = 5.0,
    optimizer: MakeOptimizer | None = None,
    arch_learning_rate: float = 3e-4,
    arch_weight_decay: float = 1e-3,
    decide_by: str = "magnitude",
    criterion: Criterion | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    on_nan: OnNan = "stop",
    quiet: bool = False,
) -> Result:
    """Train a model's weights and its alphas by bilevel steps (paper, section 3). The model itself is trained.

    Args:
        model: a network with a :class:`MixedOperation` in it.
        train: batches (inputs, targets) that the weights are stepped on; a pass over them is an epoch.
        valid: other batches, that alpha is stepped on, round and round; evaluated after each epoch.
        epochs: at least 1.
        method: a search method; `darts_pt.METHODS` lists them.
        options: arguments that only this method has, such as {"tau_max": 5.0} of gdas.
        loss: the mean loss of a batch as a tensor, from (outputs, targets).
        learning_rate, learning_rate_min: of SGD for the weights; a cosine from the one to the other.
        momentum, weight_decay, grad_clip: of SGD for the weights; the largest norm of their gradient.
        optimizer: makes another optimiser from a list of parameters; its rate falls by the same factor.
        arch_learning_rate, arch_weight_decay: of Adam for alpha.
        decide_by: of a method that decides during the search (sgas), the selection that it decides by.
        criterion: as for :func:`select`, for `decide_by`.
        seed: of alpha, of the method, and inside of torch's global random numbers.
        device: by default where the model is; else the model is moved.
        folder: also write checkpoints, metrics, a log and the result there.
        resume: go on from the last checkpoint in `folder`, if there is one; later results are the same to the bit.
        overwrite: replace an experiment in `folder`.
        on_nan: at a loss or gradient that is not finite, "stop" or "skip" the step.
        quiet: no progress bars, no lines on the screen.

    Returns:
        The result, with decisions by magnitude, unless the method has decided during the search. :func:`select` goes on
        from it.

    Raises:
        ValueError, TypeError: an argument, the model or a batch is not as expected; the message says which and where.
    """
    arguments = plain_arguments(search, locals())
    path = None if folder is None else Path(folder)
    with pythonic_errors(path):
        one_of("decide_by", decide_by, ("magnitude", "pt", "oneshot"))
        training = training_of(
            model, train, valid, loss=loss, method=method, settings=options or {}, optimizer=optimizer, on_nan=on_nan,
            weights=WeightOptions(
                batch_size=1, learning_rate=learning_rate, learning_rate_min=learning_rate_min, momentum=momentum,
                weight_decay=weight_decay, grad_clip=grad_clip,
            ),
            alpha=AlphaOptions(arch_learning_rate=arch_learning_rate, arch_weight_decay=arch_weight_decay),
            seed=seed, device=device,
        )  # fmt: skip
        training.scheduler = falling(training, epochs)

        def run(saver: Saver, criteria: Criteria) -> None:
            declared = SELECTIONS[decide_by]
            rule: SelectionRule = declared.load()(training, criteria, declared.defaults)
            search_loop.search(training, saver, epochs, search_loop.architecture, rule=rule)

        result = carried_out("search", training, run, arguments, criterion, path, resume, overwrite, quiet)
        model.__dict__ |= {"searched": result, "tuned": False}
        return result


def select(
    model: nn.Module,
    train: Iterable[Any],
    valid: Iterable[Any],
    *,
    selection: str = "pt",
    start: Result | Alphas | str | Path | None = None,
    interval: int = 5,
    criterion: Criterion | None = None,
    order: EdgeOrder = "random",
    same_batches: bool = False,
    method: str | None = None,
    options: Mapping[str, Any] | None = None,
    loss: Loss = F.cross_entropy,
    learning_rate: float | None = None,
    momentum: float = 0.9,
    weight_decay: float = 3e-4,
    grad_clip: float = 5.0,
    optimizer: MakeOptimizer | None = None,
    arch_learning_rate: float | None = None,
    arch_weight_decay: float | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    on_nan: OnNan = "stop",
    quiet: bool = False,
) -> Result:
    """Decide every choice of a trained supernet, one after the other, tuning it in between (paper, Algorithm 1).

    The model itself is tuned; at the end it computes what is kept.

    Args:
        model, train, valid, loss, device, on_nan, quiet: as for :func:`search`.
        selection: a selection; `darts_pt.SELECTIONS` lists them.
        start: where alpha comes from: the result of a search, the folder of one (its weights are loaded too), or values by
            name. By default the last search of this model; a selection tunes the model, so a second one needs another
            search, a copy of the model made before the first, or `start`. With `method="blank"` a model may come without
            a search: then alpha is about 0.
        interval: epochs of tuning between decisions.
        criterion: of pt and oneshot: "acc", "loss", or a function of (outputs, targets) that returns a number, the higher
            the better, averaged over the samples. By default "acc" where targets are class labels, else "loss".
        order: of the decisions: "random", "order" (of the model), "reverse".
        same_batches: score the candidates of a decision on the same draw of the valid batches, kept in memory.
        method: the search method that tunes; by default that of the search, or darts.
        options: arguments that only this selection has, such as {"oneshot_epochs": 1}.
        learning_rate: of tuning, constant; by default a tenth of the search's, or 0.0025.
        momentum, weight_decay, grad_clip: as for :func:`search`.
        optimizer: makes another optimiser from a list of parameters; its rate is taken as it is.
        arch_learning_rate, arch_weight_decay: by default those of the search.
        seed, folder, resume, overwrite: as for :func:`search`; a selection's folder is its own.

    Returns:
        The decisions with all scores.

    Raises:
        ValueError, TypeError: an argument, the model or a batch is not as expected; the message says which and where.
    """
    arguments = plain_arguments(select, locals())
    path = None if folder is None else Path(folder)
    with pythonic_errors(path):
        one_of("selection", selection, SELECTIONS)
        one_of("order", order, ("random", "order", "reverse"))
        declared = SELECTIONS[selection]
        searched = search_before(model, start, method, trained=declared.trained, resume=resume)
        before = searched.settings if searched else {}
        method = str(method or before.get("method", "darts"))
        check_together(method, selection, searched)
        given = {"arch_learning_rate": arch_learning_rate, "arch_weight_decay": arch_weight_decay}
        usual = {name: before.get(name, default) for name, default in vars(AlphaOptions()).items()}
        usual |= {name: value for name, value in given.items() if value is not None}
        rate = TUNING_FRACTION * before.get("learning_rate", 0.025) if learning_rate is None else learning_rate
        training = training_of(
            model, train, valid, loss=loss, method=method, optimizer=optimizer, on_nan=on_nan,
            settings=(before.get("options") or {}) if method == before.get("method") else {},
            weights=WeightOptions(
                batch_size=1, learning_rate=rate, momentum=momentum, weight_decay=weight_decay, grad_clip=grad_clip
            ),
            alpha=AlphaOptions(**usual), seed=seed, device=device,
        )  # fmt: skip
        arguments |= {"method": method, "learning_rate": rate, **usual}
        settings = own_settings(declared, options or {})
        if searched:
            continue_from(training, searched, method)
            for group in training.architect.optimizer.param_groups:
                group["lr"], group["weight_decay"] = usual["arch_learning_rate"], usual["arch_weight_decay"]
        elif isinstance(start, Mapping):
            set_alpha(training.model_supernet, training.architect.alpha, start)
        if isinstance(start, str | Path):
            file, checkpoint = checkpoints.load(Path(start), -1, "start", within_epochs=False)
            checkpoints.load_weights(training.supernet, checkpoint["state_dict"], file)

        def run(saver: Saver, criteria: Criteria) -> None:
            rule: SelectionRule = declared.load()(training, criteria, settings)
            if declared.tunes:
                model.__dict__["tuned"] = True
                selection_loop.select(training, rule, saver, interval, order, search_loop.architecture)
            else:
                selection_loop.select_at_once(training, rule, saver, order)
                saver.save_epoch()

        return carried_out(
            "selection", training, run, arguments, criterion, path, resume, overwrite, quiet, same_batches
        )
