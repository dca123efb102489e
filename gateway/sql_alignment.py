"""What turns one expression into another of the same build: its columns, literals, unit or aggregate changed.

sqlglot's own `diff` gives edits of nodes. What is asked for here is narrower: which of a few mistakes explains all of
the difference, and nothing where something else differs, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sqlglot import exp

from gateway.sql_parts import bare

ChangeKind = Literal["column", "literal", "bound", "unit", "aggregate"]

_LITERALS = (exp.Literal, exp.Boolean, exp.Neg)


@dataclass(frozen=True, slots=True)
class Change:
    """`wrong` and `right` are the whole of what changed: the literals that a column is compared with, for `literal`,
    stand with it. A `bound` is a literal anywhere else, such as in a comparison by order.
    """

    kind: ChangeKind
    wrong: exp.Expr
    right: exp.Expr


def changes(wrong: exp.Expr, right: exp.Expr) -> list[Change] | None:
    """`None` where the two differ by anything else. How a result is rounded is no difference."""
    wrong, right = _unrounded(wrong), _unrounded(right)
    if wrong == right:
        return []
    if isinstance(wrong, exp.Column) and isinstance(right, exp.Column):
        return [Change("column", wrong, right)]
    if isinstance(wrong, _LITERALS) and isinstance(right, _LITERALS):
        return [Change("bound", wrong, right)]
    for specific in (_values, _unit, _aggregate):
        found = specific(wrong, right)
        if found is not None:
            return found
    return _same_build(wrong, right)


def literals(tree: exp.Expr) -> frozenset[str]:
    """The literals in an expression, as text."""
    return frozenset(str(literal.this) for literal in tree.find_all(exp.Literal))


def _unrounded(tree: exp.Expr) -> exp.Expr:
    tree = bare(tree)
    while isinstance(tree, exp.Round):
        tree = bare(tree.this)
    return tree


def _values(wrong: exp.Expr, right: exp.Expr) -> list[Change] | None:
    """A column compared with other values, by `=` or `IN`; `IN` may become `=`."""
    left, instead = _compared(wrong), _compared(right)
    if left is None or instead is None or isinstance(wrong, exp.NEQ) != isinstance(right, exp.NEQ):
        return None
    inner = changes(left[0], instead[0])
    if inner is None:
        return None
    return inner if left[1] == instead[1] else [*inner, Change("literal", wrong, right)]


def _compared(tree: exp.Expr) -> tuple[exp.Expr, frozenset[str]] | None:
    """What is compared by equality, and with which literals."""
    values = [tree.expression] if isinstance(tree, (exp.EQ, exp.NEQ)) else []
    if isinstance(tree, exp.In) and not tree.args.get("query"):
        values = tree.expressions
    if not values or not all(isinstance(value, _LITERALS) for value in values):
        return None
    return tree.this, frozenset(value.sql() for value in values)


def _unit(wrong: exp.Expr, right: exp.Expr) -> list[Change] | None:
    """Divided or multiplied by a number on one side only, or by another number."""
    (left, before), (instead, after) = _scaled(wrong), _scaled(right)
    if before == after:
        return None
    inner = changes(left, instead)
    return None if inner is None else [*inner, Change("unit", wrong, right)]


def _scaled(tree: exp.Expr) -> tuple[exp.Expr, str]:
    """What is divided or multiplied by a number, and by which; the whole and nothing where it is not."""
    if isinstance(tree, (exp.Div, exp.Mul)):
        sides = bare(tree.left), bare(tree.right)
        if isinstance(sides[1], exp.Literal) and sides[1].is_number:
            return sides[0], f"{tree.key} {float(sides[1].this)}"
        if isinstance(tree, exp.Mul) and isinstance(sides[0], exp.Literal) and sides[0].is_number:
            return sides[1], f"{tree.key} {float(sides[0].this)}"
    return tree, ""


def _aggregate(wrong: exp.Expr, right: exp.Expr) -> list[Change] | None:
    """Another function over the same, or of distinct values where it was of all; `COUNT(*)` counts anything's rows."""
    if not isinstance(wrong, exp.AggFunc) or not isinstance(right, exp.AggFunc):
        return None
    left, instead = _argument(wrong), _argument(right)
    if left is None or instead is None:
        return None
    distinct = isinstance(wrong.this, exp.Distinct), isinstance(right.this, exp.Distinct)
    if type(wrong) is type(right) and distinct[0] == distinct[1]:
        return changes(left, instead)
    counts_rows = isinstance(left, exp.Star) or isinstance(instead, exp.Star)
    if counts_rows and not (type(wrong) is type(right) and any(distinct)):
        return None
    inner = [] if counts_rows else changes(left, instead)
    return None if inner is None else [*inner, Change("aggregate", wrong, right)]


def _argument(call: exp.AggFunc) -> exp.Expr | None:
    argument = call.this
    if isinstance(argument, exp.Distinct):
        argument = argument.expressions[0] if len(argument.expressions) == 1 else None
    return argument if isinstance(argument, exp.Expr) else None


def _same_build(wrong: exp.Expr, right: exp.Expr) -> list[Change] | None:
    if type(wrong) is not type(right) or isinstance(wrong, (exp.Identifier, exp.Table, exp.Var)):
        return None
    left, instead = list(_children(wrong)), list(_children(right))
    if [key for key, _ in left] != [key for key, _ in instead] or not left or _plain(wrong) != _plain(right):
        return None
    found: list[Change] = []
    for (_, one), (_, other) in zip(left, instead, strict=True):
        inner = changes(one, other)
        if inner is None:
            return None
        found += inner
    return found


def _children(tree: exp.Expr) -> Iterator[tuple[str, exp.Expr]]:
    for key, value in tree.args.items():
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, exp.Expr):
                yield key, child


def _plain(tree: exp.Expr) -> dict[str, object]:
    """What is no expression, such as whether an order is descending."""
    return {key: value for key, value in tree.args.items() if value and not isinstance(value, (exp.Expr, list))}
