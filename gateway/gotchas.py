"""Gotchas from a rejected and a right answer: one plain sentence each, and what it is about.

They are proposed, for a curator to activate, and only those that `gateway/proof.py` has seen mend the answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gateway.generality import general_question, only_of_the_question
from gateway.sql_difference import Difference, differences
from gateway.sql_parts import Tables
from kb.codec import canonical_json
from kb.entities import name_key
from kb.items import Entity, Gotcha, Item, Provenance
from kb.masking import MaskedQuestion

MAX_GOTCHAS = 4
"""An answer that is wrong in more ways is another answer, not a lesson."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """`left_out` says of each difference that is no rule why it is none."""

    gotchas: tuple[Item, ...] = ()
    left_out: tuple[str, ...] = ()


def candidates(
    wrong: str,
    right: str,
    asked: MaskedQuestion,
    *,
    dialect: str,
    tables: Tables,
    known: Mapping[str, Item],
    provenance: Provenance,
) -> Candidates:
    """What the difference of two statements would teach; rules that the base knows, whatever their status, are not
    taught again.
    """
    found = differences(wrong, right, dialect, tables)
    if len(found) > MAX_GOTCHAS:
        return Candidates(left_out=(f"the answers differ in {len(found)} ways, which is no slip",))
    gotchas, left_out = [], []
    for difference in found:
        why_not = only_of_the_question(difference, asked, right)
        if why_not is not None:
            left_out.append(why_not)
        elif (item := _gotcha(difference, asked, provenance)).id not in known:
            gotchas.append(item)
    return Candidates(tuple(gotchas), tuple(left_out))


def _gotcha(difference: Difference, asked: MaskedQuestion, provenance: Provenance) -> Item:
    text = _sentence(difference, asked)
    about = {name_key(name): name for name in reversed(list(_names(difference, asked)))}
    return Item(
        id=f"gotcha:{_digest(difference.wrong, difference.right)}",
        title=_title(difference, text),
        body=Gotcha(text, wrong=difference.wrong, right=difference.right),
        entities=tuple(Entity(name) for name in about.values()),
        depends_on=tuple(sorted(difference.columns or difference.tables)),
        status="proposed",
        provenance=provenance,
    )


def _sentence(difference: Difference, asked: MaskedQuestion) -> str:
    wrong, right, table = difference.wrong, difference.right, next(iter(difference.tables), "")
    match difference.kind:
        case "column" | "join":
            return f"Use {right}, not {wrong}."
        case "date":
            return f"For the date use {right}, not {wrong}."
        case "unit":
            return f"Mind the unit: use {right}, not {wrong}."
        case "missing_join":
            return f"Join {' and '.join(difference.tables)} by {right}."
        case "missing_filter":
            joined = f" (joined by {' and '.join(difference.joins)})" if difference.joins else ""
            return f"Only rows of {table} where {right} count{joined}."
        case "literal":
            return f"Write {right}, not {wrong}."
        case "extra_filter":
            return f"{_asked(difference, asked)}, do not filter by {wrong}."
        case _:
            return f"{_asked(difference, asked)}, use {right}, not {wrong}."


def _asked(difference: Difference, asked: MaskedQuestion) -> str:
    """For what is right for some questions only: the question itself, without its literals."""
    return f'Asked "{general_question(asked, *difference.literals, *difference.wrong_literals)}"'


def _title(difference: Difference, text: str) -> str:
    if difference.kind in ("column", "date", "join", "literal", "table", "unit", "aggregate"):
        text = f"{difference.right}, not {difference.wrong}"
    return text if len(text) <= 120 else f"{text[:119]}…"


def _names(difference: Difference, asked: MaskedQuestion) -> Iterator[str]:
    """What a question or a retrieved item may name: columns, and tables where the rule is about rows of them."""
    yield from difference.columns
    yield from (" ".join(column.rpartition(".")[::2]) for column in difference.columns)
    if difference.kind not in ("column", "date", "unit", "literal"):
        yield from difference.tables
    # A word of the question that the data writes in another way leads to the way it does.
    if difference.kind == "literal":
        yield from (value for value in difference.wrong_literals if value.casefold() in asked.question.casefold())


def _digest(*parts: str) -> str:
    return hashlib.sha256(canonical_json(parts)).hexdigest()[:12]
