"""Compare this implementation with golden records of the authors' own arithmetic.

    python -m benchmarks.parity FILE [FILE …] [--device cuda]

For each record it builds the network in float64, loads the weights by the authors' names, and repeats the record with the
code of searches and selections. One line per quantity gives the largest error, relative to the largest magnitude in the
record; the exit code is 1 if any exceeds its tolerance. docs/faithfulness.md describes the format.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from darts_pt.commands.command_line import run_command
from darts_pt.run.errors import UserError, first_line
from darts_pt.run.provenance import PROJECT_ROOT

if TYPE_CHECKING:
    from benchmarks.parity.comparing import Comparison, Keys


@dataclass(frozen=True, kw_only=True)
class ParityOptions:
    """Repeat records of the authors' arithmetic in float64; exit with 1 if a quantity exceeds its tolerance."""

    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[FILE …]")] = ()
    """Records of supernets and of derived networks (docs/faithfulness.md); by default those in tests/records."""
    device: Literal["cpu", "cuda"] = "cpu"
    """The device to repeat them on."""

    def __post_init__(self) -> None:
        if self.device == "cuda":
            import torch

            if not torch.cuda.is_available():
                raise UserError("--device cuda: there is no GPU; expected cpu")


def main(options: ParityOptions) -> None:
    found: list[Comparison] = []
    complaints: list[UserError] = []
    for path in options.files or sorted((PROJECT_ROOT / "tests" / "records").glob("*.pt")):
        try:
            found += repeat(path, options.device)
        except UserError as error:  # Continue with the other records.
            complaints.append(error)
    failures = sum(not comparison.agrees for comparison in found)
    if found:
        print(f"{failures} quantities exceed the tolerance" if failures else "all quantities agree")
    if complaints:
        more = f" (and {len(complaints) - 1} more records)" if len(complaints) > 1 else ""
        raise UserError(f"{complaints[0]}{more}")
    if failures:
        sys.exit(1)


def repeat(path: Path, device: str = "cpu") -> list[Comparison]:
    """Repeat a record and print every quantity; raises UserError if the file is not a record or has nothing to compare."""
    from benchmarks.parity.comparing import NETWORK, SUPERNET

    record = read(path, device)
    print(f"{path}: {record['source']}" if "source" in record else path)
    found = []
    try:
        for comparison in comparisons(record):
            found.append(comparison)
            verdict = "ok  " if comparison.agrees else "FAIL"
            print(f"  {verdict}  {comparison.error:8.1e}  {comparison.quantity}", flush=True)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else first_line(error)
        raise UserError(f"{path} cannot be repeated ({reason})") from None
    if not found:
        raise UserError(f"{path} cannot be repeated (it holds no results to compare)")
    for key in unknown_keys(record, NETWORK if "x" in record else SUPERNET):
        print(f"  --              {key}: not compared, unknown")
    return found


def unknown_keys(record: Mapping[str, Any], known: Keys) -> Iterator[str]:
    """The keys of a record, and of its parts as `part.key`, that are not compared."""
    for key, value in record.items():
        if key not in known:
            yield key
        elif known[key]:
            parts = value if isinstance(value, list) else [value]
            inside = dict.fromkeys(name for part in parts for name in part)
            yield from (f"{key}.{name}" for name in inside if name not in known[key])


def read(path: Path, device: str = "cpu") -> dict[str, Any]:
    """Read a record, with its tensors on the device; raises UserError if the file is not a record."""
    from darts_pt.run import checkpoint as checkpoints

    return _on(device, checkpoints.read(path, ("state_dict",)))


def _on(device: str, value: Any) -> Any:
    if hasattr(value, "to"):  # A tensor.
        return value.to(device)
    if isinstance(value, Mapping):
        return {key: _on(device, item) for key, item in value.items()}
    return type(value)(_on(device, item) for item in value) if type(value) in (list, tuple) else value


def comparisons(record: dict[str, Any]) -> Iterator[Comparison]:
    """Compare all quantities of a record, in the order of recording."""
    from benchmarks.parity.networks import compare_network
    from benchmarks.parity.supernets import SupernetRepetition

    return compare_network(record) if "x" in record else SupernetRepetition(record).comparisons()


if __name__ == "__main__":
    run_command(ParityOptions, main)
