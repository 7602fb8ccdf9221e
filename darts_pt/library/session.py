"""The surroundings of a model's search or selection: records, checkpoints, randomness, and errors as Python has them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from darts_pt.run import checkpoint as checkpoints
from darts_pt.run.config import as_json, is_experiment, options_of
from darts_pt.run.device import Generators, stream_seed
from darts_pt.run.epoch import NotFinite
from darts_pt.run.errors import ArgumentError, Stopped, UserError
from darts_pt.run.experiment import Experiment
from darts_pt.run.logs import Logs, Progress, SilentProgress
from darts_pt.run.saver import Saver
from darts_pt.training import SupernetTraining

logger = logging.getLogger(__name__)


class MemoryExperiment(Experiment):
    """An experiment without a folder: its records are a list."""

    def __init__(self, quiet: bool) -> None:
        self.folder = Path()
        self.log = logger
        self.progress = SilentProgress(logger) if quiet else Progress(logger)
        self.lines: list[dict[str, Any]] = []
        self._logs = Logs(None, logger, screen=not quiet)

    def record(self, kind: str, values: Mapping[str, Any], *, epoch: int, step: int | None = None) -> None:
        self.lines.append({"kind": kind, "epoch": epoch, "step": step, "values": as_json(values)})

    def records(self) -> list[dict[str, Any]]:
        return self.lines

    @property
    def metrics_size(self) -> int:
        return len(self.lines)

    def close(self) -> None:
        self.progress.stop()
        self._logs.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class NoSaver(Saver):
    """Saves nothing, and leaves signals alone."""

    def __enter__(self) -> Saver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def safe_point(self) -> None: ...

    def save_epoch(self) -> None: ...

    @contextmanager
    def dump_at_nan(self) -> Iterator[None]:
        try:
            yield
        except NotFinite as error:
            step, epoch = self._training.begin_epoch().steps + 1, self._training.epoch + 1
            raise UserError(
                f"{error} is not a finite number in step {step} of epoch {epoch}: try a smaller learning rate, or skip "
                "such steps (on_nan='skip')"
            ) from None


@contextmanager
def opened(
    training: SupernetTraining,
    folder: Path | None,
    config: Mapping[str, Any],
    resume: bool,
    overwrite: bool,
    quiet: bool,
) -> Iterator[Saver]:
    """The saver of a run, with its experiment: in `folder`, resumed if asked and possible, or in memory."""
    if folder is None:
        with MemoryExperiment(quiet) as experiment, NoSaver(training, experiment, "") as saver:
            yield saver
        return
    if is_experiment(folder) and not (resume or overwrite):
        raise ArgumentError(
            "folder",
            f"{folder} holds a run: go on with it (resume=True), replace it (overwrite=True), or take another folder",
        )
    path, checkpoint = _start(folder, config) if resume else (None, {})
    if path is not None:
        training.restore(checkpoint, path)
    there = resume and path is None and is_experiment(folder)  # Stopped before its first checkpoint.
    device = training.generators.device
    with (
        Experiment(
            folder, config, device=device, resume=path is not None, overwrite=overwrite or there, quiet=quiet
        ) as experiment,
        Saver(training, experiment, "", keep=2) as saver,
    ):
        if path is not None:
            experiment.rewind(int(checkpoints.number_in(checkpoint, "metrics_size", path)))
            experiment.log.info("resumed after epoch %d", checkpoint["epoch"])
        yield saver


def _start(folder: Path, config: Mapping[str, Any]) -> tuple[Path | None, dict[str, Any]]:
    """The latest checkpoint of a run with the same settings; None if it has none."""
    if not checkpoints.epochs_in(folder) and not (folder / checkpoints.LAST).is_file():
        return None, {}
    began = options_of(folder)
    for name, value in as_json(config).items():
        if began.get(name) != value:
            raise ArgumentError(name, f"is {value} here, but the run in {folder} was started with {began.get(name)}")
    return checkpoints.load(folder, -1)


@contextmanager
def own_randomness(generators: Generators, others: Iterable[torch.Generator | None]) -> Iterator[None]:
    """Inside, torch's global random numbers (dropout, a DataLoader's order) follow from the run's seed; outside they go on
    as if nothing had been.

    Args:
        others: generators that batches are drawn by. They are not seeded, but a resumed run sets them back.
    """
    device = generators.device
    is_cuda = device.type == "cuda"
    index = (torch.cuda.current_device() if device.index is None else device.index) if is_cuda else 0
    with torch.random.fork_rng(devices=[index] if is_cuda else []):
        torch.default_generator.manual_seed(stream_seed(generators.seed, "torch"))
        generators.adopt("torch", torch.default_generator)
        if is_cuda:
            generators.adopt("torch on the GPU", torch.cuda.default_generators[index])
            torch.cuda.default_generators[index].manual_seed(stream_seed(generators.seed, "torch"))
        for number, generator in enumerate(others):
            if generator is not None:
                generators.adopt(f"batches {number}", generator)
        yield


@contextmanager
def pythonic_errors(folder: Path | None) -> Iterator[None]:
    """Errors for the user as ValueError, a stop as KeyboardInterrupt or SystemExit."""
    try:
        yield
    except ArgumentError:
        raise
    except UserError as error:
        raise ValueError(str(error)) from None
    except Stopped as stop:
        message = f"stopped and saved in {folder}: the same call with resume=True goes on from there"
        logger.info(message)
        raise (
            KeyboardInterrupt(message) if stop.signal_number == 2 else SystemExit(128 + stop.signal_number)
        ) from None
