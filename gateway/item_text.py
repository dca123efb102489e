"""An item as the prompt shows it: a fenced block whose text depends on the item alone.

Retrieved text is data. The fence names the kind, and nothing inside it can open or close a fence.
"""

from __future__ import annotations

import re

from kb.items import (
    KINDS,
    Column,
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

_FENCE = re.compile(rf"<(?=\s*/?\s*(?:{'|'.join(KINDS)})\b)", re.IGNORECASE)


def item_text(item: Item) -> str:
    """The block, without a line break at its end."""
    return f'<{item.kind} id="{item.id}">\n{_FENCE.sub("&lt;", _inner(item)).strip()}\n</{item.kind}>'


def _inner(item: Item) -> str:
    body = item.body
    match body:
        case Schema():
            head = f"Table {_qualified(body.database, body.table)}" + (f": {body.comment}" if body.comment else "")
            return "\n".join([head, *(_column_line(column) for column in body.columns)])
        case Relationship():
            pairs = zip(body.left_columns, body.right_columns, strict=True)
            joins = " AND ".join(f"{body.left_table}.{left} = {body.right_table}.{right}" for left, right in pairs)
            return f"Join {joins}" + (f": {body.comment}" if body.comment else "")
        case Metric():
            return f"{item.title}: {body.definition}" + (f"\nSQL: {body.expression}" if body.expression else "")
        case Gotcha():
            return body.text
        case Template():
            return f"Pattern: {body.question}\nSQL: {body.sql}"
        case Success():
            return f"Question: {body.question}\nConfirmed answer: {body.answer}"
        case Document():
            return f"{item.title}\n{body.text}"
        case Rule() | Preference():
            return body.text


def _column_line(column: Column) -> str:
    line = f"- {column.name} {column.type}" + (" primary key" if column.primary_key else "")
    line += f": {column.comment}" if column.comment else ""
    return line + (f" (values: {', '.join(column.samples)})" if column.samples else "")


def _qualified(database: str, table: str) -> str:
    return f"{database}.{table}" if database else table
