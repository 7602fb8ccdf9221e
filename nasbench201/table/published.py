"""Read the published benchmark files in bounded memory, without running code in them.

NAS-Bench-201-v1_0-e61699.pth (2.2 GB) and -v1_1-096897.pth (4.7 GB) are one pickle each, of nested dicts with every epoch
of every training: tens of GB once unpickled. Here each training shrinks to its last epoch as soon as its dict is complete,
and each architecture is handed on and dropped. NATS-Bench's topology file (.pickle.pbz2) holds the same dicts, and so do
the files of its folder, one per architecture.
"""

from __future__ import annotations

import bz2
import io
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from darts_pt.run.errors import UserError
from nasbench201.table.unpickler import Forgotten, Memo, StreamingUnpickler

TORCH_MAGIC = 0x1950A86A20F9469CFC6C
"""The first of the four pickles in a file of torch before 1.6; the last is the content."""

_TRAINING = ("name", "seed", "train_acc1es", "train_losses", "eval_names", "eval_acc1es", "eval_losses", "epochs")
_EVALUATION_SETS = {
    "cifar10-valid": {"x-valid": "valid", "ori-test": "test"},
    "cifar10": {"ori-test": "test"},
    "cifar100": {"x-valid": "valid", "x-test": "test"},
    "imagenet16-120": {"x-valid": "valid", "x-test": "test"},
}
"""Data set -> evaluation set, as the file names it -> split. `ori-test` of the last two is both sets together."""


@dataclass(frozen=True)
class Training:
    """The end of one training of an architecture.

    Attributes:
        dataset: the file's data set in this project's spelling; `cifar10-valid` is CIFAR-10 trained on its train half.
        quantities: as in :mod:`nasbench201.table.file`: accuracies in percent, losses in nats, seconds.
        parameters, flops: of the network; the files give millions.
    """

    dataset: str
    seed: int
    epochs: int
    quantities: dict[str, float]
    parameters: float
    flops: float


Take = Callable[[str, Training], None]
"""Receives an architecture and one of its trainings; the same training may come twice."""


def read_published(path: Path, take: Take) -> None:
    """Hand every training of a published file, or of NATS-Bench's folder of files, to `take`.

    Raises:
        UserError: the file is truncated, of another kind, or names code to run.
    """
    parts = sorted(path.glob("[0-9]*.pickle.pbz2")) if path.is_dir() else [path]
    for part in parts:
        try:
            try:
                _load(part, take, forgets=True)
            except Forgotten:  # Distant parts share an object: read again, with all of it in memory.
                _load(part, take, forgets=False)
        except (UserError, MemoryError):
            raise
        except Exception as error:  # a broken or hostile pickle can raise anything
            reason = " ".join(str(error).split())[:160] or type(error).__name__
            raise UserError(
                f"{part} cannot be read as a NAS-Bench-201 or NATS-Bench file ({reason}): it is truncated or of "
                "another kind; get it again"
            ) from error


def _load(path: Path, take: Take, forgets: bool) -> None:
    with ExitStack() as opened:
        stream = _open(path, opened)
        for position in range(4):
            content = StreamingUnpickler(stream, lambda value: _shrink(value, take), Memo(forgets)).load()
            if position == 0 and content != TORCH_MAGIC:
                return


def _open(path: Path, opened: ExitStack) -> IO[bytes]:
    file = opened.enter_context(path.open("rb"))
    head = file.read(4)
    file.seek(0)
    if head[:2] == b"PK":
        archive = opened.enter_context(zipfile.ZipFile(file))
        names = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
        if len(names) != 1:
            raise UserError(f"{path} is an archive, but not one of torch: it has no data.pkl")
        return io.BufferedReader(opened.enter_context(archive.open(names[0])), 2**20)  # type: ignore[arg-type]
    if head[:3] == b"BZh":
        return io.BufferedReader(opened.enter_context(bz2.BZ2File(file)), 2**20)  # type: ignore[arg-type]
    return file


def _shrink(value: dict[Any, Any], take: Take) -> bool:
    """Shrink the dict of a training to its end, returning True; hand on the trainings in the dict of an architecture."""
    if all(name in value for name in _TRAINING):
        training = _last_epoch(value)
        value.clear()
        value["training"] = training
        return True
    if "arch_str" in value and "all_results" in value:
        for state in value["all_results"].values():
            take(str(value["arch_str"]), state["training"])
        value.clear()
    return False


def _last_epoch(state: dict[str, Any]) -> Training:
    epochs, dataset = int(state["epochs"]), str(state["name"]).lower()
    last = epochs - 1
    quantities = {
        "train_accuracy": float(state["train_acc1es"][last]),
        "train_loss": float(state["train_losses"][last]),
    }
    for name in state["eval_names"]:
        if split := _EVALUATION_SETS.get(dataset, {}).get(name):
            quantities[f"{split}_accuracy"] = float(state["eval_acc1es"][f"{name}@{last}"])
            quantities[f"{split}_loss"] = float(state["eval_losses"][f"{name}@{last}"])
    if times := state.get("train_times"):
        quantities["seconds"] = float(sum(times.values()))
    parameters, flops = 1e6 * float(state["params"]), 1e6 * float(state["flop"])
    return Training(dataset, int(state["seed"]), epochs, quantities, parameters, flops)
