"""Conflicts between items of the two sides: one metric defined twice, and an item whose schema the other side took."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from kb.cherry_pick import cherry_pick
from kb.cross_conflicts import MetricDefinedTwice, SchemaRemoved
from kb.errors import Conflict, InvalidItem, MergeConflicts, NotInConflict
from kb.items import Column, Entity, Item, LostColumn, Metric, Relationship, Rule, Schema, Template
from kb.knowledge_base import Changes, KnowledgeBase
from kb.merge import merge
from kb.objects import Commit

ORDERS = Item(
    "schema:orders",
    "Table orders",
    Schema("orders", (Column("id", "INTEGER"), Column("state", "TEXT"), Column("total", "NUMERIC(10, 2)"))),
)
STATELESS = replace(ORDERS, body=Schema("orders", (Column("id", "INTEGER"), Column("total", "NUMERIC(10, 2)"))))
OPEN = Item("template:open", "Open orders", Template("How many are open?", "SELECT id FROM orders WHERE state = 'o'"))
EDITED = replace(OPEN, body=Template("How many are open?", "SELECT count(*) FROM orders WHERE state = 'open'"))
LOST = (LostColumn("orders.state", "TEXT"),)
KEY = "template:open/schema:orders"
Side = Literal["main", "draft"]


def put(base: KnowledgeBase, *items: Item, branch: str = "main", remove: tuple[str, ...] = ()) -> Commit:
    return base.commit(Changes(items, remove), author="ann", message="Put items", branch=branch)


def metric(name: str, expression: str = "", *, title: str = "", entity: str = "", definition: str = "") -> Item:
    entities = (Entity(entity),) if entity else ()
    return Item(f"metric:{name}", title or name, Metric(definition or f"What {name} is.", expression), entities)


def conflicts_of(base: KnowledgeBase, **options: object) -> tuple[object, ...]:
    before = base.branches()
    with pytest.raises(MergeConflicts) as caught:
        merge(base, "draft", author="bob", **options)  # type: ignore[arg-type]
    assert base.branches() == before
    return caught.value.conflicts


@pytest.fixture
def forked(base: KnowledgeBase) -> KnowledgeBase:
    put(base, ORDERS, OPEN, Item("rule:r", "R", Rule("r")))
    base.branch("draft")
    return base


# ── the same metric defined twice ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("ours", "theirs", "name"),
    [
        (metric("net_revenue", "SUM(a)"), metric("netto", "SUM(b)", title="Net Revenue"), "Net Revenue"),
        (metric("x", "SUM(a)", title="Revenue"), metric("y", "SUM(b)", title="revenue"), "revenue"),
        (metric("x", "SUM(a)", entity="churn"), metric("y", "SUM(b)", entity="Churn"), "Churn"),
        (metric("x", title="Churn", definition="Left."), metric("y", title="Churn", definition="Gone."), "Churn"),
    ],
    ids=["an id and a title", "titles", "entities", "without an expression"],
)
def test_two_metrics_of_one_name_are_a_conflict(forked: KnowledgeBase, ours: Item, theirs: Item, name: str) -> None:
    put(forked, ours)
    put(forked, theirs, branch="draft")
    [conflict] = conflicts_of(forked)
    assert conflict == MetricDefinedTwice(ours, theirs, name)
    assert conflict.key == f"{ours.id}/{theirs.id}"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (metric("x", "SUM(a)", title="Revenue"), metric("y", "SUM(b)", title="Turnover")),
        (metric("x", "SUM(a)", title="Revenue"), metric("y", "sum( a )".replace(" ", ""), title="Revenue")),
        (metric("x", "SUM(a)", title="Revenue"), Item("rule:y", "Revenue", Rule("It is net."))),
        (metric("x", "SUM(a)", title="Revenue"), metric("y", "SUM(b)", title="Revenue").with_status("retired")),
    ],
    ids=["other names", "the same expression", "another kind", "one is retired"],
)
def test_other_pairs_are_none(forked: KnowledgeBase, ours: Item, theirs: Item) -> None:
    put(forked, ours)
    put(forked, theirs, branch="draft")
    assert merge(forked, "draft", author="bob").outcome == "merged"


def test_a_pair_that_one_side_made_by_itself_or_that_was_there_is_none(forked: KnowledgeBase) -> None:
    one, two = metric("x", "SUM(a)", title="Revenue"), metric("y", "SUM(b)", title="Revenue")
    put(forked, one, two)
    forked.branch("other")
    put(forked, metric("x", "SUM(a2)", title="Revenue"))
    put(forked, metric("y", "SUM(b2)", title="Revenue"), branch="other")
    put(forked, metric("p", "SUM(a)", title="Profit"), metric("q", "SUM(b)", title="Profit"), branch="other")
    assert merge(forked, "other", author="bob").outcome == "merged"


@pytest.mark.parametrize(
    ("how", "left"),
    [("ours", {"metric:x"}), ("theirs", {"metric:y"}), ("both", {"metric:x", "metric:y"}), ("base", set())],
)
def test_each_resolution_keeps_what_it_says(forked: KnowledgeBase, how: str, left: set[str]) -> None:
    put(forked, metric("x", "SUM(a)", title="Revenue"))
    put(forked, metric("y", "SUM(b)", title="Revenue"), branch="draft")
    key = "metric:x/metric:y"
    commit = merge(forked, "draft", author="bob", resolutions={key: how}).commit  # type: ignore[dict-item]
    assert {item for item in forked.snapshot().items if item.startswith("metric:")} == left
    assert commit.evidence["resolved"] == f"{key}={how}"


def test_an_item_of_the_pair_stands_for_both(forked: KnowledgeBase) -> None:
    put(forked, metric("x", "SUM(a)", title="Revenue"))
    put(forked, metric("y", "SUM(b)", title="Revenue"), branch="draft")
    agreed = metric("y", "SUM(c)", title="Revenue")
    with pytest.raises(InvalidItem, match="its id is metric:x or metric:y"):
        merge(forked, "draft", author="bob", resolutions={"metric:x/metric:y": metric("z", "SUM(c)")})
    merge(forked, "draft", author="bob", resolutions={"metric:x/metric:y": agreed})
    assert [item for item in forked.snapshot().items.values() if item.kind == "metric"] == [agreed]


# ── changed here, its schema removed there ───────────────────────────────────────────────────────────────────────


def fork(base: KnowledgeBase, changing: Side, *items: Item, schema: Item | None = STATELESS) -> None:
    """One branch puts the items, the other changes or removes the table."""
    put(base, *items, branch=changing)
    removing = "draft" if changing == "main" else "main"
    if schema is None:
        put(base, branch=removing, remove=("schema:orders",))
    else:
        put(base, schema, branch=removing)


@pytest.mark.parametrize("changing", ["main", "draft"])
def test_an_item_changed_by_one_side_whose_column_the_other_took_is_a_conflict(
    forked: KnowledgeBase, changing: Side
) -> None:
    fork(forked, changing, EDITED)
    [conflict] = [each for each in conflicts_of(forked) if isinstance(each, SchemaRemoved)]
    by: Literal["ours", "theirs"] = "ours" if changing == "main" else "theirs"
    assert conflict == SchemaRemoved(EDITED, by, "schema:orders", STATELESS, LOST)
    assert conflict.key == KEY
    assert f"changed by {by}" in conflict.summary


@pytest.mark.parametrize("changing", ["main", "draft"])
@pytest.mark.parametrize("schema", [None, ORDERS.with_status("retired")], ids=["removed", "retired"])
def test_so_is_a_new_item_of_a_table_that_the_other_side_took(
    forked: KnowledgeBase, changing: Side, schema: Item | None
) -> None:
    join = Item("relationship:j", "J", Relationship("orders", ("id",), "orders", ("id",)))
    rows = Item("template:rows", "Rows", Template("How many?", "SELECT count(*) FROM orders"))
    fork(forked, changing, join, rows, schema=schema)
    found = {each.changed.id: each for each in conflicts_of(forked) if isinstance(each, SchemaRemoved)}
    assert set(found) == {"relationship:j", "template:rows"}
    assert found["template:rows"].lost == (LostColumn("orders"),)
    assert found["template:rows"].removed == schema


@pytest.mark.parametrize("changing", ["main", "draft"])
def test_what_was_edited_away_from_the_lost_column_is_none_and_in_use(forked: KnowledgeBase, changing: Side) -> None:
    edited = replace(OPEN, body=Template("How many are open?", "SELECT count(total) FROM orders"))
    fork(forked, changing, edited)
    assert merge(forked, "draft", author="bob").outcome == "merged"
    assert forked.item(OPEN.id) == edited


@pytest.mark.parametrize("changing", ["main", "draft"])
def test_words_beside_a_query_that_the_other_side_s_table_breaks_do_not_bring_it_back(
    forked: KnowledgeBase, changing: Side
) -> None:
    fork(forked, changing, replace(OPEN, title="All that are open"))
    merge(forked, "draft", author="bob", resolutions={KEY: "both"})
    assert forked.item(OPEN.id) == replace(OPEN, title="All that are open", status="quarantined", lost=LOST)


def test_what_was_mended_and_activated_on_the_other_branch_is_in_use_after_the_merge(forked: KnowledgeBase) -> None:
    put(forked, STATELESS)
    put(forked, STATELESS, branch="draft")
    mended = replace(OPEN, body=Template("How many are open?", "SELECT count(*) FROM orders"))
    put(forked, mended, branch="draft")
    assert (forked.item(OPEN.id).status, forked.item(OPEN.id, "draft")) == ("quarantined", mended)
    merge(forked, "draft", author="bob")
    assert forked.item(OPEN.id) == mended


@pytest.mark.parametrize("changing", ["main", "draft"])
def test_both_keeps_the_change_in_quarantine(forked: KnowledgeBase, changing: Side) -> None:
    new = replace(EDITED, id="template:new")
    fork(forked, changing, EDITED, new)
    resolutions: dict[str, Literal["both"]] = {KEY: "both", "template:new/schema:orders": "both"}
    merge(forked, "draft", author="bob", resolutions=resolutions)
    assert forked.item("schema:orders") == STATELESS
    assert forked.item(OPEN.id) == replace(EDITED, status="quarantined", lost=LOST)
    assert forked.item("template:new") == replace(new, status="quarantined", lost=LOST)


@pytest.mark.parametrize("changing", ["main", "draft"])
def test_a_side_takes_the_item_and_its_table_together(forked: KnowledgeBase, changing: Side) -> None:
    with_change, without = ("ours", "theirs") if changing == "main" else ("theirs", "ours")
    fork(forked, changing, EDITED)
    forked.branch("again")
    merge(forked, "draft", into="again", author="bob", resolutions={KEY: with_change})  # type: ignore[dict-item]
    assert (forked.item(OPEN.id, "again"), forked.item("schema:orders", "again")) == (EDITED, ORDERS)
    merge(forked, "draft", author="bob", resolutions={KEY: without})  # type: ignore[dict-item]
    assert forked.item("schema:orders") == STATELESS
    assert forked.item(OPEN.id) == replace(OPEN, status="quarantined", lost=LOST)


def test_resolutions_of_two_pairs_must_agree_on_the_item_that_both_have(forked: KnowledgeBase) -> None:
    other = replace(OPEN, id="template:other", title="Other")
    put(forked, other)
    forked.delete_branch("draft")
    forked.branch("draft")
    put(forked, STATELESS)
    put(forked, EDITED, replace(other, body=EDITED.body), branch="draft")
    keys = (KEY, "template:other/schema:orders")
    before = forked.branches()
    for pair in (("ours", "theirs"), ("theirs", "ours"), ("both", "theirs")):
        with pytest.raises(InvalidItem, match=r"schema:orders.*differ"):
            merge(forked, "draft", author="bob", resolutions=dict(zip(keys, pair, strict=True)))  # type: ignore[arg-type]
        assert forked.branches() == before
    merge(forked, "draft", author="bob", resolutions=dict.fromkeys(keys, "theirs"))  # type: ignore[arg-type]
    assert forked.item("schema:orders") == ORDERS


def test_an_item_that_was_mended_settles_it(forked: KnowledgeBase) -> None:
    fork(forked, "draft", EDITED)
    mended = replace(OPEN, body=Template("How many are open?", "SELECT count(*) FROM orders"))
    with pytest.raises(InvalidItem, match=r"its id is template:open$"):
        merge(forked, "draft", author="bob", resolutions={KEY: ORDERS})
    merge(forked, "draft", author="bob", resolutions={KEY: mended})
    assert (forked.item(OPEN.id), forked.item("schema:orders")) == (mended, STATELESS)


def test_who_settles_the_item_itself_has_settled_this_too(forked: KnowledgeBase) -> None:
    put(forked, EDITED)
    put(forked, STATELESS, branch="draft", remove=(OPEN.id,))
    kinds = {type(each).__name__ for each in conflicts_of(forked)}
    assert kinds == {"ChangedAndRemoved", "SchemaRemoved"}
    merge(forked, "draft", author="bob", resolutions={OPEN.id: "ours"})
    assert forked.item(OPEN.id) == replace(EDITED, status="quarantined", lost=LOST)


def test_a_pick_of_the_schema_s_change_quarantines_and_one_of_an_item_conflicts(forked: KnowledgeBase) -> None:
    put(forked, EDITED)
    change = put(forked, STATELESS, branch="draft")
    cherry_pick(forked, change.id, author="bob", resolutions=None)
    assert forked.item(OPEN.id).status == "quarantined"
    late = put(forked, replace(EDITED, id="template:late"), branch="draft")
    forked.branch("old", at="main~2")
    item = put(forked, replace(EDITED, id="template:later"), branch="old")
    with pytest.raises(MergeConflicts) as caught:
        cherry_pick(forked, item.id, author="bob")
    assert [conflict.key for conflict in caught.value.conflicts] == ["template:later/schema:orders"]
    assert cherry_pick(forked, late.id, author="bob").parent


def test_both_is_for_pairs_alone_and_a_key_must_be_in_conflict(forked: KnowledgeBase) -> None:
    put(forked, Item("rule:r", "R", Rule("ours")))
    put(forked, Item("rule:r", "R", Rule("theirs")), branch="draft")
    for key in ("rule:r", "rule:r:body.text"):
        with pytest.raises(InvalidItem, match="there is only one"):
            merge(forked, "draft", author="bob", resolutions={key: "both"})
    with pytest.raises(NotInConflict, match=KEY):
        merge(forked, "draft", author="bob", resolutions={"rule:r": "ours", KEY: "both"})


def test_a_resolution_of_a_pair_is_for_the_head_that_it_was_made_for(forked: KnowledgeBase) -> None:
    fork(forked, "draft", EDITED)
    known = forked.resolve().id
    put(forked, replace(STATELESS, title="All orders"))
    with pytest.raises(Conflict, match="schema:orders changed"):
        merge(forked, "draft", author="bob", resolutions={KEY: "both"}, onto=known)
    merge(forked, "draft", author="bob", resolutions={KEY: "both"})
