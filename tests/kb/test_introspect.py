from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from kb.errors import IntrospectionFailed
from kb.introspect import MAX_DISTINCT, MAX_SAMPLES, MAX_VALUES, introspect, schema_fingerprint
from kb.items import Column, Entity, Item, Relationship, Schema

IDS = [
    "relationship:shipments.buyer_id-customers.id",
    "relationship:shipments.order_id+line-order_items.order_id+line",
    "schema:customers",
    "schema:germans",
    "schema:order_items",
    "schema:shipments",
]

Run = Callable[[str], None]


def by_id(items: list[Item]) -> dict[str, Item]:
    return {item.id: item for item in items}


def schema(items: list[Item], table: str) -> Schema:
    body = by_id(items)[f"schema:{table}"].body
    assert isinstance(body, Schema)
    return body


# ── what is found ────────────────────────────────────────────────────────────────────────────────────────────────


def test_tables_views_and_foreign_keys_become_items_in_one_order(url: str, run: Run) -> None:
    items = introspect(url)
    assert [item.id for item in items] == IDS
    assert introspect(url) == items


def test_a_table_is_described_as_declared(url: str, run: Run) -> None:
    item = by_id(introspect(url))["schema:customers"]
    assert item.body == Schema(
        "customers",
        (
            Column("id", "INTEGER", nullable=False, primary_key=True),
            Column("name", "VARCHAR(40)", nullable=False),
            Column("country", "TEXT"),
        ),
        row_count=4,
    )
    assert item.title == "Table customers"
    assert item.entities == (Entity("customers", ("customer",)),)
    assert item.depends_on == ("customers.id", "customers.name", "customers.country")
    assert item.schema_fingerprint == schema_fingerprint(item.body)
    assert (item.usage, item.status) == ("auto", "active")


def test_a_view_and_a_compound_key_are_described_too(url: str, run: Run) -> None:
    items = introspect(url)
    assert by_id(items)["schema:germans"].title == "View germans"
    assert schema(items, "germans").row_count == 2
    assert [(c.name, c.primary_key, c.type) for c in schema(items, "order_items").columns] == [
        ("order_id", True, "INTEGER"),
        ("line", True, "INTEGER"),
        ("price", False, "NUMERIC(10, 2)"),
    ]


def test_a_foreign_key_is_a_join_of_its_columns(url: str, run: Run) -> None:
    item = by_id(introspect(url))[IDS[1]]
    assert item.body == Relationship("shipments", ("order_id", "line"), "order_items", ("order_id", "line"))
    assert item.title == "shipments.order_id+line = order_items.order_id+line"
    assert item.refs == ("schema:shipments", "schema:order_items")
    assert item.depends_on == ("shipments.order_id", "shipments.line", "order_items.order_id", "order_items.line")


def test_a_table_that_points_at_itself_is_one_relationship(url: str, run: Run) -> None:
    run("CREATE TABLE staff (id INTEGER PRIMARY KEY, boss INTEGER REFERENCES staff (id))")
    item = by_id(introspect(url))["relationship:staff.boss-staff.id"]
    assert item.refs == ("schema:staff",)
    assert item.depends_on == ("staff.boss", "staff.id")


def test_the_database_goes_into_ids_when_it_is_given(url: str, run: Run) -> None:
    items = introspect(url, database="shop")
    assert [item.id for item in items][:3] == [
        "relationship:shop.shipments.buyer_id-customers.id",
        "relationship:shop.shipments.order_id+line-order_items.order_id+line",
        "schema:shop.customers",
    ]
    assert all(getattr(item.body, "database", None) == "shop" for item in items)
    assert items[0].refs == ("schema:shop.shipments", "schema:shop.customers")


def test_only_the_tables_asked_for_are_read(url: str, run: Run) -> None:
    items = introspect(url, tables=["ship*", "order_items"])
    assert [item.id for item in items] == [IDS[1], "schema:order_items", "schema:shipments"]


@pytest.mark.parametrize(
    ("table", "synonyms"),
    [
        ("order_items", ("order items", "order item")),
        ("OrderItems", ("order items", "order item")),
        ("order", ()),
        ("Categories", ("categories", "category")),
        ("tax_boxes", ("tax boxes", "tax box")),
        ("address", ()),
        ("status", ()),
        ("news-feed", ("news feed",)),
    ],
)
def test_a_table_is_known_by_its_spoken_names(url: str, run: Run, table: str, synonyms: tuple[str, ...]) -> None:
    if table != "order_items":
        run(f'CREATE TABLE "{table}" (id INTEGER)')
    [item] = introspect(url, tables=[table])
    assert item.entities == (Entity(table, synonyms),)


def test_names_that_no_id_can_hold_are_kept_apart_and_exact(url: str, run: Run) -> None:
    run('CREATE TABLE "Order items%" ("the id" INTEGER PRIMARY KEY); CREATE TABLE "Order/items" (id INTEGER)')
    items = introspect(url, tables=["Order*"], sample=["Order items%.the id"])
    assert sorted(item.body.table for item in items if isinstance(item.body, Schema)) == ["Order items%", "Order/items"]
    assert len({item.id for item in items}) == 2


def test_the_example_shop_can_be_introspected(shop_database: Path) -> None:
    items = introspect(f"sqlite:///{shop_database}")
    assert {item.kind for item in items} == {"schema", "relationship"}
    assert all(item.depends_on for item in items)


# ── comments and types of PostgreSQL ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def postgres(fresh_postgres: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(fresh_postgres, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.mark.filterwarnings("ignore:Did not recognize type 'point'")
def test_comments_types_and_labels_of_postgres_are_kept(fresh_postgres: str, postgres: sa.Connection) -> None:
    postgres.exec_driver_sql(
        """
        CREATE TYPE mood AS ENUM ('sad', 'it''s ok');
        CREATE TABLE notes (
            id BIGSERIAL PRIMARY KEY, mood mood, at TIMESTAMPTZ, tags TEXT[], extra JSONB, place POINT, raw BYTEA
        );
        COMMENT ON TABLE notes IS 'What people wrote';
        COMMENT ON COLUMN notes.at IS 'In UTC';
        INSERT INTO notes (mood, at, tags, extra, place, raw) VALUES
            ('sad', '2024-01-01Z', '{a,b}', '{"a": 1}', '(1,2)', 'x');
        CREATE MATERIALIZED VIEW moods AS SELECT mood, count(*) FROM notes GROUP BY mood;
        """
    )
    items = introspect(fresh_postgres, sample=["notes.*"])
    assert [item.id for item in items] == ["schema:moods", "schema:notes"]
    body = schema(items, "notes")
    assert body.comment == "What people wrote"
    assert [(column.name, column.type) for column in body.columns] == [
        ("id", "BIGINT"),
        ("mood", "ENUM('sad', 'it''s ok')"),
        ("at", "TIMESTAMP WITH TIME ZONE"),
        ("tags", "TEXT[]"),
        ("extra", "JSONB"),
        ("place", "POINT"),
        ("raw", "BYTEA"),
    ]
    by_name = {column.name: column for column in body.columns}
    assert by_name["at"].comment == "In UTC"
    assert by_name["mood"].samples == ("sad",)
    assert by_name["extra"].samples == ('{"a": 1}',)
    assert by_name["raw"].samples == ()


def test_a_large_postgres_table_is_estimated_not_counted(fresh_postgres: str, postgres: sa.Connection) -> None:
    postgres.exec_driver_sql("CREATE TABLE big AS SELECT n FROM generate_series(1, 120000) AS n")
    postgres.exec_driver_sql("ANALYZE big")
    postgres.exec_driver_sql("UPDATE pg_class SET reltuples = 123456 WHERE relname = 'big'")
    assert schema(introspect(fresh_postgres), "big").row_count == 123456


def test_postgres_is_opened_read_only(fresh_postgres: str, postgres: sa.Connection) -> None:
    postgres.exec_driver_sql(
        """
        CREATE TABLE log (n INTEGER);
        CREATE FUNCTION note() RETURNS INTEGER LANGUAGE sql AS 'INSERT INTO log VALUES (1) RETURNING 1';
        CREATE VIEW sneaky AS SELECT note();
        """
    )
    with pytest.raises(IntrospectionFailed, match="read-only"):
        introspect(fresh_postgres, sample=["sneaky.*"])
    assert postgres.exec_driver_sql("SELECT count(*) FROM log").scalar() == 0


# ── samples ──────────────────────────────────────────────────────────────────────────────────────────────────────


def samples(url: str, *patterns: str) -> dict[str, tuple[str, ...]]:
    items = introspect(url, sample=patterns)
    bodies = [item.body for item in items if isinstance(item.body, Schema)]
    return {f"{b.table}.{c.name}": c.samples for b in bodies for c in b.columns if c.samples}


def test_no_value_is_read_unless_its_column_is_allowed(url: str, run: Run) -> None:
    assert samples(url) == {}
    assert samples(url, "customers.country") == {"customers.country": ("DE", "FR")}
    assert samples(url, "customers.[nc]*") == {
        "customers.country": ("DE", "FR"),
        "customers.name": ("Ann", "Bob", "Cid", "Dan"),
    }
    assert list(samples(url, "*.id")) == ["customers.id", "germans.id"]


def test_the_most_frequent_values_are_taken(url: str, run: Run) -> None:
    rows = ", ".join(f"({100 + i}, 'c{i % 20:02}', 'x')" for i in range(30))
    run(f"INSERT INTO customers VALUES {rows}")
    expected = (*(f"c{number:02}" for number in range(10)), "Ann", "Bob")
    found = samples(url, "customers.name")["customers.name"]
    assert len(found) == MAX_SAMPLES
    assert found == tuple(sorted(expected))


def test_a_column_of_too_many_values_is_not_sampled(url: str, run: Run) -> None:
    run("DELETE FROM customers")
    run("INSERT INTO customers VALUES " + ", ".join(f"({i}, 'n{i}', 'n{i}')" for i in range(MAX_DISTINCT)))
    assert len(samples(url, "customers.name")["customers.name"]) == MAX_SAMPLES
    run("INSERT INTO customers VALUES (999, 'one more', 'x')")
    assert samples(url, "customers.name") == {}


def test_further_values_are_kept_apart_from_samples(url: str, run: Run) -> None:
    def values() -> tuple[str, ...]:
        (customers,) = introspect(url, sample=["customers.name"], tables=["customers"])
        assert isinstance(customers.body, Schema)
        return next(column.values for column in customers.body.columns if column.name == "name")

    names = [f"{first}{second}" for first in "abcdefghij" for second in "klmnopqrst"]
    run("DELETE FROM customers")
    run("INSERT INTO customers VALUES " + ", ".join(f"({i}, '{name}', 'x')" for i, name in enumerate(names[:20])))
    assert values() == tuple(names[MAX_SAMPLES:20])
    run("INSERT INTO customers VALUES " + ", ".join(f"({i}, '{n}', 'x')" for i, n in enumerate(names[20:], 20)))
    run("INSERT INTO customers VALUES (999, 'room 7', 'x')")
    assert values() == tuple(names), "no number is among them"
    run("INSERT INTO customers VALUES " + ", ".join(f"({i}, 'n{i}', 'x')" for i in range(1_000, 1_000 + MAX_VALUES)))
    assert values() == ()


def test_long_values_are_left_out_not_cut(url: str, run: Run) -> None:
    run(f"UPDATE customers SET country = '{'x' * 61}' WHERE country = 'DE'")
    assert samples(url, "customers.country") == {"customers.country": ("FR",)}


def test_numbers_are_sampled_as_text(url: str, run: Run) -> None:
    run("INSERT INTO order_items VALUES (1, 1, 9.5), (1, 2, NULL)")
    assert samples(url, "order_items.line") == {"order_items.line": ("1", "2")}


def test_a_pattern_that_fits_no_column_is_refused(url: str, run: Run) -> None:
    with pytest.raises(IntrospectionFailed, match=r"sample 'customer\.\*' fits no column.*such as customers\.id"):
        introspect(url, sample=["customer.*"])


# ── what goes wrong ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_missing_sqlite_file_is_named_and_not_made(tmp_path: Path) -> None:
    path = tmp_path / "absent.sqlite"
    with pytest.raises(IntrospectionFailed, match=r"there is no file .*absent\.sqlite; give the path"):
        introspect(f"sqlite:///{path}")
    assert list(tmp_path.iterdir()) == []


def test_a_sqlite_file_is_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "shop.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript("CREATE TABLE customers (id INTEGER PRIMARY KEY, country TEXT)")
    before = path.read_bytes()
    path.chmod(0o444)
    introspect(f"sqlite:///{path}", sample=["customers.*"])
    introspect(f"sqlite:///file:{path}?uri=true&mode=rwc")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_database_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 100)
    with pytest.raises(IntrospectionFailed, match="not a database"):
        introspect(f"sqlite:///{path}")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("no url with pa55word", "it is no URL"),
        ("", "it is no URL"),
        ("sqlite://", "there is no file"),
        ("postgresql://ann:pa55word@127.0.0.1:1/shop?password=pa55word", "(?i)refused"),
        ("postgres://ann:pa55word@127.0.0.1/shop", "no dialect 'postgres'"),
        ("mysql+absentdriver://ann:pa55word@127.0.0.1/shop", "no dialect"),
        ("oracle+oracledb://ann:pa55word@127.0.0.1/shop", "driver 'oracledb' is not there"),
    ],
)
def test_a_url_that_cannot_be_used_is_explained_without_its_password(url: str, problem: str) -> None:
    with pytest.raises(IntrospectionFailed, match=problem) as caught:
        introspect(url)
    assert "pa55word" not in str(caught.value)
    assert "cannot introspect" in str(caught.value)


def test_a_database_without_tables_is_refused(url: str, run: Run) -> None:
    with pytest.raises(IntrospectionFailed, match=r"has no table like prod_\*"):
        introspect(url, tables=["prod_*"])


def test_an_empty_database_is_refused(fresh_postgres: str) -> None:
    with pytest.raises(IntrospectionFailed, match="has no tables"):
        introspect(fresh_postgres)


# ── fingerprints ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_fingerprint_tells_of_names_and_types_only() -> None:
    one = Schema("t", (Column("a", "TEXT"), Column("b", "INTEGER")))
    same = Schema("t", (Column("b", "INTEGER", comment="c"), Column("a", "TEXT", False, samples=("x",))), row_count=3)
    others = [
        Schema("u", one.columns),
        Schema("t", one.columns[:1]),
        Schema("t", (Column("a", "TEXT"), Column("b", "BIGINT"))),
        Schema("t", (Column("a", "TEXT"), Column("c", "INTEGER"))),
    ]
    assert schema_fingerprint(one) == schema_fingerprint(same) == "b002ab242d985a9d"
    assert len({schema_fingerprint(body) for body in (one, *others)}) == 5
