from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from kb.importers.changes import changes_from_import
from kb.importers.imported import Imported
from kb.items import Column, Entity, Item, Metric, Provenance, Schema, Success
from kb.knowledge_base import Changes, KnowledgeBase, Snapshot
from kb.memory_store import MemoryStore

FILE = Provenance("csv pairs.csv")
PAIR = Item("success:a", "How many?", Success("How many?", "SELECT 1"), status="proposed", provenance=FILE)
TABLE = Item(
    "schema:orders",
    "Table orders",
    Schema("orders", (Column("ID", "NUMBER"), Column("state", "TEXT", comment="As paid", samples=("paid",)))),
    entities=(Entity("orders", ("sales",)),),
    depends_on=("orders.ID", "orders.state"),
    provenance=Provenance("dbt manifest.json"),
)


def snapshot(items: Iterable[Item]) -> Snapshot:
    base = KnowledgeBase.create(MemoryStore(), "acme", "sales", author="ann")
    base.commit(Changes(tuple(items)), author="ann", message="Add items")
    return base.snapshot()


def changes(old: Item, new: Item) -> tuple[Changes, list[str]]:
    return changes_from_import(snapshot([old]), Imported((new,)))


def test_the_same_again_changes_nothing() -> None:
    for item in (PAIR, TABLE):
        assert changes(item, item) == (Changes(), [])


def test_what_a_person_made_of_an_item_stays() -> None:
    approved = replace(PAIR, status="active", title="Ours", provenance=Provenance("csv pairs.csv", confirmed_by="ann"))
    assert changes(approved, PAIR) == (Changes(), [])


def test_an_item_learns_the_columns_that_are_known_now() -> None:
    later = replace(PAIR, depends_on=("orders.id",))
    assert changes(replace(PAIR, status="active"), later)[0] == Changes((replace(later, status="active"),))


def test_other_sql_from_the_same_file_is_proposed_again() -> None:
    other = replace(PAIR, body=Success("How many?", "SELECT 2"))
    assert changes(replace(PAIR, status="active"), other)[0] == Changes((other,))


def test_an_item_of_another_origin_stays_and_is_told() -> None:
    mine = replace(PAIR, body=Success("How many?", "SELECT 2"), provenance=Provenance("confirmation"))
    wanted, warnings = changes(mine, PAIR)
    assert wanted == Changes()
    assert warnings == ["success:a: the base has another, from confirmation; it stays as it is"]
    unnamed = replace(mine, provenance=None)
    assert changes(unnamed, PAIR)[1] == ["success:a: the base has another, from an unnamed source; it stays as it is"]


def test_an_introspected_table_keeps_its_columns_and_gains_words() -> None:
    body = Schema("orders", (Column("id", "INTEGER", comment="Ours"), Column("state", "TEXT")), row_count=7)
    old = replace(TABLE, body=body, entities=(Entity("orders", ("orders placed",)),), depends_on=("orders.id",),
                  schema_fingerprint="f", provenance=Provenance("introspection"))  # fmt: skip
    (new,) = changes(old, TABLE)[0].put
    columns = (Column("id", "INTEGER", comment="Ours"), Column("state", "TEXT", comment="As paid", samples=("paid",)))
    assert new == replace(
        old, body=replace(body, columns=columns), entities=(Entity("orders", ("orders placed", "sales")),)
    )
    assert changes(new, TABLE) == (Changes(), [])


def test_a_table_that_only_the_file_told_of_follows_the_file() -> None:
    more = replace(TABLE, body=Schema("orders", (Column("id", "INTEGER"),)))
    assert changes(TABLE, more)[0] == Changes((more,))


def test_nothing_is_ever_removed() -> None:
    metric = Item("metric:net", "Net", Metric("After refunds."))
    wanted, _ = changes_from_import(snapshot([metric, PAIR]), Imported((TABLE,)))
    assert wanted == Changes((TABLE,))
