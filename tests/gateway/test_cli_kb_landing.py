"""`--dry-run` of what changes a knowledge base, `kvasir kb commit`, and what a landing costs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.testing import ScriptedCache
from kb.embedding import SentenceEmbedder

from .cached_shop import SUPPLIERS, WillingEngine, opened, settings_of
from .cli_home import Home, copy_home, make_home

RULE = "---\nid: rule:days\ntitle: Days\n---\n\nLead times are in days.\n"
DOUBTED = "---\nid: rule:lost\ntitle: Lost\ndepends_on: [orders.nowhere]\n---\n\nOf what is not there.\n"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, shop_database: Path) -> Home:
    return make_home(tmp_path_factory.mktemp("prepared"), shop_database)


@pytest.fixture
def home(prepared: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embedder: SentenceEmbedder) -> Home:
    for name in [name for name in os.environ if name.startswith("KVASIR_")]:
        monkeypatch.delenv(name)
    # Loading the model again for every command takes seconds.
    monkeypatch.setattr("gateway.core.SentenceEmbedder", lambda _model: embedder)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "days.md").write_text(RULE)
    return copy_home(prepared, tmp_path / "home")


@pytest.fixture
def engine(
    home: Home, running: Any, embedder: SentenceEmbedder, monkeypatch: pytest.MonkeyPatch
) -> Iterator[WillingEngine]:
    """The shop's engine with a cache, over which one question was answered; commands have it for the configured one."""
    cache = ScriptedCache()
    with running(cache.app) as url:
        home.configure(
            'home = "state"\n[engines.main]\nmodel = "hosted_vllm/scripted"\napi_base = "http://127.0.0.1:1/v1"\n'
            f'cache_url = "{url}"\nwarm_seconds = 300\n[assistants.shop]\nkb = "shop"\nengine = "main"\n'
        )
        with opened(settings_of(home.folder / "state", url), cache, embedder) as shop:
            shop.ask(SUPPLIERS)
        willing = WillingEngine()
        monkeypatch.setattr("gateway.core._engines", lambda _settings: {"main": willing})
        yield willing


def shown(home: Home, *arguments: object) -> Any:
    result = home("kb", *arguments, "--kb", "shop", "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def branches(home: Home) -> Any:
    return home.state()[1][1]


def test_a_commit_puts_and_removes_items_and_says_what_is_odd_about_them(home: Home, tmp_path: Path) -> None:
    (tmp_path / "lost.md").write_text(DOUBTED)
    put = ["--put", "rule:days=days.md", "--put", "rule:lost=lost.md"]
    told = shown(home, "commit", *put, "--remove", "rule:what_counts", "-m", "By hand")
    assert told["message"] == "By hand"
    assert any("nowhere" in warning for warning in told["warnings"])
    assert "prefix" not in told
    assert shown(home, "show", "rule:days")["body"] == {"text": "Lead times are in days."}
    changes = {change["id"]: change["change"] for change in shown(home, "show")["changes"]}
    assert changes == {"rule:days": "added", "rule:lost": "added", "rule:what_counts": "removed"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to commit"),
        (["--put", "rule:weeks=days.md"], "the file holds rule:days"),
        (["--put", "days.md"], "--put days.md: expected is ITEM=FILE"),
        (["--put", "rule:gone=gone.md"], "gone.md cannot be read (No such file or directory)"),
        (["--put", "rule:days=days.md", "--remove", "rule:days"], "named twice"),
        (["--remove", "rule:unknown"], "rule:unknown"),
    ],
)
def test_a_commit_that_cannot_be_made_says_why_and_changes_nothing(home: Home, arguments: list[str], said: str) -> None:
    assert said in home.refused("kb", "commit", "--kb", "shop", *arguments)


def test_a_dry_run_tells_the_cost_and_changes_nothing(home: Home, engine: WillingEngine) -> None:
    before = branches(home)
    told = shown(home, "commit", "--put", "rule:days=days.md", "--dry-run")
    assert (told["dry_run"], told["id"]) == (True, None)
    (cost,) = told["prefix"]
    assert (cost["assistant"], cost["requests"], cost["unit"]) == ("shop", 1, "tokens")
    assert cost["prefix_kept"] > 0
    assert cost["prefix_invalidated"] > 0
    text = home("kb", "commit", "--put", "rule:days=days.md", "--kb", "shop", "--dry-run").stdout
    assert f"'shop': landing invalidates {cost['prefix_invalidated']:,} of " in text
    assert text.endswith("nothing was committed\n")
    assert (branches(home), engine.calls) == (before, [])


def test_other_commands_have_a_dry_run_too(home: Home, engine: WillingEngine, tmp_path: Path) -> None:
    home("kb", "branch", "draft", "--kb", "shop")
    home("kb", "commit", "--put", "rule:days=days.md", "--branch", "draft", "--kb", "shop")
    before = branches(home)
    shown(home, "export", tmp_path / "out")
    next((tmp_path / "out" / "rule").glob("*.md")).unlink()
    (tmp_path / "new").mkdir()
    for arguments, costly in (
        (("merge", "draft"), True),
        (("cherry-pick", "draft"), True),
        (("import", tmp_path / "out", "--prune"), True),
        (("revert", "main"), True),
        (("retire", "rule:what_counts"), True),
        (("retire", "rule:what_counts", "--branch", "draft"), False),
    ):
        told = shown(home, *arguments, "--dry-run")
        assert told["dry_run"], arguments
        assert bool(told["prefix"]) == costly, arguments
    made = home("kb", "import", tmp_path / "out", "--kb", "other", "--dry-run")
    assert "no assistant reads this branch" in made.stdout, made.output
    assert (branches(home), engine.calls) == (before, [])
    assert shown(home, "merge", "main", "--dry-run")["outcome"] == "up-to-date"


def test_a_commit_from_the_command_line_lands_warm_and_tells_its_cost(home: Home, engine: WillingEngine) -> None:
    before = branches(home)
    seen: list[bool] = []
    engine.while_warming = lambda: seen.append(branches(home) == before)
    told = shown(home, "commit", "--put", "rule:days=days.md")
    assert seen == [True]
    assert branches(home) != before
    assert [cost["assistant"] for cost in told["prefix"]] == ["shop"]
