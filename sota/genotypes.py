"""Genotypes of S1–S5: read off mixing weights, as text and JSON, and the published ones.

A genotype names two incoming edges, each with its operation, for every intermediate node of the normal and the reduction
cell. A gene is (operation, source); sources 0 and 1 are the cell's inputs, 2 to 5 its nodes.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from darts_pt.run.errors import UserError, did_you_mean, listed
from darts_pt.supernet import CellType
from sota.operations import OPERATIONS
from sota.spaces import INPUTS, INPUTS_KEPT, NODES

Gene = tuple[str, int]
"""An operation and the node it reads."""

CONCAT = tuple(range(INPUTS, INPUTS + NODES))
"""The nodes whose concatenation is a cell's output."""

CHOICES = tuple(name for name in OPERATIONS if name != "none")
"""The operations of genes; none cannot be chosen."""

PUBLISHED = Path(__file__).with_name("genotypes.json")
"""The original's 56 genotypes, with their networks' parameters (millions, without auxiliary head)."""

LONGEST_FILE = 100_000
"""Bytes; a genotype takes about 600."""


class Genotype(NamedTuple):
    """Both cells of an architecture; genes 2i and 2i+1 enter intermediate node i."""

    normal: tuple[Gene, ...]
    normal_concat: tuple[int, ...]
    reduce: tuple[Gene, ...]
    reduce_concat: tuple[int, ...]


# From mixing weights ---------------------------------------------------------------------------------------------


def genotype(values: Mapping[str, Tensor], cell_types: tuple[CellType, ...]) -> Genotype:
    """The genotype of mixing weights, as the original reads it.

    A node keeps the two incoming edges with the largest weight of an operation other than none, the larger first (on
    ties the earlier edge), each with that operation (on ties the first).

    Args:
        values: cell type -> [edges, operations]; reading them waits for the device.
    """
    cells = {cell.name: _genes(values[cell.name].tolist(), cell) for cell in cell_types}
    return Genotype(cells["normal"], CONCAT, cells["reduce"], CONCAT)


def _genes(rows: list[list[float]], cell_type: CellType) -> tuple[Gene, ...]:
    genes = []
    for edges in cell_type.incoming.values():
        best = {edge: _best_operation(rows[edge], cell_type.operations[edge]) for edge in edges}
        kept = sorted(edges, key=lambda edge: -rows[edge][best[edge]])[:INPUTS_KEPT]
        genes += [(cell_type.operations[edge][best[edge]], cell_type.edges[edge].source) for edge in kept]
    return tuple(genes)


def _best_operation(row: list[float], names: tuple[str, ...]) -> int:
    return max((index for index, name in enumerate(names) if name != "none"), key=row.__getitem__)


# Published -------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _published() -> dict[str, Any]:
    return json.loads(PUBLISHED.read_text(encoding="utf-8"))


def published_names() -> tuple[str, ...]:
    """Names such as `darts_pt_s5_0`."""
    return tuple(_published())


def published(name: str) -> Genotype:
    """The published genotype of that name; raises UserError, with close names, if there is none."""
    if name not in _published():
        names = published_names()
        raise UserError(
            f"unknown architecture {name!r}{did_you_mean(name, names)}: expected one of {listed(names, most=6)}"
        )
    return from_plain(_published()[name], name)


# Text and files --------------------------------------------------------------------------------------------------


def to_plain(genotype: Genotype) -> dict[str, Any]:
    """The genotype for JSON: lists of [operation, source] and of nodes."""
    return {
        "normal": [list(gene) for gene in genotype.normal],
        "normal_concat": list(genotype.normal_concat),
        "reduce": [list(gene) for gene in genotype.reduce],
        "reduce_concat": list(genotype.reduce_concat),
    }


def from_plain(plain: Any, where: str = "genotype") -> Genotype:
    """Check and convert a mapping with the fields of Genotype; other keys are ignored.

    Args:
        where: the source of the genotype, for error messages.

    Raises:
        UserError: a field is missing, an operation is unknown, or an edge is impossible.
    """
    if not isinstance(plain, Mapping):
        raise UserError(f"{where}: found a {type(plain).__name__}, expected {', '.join(Genotype._fields)}")
    missing = [field for field in Genotype._fields if field not in plain]
    if missing:
        raise UserError(f"{where} lacks {', '.join(missing)}: expected {', '.join(Genotype._fields)}")
    normal, reduce = (_checked_genes(plain[cell], f"{where}, {cell} cell") for cell in ("normal", "reduce"))
    for field in ("normal_concat", "reduce_concat"):
        nodes = plain[field]
        if not isinstance(nodes, list | tuple) or tuple(nodes) != CONCAT:
            raise UserError(f"{where}: {field} is {_short(nodes)}, expected the four nodes {list(CONCAT)}")
    return Genotype(normal, CONCAT, reduce, CONCAT)


def parse(text: str, where: str = "genotype") -> Genotype:
    """Read `Genotype(normal=[…], …)`, as this project and the original print it; nothing in the text is executed.

    Raises:
        UserError: the text is not a genotype.
    """
    text = re.sub(r"\brange\(2, *6\)", str(list(CONCAT)), text)  # The original prints the nodes so.
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Genotype"):
            raise ValueError("it does not begin with Genotype(")
        if len(call.args) > len(Genotype._fields):
            raise ValueError("it has too many arguments")
        plain = {field: ast.literal_eval(node) for field, node in zip(Genotype._fields, call.args, strict=False)}
        for keyword in call.keywords:
            if keyword.arg not in Genotype._fields or keyword.arg in plain:
                raise ValueError(f"the argument {keyword.arg} is unknown or repeated")
            plain[keyword.arg] = ast.literal_eval(keyword.value)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error) or type(error).__name__
        raise UserError(
            f"{where} is not a genotype ({reason}): expected Genotype(normal=[('sep_conv_3x3', 0), …], "
            "normal_concat=[2, 3, 4, 5], reduce=[…], reduce_concat=[2, 3, 4, 5])"
        ) from None
    return from_plain(plain, where)


def read(path: Path) -> Genotype:
    """Read a genotype file: JSON with the fields of Genotype, as selection writes it, or the `Genotype(…)` text.

    Raises:
        UserError: the file cannot be read or holds no genotype.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(LONGEST_FILE + 1)
        text = content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UserError(f"the genotype file {path} cannot be read ({reason})") from None
    if len(content) > LONGEST_FILE:
        raise UserError(f"{path} has more than {LONGEST_FILE} bytes: expected a genotype file")
    if not text.lstrip().startswith(("{", "[")):
        return parse(text, str(path))
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON ({error}): expected a genotype as selection writes it") from None
    return from_plain(plain, str(path))


def _checked_genes(genes: Any, where: str) -> tuple[Gene, ...]:
    """Check the genes of a cell: two per intermediate node, from two different earlier nodes."""
    if not isinstance(genes, list | tuple) or len(genes) != INPUTS_KEPT * NODES:
        found = f"{len(genes)} genes" if isinstance(genes, list | tuple) else f"a {type(genes).__name__}"
        raise UserError(
            f"{where}: found {found}, expected {INPUTS_KEPT * NODES}: {INPUTS_KEPT} for each of {NODES} nodes"
        )
    for index, gene in enumerate(genes):
        target = INPUTS + index // INPUTS_KEPT
        if not (isinstance(gene, list | tuple) and len(gene) == 2 and isinstance(gene[0], str)):
            raise UserError(f"{where}: gene {index} is {_short(gene)}, expected an operation and the node it reads")
        name, source = gene
        if name not in CHOICES:
            raise UserError(
                f"{where}: unknown operation {_short(name)} in gene {index}{did_you_mean(name, CHOICES)}; "
                f"expected one of {', '.join(CHOICES)}"
            )
        if type(source) is not int or not 0 <= source < target:
            raise UserError(
                f"{where}: gene {index} is an impossible edge, from node {_short(source)} to node {target}; "
                f"node {target} can read nodes 0 to {target - 1}"
            )
        if index % INPUTS_KEPT and source == genes[index - 1][1]:
            raise UserError(
                f"{where}: both edges of node {target} come from node {source}; expected two different nodes"
            )
    return tuple((name, source) for name, source in genes)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
