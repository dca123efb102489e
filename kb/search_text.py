"""What of an item is searched: the text that is embedded and indexed by words. It depends on the item alone."""

from __future__ import annotations

import re
from functools import lru_cache

from kb.items import (
    Document,
    Gotcha,
    Item,
    Metric,
    Preference,
    Relationship,
    Rule,
    Schema,
    Success,
    Template,
)
from kb.words import spoken

_IDENTIFIER = re.compile(r"`([\w.]+)`|\b([A-Za-z]\w*(?:\.[A-Za-z]\w*)+|[A-Za-z]+_\w+)\b")


def search_text(item: Item) -> str:
    body = item.body
    names = ", ".join(name for entity in item.entities for name in (entity.name, *entity.synonyms))
    match body:
        case Schema():
            columns = ", ".join(
                spoken(column.name) + (f" ({column.comment})" if column.comment else "") for column in body.columns
            )
            table = " ".join(part for part in (spoken(body.database), spoken(body.table)) if part)
            return _joined(f"{table}: {columns}", body.comment, names)
        case Relationship():
            return _joined(f"{spoken(body.left_table)} and {spoken(body.right_table)}", body.comment, names)
        case Metric():
            return _joined(item.title, body.definition, names)
        case Template() | Success():
            return body.question
        case Gotcha() | Rule() | Preference():
            return _joined(body.text, names)
        case Document():
            return _joined(item.title, body.text, names)


@lru_cache(maxsize=16384)
def identifiers(text: str) -> tuple[str, ...]:
    """Names that running text writes as a database does: `` `sales` ``, sales.id, sale_date; each once, in order."""
    return tuple(dict.fromkeys(quoted or plain for quoted, plain in _IDENTIFIER.findall(text)))


def _joined(*parts: str) -> str:
    return ". ".join(part.strip().rstrip(".") for part in parts if part.strip())
