"""The training of a model on batches that the user gives, and passes over them that a resumed run repeats exactly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from darts_pt.architect import Architect, Batch
from darts_pt.hyperparameters import WeightOptions
from darts_pt.library.checks import source_of_nan
from darts_pt.library.supernet import ModelSupernet
from darts_pt.run.device import Generators
from darts_pt.run.epoch import NotFinite, StepResult
from darts_pt.training import SupernetTraining


class Batches:
    """The batches of an iterable, as pairs on the device.

    Args:
        name: `train` or `valid`, for messages.

    Raises:
        TypeError: it cannot be read again and again.
    """

    def __init__(self, batches: Iterable[Any], name: str, device: torch.device) -> None:
        if not isinstance(batches, Iterable):
            raise TypeError(
                f"{name}: expected a DataLoader or another iterable of batches, got a {type(batches).__name__}"
            )
        if isinstance(batches, Iterator):
            raise TypeError(
                f"{name}: a {type(batches).__name__} can be read only once: give a DataLoader, a list of batches, or any "
                "object whose __iter__ starts a new pass"
            )
        if getattr(batches, "persistent_workers", False):
            raise ValueError(
                f"{name}: several passes over it run at a time, but a DataLoader with persistent_workers=True has one "
                "iterator: leave persistent_workers out"
            )
        self.name = name
        self._batches = batches
        self._device = device

    @property
    def count(self) -> int | None:
        """The batches in a pass, if the iterable says it."""
        try:
            return len(self._batches)  # type: ignore[arg-type]
        except TypeError:
            return None

    @property
    def generator(self) -> torch.Generator | None:
        """The generator that a DataLoader shuffles by, if it has its own."""
        sampler = getattr(self._batches, "sampler", None)
        found = getattr(self._batches, "generator", None) or getattr(sampler, "generator", None)
        return found if isinstance(found, torch.Generator) else None

    def __iter__(self) -> Iterator[Any]:
        """The batches of a pass as they come.

        Raises:
            ValueError: there is none.
        """
        empty = True
        for batch in self._batches:
            empty = False
            yield batch
        if empty:
            raise ValueError(f"{self.name}: there is no batch in it")

    def pair(self, batch: Any) -> Batch:
        """A batch on the device.

        Raises:
            TypeError: it is not a pair.
        """
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            shown = f"{len(batch)} values" if isinstance(batch, tuple | list) else f"a {type(batch).__name__}"
            raise TypeError(f"{self.name}: expected every batch to be a pair (inputs, targets), got {shown}")
        return moved(batch[0], self._device), moved(batch[1], self._device)


def moved(value: Any, device: torch.device) -> Any:
    """`value` with every tensor in it on the device."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, Mapping):
        return {key: moved(item, device) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [moved(item, device) for item in value]
    return value


class Pass:
    """A pass over batches that can be taken up again in the middle, after the random state in which it began."""

    def __init__(self, batches: Batches, generators: Generators) -> None:
        self._batches = batches
        self._generators = generators
        self.restore(None)

    def state(self) -> dict[str, Any] | None:
        """None before the first batch."""
        return None if self._began is None else {"began": self._began, "taken": self.taken}

    def restore(self, state: Mapping[str, Any] | None) -> None:
        """The pass of :meth:`state`; None for one that has not begun."""
        self._began = None if state is None else state["began"]
        self.taken = 0 if state is None else int(state["taken"])
        self._iterator: Iterator[Any] | None = None

    def __next__(self) -> Any:
        batch = next(self._opened())
        self.taken += 1
        return batch

    def __iter__(self) -> Iterator[Any]:
        return self

    def _opened(self) -> Iterator[Any]:
        if self._iterator is None and self._began is None:
            self._began = self._generators.state()
            self._iterator = iter(self._batches)
        elif self._iterator is None:
            now = self._generators.state()
            self._generators.restore(self._began)  # type: ignore[arg-type]
            self._iterator = iter(self._batches)
            for _ in range(self.taken):
                next(self._iterator)
            self._generators.restore(now)
        return self._iterator


class ModelTraining(SupernetTraining):
    """Steps of the search are a pass over `train`; alpha's batches go round and round through `valid`."""

    def __init__(
        self,
        architect: Architect,
        train: Batches,
        valid: Batches,
        generators: Generators,
        options: WeightOptions,
        weight_optimizer: torch.optim.Optimizer,
        scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
    ) -> None:
        super().__init__(architect, generators, options, weight_optimizer, scheduler)
        self.train, self.valid = train, valid
        self._steps, self._alphas = Pass(train, generators), Pass(valid, generators)
        self._last_valid: Batch | None = None

    @property
    def model_supernet(self) -> ModelSupernet:
        assert isinstance(self.supernet, ModelSupernet)
        return self.supernet

    def restart(self) -> None:
        """Begin both passes again."""
        self._steps.restore(None)
        self._alphas.restore(None)

    def step(self, chosen: Any) -> StepResult | None:
        """The bilevel step; at a NaN the error says where it comes from."""
        try:
            return super().step(chosen)
        except NotFinite as error:
            batches = [self.batch(chosen), *([self._last_valid] if self._last_valid else [])]
            mixing = self.mixing()
            found = [source_of_nan(self.model_supernet, mixing, batch) for batch in batches]
            raise NotFinite(f"{error} ({next(filter(None, found), 'the outputs of all modules are finite')})") from None

    def batch(self, chosen: Any) -> Batch:
        return self.train.pair(chosen)

    def search_batches(self) -> tuple[int | None, Iterator[Any]]:
        """The number of steps in a pass over `train`, and its remaining batches."""
        self.begin_epoch()
        return self.train.count, self._steps

    def tuning_batches(self) -> tuple[int | None, Iterator[Any]]:
        return self.search_batches()

    def random_train_batch(self) -> Batch:
        return self.train.pair(next(iter(self.train)))

    def random_valid_batch(self) -> Batch:
        try:
            batch = next(self._alphas)
        except StopIteration:
            self._alphas.restore(None)
            batch = next(self._alphas)
        self._last_valid = self.valid.pair(batch)
        return self._last_valid

    def tuning_pass(self) -> Iterable[Any]:
        return iter(self.train)

    def valid_batches(self) -> Iterator[Batch]:
        return self._checked(map(self.valid.pair, self.valid), "valid half")

    def train_batches(self) -> Iterator[Batch]:
        return self._checked(map(self.train.pair, self.train), "train half")

    def end_epoch(self) -> None:
        super().end_epoch()
        self._steps.restore(None)

    def position(self) -> dict[str, Any]:
        return super().position() | {"passes": {"train": self._steps.state(), "valid": self._alphas.state()}}

    def restore(self, checkpoint: dict[str, Any], path: Path) -> None:
        super().restore(checkpoint, path)
        passes = checkpoint.get("passes", {})
        self._steps.restore(passes.get("train"))
        self._alphas.restore(passes.get("valid"))
