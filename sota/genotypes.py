"""Genotypes of S1–S5: how one is read off mixing weights, its textual forms, and the published ones.

A genotype names, for every intermediate node of the normal and of the reduction cell, two incoming edges and the
operation on each: (operation, source), the sources numbered 0 and 1 for the cell's inputs, 2 to 5 for its nodes.
"""

from __future__ import annotations

import ast
import json
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
"""What a gene may hold: the operation none stands for an edge that was not chosen."""

PUBLISHED = Path(__file__).with_name("genotypes.json")
"""The 56 genotypes that the original publishes, with the parameter counts (millions, without auxiliary head) of their
networks."""

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

    Per node the two incoming edges with the largest weight over their operations other than none, that edge first
    whose weight is larger (on ties the earlier edge); each with its first largest operation other than none.

    Args:
        values: cell type -> [edges, operations]; read from the device here.
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
    """The names of the published genotypes, such as `darts_pt_s5_0`."""
    return tuple(_published())


def published(name: str) -> Genotype:
    """The published genotype of that name.

    Raises:
        UserError: there is none; the message lists what is close.
    """
    if name not in _published():
        names = published_names()
        raise UserError(
            f"unknown architecture {name!r}{did_you_mean(name, names)}: expected one of {listed(names, most=6)}"
        )
    return from_plain(_published()[name], name)


# Text and files --------------------------------------------------------------------------------------------------


def to_plain(genotype: Genotype) -> dict[str, Any]:
    """The genotype as JSON knows it: lists of [operation, source] and of nodes."""
    return {
        "normal": [list(gene) for gene in genotype.normal],
        "normal_concat": list(genotype.normal_concat),
        "reduce": [list(gene) for gene in genotype.reduce],
        "reduce_concat": list(genotype.reduce_concat),
    }


def from_plain(plain: Any, where: str = "genotype") -> Genotype:
    """The genotype that a mapping of Genotype's fields holds, thoroughly checked; other keys are ignored.

    Args:
        where: what an error message says the genotype is from.

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
    """The genotype that `Genotype(normal=[…], …)` stands for, as this project and the original print it.

    Nothing in the text is executed: it may hold literals and ranges, and nothing else.

    Raises:
        UserError: it is anything else.
    """
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Genotype"):
            raise ValueError("it does not begin with Genotype(")
        if len(call.args) > len(Genotype._fields):
            raise ValueError("it has too many arguments")
        plain = {field: _literal(node) for field, node in zip(Genotype._fields, call.args, strict=False)}
        for keyword in call.keywords:
            if keyword.arg not in Genotype._fields or keyword.arg in plain:
                raise ValueError(f"the argument {keyword.arg} is unknown or repeated")
            plain[keyword.arg] = _literal(keyword.value)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error) or type(error).__name__
        raise UserError(
            f"{where} is no genotype ({reason}): expected Genotype(normal=[('sep_conv_3x3', 0), …], "
            "normal_concat=[2, 3, 4, 5], reduce=[…], reduce_concat=[2, 3, 4, 5])"
        ) from None
    return from_plain(plain, where)


def read(path: Path) -> Genotype:
    """The genotype in a file: JSON (as selection writes it, under Genotype's field names) or the `Genotype(…)` text.

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
        raise UserError(f"{path} has more than {LONGEST_FILE} bytes: expected a genotype")
    if not text.lstrip().startswith(("{", "[")):
        return parse(text, str(path))
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON ({error}): expected a genotype as selection writes it") from None
    return from_plain(plain, str(path))


def _literal(node: ast.expr) -> Any:
    """A literal, or a short range as the original prints the concatenated nodes."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
        if node.keywords or not 1 <= len(node.args) <= 3:
            raise ValueError("range takes one to three numbers")
        bounds = [_literal(argument) for argument in node.args]
        if any(type(bound) is not int or abs(bound) > 100 for bound in bounds):
            raise ValueError("a range of nodes takes whole numbers up to 100")
        return list(range(*bounds))
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise ValueError("it holds more than names, numbers and lists") from None


def _checked_genes(genes: Any, where: str) -> tuple[Gene, ...]:
    """Two genes for every intermediate node, each an operation and an earlier node, the two nodes different."""
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
