"""What a gate's names are read as, and that folders are compared without a change of the state."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from evals.cli import group
from evals.errors import GitFailed, SideNotFound
from evals.sides import Sides, open_sides
from gateway.errors import AssistantNotFound
from gateway.settings import AssistantSettings
from kb.embedding import SentenceEmbedder
from kb.errors import FolderInvalid
from kb.folder import export_folder

from .conftest import OpenShop, Shop, gotcha, success

QUESTION = "How many orders placed in 2025 were cancelled?"
SQL = "SELECT count(*) FROM orders WHERE state = 'cancelled'"
WRONG = SQL.replace("state", "status")
SUITE = f"""\
suite: shop
assistant: shop
cases:
  - id: cancelled
    question: {QUESTION}
    expect:
      - sql_result: {{sql: "{SQL}"}}
"""


@pytest.fixture
def git(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs git in a folder, with settings of its own alone."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "ann")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "ann@example.test")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")

    def run(folder: Path, *arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    return run


@pytest.fixture
def kept(open_shop: OpenShop, shop_database: Path, git: Callable[..., str]) -> Shop:
    """A shop of verified answers alone, whose knowledge is in the Git repository `repo` at `knowledge`, tagged v1."""
    shop = open_shop(with_engine=False, verified_answers=True)
    (shop.folder / "kvasir.toml").write_text(
        f'home = "home"\n[datasources.shop]\nurl = "sqlite:///{shop_database}"\n'
        '[assistants.shop]\nkb = "shop"\ndatasource = "shop"\nverified_answers = true\n'
    )
    shop.learn(success("cancelled", QUESTION, SQL))
    export(shop)
    repo = shop.folder / "repo"
    (repo / "suite.yaml").write_text(SUITE)
    git(repo, "init", "--quiet", "--initial-branch=trunk")
    git(repo, "add", ".")
    git(repo, "commit", "--quiet", "--message=Knowledge")
    git(repo, "tag", "v1")
    return shop


def knowledge(shop: Shop) -> Path:
    return shop.folder / "repo" / "knowledge"


def export(shop: Shop) -> None:
    export_folder(shop.base.snapshot(), knowledge(shop))


def sides(shop: Shop, base: object, head: object, **options: Path | None) -> Sides:
    fields = {"knowledge": None, "suite_folder": shop.folder / "repo", **options}
    return open_sides(shop.core, "shop", tenant="default", base=str(base), head=str(head), **fields)  # type: ignore[arg-type]


def answers(found: Sides) -> list[object]:
    """The confirmed answer at base and at head."""
    base = found.core.base("default", "shop")
    return [getattr(base.item("success:cancelled", side).body, "answer", None) for side in (found.base, found.head)]


def spoil(shop: Shop) -> None:
    file = knowledge(shop) / "success" / "cancelled.md"
    file.write_text(file.read_text().replace(SQL, WRONG))


def test_two_commits_are_compared_where_they_are(kept: Shop) -> None:
    found = sides(kept, "main~1", "main")

    assert found.core is kept.core
    assert (found.base, found.head, found.told) == (kept.base.resolve("main~1").id, kept.head, ())


def test_a_folder_is_compared_with_a_git_revision_of_it(kept: Shop, git: Callable[..., str]) -> None:
    spoil(kept)
    before = kept.base.branches(), kept.core.store.bases("default")

    found = sides(kept, "v1", knowledge(kept))

    assert answers(found) == [SQL, WRONG]
    commit = git(kept.folder / "repo", "rev-parse", "v1")
    items = len(kept.base.snapshot().items)
    assert found.told == (
        f"base: folder {knowledge(kept)} at v1, Git commit {commit[:12]}, {items} items",
        f"head: folder {knowledge(kept)}, {items} items",
    )
    assert (kept.base.branches(), kept.core.store.bases("default")) == before
    assert git(kept.folder / "repo", "status", "--porcelain") == "M knowledge/success/cancelled.md"


def test_a_folder_is_compared_with_a_commit_of_the_base(kept: Shop) -> None:
    spoil(kept)

    assert answers(sides(kept, "main", knowledge(kept))) == [SQL, WRONG]
    assert answers(sides(kept, knowledge(kept), "main")) == [WRONG, SQL]


def test_two_git_revisions_are_of_the_folder_that_is_named(kept: Shop, git: Callable[..., str]) -> None:
    spoil(kept)
    git(kept.folder / "repo", "commit", "--all", "--quiet", "--message=Spoil")

    assert answers(sides(kept, "trunk~1", "trunk", knowledge=knowledge(kept))) == [SQL, WRONG]
    with pytest.raises(FolderInvalid, match=r"^trunk~1:\./: holds no items"):
        sides(kept, "trunk~1", "trunk", suite_folder=kept.folder / "repo" / "knowledge" / "..")


def test_the_same_folder_is_the_same_commit_each_time(kept: Shop) -> None:
    first, again = sides(kept, "v1", knowledge(kept)), sides(kept, "v1", knowledge(kept))

    assert first.base == first.head == again.head


def test_an_item_that_reads_what_heads_schema_lost_is_in_quarantine(kept: Shop) -> None:
    file = knowledge(kept) / "schema" / "orders.md"
    lines = file.read_text().splitlines(keepends=True)
    at = lines.index("- name: state\n")
    end = next(i for i in range(at + 1, len(lines)) if not lines[i].startswith("  "))
    file.write_text("".join(line for line in lines[:at] + lines[end:] if line != "- orders.state\n"))

    found = sides(kept, "v1", knowledge(kept))

    base = found.core.base("default", "shop")
    statuses = [base.item("success:cancelled", side).status for side in (found.base, found.head)]
    assert statuses == ["active", "quarantined"]


def test_a_path_goes_before_a_revision_and_a_revision_before_git(
    kept: Shop, git: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    git(kept.folder / "repo", "branch", "main")
    kept.learn(success("cancelled", QUESTION, WRONG))
    assert answers(sides(kept, "main", knowledge(kept))) == [WRONG, SQL]

    monkeypatch.chdir(kept.folder / "repo")
    Path("main").symlink_to("knowledge")
    assert answers(sides(kept, "main", "main~0")) == [SQL, WRONG]


def test_a_base_that_is_not_there_yet_leaves_folders_and_git(kept: Shop) -> None:
    moved = kept.core.settings.model_copy(update={"assistants": {"shop": AssistantSettings(kb="new")}})
    new = replace(kept, core=replace(kept.core, settings=moved))

    found = sides(new, "v1", knowledge(kept))

    assert found.core.base("default", "new").resolve(found.head).id == found.head
    assert kept.core.store.bases("default") == ["shop"]
    with pytest.raises(SideNotFound, match="no knowledge base to look for 'v2'"):
        sides(new, "v2", knowledge(kept))


def test_what_is_nowhere_says_where_was_looked(kept: Shop, tmp_path: Path) -> None:
    with pytest.raises(
        SideNotFound, match=r"'v9' in 'shop', no folder .* no revision of the Git repository of .*fetch"
    ):
        sides(kept, "v9", "main", knowledge=knowledge(kept))
    with pytest.raises(SideNotFound, match=r"no Git repository at .*say with --knowledge"):
        sides(kept, "v9", "main", knowledge=tmp_path)
    for odd in ("--all", "", " ", "HEAD:knowledge"):
        with pytest.raises(SideNotFound):
            sides(kept, odd, "main", knowledge=knowledge(kept))
    with pytest.raises(AssistantNotFound):
        open_sides(kept.core, "shop", tenant="other", base="main", head="main", knowledge=None, suite_folder=tmp_path)


def test_a_mistake_in_git_is_told_with_revision_file_line_and_field(kept: Shop, git: Callable[..., str]) -> None:
    (knowledge(kept) / "gotcha").mkdir()
    (knowledge(kept) / "gotcha" / "x.md").write_text("---\nid: gotcha:x\ntitel: X\n---\n\nText.\n")
    git(kept.folder / "repo", "add", ".")
    git(kept.folder / "repo", "commit", "--quiet", "--message=Torn")

    with pytest.raises(FolderInvalid) as caught:
        sides(kept, "trunk", "v1", knowledge=knowledge(kept))

    error = caught.value
    assert (error.file, error.line, error.field) == ("trunk:knowledge/gotcha/x.md", 3, "titel")
    with pytest.raises(FolderInvalid, match=r"repo/knowledge/gotcha/x\.md:3, field 'titel'"):
        sides(kept, "v1", knowledge(kept))


def test_a_repository_that_git_does_not_read_is_told(kept: Shop, git: Callable[..., str]) -> None:
    blob = git(kept.folder / "repo", "rev-parse", "v1:knowledge/success/cancelled.md")
    (kept.folder / "repo" / ".git" / "objects" / blob[:2] / blob[2:]).unlink()

    with pytest.raises(GitFailed, match="'git cat-file --batch'"):
        sides(kept, "v1", knowledge(kept))


# ── on the command line ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_gate_over_git_exits_0_when_clean_1_on_a_regression_and_2_on_a_mistake(
    kept: Shop, monkeypatch: pytest.MonkeyPatch, embedder: SentenceEmbedder
) -> None:
    monkeypatch.setattr("gateway.core.SentenceEmbedder", lambda _model: embedder)

    def gate(base: object, head: object, *options: object) -> Result:
        suite, config = kept.folder / "repo" / "suite.yaml", kept.folder / "kvasir.toml"
        arguments = ["gate", suite, "--base", base, "--head", head, "--config", config, *options]
        return CliRunner().invoke(group, [str(each) for each in arguments])

    head = kept.head
    export_folder(kept.base.snapshot(kept.learn(gotcha("returns", "Refunds are in cents.", "refund"))), knowledge(kept))
    clean = gate("v1", knowledge(kept))
    spoil(kept)
    worse = gate("v1", knowledge(kept), "--json")
    (knowledge(kept) / "success" / "cancelled.md").write_text("no item")
    torn = gate("v1", knowledge(kept))
    nowhere = gate("v1", "v2", "--knowledge", knowledge(kept))

    assert (clean.exit_code, worse.exit_code, torn.exit_code, nowhere.exit_code) == (0, 1, 2, 2), clean.output
    assert f"head: folder {knowledge(kept)}, " in worse.stderr
    assert "worse     cancelled" in worse.stderr
    assert "cancelled.md:1: does not start with a '---' line" in torn.stderr
    assert "no revision of the Git repository of" in nowhere.stderr
    assert head == kept.base.resolve("main~1").id
