"""Make a record in the format of docs/faithfulness.md with the textbook formulation, not with the authors' code.

    python -m benchmarks.textbook_record s4 -o record.pt
    python -m benchmarks.textbook_record darts_pt_s5_0 -o record.pt

Such records hold what no record of the authors' code does yet, and are a pattern for whoever can run that.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.parity.comparing import tensors_in
from benchmarks.textbook_network import TextbookNetwork
from benchmarks.textbook_recorder import SOURCE, Kept, Method, SupernetRecorder
from darts_pt.commands.command_line import run_command
from darts_pt.run.files import atomic_path
from sota.spaces import CANDIDATES


@dataclass(frozen=True, kw_only=True)
class RecordOptions:
    """Make a record of a supernet or of a derived network with the textbook formulation."""

    what: tyro.conf.Positional[str]
    """The space of a supernet, s1 to s5 or nasbench201, or a published architecture."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """The file to write."""
    method: Method = "darts"
    """The search method of a supernet."""
    imagenet: bool = False
    """The derived network for ImageNet."""
    small: bool = False
    """A few hundred kB: a supernet's forward pass, two steps and events; a derived network without auxiliary head."""
    seed: int = 0
    """Seed of weights, images and random numbers."""


# Records ---------------------------------------------------------------------------------------------------------


def supernet_record(
    space: str, method: Method = "darts", seed: int = 0, small: bool = False, every: int = 4, **size: int
) -> dict[str, Any]:
    """A record of a supernet with everything that the format has, and operation events of one in `every` edges."""
    recorder = SupernetRecorder(space, method, seed, **size)
    record, cells = recorder.record, recorder.cell_types
    recorder.forward()
    record["bilevel_steps"] = recorder.steps([(0, 3), (1, 4)], {})
    if not small:
        record["state_dict_after_steps"] = copy.deepcopy(recorder.network.state_dict())
        kept: Kept = {cell.name: {2: 0, 4: 1} for cell in cells}
        record["operation_scores"] = {
            "valid_batches": [3, 4, 5],
            "edges": [0, 5],
            "none_decided": recorder.operation_scores({}, [0, 5]),
            "decided": recorder.recorded(kept),
            "after_decisions": recorder.operation_scores(kept, [0, 5]),
        }
        record["tune_steps"] = recorder.steps([(0, 3), (1, 4)], kept, lr=0.0025)
    recorder.selection(every)
    if not small:
        recorder.perturbations()
    return record


# Derived networks ------------------------------------------------------------------------------------------------


def network_record(
    name: str, imagenet: bool = False, seed: int = 0, auxiliary: bool = True, classes: int = 10
) -> dict[str, Any]:
    """A record of a published architecture with drop-path; for ImageNet with label smoothing."""
    from sota.genotypes import published

    genes, drop, smoothing = published(name), 0.3, 0.1 if imagenet else 0.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = TextbookNetwork(genes.normal, genes.reduce, 2, 3, classes, auxiliary, imagenet).double()
        for weight in network.parameters():
            weight.data += 0.05 * torch.randn(weight.shape)
        side = 224 if imagenet else 32 if auxiliary else 16
        images, labels = torch.randn(4, 3, side, side).double(), torch.randint(classes, (4,))
        modules = [module for cell in network.cells for module in cell._ops]  # type: ignore[union-attr]
        count = sum(not isinstance(module, nn.Identity) for module in modules)
        masks = torch.bernoulli(torch.full((count, 4), 1 - drop)).double()
    record: dict[str, Any] = {
        "source": SOURCE,
        "config": {"genotype": name, "auxiliary_weight": 0.4, "drop_path_prob": drop, "label_smoothing": smoothing},
        "x": images, "y": labels, "drop_path_masks": masks, "state_dict": copy.deepcopy(network.state_dict()),
    }  # fmt: skip
    with torch.no_grad():
        record["eval_logits"] = network.eval()(images)[0]
    logits, auxiliary_logits = network.train()(images, masks, drop)
    loss = F.cross_entropy(logits, labels, label_smoothing=smoothing)
    if auxiliary_logits is not None:
        loss = loss + 0.4 * F.cross_entropy(auxiliary_logits, labels, label_smoothing=smoothing)
        record["train_aux_logits"] = auxiliary_logits.detach()
    loss.backward()
    gradients = [weight.grad.flatten() for weight in network.parameters() if weight.grad is not None]
    record |= {"train_logits": logits.detach(), "train_loss": loss.item()}
    return record | {"grad_norm": torch.cat(gradients).norm().item()}


# Files -----------------------------------------------------------------------------------------------------------


def write(record: dict[str, Any], path: Path) -> None:
    """Write a record with all tensors of a type as views of one storage: a file has a header for every storage."""
    tensors = tensors_in(record)
    types = {tensor.dtype for tensor in tensors}
    packed = {dtype: torch.cat([tensor.flatten() for tensor in tensors if tensor.dtype == dtype]) for dtype in types}
    taken = dict.fromkeys(packed, 0)

    def view(value: Any) -> Any:
        if isinstance(value, Tensor):
            start = taken[value.dtype]
            taken[value.dtype] += value.numel()
            return packed[value.dtype][start : start + value.numel()].view(value.shape)
        if isinstance(value, Mapping):
            return {key: view(item) for key, item in value.items()}
        return type(value)(view(item) for item in value) if type(value) in (list, tuple) else value

    with atomic_path(path) as temporary:
        torch.save(view(record), temporary)


def main(options: RecordOptions) -> None:
    if options.what in (*CANDIDATES, "nasbench201"):
        every = 7 if options.small else 4
        record = supernet_record(options.what, options.method, options.seed, options.small, every)
    else:
        record = network_record(options.what, options.imagenet, options.seed, auxiliary=not options.small)
    write(record, options.output)
    print(options.output)


if __name__ == "__main__":
    run_command(RecordOptions, main)
