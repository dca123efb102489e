"""A commit's confirmed successes as cases: what a person confirmed once must keep its answer."""

from __future__ import annotations

from collections.abc import Iterable

from evals.case import Case, Expectation, Retrieves, SqlResult
from gateway.core import Assistant
from gateway.datasource import Datasource
from gateway.errors import StatementRefused
from gateway.verification import sql_of
from kb.items import Item, Success


def success_cases(assistant: Assistant, commit: str, *, besides: Iterable[Case] = ()) -> list[Case]:
    """A case for each active success at `commit`, by id, but for questions that `besides` or another success asks.

    What was superseded or retired is no case. Where there is no datasource, or the answer is no statement, the case
    is that the question retrieves its success: an answer in prose is not judged by its text.
    """
    asked = {_key(case.question) for case in besides if not case.earlier}
    cases: list[Case] = []
    for item in assistant.base.snapshot(commit).items.values():
        if isinstance(item.body, Success) and item.status == "active" and _key(item.body.question) not in asked:
            asked.add(_key(item.body.question))
            cases.append(Case(item.id, item.body.question, (_expectation(item, item.body, assistant.datasource),)))
    return cases


def _expectation(item: Item, body: Success, datasource: Datasource | None) -> Expectation:
    if datasource is not None and _is_statement(sql_of(body.answer), datasource):
        return SqlResult((body.answer,))
    return Retrieves((_literal(item.id),))


def _is_statement(sql: str, datasource: Datasource) -> bool:
    try:
        datasource.check(sql)
    except StatementRefused:
        return False
    return True


def _literal(item_id: str) -> str:
    # An id holds none of the characters that fnmatch gives a meaning to.
    assert not set(item_id) & set("*?["), "an id has letters, digits and : . _ + = -"
    return item_id


def _key(question: str) -> str:
    return " ".join(question.casefold().split())
