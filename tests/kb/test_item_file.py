from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kb import front_matter
from kb.errors import FolderInvalid
from kb.item_file import read_item, write_item
from kb.items import (
    Column,
    Entity,
    Gotcha,
    Item,
    Metric,
    Preference,
    Provenance,
    Rule,
    Schema,
    Success,
    Template,
)

ORDERS = Item(
    id="schema:orders",
    title="Table orders",
    body=Schema(
        "orders",
        (
            Column("id", "INTEGER", nullable=False, primary_key=True),
            Column("no", "TEXT", comment="Number: as printed", samples=("1e3", "null", "2024-01-01")),
        ),
        comment="One row per order.",
        row_count=12,
    ),
    entities=(Entity("orders", ("order", "purchase order")),),
    depends_on=("orders.id", "orders.no"),
    provenance=Provenance("introspection"),
)
ORDERS_FILE = """\
---
id: schema:orders
title: Table orders
table: orders
columns:
- name: id
  type: INTEGER
  nullable: false
  primary_key: true
- name: "no"
  type: TEXT
  comment: "Number: as printed"
  samples:
  - "1e3"
  - "null"
  - "2024-01-01"
row_count: 12
entities:
- name: orders
  synonyms:
  - order
  - purchase order
depends_on:
- orders.id
- orders.no
provenance:
  source: introspection
---

One row per order.
"""
METRIC = Item("metric:net", "Net revenue", Metric("After refunds.", "SUM(amount) - SUM(refund)"))
METRIC_FILE = """\
---
id: metric:net
title: Net revenue
---

After refunds.

```sql
SUM(amount) - SUM(refund)
```
"""
GOTCHA = Item("gotcha:state", "Use state", Gotcha("Use state.", wrong="o.status", right="SELECT 1\nFROM o"))
GOTCHA_FILE = """\
---
id: gotcha:state
title: Use state
wrong: o.status
right: |-
  SELECT 1
  FROM o
---

Use state.
"""
SUCCESS = Item("success:top", "Top buyers", Success("Who buys most?", "SELECT buyer\nFROM orders"), status="proposed")
SUCCESS_FILE = """\
---
id: success:top
title: Top buyers
question: Who buys most?
status: proposed
---

```sql
SELECT buyer
FROM orders
```
"""
LAYOUTS = [(ORDERS, ORDERS_FILE), (METRIC, METRIC_FILE), (GOTCHA, GOTCHA_FILE), (SUCCESS, SUCCESS_FILE)]


# ── round trips ──────────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=500)
@given(st.from_type(Item))
def test_a_file_gives_back_the_item_it_was_written_from_and_the_same_bytes(item: Item) -> None:
    text = write_item(item)
    again = read_item("x.md", item.kind, text)
    assert again == item
    assert write_item(again) == text


@given(st.from_type(Item))
def test_both_of_pyyamls_loaders_read_what_is_written(item: Item) -> None:
    text = write_item(item)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(front_matter, "_LOADER", yaml.SafeLoader)
        assert read_item("x.md", item.kind, text) == item


@given(st.from_type(Item))
def test_other_yaml_readers_see_the_same_text(item: Item) -> None:
    front = write_item(item).split("\n---\n")[0]
    assert yaml.safe_load(front)["title"] == item.title


@pytest.mark.parametrize(("item", "text"), LAYOUTS, ids=lambda value: getattr(value, "id", ""))
def test_a_file_looks_as_documented(item: Item, text: str) -> None:
    assert write_item(item) == text
    assert read_item("x.md", item.kind, text) == item


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "\n",
        "There were 12.",
        " 12 \r\n",
        "SELECT 1",
        "select 1\n\n",
        "```sql\nSELECT 1\n```",
        "```sql\nSELECT 1\n```\n",
        "````sql\n```\n````",
        "Run:\n\n```sql\nSELECT 1\n```",
        "SELECT '```'",
        "---\nid: rule:x\n---\n",
        "(SELECT 1)",
    ],
)
def test_any_answer_survives_exactly(answer: str) -> None:
    item = Item("success:a", "A", Success("Q?", answer))
    assert read_item("x.md", "success", write_item(item)) == item


@pytest.mark.parametrize(
    ("definition", "expression"),
    [
        ("", ""),
        ("", "SUM(x)"),
        ("Text", ""),
        ("See\n\n```sql\nx\n```", ""),
        ("A\n\n```sql\nx\n```\n", "```"),
        ("\n", "\n"),
    ],
)
def test_a_definition_and_an_expression_are_told_apart_whatever_they_hold(definition: str, expression: str) -> None:
    item = Item("metric:a", "A", Metric(definition, expression))
    assert read_item("x.md", "metric", write_item(item)) == item


def test_defaults_are_left_out() -> None:
    assert write_item(Item("rule:a", "A", Rule("a"))) == "---\nid: rule:a\ntitle: A\n---\n\na\n"


def test_a_text_that_is_blank_on_purpose_is_told_from_one_that_was_forgotten() -> None:
    blank = Item("rule:a", "A", Rule(" \n"))
    assert write_item(blank) == '---\nid: rule:a\ntitle: A\ntext: " \\n"\n---\n'
    assert read_item("x.md", "rule", write_item(blank)) == blank


@pytest.mark.parametrize(
    "item",
    [
        Item("metric:a", "A", Metric("As in:\n\n```python\nx\n```")),
        Item("metric:a", "A", Metric("As in:\n\n```sql\nSUM(x)")),
        Item("success:a", "A", Success("Q?", "It is\n```sql\nSELECT 1")),
        Item("success:a", "A", Success("Q?", "```sql\nSELECT 1\n```\nwhich is one.")),
    ],
)
def test_fences_within_a_text_are_kept_apart_from_the_file_s_own(item: Item) -> None:
    assert read_item("x.md", item.kind, write_item(item)) == item


# ── written by hand ──────────────────────────────────────────────────────────────────────────────────────────────


def test_text_that_looks_like_another_type_stays_text() -> None:
    text = "---\nid: preference:a\ntitle: 2024-01-01\nsubject: no\nrefs: [1e3, null, 007, ~]\ndepends_on:\n---\nText"
    item = read_item("x.md", "preference", text)
    assert item == Item(
        "preference:a", "2024-01-01", Preference("Text", "no"), refs=("1e3", "null", "007", "~"), depends_on=()
    )


def test_a_file_with_windows_line_ends_and_a_byte_order_mark_reads_like_any_other() -> None:
    assert read_item("x.md", "metric", "\ufeff" + METRIC_FILE.replace("\n", "\r\n")) == METRIC


@pytest.mark.parametrize("fence", ["```sql\nSELECT 1\n```", "```SQL\nSELECT 1\n```\n\n", "~\n"])
def test_a_template_is_one_query_in_a_fence(fence: str) -> None:
    text = f"---\nid: template:a\ntitle: A\nquestion: Q?\n---\n{fence}"
    if fence.startswith("`"):
        assert read_item("x.md", "template", text).body == Template("Q?", "SELECT 1")
    else:
        with pytest.raises(FolderInvalid, match=r"x\.md:6, field 'sql'"):
            read_item("x.md", "template", text)


HEAD = "---\nid: rule:a\ntitle: A\n"
METRIC_HEAD = "---\nid: metric:a\ntitle: A\n---\n"
TEMPLATE_HEAD = "---\nid: template:a\ntitle: A\nquestion: Q?\n---\n"
SUCCESS = "---\nid: success:a\ntitle: A\nquestion: Q?\n---\n"
JOIN = "---\nid: relationship:a\ntitle: A\nleft_table: a\nleft_columns:\n- x\n- y\nright_table: b\nright_columns:\n"
COLUMNS = "---\nid: schema:a\ntitle: A\ntable: a\ncolumns:\n- name: x\n  type: TEXT\n"


@pytest.mark.parametrize(
    ("kind", "text", "line", "field", "problem"),
    [
        ("rule", "Just text", 1, None, "'---'"),
        ("rule", "", 1, None, "'---'"),
        ("rule", HEAD + "Text", 1, None, "not closed"),
        ("rule", HEAD + "titel: B\n---\n", 4, "titel", "allowed: id, title"),
        ("rule", HEAD + "text: B\n---\n", 4, "text", "no such field"),
        ("rule", HEAD + "usage: auto\ntitle: B\n---\n", 5, "title", "first on line 3"),
        ("rule", HEAD + "usage: sometimes\n---\n", 4, "usage", "'always'"),
        ("rule", HEAD + "refs: rule:b\n---\n", 4, "refs", "a list"),
        ("rule", HEAD + "refs:\n- rule:b\n- [x]\n---\n", 6, "refs.1", "one value"),
        ("rule", HEAD + "entities:\n- name: x\n  synonym: y\n---\n", 6, "entities.0.synonym", "name, synonyms"),
        ("rule", HEAD + "entities:\n- x\n---\n", 5, "entities.0", "'field: value'"),
        ("rule", HEAD + "provenance:\n  evidence: x\n---\n", 4, "provenance.source", "required"),
        ("rule", HEAD + "usage: !!python/none x\n---\n", 4, "usage", "tag"),
        ("rule", "---\nid: rule:a\n---\n", 1, "title", "missing"),
        ("rule", "---\n---\n", 1, "id", "missing"),
        ("rule", "---\n- a\n---\n", 2, None, "'field: value'"),
        ("rule", "---\nid: metric:a\ntitle: A\n---\n", 2, "id", "kind"),
        ("rule", "---\nid: rule:a\ntitle: ''\n---\n", 3, "title", "empty"),
        ("rule", "---\nid: rule:a\ntitle: 'A\n---\n", 3, None, "YAML"),
        ("rule", "---\nid: rule:a\ntitle: A: B\n---\n", 3, None, "YAML"),
        ("rule", "---\nid: rule:a\ntitle: \x07\n---\n", 3, None, "character"),
        ("schema", COLUMNS + "  nullable: maybe\n---\n", 8, "columns.0.nullable", "true nor false"),
        ("schema", COLUMNS + "- name: y\n---\n", 8, "columns.1.type", "required"),
        ("schema", COLUMNS + "row_count: many\n---\n", 8, "row_count", "whole number"),
        ("schema", COLUMNS + "row_count: 1_000\n---\n", 8, "row_count", "whole number"),
        ("schema", COLUMNS + "- name: x\n  type: INT\n---\n", 8, "columns.1.name", "on line 6"),
        ("success", "---\nid: success:a\ntitle: A\n---\nText", 1, "question", "required"),
        ("success", SUCCESS + "It is\n```sql\nSELECT 1\n", 7, "answer", "not closed"),
        ("rule", HEAD + "status: actve\n---\n\nText\n", 4, "status", "'quarantined'"),
        ("rule", HEAD + "---\n", 5, "text", "it is missing"),
        ("metric", METRIC_HEAD + "\n", 6, "definition", "it is missing"),
        ("metric", METRIC_HEAD + "\nNet.\n\n```python\nSUM(x)\n```\n", 8, "expression", "at the end"),
        ("metric", METRIC_HEAD + "\nNet.\n\n```sql\nSUM(x)\n", 8, "expression", "at the end"),
        ("metric", METRIC_HEAD + "\nNet.\n```sql\nSUM(x)\n```\nLess tax.\n", 7, "expression", "at the end"),
        ("template", TEMPLATE_HEAD + "", 6, "sql", "alone, between '```sql'"),
        ("template", TEMPLATE_HEAD + "\n```sql\n\n```\n", 7, "sql", "empty"),
        ("template", TEMPLATE_HEAD + "\n```python\nSELECT 1\n```\n", 7, "sql", "'```sql'"),
        ("relationship", JOIN + "- z\n---\n", 9, "right_columns", "left_columns 2"),
    ],
)
@pytest.mark.parametrize("loader", [yaml.SafeLoader, front_matter._LOADER])
def test_a_mistake_in_a_file_is_named_with_line_and_field(
    monkeypatch: pytest.MonkeyPatch,
    loader: type[yaml.SafeLoader],
    kind: str,
    text: str,
    line: int,
    field: str | None,
    problem: str,
) -> None:
    monkeypatch.setattr(front_matter, "_LOADER", loader)
    with pytest.raises(FolderInvalid) as caught:
        read_item("rule/a.md", kind, text)  # type: ignore[arg-type]
    assert (caught.value.line, caught.value.field) == (line, field)
    assert problem.lower() in caught.value.problem.lower()
    assert str(caught.value).startswith(f"rule/a.md:{line}")


@pytest.mark.parametrize("opened", ["[", "{a: "])
def test_deep_nesting_is_refused_before_it_overruns_the_stack(opened: str) -> None:
    text = f"---\nid: rule:x\ntitle: X\nentities: {opened * 100_000}\n---\n\nText.\n"
    with pytest.raises(FolderInvalid, match=r"nested over 100 deep"):
        read_item("x.md", "rule", text)
