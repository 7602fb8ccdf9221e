"""How much a job computes, in multiply-adds: with it a published time is carried over to jobs of other sizes.

Counted are the convolutions of forward passes; a backward pass counts as two more. Only S1–S5 on the paper's data sets.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sweep.jobs import Job

IMAGES = {"cifar10": (50_000, 10_000), "cifar100": (50_000, 10_000), "svhn": (73_257, 26_032)}
"""Data set -> training and test images."""
SIDE = 32
"""Pixels of their sides."""
STEP = 3
"""Forward passes that a training step is worth: one forward, and backward by inputs and by weights."""
BILEVEL = {"blank": STEP, "darts": 2 * STEP, "sdarts-rs": 2 * STEP, "sgas": 2 * STEP}
"""Method -> forward passes that a bilevel step of one batch of each half is worth; of other methods it is not known."""
TYPICAL = "darts_pt_s5_0"
"""The architecture that stands for those not selected yet; published for S5."""


def of(job: Job) -> float | None:
    """Multiply-adds of a job; None where they are not known."""
    step = BILEVEL.get(job.method)
    if job.space == "nasbench201" or job.dataset not in IMAGES or step is None:
        return None
    if job.stage == "search":
        return _search(job.space, job.dataset, step, job.options)
    if job.stage == "select":
        assert job.source is not None
        if job.selection not in ("pt", "pt-mag") or job.method == "sgas":
            return None
        return _selection(job.space, job.dataset, step, job.selection, job.source.options, job.options.proj_intv)
    return _training(job.dataset, job.options)


@lru_cache
def reference(stage: str) -> float:
    """Multiply-adds of the job whose time is published: DARTS and PT in S5, and 600 epochs of training, on CIFAR-10."""
    from sota.space import PAPER, SotaSearchOptions
    from sota.train import PROTOCOL, SotaTrainOptions

    sizes: Any = {name: PAPER[name] for name in ("epochs", "batch_size", "init_channels", "layers", "train_portion")}
    search = SotaSearchOptions(**sizes)
    if stage == "search":
        return _search("s5", "cifar10", BILEVEL["darts"], search)
    if stage == "select":
        return _selection("s5", "cifar10", BILEVEL["darts"], "pt", search, 5)
    sizes = {name: PROTOCOL[name] for name in ("epochs", "batch_size", "init_channels", "layers")}
    return _training("cifar10", SotaTrainOptions(arch=TYPICAL, auxiliary=True, **sizes))


def _search(space: str, dataset: str, step: int, options: Any) -> float:
    """Every epoch: a step for each batch of the train half, then both halves and the test set in eval mode."""
    train, test = IMAGES[dataset]
    half = train * options.train_portion
    return supernet(space, options.init_channels, options.layers) * options.epochs * (half * step + train + test)


def _selection(space: str, dataset: str, step: int, selection: str, search: Any, interval: int) -> float:
    """Tuning passes over the train half, evaluations of the valid half, and a pass over it for every candidate."""
    from sota.spaces import NODES, cell_types

    cells = cell_types(space)
    events = len(cells[0].edges) + NODES - 1
    epochs = interval * (events - 1) + 1
    candidates = sum(len(operations) for cell in cells for operations in cell.operations)
    dropped = sum(sum(range(3, inputs + 1)) for inputs in range(3, NODES + 2)) * len(cells)
    passes = epochs * (step + 1) + (candidates + dropped if selection == "pt" else 0)
    train, _ = IMAGES[dataset]
    return supernet(space, search.init_channels, search.layers) * train * (1 - search.train_portion) * passes


def _training(dataset: str, options: Any) -> float:
    """Every epoch: a step for each image, then the test set. The auxiliary head is left out."""
    train, test = IMAGES[dataset]
    return network(options.init_channels, options.layers) * options.epochs * (train * STEP + test)


@lru_cache
def network(channels: int, layers: int) -> int:
    """Multiply-adds of one image in the network of the typical architecture."""
    from darts_pt.complexity import count_multiply_adds
    from sota.genotypes import published
    from sota.network import SotaNetwork

    return count_multiply_adds(SotaNetwork(published(TYPICAL), channels, layers, 10, False), SIDE, SIDE)


@lru_cache
def supernet(space: str, channels: int, layers: int) -> int:
    """Multiply-adds of one image in a supernet's edges; preprocessing, stem and classifier are left out."""
    from sota.spaces import INPUTS, cell_types
    from sota.supernet import reduction_cells

    normal, reduce = cell_types(space)
    total, side = 0, SIDE
    for layer in range(layers):
        reduces = layer in reduction_cells(layers)
        if reduces:
            channels, side = 2 * channels, side // 2
        cell = reduce if reduces else normal
        for edge, operations in zip(cell.edges, cell.operations, strict=True):
            stride = 2 if reduces and edge.source < INPUTS else 1
            total += sum(_operation(name, channels, stride, side * stride) for name in operations)
    return total


@lru_cache
def _operation(name: str, channels: int, stride: int, side: int) -> int:
    """Multiply-adds of one operation on one image of `side` pixels."""
    import torch
    from torch import nn

    from sota.operations import operation

    counted = 0

    def count(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal counted
        assert isinstance(layer, nn.Conv2d)
        counted += output.numel() * layer.weight[0].numel()

    if name == "noise":
        return 0
    module = operation(name, channels, stride, affine=False).eval()
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    with torch.no_grad():
        module(torch.zeros(1, channels, side, side))
    return counted


def schedule(graph: list[tuple[str, float, tuple[str, ...]]], slots: int) -> float:
    """Seconds until all jobs have ended if `slots` can run at once and each starts as soon as it can, in their order.

    Args:
        graph: (name, seconds, needs) of every job, those that others need first.
    """
    ends: dict[str, float] = {}
    running: list[tuple[float, str]] = []
    waiting = list(graph)
    now = 0.0
    while waiting or running:
        ready = [job for job in waiting if all(need in ends for need in job[2])]
        for job in ready[: slots - len(running)]:
            waiting.remove(job)
            running.append((now + job[1], job[0]))
        now, name = min(running)
        running.remove((now, name))
        ends[name] = now
    return now


def longest_chain(graph: list[tuple[str, float, tuple[str, ...]]]) -> float:
    """Seconds of the longest chain of jobs that need each other: no number of GPUs is quicker."""
    ends: dict[str, float] = {}
    for name, seconds, needs in graph:
        ends[name] = seconds + max((ends[need] for need in needs if need in ends), default=0.0)
    return max(ends.values(), default=0.0)
