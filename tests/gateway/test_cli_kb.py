"""`kvasir kb` from end to end, and what it says to a bad input."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from kb.embedding import SentenceEmbedder

from .cli_home import KNOWLEDGE, Home, copy_home, make_home


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, shop_database: Path) -> Home:
    return make_home(tmp_path_factory.mktemp("prepared"), shop_database)


@pytest.fixture
def home(prepared: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embedder: SentenceEmbedder) -> Home:
    for name in [name for name in os.environ if name.startswith("KVASIR_")]:
        monkeypatch.delenv(name)
    # Loading the model again for every command takes seconds.
    monkeypatch.setattr("gateway.core.SentenceEmbedder", lambda _model: embedder)
    monkeypatch.setattr("kb.embedding.SentenceEmbedder", lambda _model: embedder)
    monkeypatch.chdir(tmp_path)
    return copy_home(prepared, tmp_path / "home")


def shown(home: Home, *arguments: object) -> Any:
    """The JSON that a command of the base `shop` prints."""
    result = home("kb", *arguments, "--kb", "shop", "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_log_names_each_commit_newest_first(home: Home) -> None:
    messages = [commit["message"] for commit in shown(home, "log")]
    assert messages == ["Import knowledge: 12 items", "Introspect shop: 22 items", "Start the knowledge base"]
    assert [c["message"] for c in shown(home, "log", "-n", "1", "--item", "schema:orders")] == [messages[1]]
    assert "Import knowledge" in home("kb", "log", "--kb", "shop").stdout


def test_show_prints_a_commit_with_its_changes_or_an_item_as_its_file(home: Home) -> None:
    changes = {change["id"]: change["change"] for change in shown(home, "show")["changes"]}
    assert changes["rule:what_counts"] == "added"
    assert len(changes) == 12
    text = home("kb", "show", "rule:what_counts", "--kb", "shop").stdout
    assert text == (KNOWLEDGE / "rule" / "what_counts.md").read_text()


def test_an_export_is_imported_again_without_a_difference(home: Home, tmp_path: Path) -> None:
    head = shown(home, "log")[0]["id"]
    assert shown(home, "export", tmp_path / "out")["items"] == 34
    assert shown(home, "import", tmp_path / "out", "--prune") == {
        "knowledge_base": "shop",
        "commit": head,
        "put": 0,
        "removed": 0,
        "quarantined": [],
        "lifted": [],
        "warnings": [],
    }
    assert (tmp_path / "out/rule/what_counts.md").read_bytes() == (KNOWLEDGE / "rule/what_counts.md").read_bytes()
    assert shown(home, "introspect", "shop", "--sample", "orders.state")["commit"] == head


def test_an_edited_file_becomes_one_change_that_diff_shows_and_revert_undoes(home: Home, tmp_path: Path) -> None:
    shown(home, "export", tmp_path / "out")
    file = tmp_path / "out" / "gotcha" / "cents.md"
    file.write_text(file.read_text() + "\nMind it.\n")
    assert shown(home, "import", tmp_path / "out")["put"] == 1
    (change,) = shown(home, "diff", "main~1")["changes"]
    assert (change["id"], change["change"]) == ("gotcha:cents", "changed")
    assert "~ gotcha:cents" in home("kb", "diff", "main~1", "--kb", "shop").stdout
    shown(home, "revert", "main")
    assert shown(home, "diff", "main~2")["changes"] == []


def test_prune_removes_what_the_folder_lacks(home: Home) -> None:
    pruned = shown(home, "import", KNOWLEDGE, "--prune")
    assert (pruned["put"], pruned["removed"]) == (0, 22)
    # Without its tables, only what reads none of them is still in use.
    assert {item["id"] for item in shown(home, "items", "--status", "active")} == {"document:fiscal_year"}
    assert len(pruned["quarantined"]) == 11
    restored = shown(home, "introspect", "shop", "--sample", "orders.state")
    assert sorted(restored["lifted"]) == sorted(each["id"] for each in pruned["quarantined"])
    assert shown(home, "diff", "main~2")["changes"] == []


def test_a_branch_is_made_listed_committed_on_and_deleted(home: Home, tmp_path: Path) -> None:
    head = shown(home, "log")[0]["id"]
    assert shown(home, "branch", "draft", "--at", "main~1")["main"] == head
    shown(home, "import", KNOWLEDGE, "--branch", "draft")
    assert shown(home, "diff", "main", "draft")["changes"] == []
    assert shown(home, "log")[0]["id"] == head
    assert [*shown(home, "branch", "draft", "--delete")] == ["main"]


def test_a_tag_is_made_listed_read_and_deleted(home: Home) -> None:
    before, head = (shown(home, "show", name)["id"] for name in ("main~1", "main"))
    assert shown(home, "tag", "v1", "--at", "main~1") == {"v1": before}
    assert shown(home, "tag", "now") == {"now": head, "v1": before}
    assert home("kb", "tag", "--kb", "shop").stdout == f"{head[:12]}  now\n{before[:12]}  v1\n"
    assert shown(home, "show", "v1")["id"] == before
    assert shown(home, "tag", "now", "--delete") == {"v1": before}


def test_search_says_what_is_retrieved_and_why_at_any_commit(home: Home) -> None:
    found = shown(home, "search", "How many orders were cancelled?")
    assert {"schema:orders", "rule:what_counts"} <= {hit["id"] for hit in found["hits"]}
    assert all(hit["reason"] for hit in found["hits"])
    assert "rule:what_counts" not in {hit["id"] for hit in shown(home, "search", "orders", "--at", "main~1")["hits"]}


def test_a_base_is_made_by_the_first_import(home: Home) -> None:
    assert home("kb", "import", KNOWLEDGE, "--kb", "new").exit_code == 0
    assert json.loads(home("kb", "list", "--json").stdout) == ["new", "shop"]
    assert json.loads(home("kb", "list", "--tenant", "other", "--json").stdout) == []


BAD_CALLS = [
    (("log", "nowhere"), ("no commit, branch or tag 'nowhere' in 'shop'", "kvasir kb log --kb shop")),
    (("log", ""), ("no commit, branch or tag ''",)),
    (("log", "main~99999999999"), ("main~99999999999",)),
    (("log", "-n", "0"), ("0 is not in the range",)),
    (("log", "--kb", "shpo"), ("knowledge base 'shpo' not found (known: shop)",)),
    (("show", "rule:nothing"), ("item 'rule:nothing' not found in 'shop' at commit",)),
    (("show", "rule:what_counts", "--at", "nowhere"), ("'nowhere'",)),
    (("diff", "main", "nowhere"), ("'nowhere'",)),
    (("search", "x", "--at", "nowhere"), ("'nowhere'",)),
    (("search", "\udc80"), ("question holds",)),
    (("revert", "nowhere"), ("'nowhere'",)),
    (("revert", "main~2"), ("nothing to commit",)),
    (("branch", "x y"), ("branch name 'x y' cannot be used",)),
    (("branch", "main"), ("branch 'main' exists already",)),
    (("branch", "new", "--at", "nowhere"), ("'nowhere'",)),
    (("branch", "main", "--delete"), ("other than main",)),
    (("branch", "nowhere", "--delete"), ("branch 'nowhere' not found in 'shop'; list the branches with",)),
    (("branch", "--delete"), ("takes the name of a branch",)),
    (("tag", "cafe"), ("tag name 'cafe' cannot be used",)),
    (("tag", "new", "--at", "nowhere"), ("'nowhere'",)),
    (("tag", "nowhere", "--delete"), ("tag 'nowhere' not found in 'shop'; list the tags with",)),
    (("tag", "--delete"), ("takes the name of a tag",)),
    (("activate", "rule:nothing"), ("item 'rule:nothing' not found",)),
    (("activate", "rule:what_counts"), ("nothing to commit",)),
    (("activate", "rule:what_counts", "--branch", "nowhere"), ("branch 'nowhere' not found",)),
    (("activate",), ("Missing argument",)),
    (("retire", "rule:nothing"), ("item 'rule:nothing' not found",)),
    (("items", "--kind", "table"), ("'table' is not one of",)),
    (("items", "--at", "nowhere"), ("'nowhere'",)),
    (("quarantine", "--at", "nowhere"), ("'nowhere'",)),
    (("import", "none"), ("none: is no folder",)),
    (("import", KNOWLEDGE, "--kb", "bad name"), ("knowledge base name 'bad name' cannot be used",)),
    (("import", KNOWLEDGE, "--branch", "nowhere"), ("'nowhere'",)),
    (("import", KNOWLEDGE, "--branch", "draft", "--kb", "new"), ("knowledge base 'new' not found",)),
    (("export", "."), ("neither empty nor a knowledge folder",)),
    (("export", "kvasir.toml"), ("is a file",)),
    (("introspect", "shpo"), ("'shpo' is no datasource of kvasir.toml (known: shop)", "sqlite:///PATH")),
    (("introspect", "sqlite:///missing.sqlite"), ("there is no file missing.sqlite",)),
    (("introspect", "postgresql://u:sekret@127.0.0.1:1/d"), ("u:***@127.0.0.1:1/d",)),
    (("introspect", "postgresql://u:sekret@h:port/d"), ("it is no URL",)),
    (("introspect", "foo://u:sekret@h/d"), ("no dialect 'foo'",)),
    (("introspect", "shop", "--sample", "orders.stat"), ("sample 'orders.stat' fits no column",)),
]


@pytest.mark.parametrize(("arguments", "told"), BAD_CALLS, ids=lambda value: ascii(value)[:60])
def test_a_mistake_of_the_user_exits_2_and_changes_nothing(
    home: Home, arguments: tuple[object, ...], told: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home.folder)
    base = () if "--kb" in arguments else ("--kb", "shop")
    stderr = home.refused("kb", *arguments, *base, "--json")
    for part in told:
        assert part in stderr
    assert "sekret" not in stderr


def folder_of(path: Path, **files: str) -> Path:
    for name, text in files.items():
        file = path / "rule" / f"{name}.md"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return path


def test_two_files_of_one_id_are_both_named(home: Home, tmp_path: Path) -> None:
    text = "---\nid: rule:a\ntitle: A\n---\n\nText.\n"
    folder = folder_of(tmp_path / "folder", a=text, b=text)
    stderr = home.refused("kb", "import", folder, "--kb", "shop")
    assert "two files hold item 'rule:a'" in stderr
    for name in ("a", "b"):
        assert str(folder / "rule" / f"{name}.md") in stderr


def test_a_field_with_a_typo_is_told_with_file_and_line(home: Home, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "folder", a="---\nid: rule:a\ntitle: A\nusge: always\n---\n\nText.\n")
    stderr = home.refused("kb", "import", folder, "--kb", "shop")
    assert f"{folder / 'rule' / 'a.md'}:4" in stderr
    assert "'usge'" in stderr


def test_a_database_that_is_not_there_is_not_made(home: Home, tmp_path: Path) -> None:
    home.refused("kb", "introspect", f"sqlite:///{tmp_path}/none.sqlite", "--kb", "shop")
    assert not (tmp_path / "none.sqlite").exists()
