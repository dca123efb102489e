"""What the policy lets through and what it refuses, and that it says why."""

from __future__ import annotations

import re

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import StatementRefused
from gateway.sql_policy import CheckedStatement, check_statement

SCHEMAS = {
    "orders": ("id", "order_no", "buyer_id", "state", "total_eur", "created_at"),
    "customers": ("id", "name", "country"),
    "open_ended": (),
}

HOSTILE = [
    "DELETE FROM orders",
    "UPDATE orders SET state = 'paid'",
    "INSERT INTO orders VALUES (1)",
    "INSERT OR REPLACE INTO orders VALUES (1)",
    "REPLACE INTO orders VALUES (1)",
    "DROP TABLE orders",
    "CREATE TABLE t (a int)",
    "CREATE TABLE t AS SELECT * FROM orders",
    "CREATE VIEW v AS SELECT 1",
    "ALTER TABLE orders ADD COLUMN x int",
    "TRUNCATE orders",
    "MERGE INTO orders USING customers ON true WHEN MATCHED THEN DELETE",
    "WITH gone AS (DELETE FROM orders RETURNING *) SELECT * FROM gone",
    "WITH a AS (WITH b AS (UPDATE orders SET state = 'x' RETURNING id) SELECT * FROM b) SELECT * FROM a",
    "WITH a AS (INSERT INTO orders VALUES (1) RETURNING *) SELECT 1",
    "WITH a AS (SELECT 1) DELETE FROM orders",
    "SELECT * INTO copied FROM orders",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE orders",
    "SELECT 1; -- all well\nDELETE FROM orders",
    "SELECT 1;;DELETE FROM orders",
    "; DELETE FROM orders",
    "/* SELECT */ DELETE FROM orders",
    "-- SELECT\nDELETE FROM orders",
    "EXPLAIN ANALYZE DELETE FROM orders",
    "EXPLAIN SELECT 1",
    "VACUUM",
    "ANALYZE orders",
    "REINDEX",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT here",
    "RELEASE here",
    "SET x = 1",
    "GRANT ALL ON orders TO public",
    "SELECT :name",
    "",
    "   \n\t ",
    ";",
    "-- nothing here",
    "SELECT 1 \x00",
    "SELECT '\ud800'",
    "SELECT " + "(" * 400 + "1" + ")" * 400,
    "SELECT " + "NOT " * 4000 + "1",
    "SELECT '" + "x" * 100_000 + "'",
    "SELECT 1" + ", 1" * 20_000,
    "SELECT (SELECT 1",
    "SELECT * FROM orders WHERE",
]
HOSTILE_SQLITE = [
    "PRAGMA table_info(orders)",
    "PRAGMA writable_schema = ON",
    "ATTACH 'other.db' AS other",
    "DETACH other",
    "VACUUM INTO 'copy.db'",
    "SELECT load_extension('x.so')",
    "SELECT \"load_extension\"('x.so')",
    "SELECT LOAD_EXTENSION('x.so')",
    "SELECT readfile('/etc/passwd')",
    "SELECT writefile('/tmp/x', 'y')",
    "SELECT edit('x')",
    "SELECT fts3_tokenizer('simple')",
    "SELECT 1 WHERE 1 IN (SELECT readfile('x'))",
    "SELECT * FROM pragma_table_info('orders')",
    "SELECT * FROM pragma_database_list",
    "SELECT 1 /* /* */ ; DELETE FROM orders -- */",
]
HOSTILE_POSTGRES = [
    "COPY orders TO '/tmp/x'",
    "COPY orders FROM PROGRAM 'id'",
    "CALL do_it()",
    "DO $$ BEGIN DELETE FROM orders; END $$",
    "LOCK TABLE orders",
    "SELECT * FROM orders FOR UPDATE",
    "SELECT * FROM orders FOR NO KEY UPDATE",
    "SELECT * FROM orders FOR SHARE",
    "SELECT * FROM (SELECT * FROM orders FOR UPDATE) AS held",
    "SHOW data_directory",
    "LISTEN x",
    "NOTIFY x",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "DISCARD ALL",
    "SELECT $1",
    "SELECT pg_sleep(10)",
    "SELECT PG_SLEEP(10)",
    "SELECT pg_catalog.pg_sleep(10)",
    'SELECT "pg_sleep"(10)',
    'SELECT U&"pg\\005fsleep"(10)',
    'SELECT id FROM orders WHERE U&"state" IS NULL',
    'SELECT * FROM U&"pg\\005fshadow"',
    "SELECT * FROM U&\"pg!005fshadow\" UESCAPE '!'",
    "SELECT * FROM pg_read_file('/etc/passwd')",
    "SELECT * FROM orders, LATERAL pg_ls_dir('.')",
    "SELECT pg_terminate_backend(1)",
    "SELECT pg_advisory_lock(1)",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_export(1, '/tmp/x')",
    "SELECT loread(1, 1)",
    "SELECT * FROM dblink('dbname=x', 'DELETE FROM orders') AS t(a int)",
    "SELECT dblink_exec('DELETE FROM orders')",
    "SELECT set_config('transaction_read_only', 'off', false)",
    "SELECT current_setting('data_directory')",
    "SELECT nextval('orders_id_seq')",
    "SELECT setval('orders_id_seq', 1)",
    "SELECT currval('orders_id_seq')",
    "SELECT lastval()",
    "SELECT txid_current()",
    "SELECT query_to_xml('DELETE FROM orders', true, true, '')",
    "SELECT table_to_xml('orders', true, true, '')",
    "SELECT database_to_xml(true, true, '')",
    "SELECT ts_stat('SELECT 1')",
    "SELECT * FROM crosstab('DELETE FROM orders') AS t(a int)",
    "SELECT count(*) FILTER (WHERE pg_sleep(1) IS NULL) FROM orders",
    "SELECT sum(id) OVER (ORDER BY pg_sleep(1)) FROM orders",
    "SELECT id FROM orders ORDER BY pg_sleep(1)",
    "SELECT CASE WHEN true THEN pg_sleep(1) END",
    "VALUES (pg_sleep(1))",
    "SELECT * FROM pg_shadow",
    "SELECT * FROM pg_catalog.pg_authid",
    "TABLE pg_stat_activity",
]
READS = [
    "SELECT 1",
    "select count(*) from orders;",
    "SELECT * FROM orders -- all of them",
    "SELECT 1; -- done",
    "/* which ones? */ SELECT id FROM orders WHERE state = 'delete from orders; --'",
    "(SELECT 1)",
    "SELECT 1 UNION SELECT 2 ORDER BY 1",
    "SELECT id FROM orders EXCEPT SELECT id FROM customers",
    "VALUES (1, 'a'), (2, 'b')",
    "WITH paid AS (SELECT * FROM orders WHERE state = 'paid') SELECT count(*) FROM paid",
    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 5) SELECT * FROM n",
    "SELECT state, sum(total_eur) OVER (PARTITION BY state) FROM orders",
    "SELECT replace(state, 'a', 'b'), upper(state), coalesce(state, '') FROM orders",
    "SELECT o.id FROM orders AS o LEFT JOIN customers AS c ON c.id = o.buyer_id WHERE EXISTS (SELECT 1)",
    "SELECT CASE WHEN total_eur > 5 THEN 'update' ELSE 'insert' END FROM orders",
]


def check(sql: str, dialect: str = "sqlite", **more: object) -> CheckedStatement:
    return check_statement(sql, dialect=dialect, datasource="shop", **more)


def refusal(sql: str, dialect: str = "sqlite", **more: object) -> str:
    with pytest.raises(StatementRefused) as raised:
        check(sql, dialect, **more)
    assert raised.value.datasource == "shop"
    return str(raised.value)


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
@pytest.mark.parametrize("sql", HOSTILE, ids=lambda sql: sql[:50])
def test_a_hostile_statement_is_refused(sql: str, dialect: str) -> None:
    refusal(sql, dialect)


@pytest.mark.parametrize("sql", HOSTILE_SQLITE)
def test_a_statement_hostile_to_sqlite_is_refused(sql: str) -> None:
    refusal(sql)


@pytest.mark.parametrize("sql", HOSTILE_POSTGRES)
def test_a_statement_hostile_to_postgres_is_refused(sql: str) -> None:
    refusal(sql, "postgres")


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
@pytest.mark.parametrize("sql", READS)
def test_a_statement_that_only_reads_passes(sql: str, dialect: str) -> None:
    check(sql, dialect)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("SELECT 1;", "SELECT 1"),
        ("SELECT 1 ; ;\n", "SELECT 1"),
        ("SELECT 1; -- done", "SELECT 1"),
        ("  /* why */ SELECT ';' -- because", "  /* why */ SELECT ';'"),
    ],
)
def test_a_statement_is_kept_as_it_was_sent_but_for_its_end(sent: str, kept: str) -> None:
    assert check(sent).sql == kept


@pytest.mark.parametrize(
    "sql", ["SELECT pg_typeof(1)", "SELECT pg_size_pretty(1::bigint)", "TABLE orders", "SELECT now(), 5 % 2, 'a' ~ 'b'"]
)
def test_what_is_harmless_in_postgres_passes(sql: str) -> None:
    check(sql, "postgres")


@pytest.mark.parametrize(
    "prose",
    [
        "The answer is 42.",
        "I cannot answer that.",
        "what are our total sales?",
        "Here is the query you asked for",
        "42",
        "%",
    ],
)
def test_prose_is_said_to_be_no_sql(prose: str) -> None:
    message = refusal(prose)
    assert "is not a SQL statement" in message
    assert "send one SELECT" in message


@pytest.mark.parametrize(
    "prose", ["Show me all the customers", "Select the customers who bought two lamps", "With pleasure!"]
)
def test_prose_that_begins_like_sql_is_said_to_be_no_sql_that_reads(prose: str) -> None:
    assert "not a SQL statement" in refusal(prose)


def test_a_parse_error_says_where() -> None:
    assert "line 2, column" in refusal("SELECT id\nFROM orders WHERE )")


def test_a_markdown_fence_is_named() -> None:
    assert "Markdown fence" in refusal("```sql\nSELECT 1\n```")


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT 1; SELECT 2", "more than one statement"),
        ("DELETE FROM orders", "begins with 'DELETE'"),
        ("WITH a AS (DELETE FROM orders RETURNING *) SELECT * FROM a", "it holds DELETE"),
        ("SELECT * INTO t FROM orders", "leave INTO out"),
        ("SELECT * FROM orders FOR UPDATE", "lock rows"),
        ("SELECT pg_sleep(1)", "the function pg_sleep is not allowed"),
        ("SELECT * FROM pg_shadow", "'pg_shadow' belongs to the database"),
        ("SELECT $1", "placeholder '$1'"),
        ("SELECT " + "(" * 400 + "1" + ")" * 400, "nested too deeply"),
    ],
)
def test_a_refusal_says_what_is_wrong(sql: str, words: str) -> None:
    assert words in refusal(sql, "postgres")


def test_every_volatile_function_of_postgres_is_refused_but_for_the_harmless(postgres_url: str) -> None:
    harmless = {
        "random", "clock_timestamp", "timeofday", "gen_random_uuid",
        # Handlers, triggers and sampling methods: PostgreSQL itself does not let a SELECT call them.
        "amvalidate", "bernoulli", "system", "suppress_redundant_updates_trigger", "tsvector_update_trigger",
        "tsvector_update_trigger_column", "dsnowball_init", "dsnowball_lexize",
    }  # fmt: skip
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        rows = connection.execute(
            "SELECT DISTINCT proname FROM pg_proc WHERE provolatile = 'v' AND pronamespace = 'pg_catalog'::regnamespace"
        ).fetchall()
    names = {name for (name,) in rows if name not in harmless}
    names = {
        name for name in names if not re.search(r"handler|_validator$|(_|enum|array|range|record|domain)in$", name)
    }
    assert len(names) > 150
    passed = []
    for name in sorted(names):
        try:
            check(f"SELECT {name}(1)", "postgres")
        except StatementRefused:
            continue
        passed.append(name)
    assert passed == []


_GAP = st.sampled_from([" ", "\n", "\t", " /* x */ ", " -- x\n", "  "])
_WRITES = [
    ("DELETE", "FROM", "orders"),
    ("DROP", "TABLE", "orders"),
    ("WITH", "a", "AS", "(", "DELETE", "FROM", "orders", "RETURNING", "*", ")", "SELECT", "*", "FROM", "a"),
    ("SELECT", "*", "INTO", "t", "FROM", "orders"),
    ("SELECT", "1", ";", "DELETE", "FROM", "orders"),
    ("SELECT", "1", "FROM", "(", "SELECT", "load_extension", "(", "'x'", ")", ")", "AS", "t"),
]


@given(words=st.sampled_from(_WRITES), data=st.data())
@settings(max_examples=150, deadline=None)
def test_gaps_comments_and_case_hide_nothing(words: tuple[str, ...], data: st.DataObject) -> None:
    change = data.draw(st.sampled_from([str.upper, str.lower, str.title]))
    refusal(data.draw(_GAP) + "".join(change(word) + data.draw(_GAP) for word in words))


@given(text=st.text(max_size=200), dialect=st.sampled_from(["sqlite", "postgres"]))
@settings(max_examples=200, deadline=None)
def test_any_text_is_passed_or_refused_and_nothing_else(text: str, dialect: str) -> None:
    for statement in (text, "SELECT " + text, "WITH " + text + " SELECT 1"):
        try:
            check(statement, dialect, schemas=SCHEMAS)
        except StatementRefused:
            continue


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT id FROM order_s", "unknown table 'order_s'; did you mean 'orders'?"),
        ("SELECT statee FROM orders", "unknown column 'statee'; did you mean 'state'?"),
        ("SELECT o.stat FROM orders AS o", "unknown column 'orders.stat'; did you mean 'state'?"),
        ("SELECT country FROM orders", "'country' is a column of customers: join it"),
        ("SELECT x.id FROM orders AS o", "unknown table or alias 'x'; the statement reads o"),
        ("SELECT 1 FROM customers WHERE id IN (SELECT buyer FROM orders)", "did you mean 'buyer_id'?"),
        ("WITH r AS (SELECT id AS rid FROM orders) SELECT r.id FROM r", "unknown column 'r.id'"),
        ("SELECT q.n FROM (SELECT * FROM orders) AS q", "unknown column 'q.n'"),
        ('SELECT id FROM orders WHERE state = "paid"', "for a text write 'paid' in single quotes"),
        ("SELECT o.id FROM orders AS o JOIN orders AS o ON 1 = 1", "give each table an alias of its own"),
        ("SELECT zzzz FROM customers", "the columns are country, id, name"),
    ],
)
def test_a_name_that_the_schema_lacks_is_refused_with_the_nearest(sql: str, words: str) -> None:
    assert words in refusal(sql, schemas=SCHEMAS)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT ID, Orders.State FROM ORDERS",
        "SELECT anything FROM open_ended",
        "SELECT rowid FROM orders",
        "SELECT key, value FROM json_each('[1]')",
        "SELECT sum(total_eur) AS revenue FROM orders GROUP BY state HAVING revenue > 1 ORDER BY revenue",
        "SELECT name FROM customers AS c WHERE EXISTS (SELECT 1 FROM orders WHERE buyer_id = c.id AND country = 'DE')",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT n FROM t",
        "SELECT q.total_eur FROM (SELECT * FROM orders UNION ALL SELECT * FROM orders) AS q",
        "SELECT id FROM orders UNION SELECT id FROM customers ORDER BY id",
        "SELECT id FROM main.orders",
    ],
)
def test_a_name_that_could_be_right_passes(sql: str) -> None:
    check(sql, schemas=SCHEMAS)


def test_the_tables_and_columns_it_reads_are_listed() -> None:
    statement = check(
        "WITH big AS (SELECT * FROM orders WHERE total_eur > 9) "
        "SELECT name FROM big JOIN customers AS c ON c.id = big.buyer_id WHERE country = 'DE'",
        schemas=SCHEMAS,
    )
    assert statement.tables == ("customers", "orders")
    assert statement.columns == ("customers.country", "customers.id", "customers.name", "orders.total_eur")


def test_without_schemas_only_sure_columns_are_listed() -> None:
    statement = check("SELECT o.state, country FROM orders AS o JOIN customers AS c ON c.id = o.buyer_id")
    assert statement.tables == ("customers", "orders")
    assert statement.columns == ("customers.id", "orders.buyer_id", "orders.state")
