"""What could have told that an answer is wrong, from what was known when it was confirmed."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.core import Assistant, Core
from gateway.same_template import same_template
from gateway.unknown_values import unknown_values
from gateway.unread_columns import settled_names, unread_columns
from gateway.unused_aggregates import unused_aggregates
from gateway.unused_values import unused_values
from kb.items import Success
from kb.knowledge_base import Snapshot
from kb.known_values import Values, whole_columns
from kb.masking import MaskedQuestion
from kb.same_question import same_question
from kb.sql_columns import normal_sql, sql_pattern

DIALECT = "sqlite"


def clues(core: Core, assistant: Assistant, question: str, sql: str) -> tuple[str, ...]:
    """In words; empty where nothing in the base and the question speaks against the statement."""
    head = assistant.base.snapshot()
    asked = core.retriever.mask(assistant.base, question, revision=head.commit.id)
    tables, values = core.retriever.tables(assistant.base), core.retriever.values(assistant.base)
    unused = (*unused_values(asked, sql), *unused_aggregates(asked, sql))
    settled = settled_names(head.items.values())
    unread = unread_columns(asked, sql, dialect=DIALECT, tables=tables, settled=settled)
    whole = whole_columns(head.items.values())
    unknown = unknown_values(sql, dialect=DIALECT, tables=tables, values=values, whole=whole)
    found = [*_other_answers(core, assistant, head, asked, sql, values)]
    found += [f"the statement has nothing of {', '.join(unused)}"] if unused else []
    found += [f"the statement does not read {', '.join(unread)}, which the question names"] if unread else []
    found += [f"the statement compares {', '.join(unknown)}, which the column does not have"] if unknown else []
    return tuple(found)


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
