"""A schema that loses something takes the items that read it out of use, in the same commit, and gives them back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kb.cherry_pick import cherry_pick
from kb.errors import ItemNotFound, NothingToCommit, StillLost
from kb.items import (
    Column,
    Document,
    Gotcha,
    Item,
    LostColumn,
    Metric,
    Relationship,
    Rule,
    Schema,
    Success,
    Template,
)
from kb.knowledge_base import Changes, KnowledgeBase
from kb.merge import merge
from kb.objects import Commit
from kb.quarantine import quarantine_report
from kb.statuses import activate, retire

ORDERS = {"id": "INTEGER", "state": "TEXT", "total": "NUMERIC(10, 2)", "buyer_id": "INTEGER"}
CUSTOMERS = {"id": "INTEGER", "country": "TEXT"}


def table(name: str, columns: dict[str, str], database: str = "") -> Item:
    body = Schema(name, tuple(Column(column, type_) for column, type_ in columns.items()), database)
    return Item(f"schema:{database}{'.' if database else ''}{name}", f"Table {name}", body)


def without(columns: dict[str, str], *names: str) -> dict[str, str]:
    return {name: type_ for name, type_ in columns.items() if name not in names}


def metric(name: str, expression: str, *depends_on: str, **fields: object) -> Item:
    item = Item(f"metric:{name}", name, Metric(f"What {name} is.", expression), depends_on=depends_on)
    return replace(item, **fields)  # type: ignore[arg-type]


def template(name: str, sql: str, *depends_on: str) -> Item:
    return Item(f"template:{name}", name, Template(f"What is {name}?", sql), depends_on=depends_on)


def put(base: KnowledgeBase, *items: Item, branch: str = "main", onto: str | None = None) -> Commit:
    return base.commit(Changes(items), author="ann", message="Put items", branch=branch, onto=onto)


def status(base: KnowledgeBase, item: str, branch: str = "main") -> str:
    return base.item(item, branch).status


def quarantined(base: KnowledgeBase, branch: str = "main") -> list[str]:
    return [item.id for item in base.snapshot(branch).items.values() if item.status == "quarantined"]


OPEN = template("open_orders", "SELECT count(*) FROM orders WHERE state = 'open'")
REVENUE = metric("revenue", "SUM(orders.total)")
GERMANS = template("germans", "SELECT count(*) FROM customers WHERE country = 'DE'")


@pytest.fixture
def shop(base: KnowledgeBase) -> KnowledgeBase:
    put(base, table("orders", ORDERS), table("customers", CUSTOMERS), OPEN, REVENUE, GERMANS)
    return base


# ── what is touched ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_dropped_column_quarantines_in_the_same_commit_who_reads_it(shop: KnowledgeBase) -> None:
    commit = put(shop, table("orders", without(ORDERS, "state")))
    assert quarantined(shop) == ["template:open_orders"]
    assert shop.item("template:open_orders").lost == (LostColumn("orders.state", "TEXT"),)
    assert commit.evidence == {"quarantined": "template:open_orders"}
    assert commit.parent is not None
    diff = shop.diff(commit.parent, commit.id)
    assert [change.id for change in diff.changes] == ["schema:orders", "template:open_orders"]
    report = quarantine_report(diff)
    assert [item.id for item in report.quarantined] == ["template:open_orders"]
    assert report.lifted == ()


@pytest.mark.parametrize(
    ("item", "touched"),
    [
        (metric("turnover", "SUM(orders.total)"), False),
        (metric("open", "COUNT(CASE WHEN orders.state = 'open' THEN 1 END)"), True),
        (metric("bare", "COUNT(CASE WHEN state = 'open' THEN 1 END)"), True),
        (metric("unread", "SUM(total) WHERE state, dated by x", "orders.state"), True),
        (metric("words", "", "orders.state"), True),
        (Item("success:s", "S", Success("Q?", "SELECT o.STATE FROM Orders AS o")), True),
        (Item("success:fenced", "S", Success("Q?", "Here:\n\n```sql\nSELECT state FROM orders\n```")), True),
        (Item("success:text", "S", Success("Which state?", "Texas, state of orders")), False),
        (template("nested", "WITH o AS (SELECT state AS s FROM orders) SELECT s FROM o"), True),
        (template("slot", "SELECT id FROM orders WHERE state = {state} LIMIT <n>"), True),
        (template("other", "SELECT s.state FROM states AS s JOIN orders AS o ON o.id = s.id"), False),
        (template("joined", "SELECT state, nothing FROM orders JOIN unheard ON unheard.id = orders.id"), True),
        (template("counted", "SELECT count(*) FROM orders"), False),
        (Item("gotcha:wrong", "G", Gotcha("Not state.", wrong="orders.state", right="orders.total")), True),
        (Item("gotcha:right", "G", Gotcha("Use state.", wrong="orders.total", right="orders.state")), True),
        (Item("gotcha:sql", "G", Gotcha("Open.", right="SELECT id FROM orders WHERE state = 'open'")), True),
        (Item("gotcha:typed", "G", Gotcha("Mind it."), depends_on=("orders.state",)), True),
        (Item("relationship:r", "R", Relationship("orders", ("state",), "customers", ("country",))), True),
        (Item("relationship:o", "R", Relationship("orders", ("buyer_id",), "customers", ("id",))), False),
        (Item("rule:r", "R", Rule("Mind the state."), depends_on=("orders.state",)), True),
        (Item("document:d", "D", Document("orders.state")), False),
    ],
    ids=lambda value: value.id if isinstance(value, Item) else "",
)
def test_each_kind_is_read_for_what_it_depends_on(shop: KnowledgeBase, item: Item, touched: bool) -> None:
    put(shop, item)
    put(shop, table("orders", without(ORDERS, "state")))
    assert status(shop, item.id) == ("quarantined" if touched else "active")


def test_the_sql_counts_and_not_what_a_person_typed_beside_it(shop: KnowledgeBase) -> None:
    put(shop, template("liar", "SELECT total FROM orders", "orders.state"))
    put(shop, template("silent", "SELECT id FROM orders WHERE state = 'x'", "orders.total"))
    put(shop, table("orders", without(ORDERS, "state")))
    assert quarantined(shop) == ["template:open_orders", "template:silent"]


def test_a_table_that_is_gone_takes_who_counts_its_rows_too(shop: KnowledgeBase) -> None:
    put(shop, template("rows", "SELECT count(*) FROM orders"))
    shop.commit(Changes(remove=("schema:orders",)), author="ann", message="Drop it")
    assert quarantined(shop) == ["metric:revenue", "template:open_orders", "template:rows"]
    assert shop.item("template:rows").lost == (LostColumn("orders"),)
    assert shop.item("metric:revenue").lost == (LostColumn("orders.total", "NUMERIC(10, 2)"),)
    put(shop, table("orders", ORDERS))
    assert quarantined(shop) == []


def test_a_retired_table_is_gone(shop: KnowledgeBase) -> None:
    put(shop, table("customers", CUSTOMERS).with_status("retired"))
    assert quarantined(shop) == ["template:germans"]


@pytest.mark.parametrize(
    ("old", "new", "retyped"),
    [
        ("TEXT", "INTEGER", True),
        ("VARCHAR(20)", "VARCHAR(40)", False),
        ("VARCHAR(20)", "TEXT", False),
        ("INTEGER", "BIGINT", False),
        ("int", "INTEGER", False),
        ("INTEGER", "NUMERIC(10, 2)", True),
        ("TIMESTAMP", "DATE", True),
        ("ENUM('open', 'paid')", "ENUM('open', 'settled')", True),
        ("", "TEXT", False),
        ("GEOMETRY", "unknown", False),
    ],
)
def test_a_column_is_retyped_where_a_query_could_tell(base: KnowledgeBase, old: str, new: str, retyped: bool) -> None:
    put(base, table("orders", {**ORDERS, "state": old}), OPEN)
    put(base, table("orders", {**ORDERS, "state": new}))
    assert base.item(OPEN.id).lost == ((LostColumn("orders.state", old, "retyped", new),) if retyped else ())
    assert status(base, OPEN.id) == ("quarantined" if retyped else "active")


def test_types_that_another_tool_told_are_corrected_and_not_changed(base: KnowledgeBase) -> None:
    put(base, table("orders", {**ORDERS, "state": "number"}), OPEN)
    put(base, replace(table("orders", ORDERS), schema_fingerprint="f" * 16))
    assert quarantined(base) == []


def test_a_table_of_another_database_is_another_table(base: KnowledgeBase) -> None:
    of_a = replace(OPEN, id="template:a", refs=("schema:a.orders",))
    of_b = replace(OPEN, id="template:b", refs=("schema:b.orders",))
    put(base, table("orders", ORDERS, "a"), table("orders", ORDERS, "b"), of_a, of_b, OPEN)
    put(base, table("orders", without(ORDERS, "state"), "a"))
    assert quarantined(base) == ["template:a"]
    put(base, table("orders", without(ORDERS, "state"), "b"))
    assert quarantined(base) == ["template:a", "template:b", "template:open_orders"]
    put(base, table("orders", ORDERS, "b"))
    assert quarantined(base) == ["template:a"]


def test_a_change_of_words_touches_nothing(shop: KnowledgeBase) -> None:
    orders = table("orders", ORDERS)
    assert isinstance(orders.body, Schema)
    commit = put(shop, replace(orders, title="All orders", body=replace(orders.body, row_count=7, comment="Sold")))
    assert commit.evidence == {}
    put(shop, table("orders", {**ORDERS, "city": "TEXT"}))
    assert quarantined(shop) == []


# ── renames ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("columns", "now"),
    [
        ({"id": "INTEGER", "order_state": "TEXT", "total": "NUMERIC(10, 2)", "buyer_id": "INTEGER"}, "order_state"),
        ({"id": "INTEGER", "a": "INTEGER", "order_state": "TEXT", "total": "NUMERIC(10, 2)"}, "order_state"),
        ({"id": "INTEGER", "order_state": "INTEGER", "total": "NUMERIC(10, 2)", "buyer_id": "INTEGER"}, ""),
        ({"id": "INTEGER", "total": "NUMERIC(10, 2)", "buyer_id": "INTEGER", "note": "TEXT"}, ""),
        ({"id": "INTEGER", "a": "TEXT", "b": "TEXT", "total": "NUMERIC(10, 2)", "buyer_id": "INTEGER"}, ""),
    ],
    ids=["in place", "beside a new one", "another type", "another place", "two could be it"],
)
def test_a_rename_is_told_where_little_else_is_possible(shop: KnowledgeBase, columns: dict[str, str], now: str) -> None:
    put(shop, table("orders", columns))
    [lost] = shop.item("template:open_orders").lost
    assert (lost.name, lost.change, lost.now) == (
        ("orders.state", "renamed", f"orders.{now}") if now else ("orders.state", "dropped", "")
    )
    assert status(shop, "template:open_orders") == "quarantined"


def test_columns_renamed_side_by_side_are_told_apart_by_their_place(shop: KnowledgeBase) -> None:
    put(shop, table("customers", {"id": "INTEGER", "a": "TEXT", "b": "TEXT", "z": "DATE"}))
    put(shop, template("ab", "SELECT a, b FROM customers"))
    put(shop, table("customers", {"id": "INTEGER", "a2": "TEXT", "b2": "TEXT", "z": "DATE"}))
    assert [lost.now for lost in shop.item("template:ab").lost] == ["customers.a2", "customers.b2"]


def test_a_renamed_table_is_told(shop: KnowledgeBase) -> None:
    shop.commit(Changes((table("sales", ORDERS),), remove=("schema:orders",)), author="ann", message="Rename the table")
    assert shop.item("template:open_orders").lost == (LostColumn("orders.state", "TEXT", "renamed", "sales.state"),)


def test_an_item_that_describes_another_table_now_has_lost_the_old_one(shop: KnowledgeBase) -> None:
    put(shop, replace(table("sales", ORDERS), id="schema:orders"))
    assert shop.item("template:open_orders").lost == (LostColumn("orders.state", "TEXT", "renamed", "sales.state"),)


# ── coming back ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_lifts_when_the_last_lost_column_is_back(shop: KnowledgeBase) -> None:
    both = template("both", "SELECT state, total FROM orders")
    put(shop, both)
    put(shop, table("orders", without(ORDERS, "state")))
    put(shop, table("orders", without(ORDERS, "state", "total")))
    assert [lost.name for lost in shop.item(both.id).lost] == ["orders.state", "orders.total"]
    put(shop, table("orders", without(ORDERS, "total")))
    assert [lost.name for lost in shop.item(both.id).lost] == ["orders.total"]
    assert status(shop, OPEN.id) == "active"
    commit = put(shop, table("orders", ORDERS))
    assert shop.item(both.id) == both
    assert commit.evidence == {"lifted": "metric:revenue, template:both"}
    report = quarantine_report(shop.diff(commit.parent or "", commit.id))
    assert [item.id for item in report.lifted] == ["metric:revenue", "template:both"]


def test_it_does_not_lift_for_a_column_of_another_type(shop: KnowledgeBase) -> None:
    put(shop, table("orders", without(ORDERS, "state")))
    put(shop, table("orders", {**ORDERS, "state": "INTEGER"}))
    assert quarantined(shop) == [OPEN.id]


def test_a_revert_of_the_change_brings_everything_back(shop: KnowledgeBase) -> None:
    before = shop.snapshot().items
    commit = put(shop, table("orders", without(ORDERS, "state")))
    shop.revert(commit.id, author="bob")
    assert shop.snapshot().items == before


def test_a_person_s_quarantine_and_a_retirement_are_left_alone(shop: KnowledgeBase) -> None:
    mine, old = replace(OPEN, id="template:mine", status="quarantined"), replace(OPEN, id="template:old")
    put(shop, mine, old.with_status("retired"))
    put(shop, table("orders", without(ORDERS, "state")))
    put(shop, table("orders", ORDERS))
    assert shop.item("template:mine") == mine
    assert status(shop, "template:old") == "retired"


def test_what_is_proposed_stays_so_and_cannot_be_activated_while_it_lacks_something(shop: KnowledgeBase) -> None:
    put(shop, replace(OPEN, status="proposed"))
    put(shop, table("orders", without(ORDERS, "state")))
    assert status(shop, OPEN.id) == "proposed"
    with pytest.raises(StillLost, match=r"orders\.state is gone"):
        activate(shop, [OPEN.id], author="ann")
    put(shop, table("orders", ORDERS))
    assert shop.item(OPEN.id) == replace(OPEN, status="proposed")
    activate(shop, [OPEN.id], author="ann")
    assert shop.item(OPEN.id) == OPEN


# ── a person's word ──────────────────────────────────────────────────────────────────────────────────────────────


def test_an_old_file_imported_again_does_not_lift_it(shop: KnowledgeBase) -> None:
    put(shop, table("orders", without(ORDERS, "state")))
    with pytest.raises(NothingToCommit):
        put(shop, OPEN)
    put(shop, replace(OPEN, title="Renamed"))
    assert (status(shop, OPEN.id), shop.item(OPEN.id).title) == ("quarantined", "Renamed")


def test_an_edited_item_that_is_written_as_active_is_active(shop: KnowledgeBase) -> None:
    put(shop, table("orders", {"id": "INTEGER", "order_state": "TEXT", "total": "NUMERIC(10, 2)"}))
    edited = template("open_orders", "SELECT count(*) FROM orders WHERE order_state = 'open'")
    lost = shop.item(OPEN.id).lost
    put(shop, replace(edited, status="quarantined", lost=lost))
    assert status(shop, OPEN.id) == "quarantined"
    put(shop, replace(edited, lost=lost))
    assert shop.item(OPEN.id) == edited


def test_who_edits_the_query_of_a_retyped_column_has_seen_its_type(shop: KnowledgeBase) -> None:
    put(shop, table("orders", {**ORDERS, "state": "INTEGER"}))
    put(shop, replace(OPEN, title="Another title"))
    assert status(shop, OPEN.id) == "quarantined"
    edited = template("open_orders", "SELECT count(*) FROM orders WHERE state = 1")
    put(shop, edited)
    assert shop.item(OPEN.id) == edited


def test_a_person_activates_what_was_retyped_but_not_what_is_gone(shop: KnowledgeBase) -> None:
    put(shop, table("orders", {**without(ORDERS, "total"), "state": "INTEGER"}))
    assert quarantined(shop) == [REVENUE.id, OPEN.id]
    with pytest.raises(StillLost) as caught:
        activate(shop, [OPEN.id, REVENUE.id], author="ann")
    assert (caught.value.item, [lost.name for lost in caught.value.lost]) == (REVENUE.id, ["orders.total"])
    commit = activate(shop, [OPEN.id], author="bob")
    assert (commit.author, commit.message) == ("bob", "Activate template:open_orders")
    assert shop.item(OPEN.id) == OPEN
    retire(shop, [REVENUE.id], author="bob", message="No more")
    assert status(shop, REVENUE.id) == "retired"


def test_an_item_that_was_edited_is_activated(shop: KnowledgeBase) -> None:
    put(shop, table("orders", without(ORDERS, "state")))
    edited = template("open_orders", "SELECT count(*) FROM orders")
    put(shop, replace(edited, status="quarantined", lost=shop.item(OPEN.id).lost))
    activate(shop, [OPEN.id], author="ann")
    assert shop.item(OPEN.id) == edited


def test_nothing_is_activated_where_one_is_not_there_or_is_active(shop: KnowledgeBase) -> None:
    with pytest.raises(ItemNotFound, match="template:none"):
        activate(shop, [OPEN.id, "template:none"], author="ann")
    with pytest.raises(NothingToCommit):
        activate(shop, [OPEN.id], author="ann")


# ── other ways of changing ───────────────────────────────────────────────────────────────────────────────────────


def test_a_writer_that_is_rebased_over_the_change_is_quarantined(shop: KnowledgeBase) -> None:
    known = shop.resolve().id
    put(shop, table("orders", without(ORDERS, "state")))
    commit = put(shop, template("late", "SELECT id FROM orders WHERE state = 'late'"), onto=known)
    assert status(shop, "template:late") == "quarantined"
    assert commit.evidence == {"quarantined": "template:late"}


def test_a_picked_change_of_the_schema_quarantines_on_its_branch(shop: KnowledgeBase) -> None:
    shop.branch("draft")
    change = put(shop, table("orders", without(ORDERS, "state")), branch="draft")
    put(shop, template("here", "SELECT state FROM orders"))
    cherry_pick(shop, change.id, author="ann")
    assert quarantined(shop) == ["template:here", "template:open_orders"]


def test_a_merged_change_of_the_schema_quarantines_what_the_branch_has(shop: KnowledgeBase) -> None:
    shop.branch("draft")
    put(shop, table("orders", without(ORDERS, "state")), branch="draft")
    put(shop, template("elsewhere", "SELECT total FROM orders"))
    merge(shop, "draft", author="ann")
    assert quarantined(shop) == ["template:open_orders"]


def test_the_hash_of_an_item_that_lost_nothing_is_what_it_was_before_there_was_the_field(
    shop: KnowledgeBase,
) -> None:
    hashes = shop.snapshot().hashes
    assert hashes[GERMANS.id] == "21f81d949b07fb3b319bd1a654dfd378a944388ad8585abc27fdd7db007025cb"
