from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import sqlalchemy as sa

from kb.introspect import introspect, schema_fingerprint
from kb.introspection_changes import introspection_changes
from kb.items import Entity, Item, Relationship, Schema, Template
from kb.knowledge_base import Changes, KnowledgeBase

BUYER, PARCEL = (
    "relationship:shipments.buyer_id-customers.id",
    "relationship:shipments.order_id+line-order_items.order_id+line",
)
Run = Callable[[str], None]


def by_id(items: list[Item]) -> dict[str, Item]:
    return {item.id: item for item in items}


@pytest.fixture
def learned(base: KnowledgeBase, url: str, run: Run) -> KnowledgeBase:
    base.commit(Changes(tuple(introspect(url))), author="ann", message="Introspect")
    return base


def changes(base: KnowledgeBase, url: str, tables: list[str] | None = None) -> Changes:
    return introspection_changes(base.snapshot(), introspect(url, tables=tables), tables=tables)


def test_everything_is_new_to_an_empty_base(base: KnowledgeBase, url: str, run: Run) -> None:
    items = introspect(url)
    assert introspection_changes(base.snapshot(), items) == Changes(tuple(items))


def test_rows_that_come_and_go_are_no_change(learned: KnowledgeBase, url: str, run: Run) -> None:
    run("INSERT INTO customers VALUES (9, 'Eve', 'DE')")
    assert changes(learned, url) == Changes()


def test_a_new_column_changes_its_table_alone(learned: KnowledgeBase, url: str, run: Run) -> None:
    run("INSERT INTO customers VALUES (9, 'Eve', 'DE'); ALTER TABLE customers ADD COLUMN city TEXT")
    [item] = changes(learned, url).put
    assert item == by_id(introspect(url))["schema:customers"]
    assert "customers.city" in item.depends_on


def test_what_people_wrote_is_kept(learned: KnowledgeBase, url: str, run: Run) -> None:
    item = learned.item("schema:customers")
    assert isinstance(item.body, Schema)
    columns = (item.body.columns[0], replace(item.body.columns[1], comment="As signed"), *item.body.columns[2:])
    edited = replace(
        item,
        title="Buyers",
        entities=(Entity("buyers"),),
        usage="always",
        status="quarantined",
        refs=("rule:x",),
        body=replace(item.body, comment="Who buys", columns=columns),
    )
    join = replace(learned.item(BUYER), status="retired")
    assert isinstance(join.body, Relationship)
    join = replace(join, body=replace(join.body, comment="The buyer"))
    learned.commit(Changes((edited, join)), author="bob", message="Explain")
    assert changes(learned, url) == Changes()
    run("ALTER TABLE customers ADD COLUMN city TEXT")
    [item] = changes(learned, url).put
    assert isinstance(item.body, Schema)
    kept = {name: getattr(item, name) for name in ("title", "entities", "usage", "status", "refs")}
    assert kept == {name: getattr(edited, name) for name in kept}
    assert item.body.comment == "Who buys"
    assert [(c.name, c.comment) for c in item.body.columns] == [
        ("id", ""),
        ("name", "As signed"),
        ("country", ""),
        ("city", ""),
    ]
    assert item.schema_fingerprint == schema_fingerprint(item.body)


def test_a_table_that_is_gone_is_retired_with_its_relationships_and_comes_back(
    learned: KnowledgeBase, url: str, run: Run
) -> None:
    run("DROP TABLE shipments")
    gone = changes(learned, url)
    assert [(item.id, item.status) for item in gone.put] == [
        (BUYER, "retired"),
        (PARCEL, "retired"),
        ("schema:shipments", "retired"),
    ]
    assert gone.remove == ()
    learned.commit(gone, author="ann", message="Introspect")
    assert changes(learned, url) == Changes()
    run("CREATE TABLE shipments (id INTEGER PRIMARY KEY, buyer_id INTEGER REFERENCES customers (id))")
    back = changes(learned, url)
    assert [(item.id, item.status) for item in back.put] == [(BUYER, "active"), ("schema:shipments", "active")]
    learned.commit(back, author="ann", message="Introspect")
    assert changes(learned, url) == Changes()


def test_what_introspection_did_not_look_at_is_left_alone(learned: KnowledgeBase, url: str, run: Run) -> None:
    other = Item("schema:hr.staff", "Staff", Schema("staff", (), database="hr"))
    learned.commit(Changes((other,)), author="ann", message="Another database")
    run("DROP TABLE shipments")
    assert changes(learned, url, tables=["customers", "order*"]) == Changes()
    assert [item.id for item in changes(learned, url, tables=["*s"]).put] == [BUYER, PARCEL, "schema:shipments"]


def test_a_relationship_that_a_person_added_stays(learned: KnowledgeBase, url: str, run: Run) -> None:
    join = Item(
        "relationship:germans.id-customers.id", "By hand", Relationship("germans", ("id",), "customers", ("id",))
    )
    learned.commit(Changes((join,)), author="ann", message="Join")
    assert changes(learned, url) == Changes()


def test_a_key_that_is_declared_no_more_is_retired(learned: KnowledgeBase, url: str, run: Run) -> None:
    run("CREATE TABLE copied AS SELECT * FROM shipments; DROP TABLE shipments; ALTER TABLE copied RENAME TO shipments")
    retired = {item.id for item in changes(learned, url).put if item.status == "retired"}
    assert retired == {BUYER, PARCEL}


def test_a_changed_database_quarantines_and_gives_back_what_reads_it(
    learned: KnowledgeBase, url: str, run: Run
) -> None:
    sums = {
        "dear": "SELECT max(price) FROM order_items",
        "names": "SELECT name FROM customers",
        "germans": "SELECT count(*) FROM germans",
        "sent": "SELECT count(*) FROM shipments",
    }
    items = [Item(f"template:{name}", name, Template(f"{name}?", sql)) for name, sql in sums.items()]
    join = Item("relationship:mine", "Mine", Relationship("customers", ("country",), "germans", ("name",)))
    learned.commit(Changes((*items, join)), author="ann", message="Teach")
    before = learned.snapshot().items
    run("DROP VIEW germans; ALTER TABLE customers RENAME COLUMN name TO full_name; DROP TABLE shipments")
    learned.commit(changes(learned, url), author="ann", message="Introspect")
    lost = {item.id: [str(each) for each in item.lost] for item in learned.snapshot().items.values() if item.lost}
    assert lost == {
        "template:germans": ["germans is gone"],
        "template:names": ["customers.name is gone (renamed to customers.full_name?)"],
        "template:sent": ["shipments is gone"],
    }
    # The table that it joins is gone, so an introspection has retired it.
    assert learned.item("relationship:mine").status == "retired"
    run(
        "ALTER TABLE customers RENAME COLUMN full_name TO name;"
        "CREATE VIEW germans AS SELECT id, name FROM customers WHERE country = 'DE';"
        "CREATE TABLE shipments (id INTEGER PRIMARY KEY, order_id INTEGER, line INTEGER,"
        "buyer_id INTEGER REFERENCES customers (id),"
        "FOREIGN KEY (order_id, line) REFERENCES order_items (order_id, line))"
    )
    learned.commit(changes(learned, url), author="ann", message="Introspect again")
    assert {key: item for key, item in learned.snapshot().items.items() if item.kind == "template"} == {
        key: item for key, item in before.items() if item.kind == "template"
    }
    assert changes(learned, url) == Changes()


def test_a_column_of_another_type_quarantines_on_postgresql(base: KnowledgeBase, fresh_postgres: str) -> None:
    engine = sa.create_engine(fresh_postgres)

    def run(statement: str) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql(statement)

    run("CREATE TYPE state AS ENUM ('open', 'paid'); CREATE TABLE orders (id INT, state state, code VARCHAR(9), n INT)")
    base.commit(Changes(tuple(introspect(fresh_postgres))), author="ann", message="Introspect")
    columns = ("id", "state", "code", "n")
    items = [Item(f"template:{name}", name, Template("Q?", f"SELECT {name} FROM orders")) for name in columns]
    base.commit(Changes(tuple(items)), author="ann", message="Teach")
    run("ALTER TYPE state RENAME VALUE 'paid' TO 'settled'; ALTER TABLE orders ALTER id TYPE BIGINT")
    run("ALTER TABLE orders ALTER code TYPE VARCHAR(20); ALTER TABLE orders ALTER n TYPE TEXT")
    base.commit(changes(base, fresh_postgres), author="ann", message="Introspect")
    lost = {item.title: [str(each) for each in item.lost] for item in base.snapshot().items.values() if item.lost}
    assert lost == {
        "n": ["orders.n was INTEGER, is TEXT"],
        "state": ["orders.state was ENUM('open', 'paid'), is ENUM('open', 'settled')"],
    }
    engine.dispose()
