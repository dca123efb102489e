"""A confirmed answer about other values than the question's, with the question's values in its statement.

It is built to err on one side, as `kb.same_question` is: where it is not sure which literals of the statement come
from the question, or where what is confirmed disagrees, there is no answer, and the engine is asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gateway.same_template import same_template, with_values_of
from kb.items import Item, Success
from kb.known_values import Values
from kb.masking import MaskedQuestion
from kb.same_question import is_personal
from kb.sql_columns import normal_sql

Confirmed = tuple[Item, MaskedQuestion]
"""A success and its question, masked."""


def with_question_values(
    asked: MaskedQuestion, confirmed: Iterable[Confirmed], *, dialect: str, values: Values
) -> Item | None:
    """The first success of the template of `asked`, with the question and its values in place of its own.

    `None` where no success is of that template, where the values cannot be exchanged in one of them, where two of them
    give different statements, and for personal questions: the statement for `my orders` names who asked.
    """
    if is_personal(asked):
        return None
    found = [
        _moved(asked, item, known, dialect, values)
        for item, known in confirmed
        if isinstance(item.body, Success) and same_template(asked, known, values)
    ]
    moved = [item for item in found if item is not None]
    if len(moved) < len(found) or len({normal_sql(_answer(item), dialect) for item in moved}) != 1:
        return None
    return moved[0]


def _moved(asked: MaskedQuestion, item: Item, known: MaskedQuestion, dialect: str, values: Values) -> Item | None:
    statement = with_values_of(asked, known, _answer(item), dialect=dialect, values=values)
    return None if statement is None else replace(item, body=Success(asked.question, statement))


def _answer(item: Item) -> str:
    assert isinstance(item.body, Success), "only successes have an answer"
    return item.body.answer
