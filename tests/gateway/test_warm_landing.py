"""A branch that assistants read moves once the new commit's prefixes are warm, whoever moves it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.errors import EngineUnreachable
from gateway.cached_commits import CachedCommits
from gateway.knowledge_prefix import STUB
from gateway.settings import Settings
from gateway.testing import ScriptedCache
from gateway.warm_landing import warm_landings
from kb.embedding import SentenceEmbedder
from kb.knowledge_base import Changes, KnowledgeBase
from kb.merge import merge
from kb.objects import Commit

from .cached_shop import REVIEWS, SUPPLIERS, CachedShop, eventually, opened, rule, settings_of

LANDING_PROCESS = Path(__file__).with_name("landing_process.py")


@pytest.fixture
def cache() -> ScriptedCache:
    return ScriptedCache()


@pytest.fixture
def cache_url(cache: ScriptedCache, running: Any) -> Iterator[str]:
    with running(cache.app) as url:
        yield url


@pytest.fixture
def shop(
    tmp_path: Path, cache_url: str, cache: ScriptedCache, embedder: SentenceEmbedder, fill: Any, shop_items: Changes
) -> Iterator[CachedShop]:
    settings = settings_of(tmp_path / "home", cache_url)
    fill(settings, shop_items)
    with opened(settings, cache, embedder) as found:
        found.ask(SUPPLIERS)
        yield found


def landing(shop: CachedShop) -> KnowledgeBase:
    """The base as a gateway has it."""
    return warm_landings(shop.core).base("default", "shop")


def land(base: KnowledgeBase, *put: Any, branch: str = "main") -> Commit:
    return base.commit(Changes(put=put), author="test", message="Land", branch=branch)


def test_the_head_moves_after_the_prefixes_were_computed_and_the_cache_was_told(shop: CachedShop) -> None:
    before, seen = shop.head, []
    shop.engine.while_warming = lambda: seen.append(shop.head)
    landed = land(landing(shop), rule())
    assert seen == [before]
    assert shop.head == landed.id
    # Told already, and low in priority; what was warmed is what the next prompt begins with.
    assert len(shop.commits_told()) == 2
    assert [call.sampling.priority for call in shop.engine.calls] == [0, 1]
    shop.ask(SUPPLIERS)
    assert [shop.engine.calls[-1].messages[0]["content"]] == shop.engine.warmed


@pytest.mark.parametrize("no_ff", [False, True])
def test_a_merge_lands_warm_too(shop: CachedShop, no_ff: bool) -> None:
    base, before, seen = landing(shop), shop.head, []
    base.branch("draft")
    land(base, rule(), branch="draft")
    assert shop.engine.warmed == []  # nobody reads the draft
    shop.engine.while_warming = lambda: seen.append(shop.head)
    merged = merge(base, "draft", author="test", no_ff=no_ff)
    assert (seen, shop.head) == ([before], merged.commit.id)


def test_without_a_budget_or_an_engine_a_commit_lands_as_it_is(shop: CachedShop) -> None:
    shop.core.caches["main"].warm_seconds = 0.0
    assert land(landing(shop), rule()).id == shop.head
    assert shop.engine.warmed == []
    shop.core.caches["main"].warm_seconds = 300.0

    def away() -> None:
        raise EngineUnreachable("main", "http://127.0.0.1:1/v1")

    shop.engine.while_warming = away
    assert land(landing(shop), rule("Lead times are in weeks.")).id == shop.head


def test_whoever_finds_the_branch_moved_lands_on_top_and_warms_no_longer_than_once(shop: CachedShop) -> None:
    shop.ask(REVIEWS)
    shop.core.caches["main"].warm_seconds = 0.2
    others: list[str] = []

    def another_comes_first() -> None:
        others.append(shop.commit(rule("Amounts are in euros.", "euros")))
        time.sleep(0.3)

    shop.engine.while_warming = another_comes_first
    landed = land(landing(shop), rule())
    assert (shop.head, landed.parent) == (landed.id, others[0])
    assert len(others) == 1


def test_a_commit_that_died_before_it_landed_is_given_its_time(shop: CachedShop) -> None:
    """And so is what its prefixes cost: the cache is told to delete it once nobody has come for it."""

    class Died(BaseException):
        pass

    def die() -> None:
        raise Died

    before = shop.head
    shop.engine.while_warming = die
    with pytest.raises(Died):
        land(landing(shop), rule())
    assert shop.head == before
    (held,) = CachedCommits(shop.core.database).of(shop.base.id, shop.core.caches["main"].urls)
    assert (held.commit == before, held.release_at) == (False, None)


def test_a_killed_process_leaves_the_branch_and_the_next_one_lands(shop: CachedShop, cache_url: str) -> None:
    before = shop.head

    def run(fatal: str) -> int:
        arguments = [shop.core.settings.state_url, cache_url, fatal]
        return subprocess.run([sys.executable, str(LANDING_PROCESS), *arguments], check=False, timeout=120).returncode

    assert run("kill") == -signal.SIGKILL
    assert shop.head == before
    assert run("none") == 0
    assert shop.base.head().parent == before
    assert shop.base.item("rule:days").title == "Days"


def test_a_gateway_lands_proposals_and_commits_warm_and_says_what_they_cost(
    tmp_path: Path, cache_url: str, serve: Callable[..., Any], make_settings: Callable[..., Settings]
) -> None:
    shop = settings_of(tmp_path / "home", cache_url)
    served = serve(shop)
    served.engine.enqueue("SELECT 1")
    asked = served.ask(SUPPLIERS).json()
    base, before = served.core.base("default", "shop"), served.core.base("default", "shop").head().id
    seen: list[str] = []
    complete = served.engine.complete

    async def watched(messages: Any, sampling: Any, **given: Any) -> Any:
        served.engine.enqueue("SELECT 1")
        if messages[1]["content"] == STUB:
            seen.append(base.head().id)
        return await complete(messages, sampling, **given)

    served.engine.complete = watched
    confirmed = served.confirm(asked["kvasir"]["request_id"], verdict="success")
    ended = served.ended(confirmed.json()["id"])
    assert ended["state"] == "landed", ended
    assert ended["report"]["prefix"]["requests"] == 1
    assert seen == [before]
    item = {"id": "rule:days", "kind": "rule", "title": "Days", "body": {"text": "Lead times are in days."}}
    body = {"message": "Land", "put": [item]}
    landed = served.client.post("/v1/kb/shop/commits", json=body)
    assert landed.status_code == 201, landed.text
    assert seen == [before, ended["commit"]]
    (cost,) = landed.json()["prefix"]
    assert (cost["assistant"], cost["requests"], cost["unit"]) == ("shop", 1, "tokens")
    assert cost["prefix_invalidated"] > cost["prefix_kept"] > 0
    counted = 'kvasir_warmed_prefixes_total{assistant="shop",outcome="computed",tenant="default"} 2.0'
    eventually(lambda: counted in served.client.get("/metrics").text)
