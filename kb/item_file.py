"""An item as a Markdown file: its fields as YAML front matter, its main text below, exact to the last character.

    ---
    id: metric:net_revenue
    title: Net revenue
    ---

    Revenue after refunds, without tax.

    ```sql
    SUM(orders.amount) - SUM(refunds.amount)
    ```

Fields at their default are left out and the order is that of the item types, so equal items give equal bytes.
"""

from __future__ import annotations

import re
from typing import Any

from kb.codec import item_from_dict
from kb.errors import FolderInvalid, InvalidItem
from kb.fence import fenced, split_fence
from kb.front_matter import FrontMatter, dump, field_types, load, stated
from kb.items import BODY_TYPES, Item, Kind

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

_SQL = re.compile(r"\s*(select|with|insert|update|delete|values|\()\b", re.IGNORECASE)
_RULER = re.compile(r"^---[ \t]*(?:\n|\Z)", re.MULTILINE)


def write_item(item: Item) -> str:
    head = stated(item)
    body = {name: value for name, value in stated(item.body).items() if name not in _TEXT[item.kind]}
    values = {"id": head.pop("id"), "title": head.pop("title"), **body}
    head.pop("body")
    text = _write_text(item)
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
    body.update(_read_text(file, text_line, kind, markdown))
    try:
        return item_from_dict({**head, "kind": kind, "body": body})
    except InvalidItem as exc:
        raise _located(file, matter, text_line, kind, exc) from exc


def _types(kind: Kind) -> dict[str, Any]:
    head = field_types(Item, leave_out=("body",))
    body = field_types(BODY_TYPES[kind], leave_out=_TEXT[kind])
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
            return fenced(main)
        case "success":
            return fenced(main) if _SQL.match(main) or _only_fence(main) is not None else main
        case "metric":
            expression: str = getattr(item.body, names[1])
            if expression or split_fence(main)[1] is not None:
                return (f"{main}\n\n" if main else "") + fenced(expression, beside=main)
    return main


def _read_text(file: str, line: int, kind: Kind, markdown: str) -> dict[str, str]:
    names = _TEXT[kind]
    match kind:
        case "template":
            sql = _only_fence(markdown)
            if sql is None:
                problem = "the query is expected below the front matter, alone, between '```sql' and '```' lines"
                raise FolderInvalid(file, line, "sql", problem)
            return {names[0]: sql}
        case "success":
            answer = _only_fence(markdown)
            return {names[0]: markdown if answer is None else answer}
        case "metric":
            definition, expression = split_fence(markdown)
            return {names[0]: definition, names[1]: expression or ""}
    return {names[0]: markdown}


def _only_fence(markdown: str) -> str | None:
    """The text of the ```sql fence that is all of `markdown`; `None` if it is anything else."""
    prose, text = split_fence(markdown)
    return None if prose.strip() else text


def _located(file: str, matter: FrontMatter, text_line: int, kind: Kind, exc: InvalidItem) -> FolderInvalid:
    path = exc.field.removeprefix("body.")
    line = text_line if path in _TEXT[kind] else matter.line(path)
    return FolderInvalid(file, line or 1, path, exc.problem)
