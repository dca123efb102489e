"""Two questions that differ in their values alone, and whether their answers contradict each other.

What was confirmed for one value says how the question is answered for another: with the new values in it, the old
statement must give what the new one gives. Where it cannot be told which of its literals come from the question, the
two must be one statement but for literals.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping

import sqlglot
from sqlglot import exp

from kb.known_values import Values
from kb.masking import MaskedQuestion, Span
from kb.sql_columns import columns_read, sql_pattern
from kb.sql_failures import SQL_FAILURES

_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def same_template(asked: MaskedQuestion, known: MaskedQuestion, values: Values) -> bool:
    """Whether the questions name the same and differ in literals alone, of which there is at least one.

    `orders that are red` and `orders that are paid` do not: the two are values of different columns.
    """
    if not asked.literals or asked.text != known.text or asked.names != known.names:
        return False
    return all(_may_stand_for(*pair, values) for pair in zip(asked.literals, known.literals, strict=True))


def contradicts(
    asked: MaskedQuestion,
    answer: str,
    known: MaskedQuestion,
    old: str,
    *,
    dialect: str,
    tables: Mapping[str, Collection[str]],
    values: Values,
    same_result: Callable[[str, str], bool],
) -> bool:
    """Whether `answer` is not what the statement `old` says of a question of the same template.

    `same_result` is asked about `old`, with the values of `asked` in it, and `answer`.
    """
    if sql_pattern(old, dialect) == sql_pattern(answer, dialect):
        return False
    moved = with_values_of(asked, known, old, dialect=dialect, values=values)
    if moved is None:
        return True
    reads = columns_read(answer, dialect, tables)
    return not reads or columns_read(moved, dialect, tables) != reads or not same_result(moved, answer)


def with_values_of(
    asked: MaskedQuestion, known: MaskedQuestion, old: str, *, dialect: str, values: Values
) -> str | None:
    """The statement `old` with the values of `asked` in place of those of `known`; `None` where one of them is not
    found in it, or could be either of two, and where a number stands in it oftener or less often than in the question:
    it may be there for another reason, as in LIMIT 1 or a factor of 100.
    """
    exchange: dict[str, str] = {}
    for new, before in zip(asked.literals, known.literals, strict=True):
        written = _written(before, new, values)
        if written is None or exchange.setdefault(written[0], written[1]) != written[1]:
            return None
    try:
        tree = sqlglot.parse_one(old, dialect=dialect)
    except SQL_FAILURES:
        return None
    literals = list(tree.find_all(exp.Literal))
    written_times = Counter(literal.name for literal in literals)
    numbers = Counter(span.value for span in known.literals if span.kind == "number")
    if not exchange.keys() <= written_times.keys() or any(written_times[n] != times for n, times in numbers.items()):
        return None
    for literal in literals:
        if literal.name in exchange:
            literal.set("this", exchange[literal.name])
    return tree.sql(dialect=dialect)


def _may_stand_for(new: Span, old: Span, values: Values) -> bool:
    if new.kind != old.kind:
        return False
    columns = [{column for column, _ in values.get(span.value, ())} for span in (new, old)]
    return new.kind != "value" or bool(columns[0] & columns[1])


def _written(old: Span, new: Span, values: Values) -> tuple[str, str] | None:
    """Both as a statement writes them; a date, which it may write in many ways, only where it is a year."""
    if old.kind == "value":
        shared = {column for column, _ in values.get(old.value, ())} & {c for c, _ in values.get(new.value, ())}
        pairs = {(dict(values[old.value])[column], dict(values[new.value])[column]) for column in shared}
        return pairs.pop() if len(pairs) == 1 else None
    if old.kind == "number" and not (_NUMBER.fullmatch(old.value) and _NUMBER.fullmatch(new.value)):
        return None
    return (old.value, new.value) if old.kind in ("number", "text") else None
