from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kb import front_matter
from kb.errors import FolderInvalid
from kb.folder import changes_from_folder, export_folder, import_folder
from kb.item_file import read_item, write_item
from kb.items import (
    Column,
    Document,
    Entity,
    Gotcha,
    Item,
    Metric,
    Preference,
    Provenance,
    Relationship,
    Rule,
    Schema,
    Success,
    Template,
)
from kb.knowledge_base import Changes, KnowledgeBase, Snapshot
from kb.memory_store import MemoryStore

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


def snapshot(items: Iterable[Item]) -> Snapshot:
    base = KnowledgeBase.create(MemoryStore(), "acme", "sales", author="ann")
    changes = Changes(tuple(items))
    if changes.put:
        base.commit(changes, author="ann", message="Add items")
    return base.snapshot()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def put(folder: Path, file: str, text: str | bytes) -> Path:
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


RULE = "---\nid: rule:{name}\ntitle: The rule\n---\n\nText.\n"


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


@settings(max_examples=25)
@given(st.lists(st.from_type(Item), min_size=1, max_size=5, unique_by=lambda item: item.id))
def test_importing_an_export_gives_the_items_and_exporting_again_the_bytes(items: list[Item]) -> None:
    with tempfile.TemporaryDirectory() as root:
        first, second = Path(root, "first"), Path(root, "second")
        assert export_folder(snapshot(items), first) == len(items)
        imported = import_folder(first)
        assert imported == sorted(items, key=lambda item: item.id)
        export_folder(snapshot(imported), second)
        assert contents(first) == contents(second)


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
    assert write_item(Item("rule:a", "A", Rule(""))) == "---\nid: rule:a\ntitle: A\n---\n"


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
        ("success", "---\nid: success:a\ntitle: A\n---\nText", 1, "question", "required"),
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


# ── folders ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_export_lays_one_file_for_each_item(tmp_path: Path) -> None:
    assert export_folder(snapshot([METRIC, ORDERS]), tmp_path / "a" / "b") == 2
    found = contents(tmp_path / "a" / "b")
    assert found == {"metric/net.md": METRIC_FILE.encode(), "schema/orders.md": ORDERS_FILE.encode()}


def test_an_export_removes_items_that_are_gone_and_leaves_everything_else(tmp_path: Path) -> None:
    put(tmp_path, ".git/config", "x")
    export_folder(snapshot([METRIC, ORDERS, GOTCHA]), tmp_path)
    put(tmp_path, "README.md", "Our knowledge")
    put(tmp_path, "docs/how.md", "---\nid: docs:how\n---\n")
    put(tmp_path, "schema/.hidden.md", "x")
    put(tmp_path, "schema/notes.txt", "x")
    export_folder(snapshot([METRIC]), tmp_path)
    assert sorted(contents(tmp_path)) == [
        ".git/config",
        "README.md",
        "docs/how.md",
        "metric/net.md",
        "schema/.hidden.md",
        "schema/notes.txt",
    ]
    assert import_folder(tmp_path) == [METRIC]


def test_an_export_does_not_touch_files_that_are_as_they_should_be(tmp_path: Path) -> None:
    export_folder(snapshot([METRIC, ORDERS]), tmp_path)
    before = {path: path.stat().st_ino for path in tmp_path.rglob("*.md")}
    export_folder(snapshot([METRIC, ORDERS, GOTCHA]), tmp_path)
    assert {path: path.stat().st_ino for path in before} == before


@pytest.mark.parametrize("file", ["notes.txt", "src/main.py", "document/picture.png"])
def test_an_export_refuses_a_folder_that_holds_something_else(tmp_path: Path, file: str) -> None:
    put(tmp_path, file, "mine")
    with pytest.raises(FolderInvalid, match="neither empty nor a knowledge folder"):
        export_folder(snapshot([METRIC]), tmp_path)
    assert contents(tmp_path) == {file: b"mine"}


@pytest.mark.parametrize("text", ["My own notes", "---\nid: document:other\ntitle: A\n---\n"])
def test_an_export_refuses_to_replace_a_file_that_is_no_item(tmp_path: Path, text: str) -> None:
    export_folder(snapshot([METRIC]), tmp_path)
    put(tmp_path, "document/notes.md", text)
    before = contents(tmp_path)
    with pytest.raises(FolderInvalid, match=r"notes\.md"):
        export_folder(snapshot([ORDERS]), tmp_path)
    assert contents(tmp_path) == before


def test_an_export_to_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FolderInvalid, match="is a file"):
        export_folder(snapshot([METRIC]), put(tmp_path, "x", "y"))
    with pytest.raises(FolderInvalid, match="cannot be used"):
        export_folder(snapshot([METRIC]), tmp_path / "x" / "below")


@pytest.mark.parametrize("file", ["README.md", "rules.txt", ".git/rule/a.md"])
def test_a_folder_without_items_says_what_is_expected(tmp_path: Path, file: str) -> None:
    put(tmp_path, file, "x")
    with pytest.raises(FolderInvalid, match=r"KIND/NAME\.md.*schema, relationship"):
        import_folder(tmp_path)


def test_a_folder_that_is_not_there_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(FolderInvalid, match="is no folder"):
        import_folder(tmp_path / "absent")


def test_two_files_of_one_item_are_both_named(tmp_path: Path) -> None:
    put(tmp_path, "rule/a.md", RULE.format(name="a"))
    put(tmp_path, "rule/b.md", RULE.format(name="a"))
    with pytest.raises(FolderInvalid, match=r"rule/b\.md.*rule:a.*rule/a\.md"):
        import_folder(tmp_path)


def test_a_file_that_is_not_named_like_its_item_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "rule/b.md", RULE.format(name="a"))
    with pytest.raises(FolderInvalid, match=r"rule/b\.md:2, field 'id'.*name the file a\.md"):
        import_folder(tmp_path)


def test_bytes_that_are_not_utf8_are_named_with_their_line(tmp_path: Path) -> None:
    put(tmp_path, "rule/a.md", RULE.format(name="a").encode() + b"\xff\n")
    with pytest.raises(FolderInvalid, match=r"rule/a\.md:7: is not UTF-8"):
        import_folder(tmp_path)


def test_a_folder_inside_a_kind_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "rule/time/utc.md", RULE.format(name="utc"))
    with pytest.raises(FolderInvalid, match="items lie directly in"):
        import_folder(tmp_path)


@pytest.mark.parametrize(("name", "kind"), [("metrics", "metric"), ("Rule", "rule"), ("sucess", "success")])
def test_a_misspelled_kind_is_not_passed_over(tmp_path: Path, name: str, kind: str) -> None:
    put(tmp_path, "rule/a.md", RULE.format(name="a"))
    put(tmp_path, f"{name}/a.md", RULE.format(name="a"))
    with pytest.raises(FolderInvalid, match=f"rename the folder to '{kind}'"):
        import_folder(tmp_path)


# ── changes ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_only_what_differs_becomes_a_change() -> None:
    other = Item("metric:net", "Net revenue", Metric("Before tax."))
    new = Item("document:faq", "FAQ", Document("Text", source="faq.md"))
    base = snapshot([METRIC, ORDERS, GOTCHA])
    assert changes_from_folder(base, [new, ORDERS, other], prune=False) == Changes((new, other))
    assert changes_from_folder(base, [new, ORDERS, other], prune=True) == Changes((new, other), ("gotcha:state",))


def test_an_unchanged_folder_changes_nothing(tmp_path: Path) -> None:
    join = Item("relationship:a.b-c.d", "Join", Relationship("a", ("b",), "c", ("d",), comment="By hand"))
    base = snapshot([METRIC, ORDERS, join])
    export_folder(base, tmp_path)
    assert changes_from_folder(base, import_folder(tmp_path), prune=True) == Changes()
