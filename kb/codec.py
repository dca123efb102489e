"""Items to JSON and back. The JSON is canonical: what is hashed, stored and compared.

Pydantic checks what comes in; the item types themselves know nothing of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from kb.errors import InvalidItem
from kb.items import BODY_TYPES, KINDS, Body, Column, Entity, Item, Kind, LostColumn, Provenance, Schema, Status, Usage

for _type in (*BODY_TYPES.values(), Column, Entity, LostColumn, Provenance):
    with_config(ConfigDict(extra="forbid"))(_type)

_BODIES: dict[Kind, TypeAdapter[Body]] = {kind: TypeAdapter(body) for kind, body in BODY_TYPES.items()}
_HEAD: dict[str, TypeAdapter[Any]] = {
    "id": TypeAdapter(str),
    "title": TypeAdapter(str),
    "entities": TypeAdapter(tuple[Entity, ...]),
    "refs": TypeAdapter(tuple[str, ...]),
    "depends_on": TypeAdapter(tuple[str, ...]),
    "schema_fingerprint": TypeAdapter(str),
    "usage": TypeAdapter(Usage),
    "status": TypeAdapter(Status),
    "lost": TypeAdapter(tuple[LostColumn, ...]),
    "supersedes": TypeAdapter(tuple[str, ...]),
    "provenance": TypeAdapter(Provenance | None),
}


def item_to_dict(item: Item) -> dict[str, Any]:
    """All fields, in the order of the type, with `kind` after `id`."""
    fields = asdict(item)
    return {"id": fields.pop("id"), "kind": item.kind, **fields}


def item_from_dict(data: Mapping[str, Any]) -> Item:
    """The inverse of `item_to_dict`; fields with a default may be absent. Raises `InvalidItem` naming the field."""
    name = str(data.get("id", "?"))
    kind = data.get("kind", name.partition(":")[0])
    if kind not in KINDS:
        raise InvalidItem(name, "kind", f"{kind!r} is no kind; allowed: {', '.join(KINDS)}")
    unknown = sorted(set(data) - set(_HEAD) - {"kind", "body"})
    if unknown:
        raise InvalidItem(name, unknown[0], f"no such field; allowed: {', '.join((*_HEAD, 'kind', 'body'))}")
    missing = [field for field in ("id", "title", "body") if field not in data]
    if missing:
        raise InvalidItem(name, missing[0], "it is missing")
    head = {field: _checked(name, field, _HEAD[field], data[field]) for field in _HEAD if field in data}
    return Item(body=_checked(name, "body", _BODIES[kind], data["body"]), **head)


def _checked(item: str, field: str, adapter: TypeAdapter[Any], value: object) -> Any:
    try:
        # JSON mode: arrays are tuples there, and nothing is coerced from one type into another.
        return adapter.validate_json(json.dumps(value), strict=True)
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        path = ".".join(str(part) for part in (field, *first["loc"]))
        raise InvalidItem(item, path, first["msg"]) from exc
    except TypeError as exc:
        raise InvalidItem(item, field, f"{value!r} cannot be written as JSON") from exc


def encode_item(item: Item) -> bytes:
    """The item's canonical bytes. Raises `InvalidItem` for half a surrogate pair, which UTF-8 cannot hold."""
    try:
        fields = item_to_dict(item)
        if not item.lost:
            # Items of before there were this field and `values` keep their bytes, and so their hash.
            del fields["lost"]
        if isinstance(item.body, Schema):
            fields["body"]["columns"] = [_without_empty_values(column) for column in fields["body"]["columns"]]
        return canonical_json(fields)
    except UnicodeEncodeError as exc:
        character = exc.object[exc.start]
        raise InvalidItem(item.id, "body", f"it holds {character!r}, which is no character of its own") from exc


def _without_empty_values(column: Mapping[str, Any]) -> dict[str, Any]:
    return {name: found for name, found in column.items() if name != "values" or found}


def decode_item(data: bytes) -> Item:
    return item_from_dict(json.loads(data))


def canonical_json(value: object) -> bytes:
    """One spelling per value: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
