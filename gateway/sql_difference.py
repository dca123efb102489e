"""Why one statement is wrong beside the right one: the few kinds of mistakes that explain the difference of two trees.

Each difference is about columns and tables of the schema. What is no such mistake (another build, another limit, a part
that nothing stands for) explains nothing, and then there is no difference to learn from.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlglot import exp

from gateway.sql_alignment import Change, ChangeKind, changes, literals
from gateway.sql_parts import (
    Part,
    PartKind,
    Tables,
    bare,
    column_name,
    columns_of,
    joined,
    of_kind,
    only_in,
    parts_of,
    tables_in,
    tables_of,
    with_column,
    with_table,
)
from kb.sql_reads import MAX_LETTERS

DifferenceKind = Literal[
    "column",
    "date",
    "table",
    "missing_filter",
    "extra_filter",
    "join",
    "missing_join",
    "literal",
    "bound",
    "unit",
    "aggregate",
]

_PAIRED: tuple[PartKind, ...] = ("filter", "output", "group", "order")
_KEEP_UNITS = (exp.Sum, exp.Avg, exp.Min, exp.Max)
_DATE = re.compile(r"(?:^|_)(?:at|on|day|date|time|datetime|timestamp)$|date|timestamp", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Difference:
    """`wrong` and `right` are what stands in the statements, in the datasource's SQL; one of them may be empty.

    `columns` are those of both, as `table.column`. `literals` are the values that `right`, or else `wrong`, holds;
    `wrong_literals` those of `wrong` beside them. `joins` are how a filter's table comes in, where it was not there.
    """

    kind: DifferenceKind
    wrong: str
    right: str
    columns: tuple[str, ...]
    tables: tuple[str, ...]
    literals: tuple[str, ...] = ()
    wrong_literals: tuple[str, ...] = ()
    joins: tuple[str, ...] = ()


def differences(wrong: str, right: str, dialect: str, tables: Tables) -> tuple[Difference, ...]:
    """All the mistakes that lead from `right` to `wrong`; none where they do not explain everything.

    One is found whatever else differs: another column of one table, where the two read the same columns but for it.
    """
    if max(len(wrong), len(right)) > MAX_LETTERS:
        return ()
    left, instead = parts_of(wrong, dialect, tables), parts_of(right, dialect, tables)
    if left is None or instead is None:
        return ()
    try:
        return _Comparison(left, instead, dialect, tables).explained()
    except RecursionError:
        return ()


class _Comparison:
    """The parts of both sides; those that are explained are taken away."""

    def __init__(self, wrong: list[Part], right: list[Part], dialect: str, tables: Tables) -> None:
        self._dialect = dialect
        self._tables_known = frozenset(tables)
        self._known = {f"{table}.{column}" for table, columns in tables.items() for column in columns}
        self._wrong, self._right = wrong, right
        self._found: list[Difference] = []

    def explained(self) -> tuple[Difference, ...]:
        self._other_table()
        certain = self._other_column()
        self._wrong, self._right = only_in(self._wrong, self._right), only_in(self._right, self._wrong)
        whole = all(step() for step in (self._changed_parts, self._joins, self._filters, self._tables))
        if whole and not self._wrong and not self._right:
            return tuple(dict.fromkeys(self._found))
        return (certain,) if certain is not None else ()

    # ── what holds of the whole statement ────────────────────────────────────────────────────────────────────

    def _other_table(self) -> None:
        """One table stands where another one should. All that was read of it is then read of the other."""
        here, there = tables_of(self._wrong), tables_of(self._right)
        left, instead = here - there, there - here
        if left.total() != 1 or instead.total() != 1 or len(here) != len(there):
            return
        (wrong,), (right,) = left, instead
        if not {wrong, right} <= self._tables_known:
            return
        moved = [with_table(part, wrong, right) for part in self._wrong]
        if all(column in self._known for part in moved for column in part.columns if column.startswith(f"{right}.")):
            self._wrong = moved
            self._found.append(Difference("table", wrong, right, (), (right, wrong)))

    def _other_column(self) -> Difference | None:
        """Both read the same columns, but for one each of the same table. A key that only joins is another matter."""
        here, there = columns_of(self._wrong), columns_of(self._right)
        left, instead = here - there, there - here
        if len(left) != 1 or len(instead) != 1 or not (left | instead) <= self._known:
            return None
        (wrong,), (right,) = left, instead
        joins = all(part.kind == "join" for part in self._wrong if wrong in part.columns)
        if wrong.partition(".")[0] != right.partition(".")[0] or joins:
            return None
        difference = _column(wrong, right)
        self._found.append(difference)
        self._wrong = [with_column(part, wrong, right) for part in self._wrong]
        return difference

    # ── part by part ─────────────────────────────────────────────────────────────────────────────────────────

    def _changed_parts(self) -> bool:
        """Pair what is left on both sides by what changes least; the pairs are explained by their changes."""
        for kind in _PAIRED:
            for part in of_kind(self._wrong, kind):
                turned = [(self._turns(part, other), other) for other in of_kind(self._right, kind)]
                pairs = [(found, other) for found, other in turned if found is not None]
                if pairs:
                    found, other = min(pairs, key=lambda pair: len(pair[0]))
                    self._found += found
                    self._wrong.remove(part)
                    self._right.remove(other)
        return True

    def _turns(self, part: Part, other: Part) -> list[Difference] | None:
        """What turns one part into another, if that is a mistake about known columns."""
        found = changes(part.tree, other.tree)
        # Filters that have nothing in common are two filters: one too many, and one that is missing.
        if found is None or (part.kind == "filter" and len(found) > 1 and _all_changed(part, other)):
            return None
        return [self._change(change) for change in found] if part.columns | other.columns <= self._known else None

    def _change(self, change: Change) -> Difference:
        if isinstance(change.wrong, exp.Column) and isinstance(change.right, exp.Column):
            return _column(column_name(change.wrong), column_name(change.right))
        wrong, right = change.wrong, change.right
        if change.kind == "unit":
            wrong, right = _without_sum(wrong), _without_sum(right)
        return self._difference(change.kind, wrong, right)

    def _joins(self) -> bool:
        """Tables that are joined by other keys, or that nothing joined."""
        for part in of_kind(self._wrong, "join"):
            near = [other for other in of_kind(self._right, "join") if joined(other) == joined(part)]
            if not near or not part.columns | near[0].columns <= self._known:
                return False
            self._found.append(self._difference("join", part.tree, near[0].tree))
            self._wrong.remove(part)
            self._right.remove(near[0])
        new = set(tables_of(self._right))
        for part in of_kind(self._right, "join"):
            if not joined(part) & new:
                self._found.append(self._difference("missing_join", None, part.tree))
                self._right.remove(part)
        return True

    def _filters(self) -> bool:
        for part in of_kind(self._wrong, "filter"):
            if not self._is_about_columns(part):
                return False
            self._found.append(self._difference("extra_filter", part.tree, None))
            self._wrong.remove(part)
        for part in of_kind(self._right, "filter"):
            if not self._is_about_columns(part):
                return False
            new = set(tables_of(self._right)) & tables_in(part.columns)
            joins = [join for join in of_kind(self._right, "join") if joined(join) & new]
            self._found.append(self._difference("missing_filter", None, part.tree, joins))
            self._right.remove(part)
        return True

    def _tables(self) -> bool:
        """A table that came in, and its join, are explained by what is wanted of it."""
        wanted = {table for difference in self._found for table in difference.tables}
        joins = of_kind(self._right, "join")
        # A table that only leads to a wanted one is wanted as well.
        for _ in joins:
            wanted |= {table for join in joins if len(joined(join) & wanted) for table in joined(join)}
        self._right = [
            part
            for part in self._right
            if not (part.kind == "table" and part.tree.name in wanted)
            and not (part.kind == "join" and joined(part) <= wanted)
        ]
        return True

    def _is_about_columns(self, part: Part) -> bool:
        return bool(part.columns) and part.columns <= self._known and not part.tree.find(exp.Exists)

    def _difference(
        self,
        kind: ChangeKind | DifferenceKind,
        wrong: exp.Expr | None,
        right: exp.Expr | None,
        joins: Sequence[Part] = (),
    ) -> Difference:
        trees = [tree for tree in (right, wrong, *(join.tree for join in joins)) if tree is not None]
        columns = dict.fromkeys(column_name(column) for tree in trees for column in tree.find_all(exp.Column))
        return Difference(
            kind,
            self._sql(wrong) if wrong is not None else "",
            self._sql(right) if right is not None else "",
            tuple(columns),
            tuple(dict.fromkeys(column.rpartition(".")[0] for column in columns)),
            tuple(sorted(literals(trees[0]))),
            tuple(sorted(literals(wrong) - literals(trees[0]))) if wrong is not None else (),
            tuple(self._sql(join.tree) for join in joins),
        )

    def _sql(self, tree: exp.Expr) -> str:
        return tree.sql(self._dialect, comments=False)


def _without_sum(tree: exp.Expr) -> exp.Expr:
    """The unit of a sum is that of what is summed up."""
    return tree.transform(lambda node: bare(node.this) if isinstance(node, _KEEP_UNITS) else node)


def _column(wrong: str, right: str) -> Difference:
    """Two columns that are both dates by their names are told as such."""
    dates = all(_DATE.search(column.rpartition(".")[2]) for column in (wrong, right))
    tables = dict.fromkeys(column.rpartition(".")[0] for column in (right, wrong))
    return Difference("date" if dates else "column", wrong, right, (right, wrong), tuple(tables))


def _all_changed(part: Part, other: Part) -> bool:
    return not part.columns & other.columns and literals(part.tree) != literals(other.tree)
