"""A knowledge base for a gateway before the pair."""

from __future__ import annotations

from gateway.settings import Settings
from kb.database import open_database, upgrade
from kb.items import Item
from kb.knowledge_base import Changes, KnowledgeBase
from kb.sql_store import SqlStore


def fill(settings: Settings, *items: Item) -> None:
    """Make the base `shop`, which holds `items`."""
    database = open_database(settings.state_url)
    upgrade(database)
    base = KnowledgeBase.create(SqlStore(database), "default", "shop", author="test")
    base.commit(Changes(put=items), author="test", message="Fill")
    database.dispose()
