"""Cell types: the graph of a cell, and the candidate operations of its edges."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Edge:
    """A directed edge of a cell's graph; nodes are numbered from the cell's first input on."""

    source: int
    target: int


@dataclass(frozen=True)
class CellType:
    """One kind of cell: its graph and the candidate operations of every edge. Cells of one type share alpha.

    Attributes:
        name: the key of this type in alpha, mixing weights and decisions.
        edges: the edges, grouped by target, in the order of alpha's rows.
        operations: for every edge, the candidate operations in the order of alpha's columns.
        inputs_kept: how many incoming edges a node keeps in the final architecture; None keeps all.
        group: cell types of one group take turns at selection events; by default each decides at every event.
        edge_names, node_names: for logs; by default edges and nodes are numbered.
    """

    name: str
    edges: tuple[Edge, ...]
    operations: tuple[tuple[str, ...], ...]
    inputs_kept: int | None = None
    group: str = ""
    edge_names: tuple[str, ...] = ()
    node_names: tuple[str, ...] = ()

    @cached_property
    def incoming(self) -> dict[int, tuple[int, ...]]:
        """Node -> the indices of the edges that enter it."""
        nodes: dict[int, tuple[int, ...]] = {}
        for index, edge in enumerate(self.edges):
            nodes[edge.target] = (*nodes.get(edge.target, ()), index)
        return nodes

    @cached_property
    def choosing_edges(self) -> tuple[int, ...]:
        """The edges with several candidates: those an operation event decides."""
        return tuple(edge for edge, candidates in enumerate(self.operations) if len(candidates) > 1)

    @cached_property
    def choosing_nodes(self) -> tuple[int, ...]:
        """The nodes that have more incoming edges than they may keep: those a topology event decides."""
        if self.inputs_kept is None:
            return ()
        return tuple(node for node, edges in self.incoming.items() if len(edges) > self.inputs_kept)

    def edge_name(self, edge: int) -> str:
        """For example '3<-1'."""
        return self.edge_names[edge] if self.edge_names else f"{self.edges[edge].target}<-{self.edges[edge].source}"

    def edge_label(self, edge: int) -> str:
        """For example 'normal edge 5 (3<-1)'."""
        return self.edge_names[edge] if self.edge_names else f"{self.name} edge {edge} ({self.edge_name(edge)})"

    def node_label(self, node: int) -> str:
        """For example 'normal node 3'."""
        return self.node_names[node] if self.node_names else f"{self.name} node {node}"
