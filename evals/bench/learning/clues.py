"""What could have told that an answer is wrong, from what was known when it was confirmed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from gateway.core import Assistant, Core
from gateway.same_template import same_template
from gateway.unused_values import unused_values
from kb.items import Success
from kb.knowledge_base import Snapshot
from kb.known_values import Values, known_values
from kb.masking import MaskedQuestion
from kb.same_question import same_question
from kb.sql_columns import columns_read, normal_sql, sql_pattern
from kb.words import singular, spoken

DIALECT = "sqlite"


def clues(core: Core, assistant: Assistant, question: str, sql: str) -> tuple[str, ...]:
    """In words; empty where nothing in the base and the question speaks against the statement."""
    head = assistant.base.snapshot()
    asked = core.retriever.mask(assistant.base, question, revision=head.commit.id)
    tables, values = core.retriever.tables(assistant.base), known_values(head.items.values())
    reads = columns_read(sql, DIALECT, tables)
    unused = unused_values(asked, sql)
    found = [*_other_answers(core, assistant, head, asked, sql, values)]
    found += [f"the statement has nothing of {', '.join(unused)}"] if unused else []
    return (*found, *_unread_names(asked, reads, tables))


def _other_answers(
    core: Core, assistant: Assistant, head: Snapshot, asked: MaskedQuestion, sql: str, values: Values
) -> Iterator[str]:
    for item_id, known in core.retriever.patterns(assistant.base, revision=head.commit.id).items():
        body = head.items[item_id].body
        if not isinstance(body, Success):
            continue
        if same_question(asked, known):
            if normal_sql(body.answer, DIALECT) != normal_sql(sql, DIALECT):
                yield f"{item_id} answers the same question by another statement"
        elif same_template(asked, known, values) and sql_pattern(body.answer, DIALECT) != sql_pattern(sql, DIALECT):
            yield f"{item_id} answers the question about other values by another statement"


def _unread_names(
    asked: MaskedQuestion, reads: Collection[str], tables: Mapping[str, Collection[str]]
) -> Iterator[str]:
    """Columns that the question names and the statement does not read."""
    known = {_said(column) for columns in tables.values() for column in columns}
    read = {_said(column.rpartition(".")[2]) for column in reads}
    for name in dict.fromkeys(asked.names):
        if name in known and name not in read:
            yield f"the question names the column '{name}', which the statement does not read"


def _said(name: str) -> str:
    return " ".join(singular(word) for word in spoken(name).split())
