"""A query as SQL of SQLite, in the hand of whoever wrote it: with or without aliases, in capitals or not.

Without a confirmed answer to follow, the model writes the plain hand. Successes are in every hand, so that it learns
to go on in the one that it is shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random
from typing import Literal

from backend.mini.database import Link, TableSpec
from backend.mini.query import Filter, Measure, Query, Ref, Value

Aliases = Literal["none", "T1", "initial", "alias0"]


@dataclass(frozen=True, slots=True)
class Hand:
    """`spaced` puts spaces inside brackets; `nested` finds an extreme with a subquery instead of sorting."""

    aliases: Aliases = "none"
    capital_functions: bool = False
    small_keywords: bool = False
    double_quotes: bool = False
    commas: bool = False
    """Joins as `FROM a, b WHERE a.x = b.y`."""
    spaced: bool = False
    nested: bool = False
    semicolon: bool = False
    qualified: bool = False
    """Columns say their table even where there is only one."""
    count_key: bool = False
    """Rows are counted by their key instead of `*`."""


PLAIN = Hand()


def random_hand(random: Random) -> Hand:
    def sometimes(share: float) -> bool:
        return random.random() < share

    return Hand(
        aliases=random.choice(("none", "T1", "initial", "alias0")),
        capital_functions=sometimes(0.5),
        small_keywords=sometimes(0.2),
        double_quotes=sometimes(0.3),
        commas=sometimes(0.3),
        spaced=sometimes(0.2),
        nested=sometimes(0.4),
        semicolon=sometimes(0.3),
        qualified=sometimes(0.15),
        count_key=sometimes(0.15),
    )


class SqlWriter:
    """Writes one query. `tables` maps names to specs."""

    def __init__(self, query: Query, tables: dict[str, TableSpec], hand: Hand = PLAIN) -> None:
        self._query, self._tables, self._hand = query, tables, hand
        self._names: dict[str, str] = {}
        for place, table in enumerate([query.table.name, *(link.parent for link in query.links)], start=1):
            self._names.setdefault(table, self._alias(table, place))
        self._qualified = bool(query.links) or hand.qualified or hand.aliases == "alias0"

    def sql(self) -> str:
        query = self._query
        parts = [f"SELECT {'DISTINCT ' if query.distinct else ''}{', '.join(self._selected())}", *self._sources()]
        if query.group is not None:
            parts.append(f"GROUP BY {self._column(query.group)}")
        if query.having is not None:
            parts.append(f"HAVING {self._measure(Measure('count'))} >= {query.having}")
        if (query.order is not None or query.top is not None) and not self._nests:
            parts.append(self._order())
        return self._dressed(" ".join(parts))

    # ── the clauses ──────────────────────────────────────────────────────────────────────────────────────────

    def _selected(self) -> list[str]:
        query = self._query
        shown = [self._column(ref) for ref in query.shown]
        # "Which country has the most …?" is answered by the country alone.
        if query.group is not None and query.top is not None:
            return [self._column(query.group)]
        group = [self._column(query.group)] if query.group is not None else []
        return [*group, *(self._measure(measure) for measure in query.measures), *shown]

    def _sources(self) -> list[str]:
        query, where = self._query, [self._condition(entry) for entry in self._query.filters]
        if query.above_average is not None:
            where.append(f"{self._column(query.above_average)} > ({self._of_all('avg', query.above_average)})")
        if query.without is not None:
            where.append(self._unreferred(query.without))
        if self._nests:
            assert query.order is not None
            where.insert(0, f"{self._column(query.order)} = ({self._of_all(self._extreme, query.order)})")
        if self._hand.commas:
            tables = ", ".join(self._declared(table) for table in self._names)
            where = [*(self._on(link) for link in query.links), *where]
            sources = [f"FROM {tables}"]
        else:
            sources = [f"FROM {self._declared(query.table.name)}"]
            sources += [f"JOIN {self._declared(link.parent)} ON {self._on(link)}" for link in query.links]
        return [*sources, *([f"WHERE {' AND '.join(where)}"] if where else [])]

    def _order(self) -> str:
        query = self._query
        by = self._column(query.order) if query.order else self._measure(query.measure or Measure("count"))
        limit = f" LIMIT {query.top}" if query.top is not None else ""
        return f"ORDER BY {by}{' DESC' if query.descending else ''}{limit}"

    @property
    def _nests(self) -> bool:
        query = self._query
        return (
            self._hand.nested and query.top == 1 and query.order is not None and not query.links and not query.filters
        )

    @property
    def _extreme(self) -> str:
        return "max" if self._query.descending else "min"

    def _of_all(self, function: str, ref: Ref) -> str:
        """A subquery over the whole table."""
        column = name(ref.column.name)
        if self._hand.aliases != "alias0":
            return f"SELECT {self._function(function)}({column}) FROM {name(ref.table.name)}"
        inner = f"{ref.table.name}alias1"
        return f"SELECT {self._function(function)}({inner}.{column}) FROM {name(ref.table.name)} AS {inner}"

    def _unreferred(self, link: Link) -> str:
        key = self._column(Ref(self._query.table, self._query.table.key))
        child, column = name(link.child), name(link.column)
        return f"{key} NOT IN (SELECT {column} FROM {child} WHERE {column} IS NOT NULL)"

    def _condition(self, entry: Filter) -> str:
        column = self._column(entry.ref)
        if not entry.values:
            return f"{column} IS {entry.operator.upper()}"
        first = self._literal(entry.values[0])
        match entry.operator:
            case "between":
                return f"{column} BETWEEN {first} AND {self._literal(entry.values[1])}"
            case "in":
                return f"{column} IN ({', '.join(self._literal(value) for value in entry.values)})"
            case "year" | "month":
                return f"{column} LIKE {self._literal(f'{entry.values[0]}-%')}"
            case "since":
                return f"{column} >= {first}"
            case "before":
                return f"{column} < {first}"
            case "like":
                return f"{column} LIKE {self._literal(f'{entry.values[0]}%')}"
            case _:
                return f"{column} {entry.operator} {first}"

    def _measure(self, measure: Measure) -> str:
        if measure.condition is not None:
            return f"{self._function('avg')}(CASE WHEN {self._condition(measure.condition)} THEN 1.0 ELSE 0 END)"
        if measure.ref is None:
            counted = "*"
            if self._hand.count_key:
                counted = self._column(Ref(self._query.table, self._query.table.key))
            return f"{self._function('count')}({counted})"
        column = self._column(measure.ref)
        if measure.aggregate == "count distinct":
            return f"{self._function('count')}(DISTINCT {column})"
        made = f"{self._function(measure.aggregate)}({column})"
        return f"{made} / {measure.divisor}.0" if measure.divisor else made

    # ── names, words and literals ────────────────────────────────────────────────────────────────────────────

    def _alias(self, table: str, place: int) -> str:
        match self._hand.aliases:
            case "none":
                return table
            case "alias0":
                return f"{table}alias0"
            case "initial" if self._query.links:
                return f"{table[0].lower()}{place}"
            case "T1" if self._query.links:
                return f"T{place}"
            case _:
                return table

    def _declared(self, table: str) -> str:
        alias = self._names[table]
        return name(table) if alias == table else f"{name(table)} AS {alias}"

    def _on(self, link: Link) -> str:
        key = self._tables[link.parent].key.name
        left, right = (name(self._names[table]) for table in (link.child, link.parent))
        return f"{left}.{name(link.column)} = {right}.{name(key)}"

    def _column(self, ref: Ref) -> str:
        column = name(ref.column.name)
        return f"{name(self._names[ref.table.name])}.{column}" if self._qualified else column

    def _function(self, function: str) -> str:
        return function.upper() if self._hand.capital_functions else function

    def _literal(self, value: Value) -> str:
        if not isinstance(value, str):
            return str(value)
        if self._hand.double_quotes and '"' not in value:
            return f'"{value}"'
        return "'" + value.replace("'", "''") + "'"

    def _dressed(self, sql: str) -> str:
        """Keywords in small letters, spaces inside brackets, a semicolon: outside of quotes."""
        hand = self._hand
        pieces = _QUOTED.split(sql)
        for place in range(0, len(pieces), 2):
            piece = pieces[place]
            if hand.small_keywords:
                piece = _KEYWORD.sub(lambda found: found[0].lower(), piece)
            if hand.spaced:
                piece = piece.replace("(", "( ").replace(")", " )")
            pieces[place] = piece
        return "".join(pieces) + (" ;" if hand.spaced else ";" if hand.semicolon else "")


def name(identifier: str) -> str:
    """Quoted only where SQLite's grammar needs it."""
    return identifier if identifier.lower() not in _RESERVED else f'"{identifier}"'


_QUOTED = re.compile(r"('[^']*'|\"[^\"]*\")")
_KEYWORD = re.compile(
    r"(?<![\w.])(?:SELECT|DISTINCT|FROM|JOIN|ON|WHERE|AND|GROUP BY|HAVING|ORDER BY|DESC|LIMIT|BETWEEN|IN|LIKE|NOT|AS"
    r"|CASE|WHEN|THEN|ELSE|END|IS|NULL)(?![\w.])"
)
_RESERVED = frozenset(
    "order group table index case from to where select join on is in not null and or as by set all any commit "
    "release match transaction plan references check default key values limit add alter column desc asc end for if "
    "do no row view temp into union exists between like then else when using cross left inner outer natural having "
    "distinct offset glob raise rename replace with without over window range rows filter each fail action of "
    "isnull abort after before begin cast conflict constraint database detach drop except full ignore insert "
    "instead pragma primary query right rollback trigger unique update vacuum virtual test intersect notnull collate "
    "autoincrement create current_date current_time current_timestamp deferrable delete escape foreign nothing "
    "returning true false".split()
)
