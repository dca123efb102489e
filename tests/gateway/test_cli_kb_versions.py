"""`kvasir kb merge`, `cherry-pick`, `blame`, `verify` and `gc` from end to end."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from gateway.conversation import ask
from gateway.message_chain import Scope
from gateway.placements import Placements, Reference
from gateway.proposals import Proposals
from gateway.sessions import Sessions
from gateway.traces import Retrieved, Trace, Traces
from kb.database import open_database
from kb.items import Item, Metric, Provenance, Rule
from kb.knowledge_base import Changes, KnowledgeBase
from kb.sql_store import SqlStore

from .cli_home import Home

RULE = Item("rule:utc", "Times", Rule("Times are UTC."))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in [name for name in os.environ if name.startswith("KVASIR_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    home = Home(tmp_path)
    home.configure('home = "state"\n')
    assert home("init").exit_code == 0
    return home


@pytest.fixture
def database(home: Home) -> Iterator[Engine]:
    engine = open_database(f"sqlite:///{home.folder}/state/kvasir.db")
    yield engine
    engine.dispose()


@pytest.fixture
def base(database: Engine) -> KnowledgeBase:
    """`main` and `draft` both changed the text of one rule."""
    base = KnowledgeBase.create(SqlStore(database), "default", "main", author="ann")
    put(base, RULE, Item("metric:m", "M", Metric("m")))
    base.branch("draft")
    put(base, replace(RULE, body=Rule("Times are local.")), branch="draft")
    put(base, replace(RULE, body=Rule("Times are UTC, always.")))
    return base


def put(base: KnowledgeBase, *items: Item, branch: str = "main", **evidence: str) -> str:
    return base.commit(Changes(items), author="ann", message="Put items", branch=branch, evidence=evidence).id


def shown(home: Home, *arguments: object, code: int = 0) -> Any:
    result = home("kb", *arguments, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


# ── merge and cherry-pick ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", ["merge", "cherry-pick"])
def test_conflicts_are_listed_with_exit_code_1_and_the_next_step(home: Home, base: KnowledgeBase, command: str) -> None:
    before = base.branches()
    result = home("kb", command, "draft")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "! rule:utc:body.text  both changed rule:utc, field body.text",
        "    base   'Times are UTC.'",
        "    ours   'Times are UTC, always.'",
        "    theirs 'Times are local.'",
    ]
    assert f"--onto {before['main'][:12]}" in result.stderr
    told = shown(home, command, "draft", code=1)
    assert (told["outcome"], told["ours"], told["theirs"]) == ("conflicts", before["main"], before["draft"])
    assert [conflict["key"] for conflict in told["conflicts"]] == ["rule:utc:body.text"]
    assert base.branches() == before


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--ours", "Times are UTC, always."),
        ("--theirs", "Times are local."),
        ("--base", "Times are UTC."),
    ],
)
@pytest.mark.parametrize("key", ["rule:utc", "rule:utc:body.text"])
def test_a_side_settles_a_conflict(home: Home, base: KnowledgeBase, option: str, text: str, key: str) -> None:
    merged = shown(home, "merge", "draft", option, key, "-m", "Land it")
    assert (merged["outcome"], merged["commit"]["message"]) == ("merged", "Land it")
    assert base.item("rule:utc").body == Rule(text)
    assert base.resolve().evidence["resolved"] == f"{key}={option.removeprefix('--')}"


def test_a_file_as_show_prints_it_settles_a_conflict(home: Home, base: KnowledgeBase) -> None:
    file = home.folder / "agreed=1.md"
    file.write_text(home("kb", "show", "rule:utc").stdout.replace("always", "at night"))
    assert shown(home, "cherry-pick", "draft", "--resolve", f"rule:utc={file}")["message"] == "Put items"
    assert base.item("rule:utc").body == Rule("Times are UTC, at night.")


def test_a_branch_is_fast_forwarded_or_not_as_asked(home: Home, base: KnowledgeBase) -> None:
    base.branch("side", at="main")
    put(base, Item("rule:b", "B", Rule("b")), branch="side")
    assert "fast-forward of main" in home("kb", "merge", "side").stdout
    assert "already up to date" in home("kb", "merge", "side").stdout
    put(base, Item("rule:c", "C", Rule("c")), branch="side")
    assert len(shown(home, "merge", "side", "--no-ff")["commit"]["parents"]) == 2
    assert shown(home, "merge", "main", "--into", "side")["outcome"] == "fast-forward"


BAD_CALLS = [
    (("merge", "nowhere"), ("no commit, branch or tag 'nowhere'",)),
    (("merge", "draft", "--into", "nowhere"), ("branch 'nowhere' not found",)),
    (("merge", "draft", "--ours", "rule:other"), ("'rule:other' is resolved but in no conflict", "rule:utc:body.text")),
    (("merge", "draft", "--ours", "rule:utc", "--theirs", "rule:utc"), ("'rule:utc' is resolved twice",)),
    (("merge", "draft", "--resolve", "rule:utc"), ("expected is ITEM=FILE", "kvasir kb show ITEM")),
    (("merge", "draft", "--resolve", "rule:utc=none.md"), ("none.md cannot be read",)),
    (("merge", "draft", "--resolve", "rule:utc=kvasir.toml"), ("kvasir.toml:1: does not start with",)),
    (("merge", "draft", "--ours", "rule:utc", "--onto", "nowhere"), ("'nowhere'",)),
    (("merge", "draft", "--ours", "rule:utc", "--onto", "main~1"), ("rule:utc changed there meanwhile",)),
    (("cherry-pick", "nowhere"), ("'nowhere'",)),
    (("cherry-pick", "main"), ("nothing to commit",)),
    (("cherry-pick", "draft", "--branch", "nowhere"), ("branch 'nowhere' not found",)),
    (("blame", "rule:none"), ("item 'rule:none' not found",)),
    (("blame", "rule:utc", "bod"), ("no field 'bod'; it has id, kind, title, body.text",)),
    (("blame", "rule:utc", "--at", "nowhere"), ("'nowhere'",)),
    (("verify", "--kb", "nowhere"), ("knowledge base 'nowhere' not found",)),
    (("gc", "--grace", "2 weeks"), ("--grace 2 weeks: expected is a number and a unit", "2h")),
    (("gc", "--kb", "nowhere"), ("knowledge base 'nowhere' not found",)),
]


@pytest.mark.parametrize(("arguments", "told"), BAD_CALLS, ids=lambda value: ascii(value)[:60])
def test_a_mistake_of_the_user_exits_2_and_changes_nothing(
    home: Home, base: KnowledgeBase, arguments: tuple[object, ...], told: tuple[str, ...]
) -> None:
    stderr = home.refused("kb", *arguments, "--json")
    for part in told:
        assert part in stderr


# ── blame ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_blame_leads_from_a_field_to_the_request_the_person_and_the_replay(
    home: Home, base: KnowledgeBase, database: Engine
) -> None:
    head = base.resolve().id
    proposals = Proposals(database)
    proposal = proposals.confirm(trace(head), "success", None, None, "ann")
    assert proposal is not None
    learned = replace(RULE, id="rule:learned", provenance=Provenance("confirmation", "req_1", "ann", "2030-01-01"))
    commit = put(base, learned, request="req_1", proposal=proposal.id)
    report = {"verdict": "clean", "base": head, "head": commit}
    proposals.keep(replace(proposal, state="landed", detail="its replay is clean", report=report, commit=commit))
    (view,) = shown(home, "blame", "rule:learned", "body.text")
    assert (view["commit"], view["author"]) == (commit, "ann")
    assert (view["request"], view["confirmed_by"], view["confirmed_at"]) == ("req_1", "ann", "2030-01-01")
    assert view["replay"] == {**report, "state": "landed", "detail": "its replay is clean"}
    head_line, line = home("kb", "blame", "rule:learned", "body.text").stdout.splitlines()
    assert head_line.split()[:5] == ["field", "commit", "author", "time", "request"]
    assert line.split()[:3] == ["body.text", commit[:12], "ann"]
    assert line.split()[4:7] == ["req_1", "ann", "clean"]
    assert shown(home, "blame", "rule:utc", "title")[0]["replay"] is None


# ── verify ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_verify_counts_what_is_whole_and_lists_what_is_not(home: Home, base: KnowledgeBase) -> None:
    assert home("kb", "verify").stdout == "4 commits, 4 tree nodes, 4 items: all whole\n"
    item_hash = base.snapshot().hashes["metric:m"]
    with sqlite3.connect(home.folder / "state" / "kvasir.db") as connection:
        connection.execute("UPDATE kb_objects SET data = 'oops' WHERE object_id = ?", [item_hash])
        connection.execute("UPDATE kb_refs SET commit_id = 'gone' WHERE ref = 'heads/draft'")
    result = home("kb", "verify")
    assert result.exit_code == 1
    assert "dangling ref: commit gone is missing\n    reached by heads/draft\n" in result.stdout
    assert f"corrupt: item {item_hash} does not hash to its name" in result.stdout
    assert f"reached by heads/main → commit {base.resolve().id} → tree / → metric:m" in result.stdout
    assert result.stdout.endswith("2 broken\n")
    assert "restore" in result.stderr
    told = shown(home, "verify", code=1)
    assert not told["clean"]
    assert {problem["fault"] for problem in told["problems"]} == {"missing", "corrupt"}


# ── gc ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def trace(commit: str, items: tuple[Retrieved, ...] = (), **fields: Any) -> Trace:
    known = Trace("req_1", "default", "2030", "shop", "main", commit, "ses_1", "", "answered", (), "?", items, (), "h")
    return replace(known, answer="SELECT 1", **fields)


def abandoned(base: KnowledgeBase, name: str) -> str:
    """A commit on a branch that was deleted, with one item that no other commit has."""
    base.branch(name, at="main")
    commit = put(base, Item(f"rule:{name}", "Lost", Rule(name)), branch=name)
    base.delete_branch(name)
    return commit


def test_gc_deletes_what_nothing_names_once_it_is_old(home: Home, base: KnowledgeBase) -> None:
    abandoned(base, "lost")
    assert shown(home, "gc")["deleted"] == 0
    told = shown(home, "gc", "--grace", "0s", "--dry-run")
    assert (told["deleted"], told["dry_run"]) == (3, True)
    assert told["deleted_bytes"] > 300
    assert "3 of 15 objects would go" in home("kb", "gc", "--grace", "0s", "--dry-run").stdout
    assert f"3 of 15 objects deleted, {told['deleted_bytes']} of" in home("kb", "gc", "--grace", "0s").stdout
    assert shown(home, "gc", "--grace", "0s")["objects"] == 12
    assert home("kb", "verify").exit_code == 0


def test_what_a_trace_a_session_or_a_proposal_names_survives(home: Home, base: KnowledgeBase, database: Engine) -> None:
    traced, retrieved, placed, proposed, replayed, pinned, lost = (
        abandoned(base, name) for name in ("traced", "retrieved", "placed", "proposed", "replayed", "pinned", "lost")
    )

    def hash_of(commit: str, name: str) -> str:
        return base.snapshot(commit).hashes[f"rule:{name}"]

    item = Retrieved("rule:retrieved", hash_of(retrieved, "retrieved"), "rule", "Lost", 1.0, ("always",))
    Traces(database).keep(trace(traced, (item,)))
    reference = Reference("rule:placed", hash_of(placed, "placed"))
    scope = Scope("default", "shop", base.name)
    Sessions(database).keep(scope, "ses_1", ask("?"), Placements((reference,)), "SELECT 1")
    proposal = Proposals(database).confirm(trace(traced), "success", None, None, "ann")
    assert proposal is not None
    Proposals(database).keep(replace(proposal, commit=proposed, report={"base": replayed, "head": proposed}))
    home.configure(f'home = "state"\n[assistants.shop]\nkb = "main"\ncommit = "{pinned[:12]}"\n')
    hashes = [item.item_hash, reference.item_hash]
    assert shown(home, "gc", "--grace", "0s")["deleted"] > 0
    for commit, name in ((traced, "traced"), (proposed, "proposed"), (replayed, "replayed"), (pinned, "pinned")):
        assert base.item(f"rule:{name}", commit).body == Rule(name)
    assert [each.id for each in base.items_by_hash(hashes).values()] != []
    kept = {each.id for each in base.store.objects(base.id)}
    assert kept >= set(hashes)
    assert kept.isdisjoint({retrieved, placed, lost})


def test_a_trace_of_another_tenant_keeps_nothing(home: Home, base: KnowledgeBase, database: Engine) -> None:
    commit = abandoned(base, "lost")
    Traces(database).keep(trace(commit, tenant="rival"))
    assert shown(home, "gc", "--grace", "0s")["deleted"] == 3


@pytest.mark.parametrize("command", ["merge", "cherry-pick", "blame", "verify", "gc"])
def test_each_command_says_what_it_does_and_knows_json(home: Home, command: str) -> None:
    result = home("kb", command, "--help")
    assert result.exit_code == 0
    assert "--json" in result.stdout
    assert command in home("kb", "--help").stdout
