"""Compare this implementation with golden records of the authors' own arithmetic.

    python -m benchmarks.parity FILE [FILE …] [--device cuda]

For each record the network is built in float64, loads the weights under the authors' names, and repeats the record by the
code of searches and selections. One line per quantity gives the largest error, relative to the largest magnitude in the
record; the exit code is 1 if any exceeds its tolerance. docs/faithfulness.md describes the format.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
import tyro
from torch import Tensor
from torch.nn import functional as F

from benchmarks.repetition import SUPERNET_KEYS, Comparison, SupernetRepetition, compare, gradient_norm
from darts_pt.commands.command_line import run_command
from darts_pt.complexity import AUXILIARY
from darts_pt.run import checkpoint as checkpoints
from darts_pt.run.errors import UserError

if TYPE_CHECKING:
    from sota.genotypes import Genotype


@dataclass(frozen=True, kw_only=True)
class ParityOptions:
    """Repeat golden records of the authors' arithmetic; exit with 1 if a quantity exceeds its tolerance."""

    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE [FILE …]")]
    """Records of supernets and of derived networks."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to repeat them."""

    def __post_init__(self) -> None:
        if not self.files:
            raise UserError("no record given: expected python -m benchmarks.parity FILE …")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise UserError("--device cuda: there is no GPU; expected cpu")


def main(options: ParityOptions) -> None:
    failures = 0
    for path in options.files:
        print(path)
        record = read(path, options.device)
        try:
            for comparison in comparisons(record):
                failures += not comparison.agrees
                verdict = "ok  " if comparison.agrees else "FAIL"
                print(f"  {verdict}  {comparison.error:8.1e}  {comparison.quantity}", flush=True)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            text = f"it lacks {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
            raise UserError(f"{path} cannot be repeated ({text.splitlines()[0]})") from None
        for key in record.keys() - (NETWORK_KEYS if "x" in record else SUPERNET_KEYS):
            print(f"  --              {key}: not compared, unknown")
    print(f"{failures} quantities exceed the tolerance" if failures else "all quantities agree")
    if failures:
        sys.exit(1)


def read(path: Path, device: str = "cpu") -> dict[str, Any]:
    """Read a record, with its tensors on the device; raises UserError if the file is not one."""
    return _on(device, checkpoints.read(path, ("config", "state_dict")))


def _on(device: str, value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {key: _on(device, item) for key, item in value.items()}
    return type(value)(_on(device, item) for item in value) if type(value) in (list, tuple) else value


def comparisons(record: dict[str, Any]) -> Iterator[Comparison]:
    """All quantities of a record, in the order of recording."""
    return compare_network(record) if "x" in record else SupernetRepetition(record).comparisons()


# Derived networks ------------------------------------------------------------------------------------------------

NETWORK_KEYS = {
    "config", "x", "y", "state_dict", "train_logits", "train_aux_logits", "train_loss", "grad_norm", "eval_logits",
}  # fmt: skip
"""The keys of a derived network's record. Without the auxiliary head's weights it has no loss and no gradient."""


def compare_network(record: dict[str, Any]) -> Iterator[Comparison]:
    """Run the network on one batch: train mode with gradients, then eval mode from the initial state."""
    from sota.network import ImageNetNetwork, SotaNetwork

    config = record["config"]
    has_auxiliary_head = any(name.startswith(AUXILIARY) for name in record["state_dict"])
    network = (ImageNetNetwork if "stem0.0.weight" in record["state_dict"] else SotaNetwork)(
        _genotype(config["genotype"]), config["init_channels"], config["layers"], config["num_classes"], has_auxiliary_head
    ).to(record["x"].device, torch.float64)  # fmt: skip
    network.load_state_dict(record["state_dict"])
    network.train()
    logits, auxiliary_logits = network(record["x"], config.get("drop_path_prob", 0.0))
    yield compare("train-mode logits", logits, record["train_logits"])
    if "train_loss" in record:
        loss = F.cross_entropy(logits, record["y"])
        if auxiliary_logits is not None:
            yield compare("auxiliary logits", auxiliary_logits, record["train_aux_logits"])
            loss = loss + config["auxiliary_weight"] * F.cross_entropy(auxiliary_logits, record["y"])
        loss.backward()
        yield compare("loss", loss, record["train_loss"])
        yield compare("norm of the gradient", gradient_norm(network), record["grad_norm"])
    network.load_state_dict(record["state_dict"])
    network.eval()
    with torch.no_grad():
        logits = network(record["x"])[0]
    yield compare("eval-mode logits", logits, record["eval_logits"])


def _genotype(named: Any) -> Genotype:
    """The genotype by its published name, its text, or its fields."""
    from sota.genotypes import from_plain, parse, published

    if isinstance(named, Mapping):
        return from_plain(named)
    return parse(named) if named.startswith("Genotype(") else published(named)


if __name__ == "__main__":
    run_command(ParityOptions, main)
