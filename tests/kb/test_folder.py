from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kb.errors import FolderInvalid
from kb.folder import Exported, changes_from_folder, export_folder, import_folder
from kb.item_file import write_item
from kb.items import Column, Document, Gotcha, Item, Metric, Relationship, Schema
from kb.knowledge_base import Changes, KnowledgeBase, Snapshot
from kb.memory_store import MemoryStore

METRIC = Item("metric:net", "Net revenue", Metric("After refunds.", "SUM(amount) - SUM(refund)"))
ORDERS = Item("schema:orders", "Table orders", Schema("orders", (Column("id", "INTEGER"),)))
GOTCHA = Item("gotcha:state", "Use state", Gotcha("Use state.", wrong="o.status"))


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


@settings(max_examples=25)
@given(st.lists(st.from_type(Item), min_size=1, max_size=5, unique_by=lambda item: item.id))
def test_importing_an_export_gives_the_items_and_exporting_again_the_bytes(items: list[Item]) -> None:
    with tempfile.TemporaryDirectory() as root:
        first, second = Path(root, "first"), Path(root, "second")
        assert export_folder(snapshot(items), first).items == len(items)
        imported = import_folder(first)
        assert imported == sorted(items, key=lambda item: item.id)
        export_folder(snapshot(imported), second)
        assert contents(first) == contents(second)


# ── folders ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_export_lays_one_file_for_each_item(tmp_path: Path) -> None:
    assert export_folder(snapshot([METRIC, ORDERS]), tmp_path / "a" / "b") == Exported(2, ())
    found = contents(tmp_path / "a" / "b")
    assert found == {
        "metric/net.md": write_item(METRIC).encode(),
        "schema/orders.md": write_item(ORDERS).encode(),
    }


def test_an_export_leaves_files_of_other_items_and_names_them(tmp_path: Path) -> None:
    export_folder(snapshot([METRIC, ORDERS]), tmp_path)
    before = contents(tmp_path)
    assert export_folder(snapshot([METRIC]), tmp_path).others == (tmp_path / "schema" / "orders.md",)
    assert contents(tmp_path) == before


def test_a_pruning_export_removes_items_that_are_gone_and_leaves_everything_else(tmp_path: Path) -> None:
    put(tmp_path, ".git/config", "x")
    export_folder(snapshot([METRIC, ORDERS, GOTCHA]), tmp_path)
    put(tmp_path, "README.md", "Our knowledge")
    put(tmp_path, "docs/how.md", "---\nid: docs:how\n---\n")
    put(tmp_path, "schema/.hidden.md", "x")
    put(tmp_path, "schema/notes.txt", "x")
    export_folder(snapshot([METRIC]), tmp_path, prune=True)
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
