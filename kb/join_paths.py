"""Join paths: the tables that lie between found tables, and the relationships that connect them.

All relationships are held once; a commit is a filter over them. A question's graph is made of those near the found
tables alone, so its cost does not grow with the base.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import combinations, pairwise

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from kb.entities import among
from kb.growing_array import GrowingArray
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
    """Slots are places in `items`, which only grows; they are added in ascending order, by one thread at a time."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._items = items
        self._schemas: dict[Table, GrowingArray[np.int32]] = {}
        self._joins: dict[Table, GrowingArray[np.int32]] = {}

    def add(self, slot: int) -> None:
        """Take up the item of this slot; those that are neither table nor relationship are left out."""
        body = self._items[slot].body
        if isinstance(body, Schema):
            self._schemas.setdefault((body.database, body.table), GrowingArray(np.int32)).append(slot)
        elif isinstance(body, Relationship):
            for table in dict.fromkeys(_ends(body)):
                self._joins.setdefault(table, GrowingArray(np.int32)).append(slot)

    def neighbours(self, slot: int, members: NDArray[np.bool_]) -> set[int]:
        """Slots of the tables that the one in `slot` is joined with, without itself."""
        body = self._items[slot].body
        assert isinstance(body, Schema), "only tables are joined"
        tables = {end for _, join in self._joins_of((body.database, body.table), members) for end in _ends(join)}
        known = [self._schemas[table].values for table in tables if table in self._schemas]
        return {int(found) for slots in known for found in among(slots, members)} - {slot}

    def paths(self, schemas: Sequence[Item], members: NDArray[np.bool_]) -> list[JoinPath]:
        """One shortest path for every pair of the given tables that has one of at most `MAX_JOINS` joins.

        `members` says which slots the commit has. Of several shortest paths it is the first by the ids of its tables,
        from the end with the lesser id. A table that is joined with itself (an employee's manager) has that path, too.
        """
        graph = self._around(schemas, members)
        known = [schema.id for schema in schemas if schema.id in graph]
        itself = [schema for schema in known if graph.has_edge(schema, schema)]
        found = [JoinPath(schema, schema, tuple(graph.edges[schema, schema]["ids"]), ()) for schema in itself]
        ways = {start: nx.single_source_shortest_path(graph, start, cutoff=MAX_JOINS) for start in known}
        for start, end in combinations(known, 2):
            path: list[str] | None = ways[min(start, end)].get(max(start, end))
            if path is not None:
                path = path if start < end else path[::-1]
                ids = tuple(i for left, right in pairwise(path) for i in graph.edges[left, right]["ids"])
                found.append(JoinPath(start, end, ids, tuple(path[1:-1])))
        return found

    def _around(self, schemas: Iterable[Item], members: NDArray[np.bool_]) -> nx.Graph:
        """All joins that lie on a path of at most `MAX_JOINS` between two of the tables, and others near them.

        Each join of such a path has an end that is less than half that number of joins away from a given table.
        """
        near = {(item.body.database, item.body.table) for item in schemas if isinstance(item.body, Schema)}
        passed: set[Table] = set()
        joins: dict[str, tuple[str, str]] = {}
        schema = cache(partial(self._schema, members=members))
        for _ in range((MAX_JOINS + 1) // 2):
            reached: set[Table] = set()
            for table in near:
                for item, body in self._joins_of(table, members):
                    left, right = map(schema, _ends(body))
                    if left is not None and right is not None:
                        joins[item.id] = (min(left, right), max(left, right))
                        reached.update(_ends(body))
            passed |= near
            near = reached - passed
        graph = nx.Graph()
        # In this order the neighbours of every table come by id, and so does the path that a search finds first.
        for ends, relationship in sorted((ends, relationship) for relationship, ends in joins.items()):
            if graph.has_edge(*ends):
                graph.edges[ends]["ids"].append(relationship)
            else:
                graph.add_edge(*ends, ids=[relationship])
        return graph

    def _joins_of(self, table: Table, members: NDArray[np.bool_]) -> Iterator[tuple[Item, Relationship]]:
        for slot in among(self._joins[table].values, members) if table in self._joins else ():
            item = self._items[slot]
            assert isinstance(item.body, Relationship), "only relationships join"
            yield item, item.body

    def _schema(self, table: Table, members: NDArray[np.bool_]) -> str | None:
        """The item of a table; of several the last, by id."""
        if table not in self._schemas:
            return None
        return max((self._items[slot].id for slot in among(self._schemas[table].values, members)), default=None)


def _ends(body: Relationship) -> tuple[Table, Table]:
    return (body.database, body.left_table), (body.database, body.right_table)
