"""Columns that a question names and its answer's statement does not read: a forgotten condition, or another column.

Only columns of tables that the statement reads are looked for. A doubt that is often wrong is of no use, so a name
counts only where it can hardly mean something else: not a table, a longer name, what a metric or a gotcha in use
settles, or the beginning of what people call a column that is read (`population density` for `density`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

import sqlglot
from sqlglot import exp

from kb.dictionary import everyday_words
from kb.items import Gotcha, Item, Metric
from kb.masking import MaskedQuestion
from kb.sql_failures import SQL_FAILURES
from kb.words import Word, singular, spoken, spoken_singular, stem, words

Tables = Mapping[str, Collection[str]]
Stretch = tuple[int, int]
"""Of the question's words: the first one, and the end."""

_FLAGS, _TIMES = ("is", "has"), ("at", "on")
"""How a column's name may begin or end where a question leaves it out: `is_verified`, `created_at`."""
_COUNTED = frozenset(("count", "number", "total"))
"""`The total number of orders` names no column."""
_CUT_OFF = 4
"""A word that a name cuts off keeps so many letters at least."""


def settled_names(items: Iterable[Item]) -> frozenset[str]:
    """What is not to be read for a name: the column of a metric's name, and the one that a gotcha forbids."""
    found: set[str] = set()
    for item in items:
        if item.status == "active" and isinstance(item.body, Metric):
            found.update(spoken_singular(name) for entity in item.entities for name in (entity.name, *entity.synonyms))
        if item.status == "active" and isinstance(item.body, Gotcha):
            found.add(item.body.wrong)
    return frozenset(found)


def unread_columns(
    asked: MaskedQuestion, sql: str, *, dialect: str, tables: Tables, settled: Collection[str] = ()
) -> tuple[str, ...]:
    """As `table.column`, in the question's order; `a.column or b.column` where several tables of the statement have it.

    `tables` maps each known table to its columns; `settled` comes from `settled_names`. Empty where the statement
    cannot be parsed, or reads whatever a table has by `*`.
    """
    tree = _parsed(sql, dialect)
    if tree is None or any(not isinstance(star.parent, exp.Count) for star in tree.find_all(exp.Star)):
        return ()
    read = {table.name.lower() for table in tree.find_all(exp.Table)}
    columns = [f"{table}.{column}" for table in tables if table.lower() in read for column in tables[table]]
    identifiers = {identifier.name.lower() for identifier in tree.find_all(exp.Identifier)}
    said = words(asked.question)
    is_written = _are_written(said, sql)
    named = _named(asked, said, columns)
    written_columns = {begin for (begin, _), owners in named.items() if owners and is_written[begin]}
    not_columns = {*settled, *map(spoken_singular, tables), *_COUNTED}
    found: dict[str, None] = {}
    for (begin, stop), owners in sorted(named.items()):
        names = {spoken_singular(" ".join(word.text for word in said[begin:stop])), *map(_own_name, owners)}
        is_read = any(is_written[begin:stop]) or any(_column(owner).lower() in identifiers for owner in owners)
        goes_on = stop in written_columns and asked.question[said[stop - 1].end : said[stop].start].isspace()
        if owners and not is_read and not goes_on and not_columns.isdisjoint((*names, *owners)):
            found[" or ".join(owners)] = None
    return tuple(found)


def _parsed(sql: str, dialect: str) -> exp.Expr | None:
    try:
        return sqlglot.parse_one(sql, dialect=dialect)
    except SQL_FAILURES:
        return None


def _are_written(said: Sequence[Word], sql: str) -> list[bool]:
    """Of each word of the question, whether the statement has it: in any form, cut off, or joined with the next one."""
    written = {word.text for text in (sql, spoken(sql)) for word in words(text)}
    stems = {stem(part) for part in written}
    found = [word.stem in stems or any(_is_cut_off(part, word) for part in written) for word in said]
    for place in range(1, len(said)):
        if said[place - 1].text + said[place].text in written:
            found[place - 1] = found[place] = True
    return found


def _named(asked: MaskedQuestion, said: Sequence[Word], columns: Sequence[str]) -> dict[Stretch, list[str]]:
    """The names and literals in the question, the longest of those that overlap, and which columns they may mean."""
    found: dict[Stretch, list[str]] = {}
    for span in asked.spans:
        inside = [place for place, word in enumerate(said) if span.start <= word.start < span.end]
        if inside:
            meant = (column for column in columns if span.value in (_own_name(column), spoken_singular(column)))
            found[inside[0], inside[-1] + 1] = list(meant) if span.kind == "name" else []
    literal = [any(span.start <= word.start < span.end for span in asked.literals) for word in said]
    for column in columns:
        for stretch in _places(column, said):
            if not any(literal[slice(*stretch)]) and column not in found.setdefault(stretch, []):
                found[stretch].append(column)
    kept: dict[Stretch, list[str]] = {}
    covered: set[int] = set()
    for stretch in sorted(found, key=lambda stretch: (stretch[0] - stretch[1], stretch)):
        if covered.isdisjoint(range(*stretch)):
            covered.update(range(*stretch))
            kept[stretch] = found[stretch]
    return kept


def _places(column: str, said: Sequence[Word]) -> Iterator[Stretch]:
    """Where the column's name stands in the question, in any of its forms."""
    for form in _forms(column):
        for begin in range(len(said) - len(form) + 1):
            if all(map(_names, form, said[begin : begin + len(form)])):
                yield begin, begin + len(form)


@lru_cache(maxsize=65536)
def _forms(column: str) -> frozenset[tuple[str, ...]]:
    """The words by which a question may name a `table.column`: with its table, flag and time in the name or without."""
    table, name = spoken(column.rpartition(".")[0]).split(), _column(column)
    forms = {tuple(spoken(name).split()), tuple(word.text for word in words(name))}
    for form in tuple(forms):
        shared = min(len(table), len(form))
        while [*map(stem, form[:shared])] != [*map(stem, table[:shared])]:
            shared -= 1
        forms.add(form[shared:])
    forms |= {form[1:] for form in forms if form[:1] and form[0] in _FLAGS}
    forms |= {form[:-1] for form in forms if form[:1] and form[-1] in _TIMES}
    return frozenset(form for form in forms if form)


def _names(part: str, word: Word) -> bool:
    return singular(part) == singular(word.text) or _is_cut_off(part, word)


def _is_cut_off(part: str, word: Word) -> bool:
    """Whether the word of a name is the beginning of this one and no word itself: `addr` for `address`."""
    return len(part) >= _CUT_OFF and word.text.startswith(part) and part not in everyday_words()


def _own_name(column: str) -> str:
    return spoken_singular(_column(column))


def _column(name: str) -> str:
    return name.rpartition(".")[2]
