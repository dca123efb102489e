"""What caches hold, on both databases: who leaves gets its time once, and who is read again keeps what it has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cached_commits import CachedCommits
from kb.database import open_database, upgrade
from kb.store import BaseId

SHOP, RIVAL = BaseId("acme", "shop"), BaseId("rival", "shop")
URL, OTHER = "http://cache:1", "http://cache:2"


@pytest.fixture(params=["sqlite", "postgres"])
def commits(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CachedCommits]:
    sqlite = f"sqlite:///{tmp_path}/state.sqlite"
    database = open_database(sqlite if request.param == "sqlite" else request.getfixturevalue("fresh_postgres"))
    upgrade(database)
    yield CachedCommits(database)
    database.dispose()


def held(commits: CachedCommits, base: BaseId = SHOP, url: str = URL) -> dict[str, float | None]:
    return {each.commit: each.release_at for each in commits.of(base, [url])}


def test_what_is_left_is_due_at_its_first_time_until_the_cache_took_it(commits: CachedCommits) -> None:
    for commit in ("a", "b"):
        commits.add(SHOP, commit, [URL, OTHER])
    commits.add(RIVAL, "a", [URL])
    commits.leave(SHOP, ["b"], [URL], 100.0)
    commits.leave(SHOP, ["b"], [URL], 200.0)
    assert (held(commits), held(commits, url=OTHER)) == ({"a": 100.0, "b": None}, {"a": None, "b": None})
    assert held(commits, RIVAL) == {"a": None}
    assert commits.due([URL], 99.0) == []
    assert commits.next_release([URL], after=99.0) == 100.0
    assert commits.next_release([URL], after=100.0) is None
    (due,) = commits.due([URL, OTHER], 100.0)
    assert (due.base, due.commit, due.cache_url) == (SHOP, "a", URL)
    commits.forget(due)
    commits.forget(due)
    assert held(commits) == {"b": None}


def test_what_is_read_again_stays_though_its_release_is_under_way(commits: CachedCommits) -> None:
    commits.add(SHOP, "a", [URL])
    commits.leave(SHOP, [], [URL], 100.0)
    (due,) = commits.due([URL], 100.0)
    commits.add(SHOP, "a", [URL])
    commits.forget(due)
    assert held(commits) == {"a": None}
