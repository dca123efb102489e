"""Items: the pieces of knowledge a base holds, one frozen type per kind.

An item's id is `kind:name`. Its text in a prompt depends on the item alone, so nothing that moves by itself
(counters, scores, dates of use) lives here.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

from kb.errors import InvalidItem

Kind = Literal["schema", "relationship", "metric", "template", "gotcha", "success", "rule", "document", "preference"]
Usage = Literal["always", "auto", "never"]
Status = Literal["proposed", "active", "quarantined", "retired"]
Loss = Literal["dropped", "renamed", "retyped"]

KINDS: tuple[Kind, ...] = get_args(Kind)

_ID = re.compile(r"^(?P<kind>[a-z]+):(?P<name>[A-Za-z0-9][A-Za-z0-9._+=-]{0,159})\Z")
_UNSAFE = re.compile(r"[^A-Za-z0-9._+=-]+")


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the database declares it. `samples` are values as text, from an allow-list; `values` are others that
    a question may name, by which it is understood and which are never put into a prompt.
    """

    name: str
    type: str
    nullable: bool = True
    primary_key: bool = False
    comment: str = ""
    samples: tuple[str, ...] = ()
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Schema:
    """A table or view. `row_count` is what introspection saw; it is never put into a prompt."""

    kind: ClassVar[Kind] = "schema"
    table: str
    columns: tuple[Column, ...]
    database: str = ""
    comment: str = ""
    row_count: int | None = None


@dataclass(frozen=True, slots=True)
class Relationship:
    """A join: `left_table.left_columns[i] = right_table.right_columns[i]`."""

    kind: ClassVar[Kind] = "relationship"
    left_table: str
    left_columns: tuple[str, ...]
    right_table: str
    right_columns: tuple[str, ...]
    database: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Metric:
    kind: ClassVar[Kind] = "metric"
    definition: str
    expression: str = ""


@dataclass(frozen=True, slots=True)
class Template:
    """A query that is known to answer a common pattern of question."""

    kind: ClassVar[Kind] = "template"
    question: str
    sql: str


@dataclass(frozen=True, slots=True)
class Gotcha:
    """A past mistake as a rule, in one sentence."""

    kind: ClassVar[Kind] = "gotcha"
    text: str
    wrong: str = ""
    right: str = ""


@dataclass(frozen=True, slots=True)
class Success:
    """A question and the answer a person confirmed."""

    kind: ClassVar[Kind] = "success"
    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Rule:
    kind: ClassVar[Kind] = "rule"
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    kind: ClassVar[Kind] = "document"
    text: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Preference:
    """What a user or team wants; `subject` is the user id or `team:NAME` it holds for."""

    kind: ClassVar[Kind] = "preference"
    text: str
    subject: str


Body = Schema | Relationship | Metric | Template | Gotcha | Success | Rule | Document | Preference
BODY_TYPES: dict[Kind, type[Body]] = {body.kind: body for body in get_args(Body)}


@dataclass(frozen=True, slots=True)
class Entity:
    """A name the item is about. Any of its spellings in a question is evidence for the item."""

    name: str
    synonyms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where an item came from. Times are ISO 8601 in UTC."""

    source: str
    request_id: str = ""
    confirmed_by: str = ""
    confirmed_at: str = ""
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class LostColumn:
    """What an item reads and the schema has no more. `name` is `table.column`, or a table, which has no `type`.

    `type` is the one that the item was written against. `now` is the type of a retyped column, or the new name that a
    dropped one seems to have: then `change` is `renamed`.
    """

    name: str
    type: str = ""
    change: Loss = "dropped"
    now: str = ""

    def __str__(self) -> str:
        match self.change:
            case "renamed":
                return f"{self.name} is gone (renamed to {self.now}?)"
            case "retyped":
                return f"{self.name} was {self.type}, is {self.now}"
        return f"{self.name} is gone"


@dataclass(frozen=True, slots=True)
class Item:
    """One piece of knowledge. `depends_on` holds `table.column` names; `refs` and `supersedes` hold item ids.

    `lost` says what a change of the schema took from it (`kb/quarantine.py`).
    """

    id: str
    title: str
    body: Body
    entities: tuple[Entity, ...] = ()
    refs: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    schema_fingerprint: str = ""
    usage: Usage = "auto"
    status: Status = "active"
    lost: tuple[LostColumn, ...] = ()
    supersedes: tuple[str, ...] = ()
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        match = _ID.match(self.id)
        if not match:
            raise InvalidItem(self.id, "id", "an id is 'kind:name' with letters, digits and . _ + = - in the name")
        if match["kind"] != self.body.kind:
            raise InvalidItem(self.id, "id", f"its body is of kind '{self.body.kind}', so it starts with that")
        if not self.title.strip():
            raise InvalidItem(self.id, "title", "it is empty; say in a few words what the item is")

    @property
    def kind(self) -> Kind:
        return self.body.kind

    @property
    def retrievable(self) -> bool:
        return self.status == "active" and self.usage != "never"

    def with_status(self, status: Status) -> Item:
        return replace(self, status=status)


def item_id(kind: Kind, name: str) -> str:
    """An id for any name: characters an id cannot hold become `_`, and a short hash keeps such names apart."""
    safe = _UNSAFE.sub("_", name).lstrip("._+=-")[:140]
    if safe != name or not safe:
        safe = f"{safe or 'item'}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"
    return f"{kind}:{safe}"
