"""An item as a Markdown file: its fields as YAML front matter, its main text below, exact to the last character.

    ---
    id: metric:net_revenue
    title: Net revenue
    ---

    Revenue after refunds, without tax.

    ```sql
    SUM(orders.amount) - SUM(refunds.amount)
    ```

A main text that is blank stands among the fields, so that one that was forgotten is an error.
Fields at their default are left out and the order is that of the item types, so equal items give equal bytes.
"""

from __future__ import annotations

import re
from typing import Any

from kb.codec import item_from_dict
from kb.errors import FolderInvalid, InvalidItem
from kb.fence import fenced, first_fence, split_fence, unclosed_fence
from kb.front_matter import FrontMatter, dump, field_types, load, stated
from kb.items import BODY_TYPES, Item, Kind, Relationship, Schema

_TEXT: dict[Kind, tuple[str, ...]] = {
    "schema": ("comment",),
    "relationship": ("comment",),
    "metric": ("definition", "expression"),
    "template": ("sql",),
    "gotcha": ("text",),
    "success": ("answer",),
    "rule": ("text",),
    "document": ("text",),
    "preference": ("text",),
}
"""The fields of each kind's body that are its main text, below the front matter."""

_NEEDED: dict[Kind, str] = {
    "metric": "definition",
    "template": "sql",
    "gotcha": "text",
    "success": "answer",
    "rule": "text",
    "document": "text",
    "preference": "text",
}
"""The kinds whose main text may not be forgotten. Where it is blank, it stands among the fields, to say that this is
meant.
"""

_SQL = re.compile(r"\s*(select|with|insert|update|delete|values|\()\b", re.IGNORECASE)
_ALONE = "alone, between '```sql' and '```' lines"
_RULER = re.compile(r"^---[ \t]*(?:\n|\Z)", re.MULTILINE)


def write_item(item: Item) -> str:
    head = stated(item)
    body = {name: value for name, value in stated(item.body).items() if name not in _TEXT[item.kind]}
    values = {"id": head.pop("id"), "title": head.pop("title"), **body}
    head.pop("body")
    text = _write_text(item)
    if item.kind in _NEEDED and not text.strip():
        values[_NEEDED[item.kind]] = getattr(item.body, _NEEDED[item.kind])
        text = ""
    return f"---\n{dump({**values, **head})}---\n" + (f"\n{text}\n" if text else "")


def read_item(file: str, kind: Kind, text: str) -> Item:
    """The item that `text`, the content of `file`, holds. Raises `FolderInvalid` with line and field."""
    if text.startswith("\ufeff"):
        text = text[1:]
    if text.startswith("---\r\n"):
        # An editor turned every line end; exported files never open with one of these.
        text = text.replace("\r\n", "\n")
    front, markdown, text_line = _split(file, text)
    matter = load(file, front, 2, _types(kind))
    head = dict(matter.values)
    body: dict[str, Any] = {name: head.pop(name) for name in field_types(BODY_TYPES[kind]) if name in head}
    needed = _NEEDED.get(kind, "")
    if body.get(needed, "").strip():
        raise FolderInvalid(file, matter.line(needed), needed, "no such field; its text stands below the front matter")
    forgotten = needed and needed not in body and not markdown.strip()
    if not forgotten and (needed not in body or markdown.strip()):
        body.update(_read_text(file, text_line, kind, markdown))
    try:
        item = item_from_dict({**head, "kind": kind, "body": {**({needed: ""} if forgotten else {}), **body}})
    except InvalidItem as exc:
        raise _located(file, matter, text_line, kind, exc) from exc
    if forgotten:
        # After the fields above, so that a slip in them is told first.
        alone = f", {_ALONE}" if kind == "template" else ""
        raise FolderInvalid(file, text_line, needed, f"it is missing; write it below the front matter{alone}")
    _check_columns(file, matter, item)
    return item


def _types(kind: Kind) -> dict[str, Any]:
    head = field_types(Item, leave_out=("body",))
    body = field_types(BODY_TYPES[kind], leave_out=[name for name in _TEXT[kind] if name != _NEEDED.get(kind)])
    return {"id": head.pop("id"), "title": head.pop("title"), **body, **head}


def _split(file: str, text: str) -> tuple[str, str, int]:
    """Front matter, text below it, and the line that text starts on."""
    opening = _RULER.match(text)
    if not opening:
        problem = "does not start with a '---' line; expected are YAML fields between two '---' lines, then text"
        raise FolderInvalid(file, 1, None, problem)
    closing = _RULER.search(text, opening.end())
    if not closing:
        raise FolderInvalid(file, 1, None, "its front matter is not closed; put a '---' line after the fields")
    below = text[closing.end() :]
    markdown = below.removeprefix("\n")
    line = text.count("\n", 0, closing.end() + len(below) - len(markdown)) + 1
    return text[opening.end() : closing.start()], markdown.removesuffix("\n"), line


def _write_text(item: Item) -> str:
    names = _TEXT[item.kind]
    main: str = getattr(item.body, names[0])
    match item.kind:
        case "template":
            return fenced(main) if main.strip() else ""
        case "success":
            # What could be read as another answer than it is.
            odd = _only_fence(main) is not None or unclosed_fence(main) is not None
            return fenced(main) if _SQL.match(main) or odd else main
        case "metric":
            expression: str = getattr(item.body, names[1])
            if expression or first_fence(main) is not None or split_fence(main)[1] is not None:
                return (f"{main}\n\n" if main else "") + fenced(expression, beside=main)
    return main


def _read_text(file: str, line: int, kind: Kind, markdown: str) -> dict[str, str]:
    names = _TEXT[kind]
    match kind:
        case "template":
            sql = _only_fence(markdown)
            if sql is None:
                raise FolderInvalid(file, line, "sql", f"the query is expected below the front matter, {_ALONE}")
            if not sql.strip():
                raise FolderInvalid(file, line, "sql", "the query is empty; write it between the two lines")
            return {names[0]: sql}
        case "success":
            answer = _only_fence(markdown)
            at = unclosed_fence(markdown)
            if answer is None and at is not None:
                raise FolderInvalid(file, line + at, "answer", "this fence is not closed; end it with a '```' line")
            return {names[0]: markdown if answer is None else answer}
        case "metric":
            definition, expression = split_fence(markdown)
            at = first_fence(markdown)
            if expression is None and at is not None:
                problem = "the expression is expected at the end, between '```sql' and '```' lines"
                raise FolderInvalid(file, line + at, "expression", problem)
            return {names[0]: definition, names[1]: expression or ""}
    return {names[0]: markdown}


def _check_columns(file: str, matter: FrontMatter, item: Item) -> None:
    """What a database never says, and only a hand does."""
    match item.body:
        case Schema(columns=columns):
            names = [column.name for column in columns]
            for at, name in enumerate(names):
                if name in names[:at]:
                    field = f"columns.{at}.name"
                    first = matter.line(f"columns.{names.index(name)}.name")
                    problem = f"the table has a column '{name}' already, on line {first}; keep one"
                    raise FolderInvalid(file, matter.line(field), field, problem)
        case Relationship(left_columns=left, right_columns=right) if len(left) != len(right) or not left:
            problem = f"it has {len(right)} columns and left_columns {len(left)}; give one for one, at least one"
            raise FolderInvalid(file, matter.line("right_columns"), "right_columns", problem)


def _only_fence(markdown: str) -> str | None:
    """The text of the ```sql fence that is all of `markdown`; `None` if it is anything else."""
    prose, text = split_fence(markdown)
    return None if prose.strip() else text


def _located(file: str, matter: FrontMatter, text_line: int, kind: Kind, exc: InvalidItem) -> FolderInvalid:
    path = exc.field.removeprefix("body.")
    line = text_line if path in _TEXT[kind] else matter.line(path)
    return FolderInvalid(file, line or 1, path, exc.problem)
