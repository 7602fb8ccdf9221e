"""The train half and the valid half of a training set, as indices; stratified if the images are sorted by class."""

from __future__ import annotations

import torch
from torch import Tensor

from darts_pt.data.data_set import DataSet
from darts_pt.run.device import stream_seed
from darts_pt.run.errors import ArgumentError


def halves(data: DataSet, train_portion: float, seed: int) -> tuple[Tensor, Tensor]:
    """Indices (int64, on the device) of the train half and of the valid half.

    The train half is the first floor(train_portion · N) images in the data set's own order, as in the original. A data set
    that is sorted by class gets a stratified split drawn from `seed` instead; its halves are ascending.

    Raises:
        ArgumentError: for a portion outside (0, 1), an empty half, or a half that lacks a class.
    """
    if not 0 < train_portion < 1:
        raise ArgumentError("train_portion", f"expected a number between 0 and 1, got {train_portion}")
    labels = data.train.labels.cpu()
    count = len(labels)
    cut = int(train_portion * count)
    if cut == 0:
        raise ArgumentError("train_portion", f"{train_portion} of {count} images leaves the train half empty: raise it")
    order = torch.arange(count)
    if data.sorted_by_class:
        order = stratified_order(labels, torch.Generator().manual_seed(stream_seed(seed, "halves")))
    train, valid = order[:cut].sort().values, order[cut:].sort().values
    for half, name in ((train, "train"), (valid, "valid")):
        absent = set(labels.tolist()) - set(labels[half].tolist())
        if absent:
            label = data.class_names[min(absent)] if data.class_names else min(absent)
            raise ArgumentError(
                "train_portion",
                f"with {train_portion} the {name} half ({len(half)} of {count} images) has no image of the class "
                f"'{label}': add images of it, or choose a portion closer to 0.5",
            )
    return train.to(data.train.labels.device), valid.to(data.train.labels.device)


def stratified_order(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a random order (int64 [N]) that gives a stratified split wherever it is cut; all on the CPU."""
    shuffled = torch.randperm(len(labels), generator=generator)
    by_class = shuffled[torch.argsort(labels[shuffled], stable=True)]
    counts = torch.bincount(labels)
    first = torch.cumsum(counts, 0) - counts
    of_class = labels[by_class]
    rank = torch.arange(len(labels)) - first[of_class]
    # An image's place within its class, from 0 to 1; images at the same place (one per class) follow in random order.
    place = torch.empty(len(labels), dtype=torch.float64)
    place[by_class] = (rank.double() + 0.5) / counts[of_class]
    return shuffled[torch.argsort(place[shuffled], stable=True)]
