"""Join paths: the tables that lie between found tables, and the relationships that connect them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import networkx as nx

from kb.items import Item, Relationship, Schema

Table = tuple[str, str]
"""Database and table name."""

MAX_JOINS = 4
"""A longer way between two found tables says more about the schema than about the question."""


@dataclass(frozen=True, slots=True)
class JoinPath:
    """Item ids of the relationships along a shortest path between two tables, and of the tables between them."""

    start: str
    end: str
    relationships: tuple[str, ...]
    between: tuple[str, ...]


class JoinGraph:
    def __init__(self, items: Iterable[Item]) -> None:
        self._schemas: dict[Table, str] = {}
        self._graph = nx.Graph()
        relationships: list[tuple[Item, Relationship]] = []
        for item in items:
            if isinstance(item.body, Schema):
                self._schemas[(item.body.database, item.body.table)] = item.id
            elif isinstance(item.body, Relationship):
                relationships.append((item, item.body))
        for item, body in relationships:
            left, right = (body.database, body.left_table), (body.database, body.right_table)
            if left in self._schemas and right in self._schemas:
                self._add_edge(self._schemas[left], self._schemas[right], item.id)

    def paths(self, schema_ids: Sequence[str]) -> list[JoinPath]:
        """One shortest path for every pair of the given tables that has one of at most `MAX_JOINS` joins.

        A table that is joined with itself (an employee's manager) has that path, too.
        """
        known = [schema for schema in schema_ids if schema in self._graph]
        itself = [schema for schema in known if self._graph.has_edge(schema, schema)]
        found = [JoinPath(schema, schema, tuple(self._graph.edges[schema, schema]["ids"]), ()) for schema in itself]
        for start, end in combinations(known, 2):
            try:
                path: list[str] = nx.shortest_path(self._graph, start, end)
            except nx.NetworkXNoPath:
                continue
            if len(path) - 1 <= MAX_JOINS:
                ids = tuple(i for left, right in pairwise(path) for i in self._graph.edges[left, right]["ids"])
                found.append(JoinPath(start, end, ids, tuple(path[1:-1])))
        return found

    def _add_edge(self, left: str, right: str, relationship: str) -> None:
        if self._graph.has_edge(left, right):
            self._graph.edges[left, right]["ids"].append(relationship)
        else:
            self._graph.add_edge(left, right, ids=[relationship])
