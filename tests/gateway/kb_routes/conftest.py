"""A base with a tag, a branch and a table."""

from __future__ import annotations

from typing import Any

import pytest

from kb.knowledge_base import KnowledgeBase

from .calls import COUNT, RULE, STOCK, put


@pytest.fixture
def base(served: Any) -> KnowledgeBase:
    """A tag `start`, a rule, a branch `draft` behind it, and a table with a query over it."""
    found: KnowledgeBase = served.core.base("default", "shop")
    found.tag("start")
    put(found, RULE)
    found.branch("draft")
    put(found, STOCK, COUNT)
    return found
