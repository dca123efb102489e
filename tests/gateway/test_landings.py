"""What follows when another commit is read: who has not warmed it does, and what nobody reads is given back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.cached_commits import CachedCommits
from gateway.landings import Landings
from gateway.settings import Settings
from gateway.testing import ScriptedCache
from gateway.warming import Warmed
from kb.embedding import SentenceEmbedder
from kb.knowledge_base import Changes

from .cached_shop import SUPPLIERS, CachedShop, eventually, opened, rule, settings_of


@pytest.fixture
def cache() -> ScriptedCache:
    return ScriptedCache()


@pytest.fixture
def settings(tmp_path: Path, cache: ScriptedCache, running: Any) -> Iterator[Settings]:
    with running(cache.app) as url:
        yield settings_of(tmp_path / "home", url)


@pytest.fixture
def shop(
    settings: Settings, cache: ScriptedCache, embedder: SentenceEmbedder, fill: Any, shop_items: Changes
) -> Iterator[CachedShop]:
    fill(settings, shop_items)
    with opened(settings, cache, embedder) as found:
        found.ask(SUPPLIERS)
        yield found


class Gateway:
    """One that follows: its landings, and what they warmed."""

    def __init__(self, shop: CachedShop, release_seconds: float) -> None:
        self.shop, self.warmed = shop, list[Warmed]()
        self._commits = CachedCommits(shop.core.database)
        tell = lambda _assistant, warmed: self.warmed.append(warmed)  # noqa: E731
        self.landings = Landings(shop.core, tell, release_seconds=release_seconds)
        self.landings.start()
        self.look()

    def look(self) -> None:
        """Have it see what is read now, and wait until it has."""
        self.landings.moved(self.shop.base, "main", self.shop.head)
        eventually(lambda: self.shop.head in self.held())

    def held(self) -> dict[str, float | None]:
        urls = [url for cache in self.shop.core.caches.values() for url in cache.urls]
        return {each.commit: each.release_at for each in self._commits.of(self.shop.base.id, urls)}


@pytest.fixture
def follow(shop: CachedShop) -> Iterator[Callable[..., Gateway]]:
    """Start a gateway over the shop; all are stopped after the test."""
    with ExitStack() as stack:

        def start(release_seconds: float = 600.0, over: CachedShop = shop) -> Gateway:
            gateway = Gateway(over, release_seconds)
            stack.callback(gateway.landings.stop)
            return gateway

        yield start


def test_a_commit_of_somebody_who_knows_no_cache_is_warmed_and_the_one_before_released(
    shop: CachedShop, cache: ScriptedCache, follow: Callable[..., Gateway]
) -> None:
    gateway = follow(release_seconds=0.0)
    assert shop.engine.warmed == []
    before = shop.head
    shop.commit(rule())
    gateway.look()
    eventually(lambda: before not in gateway.held())
    assert [one.computed for one in gateway.warmed] == [1]
    first, second = shop.commits_told()
    assert [(one.method, one.path) for one in cache.of("commits/")] == [("DELETE", f"commits/{first}")]
    assert second != first
    assert cache.told.index(cache.of("notes")[1]) < cache.told.index(cache.of("commits/")[0])
    assert gateway.held() == {shop.head: None}


def test_a_release_waits_until_the_cache_has_taken_it(
    shop: CachedShop, cache: ScriptedCache, follow: Callable[..., Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.landings.RETRY_SECONDS", 0.05)
    gateway = follow(release_seconds=0.0)
    before = shop.head
    shop.commit(rule())
    cache.status = 503
    gateway.look()
    eventually(lambda: len(cache.of("commits/")) >= 2)
    assert before in gateway.held()
    cache.status = 202
    eventually(lambda: before not in gateway.held())


def test_a_gateway_that_was_stopped_gives_back_when_it_comes_again(
    shop: CachedShop, cache: ScriptedCache, follow: Callable[..., Gateway]
) -> None:
    gateway = follow(release_seconds=3.0)
    before = shop.head
    shop.commit(rule())
    gateway.look()
    eventually(lambda: gateway.held()[before] is not None)
    gateway.landings.stop()
    assert cache.of("commits/") == []
    again = follow()
    eventually(lambda: before not in again.held())
    assert [one.path for one in cache.of("commits/")] == [f"commits/{shop.commits_told()[0]}"]
    assert again.warmed == []


def test_a_head_that_moved_while_no_gateway_ran_is_warmed_and_the_one_before_given_its_time(
    shop: CachedShop, follow: Callable[..., Gateway]
) -> None:
    follow().landings.stop()
    before = shop.head
    shop.commit(rule())
    again = follow()
    assert [one.computed for one in again.warmed] == [1]
    eventually(lambda: again.held()[before] is not None)
    assert again.held()[shop.head] is None


def test_a_second_gateway_warms_nothing_that_the_first_has_warmed(
    shop: CachedShop, settings: Settings, embedder: SentenceEmbedder, follow: Callable[..., Gateway]
) -> None:
    with opened(settings, shop.cache, embedder) as replica:
        first, second = follow(), follow(over=replica)
        shop.commit(rule())
        first.look()
        second.look()
        second.landings.stop()
        assert ([one.computed for one in first.warmed], second.warmed) == ([1], [])
        assert replica.engine.calls == []


def test_a_commit_that_another_assistant_is_pinned_to_is_not_released(
    shop: CachedShop, cache: ScriptedCache, embedder: SentenceEmbedder, settings: Settings, follow: Any
) -> None:
    first = shop.head
    cache_url = settings.engines["main"].cache_url
    assert cache_url is not None
    pinned = settings_of(settings.home, cache_url.get_secret_value(), shop={}, old={"commit": first})
    with opened(pinned, cache, embedder) as both:
        gateway = follow(release_seconds=0.0, over=both)
        second = both.commit(rule())
        gateway.look()
        both.commit(rule("Lead times are in weeks."))
        gateway.look()
        eventually(lambda: second not in gateway.held())
        assert gateway.held() == {first: None, both.head: None}
