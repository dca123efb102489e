"""Calls of `/v1/kb`, and what the bases of its tests hold."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from kb.codec import item_to_dict
from kb.items import Column, Item, Rule, Schema, Template
from kb.knowledge_base import Changes, KnowledgeBase

RULE = Item("rule:utc", "Times", Rule("Times are UTC."))


STOCK = Item("schema:stock", "Stock", Schema("stock", (Column("id", "INTEGER"), Column("amount", "INTEGER"))))


SHORT = replace(STOCK, body=Schema("stock", (Column("id", "INTEGER"),)))


COUNT = Item("template:stock", "Stock", Template("How much is there?", "SELECT sum(amount) FROM stock"))


LOST = {"name": "stock.amount", "type": "INTEGER", "change": "dropped", "now": ""}


def as_json(item: Item) -> dict[str, Any]:
    """An item as it comes over HTTP."""
    found: dict[str, Any] = json.loads(json.dumps(item_to_dict(item)))
    return found


def put(base: KnowledgeBase, *items: Item, branch: str = "main") -> str:
    return base.commit(Changes(items), author="ann", message="Put items", branch=branch).id


def get(served: Any, path: str, expected: int = 200, /, **query: Any) -> Any:
    response = served.client.get(f"/v1/kb{path}", params=query)
    assert response.status_code == expected, response.text
    return response.json()


def post(served: Any, path: str, expected: int = 201, /, **body: Any) -> Any:
    response = served.client.post(f"/v1/kb/shop{path}", json=body)
    assert response.status_code == expected, response.text
    return response.json()


def code(answer: Any) -> str:
    return str(answer["error"]["code"])
