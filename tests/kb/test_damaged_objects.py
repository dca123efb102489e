from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kb.database import open_database, upgrade
from kb.errors import ObjectCorrupt
from kb.items import Item, Rule
from kb.knowledge_base import Changes, KnowledgeBase
from kb.memory_store import MemoryStore
from kb.objects import Commit
from kb.sql_store import SqlStore
from kb.store import BaseId, RefMove

MakeRule = Callable[..., Item]


def put(base: KnowledgeBase, *items: Item) -> Commit:
    return base.commit(Changes(items), author="ann", message="Put items")


class Damaged(MemoryStore):
    """A store whose disk lies about one object."""

    damage: dict[str, bytes | None]

    def read(self, base: BaseId, object_ids):  # type: ignore[no-untyped-def]
        found = {**super().read(base, object_ids)}
        for key, data in self.damage.items():
            if key in found:
                found.pop(key)
                if data is not None:
                    found[key] = data
        return found


@pytest.mark.parametrize("what", ["item", "tree", "commit"])
@pytest.mark.parametrize("missing", [True, False])
def test_a_damaged_object_is_never_taken_for_the_real_one(what: str, missing: bool, rule: MakeRule) -> None:
    store = Damaged()
    store.damage = {}
    base = KnowledgeBase.create(store, "acme", "sales", author="ann")
    commit = put(base, rule("a"))
    item_hash = base.snapshot().hashes["rule:a"]
    target = {"item": item_hash, "tree": commit.tree, "commit": commit.id}[what]
    whole = store.read(base.id, [target])[target]
    store.damage = {target: None if missing else whole[:-2] + b"!" + whole[-1:]}
    with pytest.raises(ObjectCorrupt, match="restore it from a backup") as caught:
        base.snapshot()
    assert caught.value.object_id == target


def test_an_object_of_another_kind_is_not_taken_for_a_commit(base: KnowledgeBase, rule: MakeRule) -> None:
    put(base, rule())
    item_hash = base.snapshot().hashes["rule:utc"]
    base.store.write(base.id, {}, [RefMove("heads/odd", None, item_hash)])
    with pytest.raises(ObjectCorrupt, match="is no commit"):
        base.resolve("odd")


def test_a_body_with_every_character_survives_a_real_database(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/deep/er/state.sqlite")
    upgrade(engine)
    base = KnowledgeBase.create(SqlStore(engine), "acme", "sales", author="ann")
    item = Item("rule:odd", "Odd", Rule("\0 \x7f é 日本 🎈 \r\n\u2028"))
    put(base, item)
    assert base.item("rule:odd") == item
    engine.dispose()
