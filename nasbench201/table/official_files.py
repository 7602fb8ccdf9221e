"""Reading the published benchmark files in bounded memory, and without running what is in them.

NAS-Bench-201-v1_0-e61699.pth (2.2 GB) and -v1_1-096897.pth (4.7 GB) are one pickle each, of nested dicts that hold every
epoch of every training: tens of GB once unpickled. Here each training shrinks to its last epoch as soon as its dict is
complete, and each architecture is handed on and dropped, so memory does not grow with the file. NATS-Bench's topology
file (.pickle.pbz2) holds the same dicts, and so do the files of its folder, one per architecture.
"""

from __future__ import annotations

import bz2
import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from darts_pt.run.errors import UserError
from nasbench201.table.official_unpickler import Forgotten, Memo, SmallUnpickler, StreamingUnpickler

TORCH_MAGIC = 0x1950A86A20F9469CFC6C
"""What torch's files before 1.6 begin with: four pickles, of which the last is the content."""

SMALL = 8 * 2**20
"""Bytes up to which a pickle is read by C code at once; larger ones are read piece by piece."""

_TRAINING = ("train_acc1es", "train_losses", "eval_names", "eval_acc1es", "eval_losses", "epochs", "params", "flop")
_ARCHITECTURE = ("arch_str", "all_results", "dataset_seed")

SPLITS = {
    "cifar10-valid": {"x-valid": "valid", "ori-test": "test"},
    "cifar10": {"ori-test": "test"},
    "cifar100": {"x-valid": "valid", "x-test": "test"},
    "imagenet16-120": {"x-valid": "valid", "x-test": "test"},
}
"""Data set -> the file's name of an evaluation set -> split. `ori-test` of the last two is both sets together."""


@dataclass(frozen=True)
class Training:
    """One training of an architecture, at its end.

    Attributes:
        dataset: the file's data set in this project's spelling; `cifar10-valid` is CIFAR-10 trained on its train half.
        quantities: as in :mod:`nasbench201.table.file`: accuracies in percent, losses in nats, seconds.
        parameters, flops: of the network; the files count in millions.
    """

    dataset: str
    seed: int
    epochs: int
    quantities: dict[str, float]
    parameters: float
    flops: float


Sink = Callable[[str, list[Training]], None]
"""Takes an architecture string and its trainings of one budget of epochs."""


def read_official(path: Path, sink: Sink) -> None:
    """Hand every architecture of a published file, or of NATS-Bench's folder of files, to `sink`.

    Raises:
        UserError: truncated, of another kind, or asking for code to be run.
    """
    found = 0

    def counting(architecture: str, trainings: list[Training]) -> None:
        nonlocal found
        found += 1
        sink(architecture, trainings)

    for part in _parts(path):
        try:
            _read_part(part, counting)
        except UserError:
            raise
        except (MemoryError, KeyboardInterrupt):
            raise
        except Exception as error:  # a broken or hostile pickle can raise anything
            reason = " ".join(str(error).split())[:160] or type(error).__name__
            raise UserError(
                f"{part} cannot be read as a NAS-Bench-201 or NATS-Bench file ({reason}): it is truncated or of "
                "another kind; get it again"
            ) from error
    if not found:
        raise UserError(f"{path} holds no trainings of NAS-Bench-201: expected a published benchmark file")


def _parts(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    parts = sorted(part for part in path.glob("*.pickle.pbz2") if part.name != "meta.pickle.pbz2")
    if not parts:
        raise UserError(f"{path}: expected NATS-Bench's folder of files 000000.pickle.pbz2 …, found none")
    yield from parts


def _read_part(path: Path, sink: Sink) -> None:
    """Once in little memory; again with all of it if the file turns out to hold one object in distant places."""
    done: set[tuple[str, int]] = set()

    def once(architecture: str, trainings: list[Training]) -> None:
        key = architecture, trainings[0].epochs if trainings else 0
        if key not in done:
            done.add(key)
            sink(architecture, trainings)

    try:
        _load(path, once, Memo(forgets=True))
    except Forgotten:
        _load(path, once, Memo(forgets=False))


def _load(path: Path, sink: Sink, memo: Memo) -> None:
    with ExitStack() as opened:
        stream, size = _open(path, opened)
        for position in range(4):
            if size <= SMALL:
                content = SmallUnpickler(stream, encoding="latin1").load()
                shrink(content, sink)
            else:
                content = StreamingUnpickler(stream, lambda value: _shrink_as_it_comes(value, sink), memo).load()
            if not (content == TORCH_MAGIC if position == 0 else position < 3):
                return


def _open(path: Path, opened: ExitStack) -> tuple[IO[bytes], int]:
    """The stream of the pickle(s), and its size in bytes as far as it is known."""
    file = opened.enter_context(path.open("rb"))
    head = file.read(4)
    file.seek(0)
    if head[:2] == b"PK":
        archive = opened.enter_context(zipfile.ZipFile(file))
        names = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
        if len(names) != 1:
            raise UserError(f"{path} is an archive, but not one of torch: it has no data.pkl")
        info = archive.getinfo(names[0])
        return io.BufferedReader(opened.enter_context(archive.open(info)), 2**20), info.file_size  # type: ignore[arg-type]
    if head[:3] == b"BZh":
        compressed = opened.enter_context(bz2.BZ2File(file))
        return io.BufferedReader(compressed, 2**20), 8 * path.stat().st_size  # type: ignore[arg-type]
    return file, path.stat().st_size


# Shrinking -------------------------------------------------------------------------------------------------------


def shrink(value: Any, sink: Sink) -> None:
    """Find the architectures in a small file's content and hand them on."""
    if isinstance(value, dict) and not _shrink_architecture(value, sink):
        for item in value.values():
            shrink(item, sink)


def _shrink_as_it_comes(value: dict[Any, Any], sink: Sink) -> bool:
    """Shrink a dict if it is a complete training, whether it was; hand it on if it is a complete architecture."""
    if "eval_acc1es" in value and all(name in value for name in _TRAINING):
        last = last_epoch(value)
        value.clear()
        value["last"] = last
        return True
    if "all_results" in value:
        states = value["all_results"]
        value["all_results"] = {key: state.get("last", state) for key, state in states.items()}
        _shrink_architecture(value, sink)
    return False


def _shrink_architecture(value: dict[Any, Any], sink: Sink) -> bool:
    """If the dict is complete as an architecture, hand it on; whether it was one."""
    if not all(name in value for name in _ARCHITECTURE):
        return False
    trainings = []
    for (dataset, seed), state in value["all_results"].items():
        last = state if isinstance(state, _Last) else last_epoch(state)
        trainings.append(_training(str(dataset), seed, last))
    by_epochs: dict[int, list[Training]] = {}
    for training in trainings:
        by_epochs.setdefault(training.epochs, []).append(training)
    architecture = str(value["arch_str"])
    value.clear()
    for group in by_epochs.values():
        sink(architecture, group)
    return True


@dataclass(frozen=True)
class _Last:
    """A training's last epoch, under the file's names."""

    epochs: int
    train: tuple[float, float]
    evaluations: dict[str, tuple[float, float]]
    seconds: float | None
    parameters: float
    flops: float


def last_epoch(state: dict[str, Any]) -> _Last:
    """What is kept of a training's dict."""
    epochs = int(state["epochs"])
    last = epochs - 1
    times = state.get("train_times")
    return _Last(
        epochs,
        (float(state["train_acc1es"][last]), float(state["train_losses"][last])),
        {
            str(name): (float(state["eval_acc1es"][f"{name}@{last}"]), float(state["eval_losses"][f"{name}@{last}"]))
            for name in state["eval_names"]
        },
        float(sum(times.values())) if isinstance(times, dict) and times else None,
        float(state["params"]),
        float(state["flop"]),
    )


def _training(dataset: str, seed: int, last: _Last) -> Training:
    name = dataset.lower()
    quantities = {"train_accuracy": last.train[0], "train_loss": last.train[1]}
    for evaluation, (accuracy, loss) in last.evaluations.items():
        split = SPLITS.get(name, {}).get(evaluation)
        if split:
            quantities |= {f"{split}_accuracy": accuracy, f"{split}_loss": loss}
    if last.seconds is not None:
        quantities["seconds"] = last.seconds
    return Training(name, int(seed), last.epochs, quantities, 1e6 * last.parameters, 1e6 * last.flops)
