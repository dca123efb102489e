"""What Kvasir takes out of the real LMCache's RAM where that is short."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from .conftest import Pair, running_pair, tiny_model
from .policy_pair import CHUNK, PolicyPair

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

RAM_CHUNKS = 160


@pytest.fixture(scope="module")
def small(engine_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """With RAM for 160 chunks of 512 bytes a token."""
    home = tmp_path_factory.mktemp("eviction")
    model = tiny_model(home, [Path(__file__).read_text(encoding="utf-8")])
    with running_pair(model, home, engine_python, l1_size_gb=0.02, use_case="chat") as pair:
        yield pair


def test_prompts_that_come_again_outlive_more_others_than_ram_holds(small):
    """By recency they would be the first to go. A chat is not on disk, so what is found was in RAM all the time."""
    with closing(PolicyPair(small.plan)) as policy:
        for _ in range(8):  # from these it is known that what is asked once seldom comes again
            policy.cached(policy.prompt(8 * CHUNK))
        returning = [policy.prompt(8 * CHUNK) for _ in range(4)]
        begun = time.monotonic()
        for _ in range(3):
            for prompt in returning:
                policy.cached(prompt)
                time.sleep(0.3)
        time.sleep(time.monotonic() - begun)  # more than four of their gaps after those asked once
        for _ in range(2 * RAM_CHUNKS // 14):
            policy.cached(policy.prompt(14 * CHUNK))
            time.sleep(1.0)  # LMCache evicts once a second
        assert small.lmcache_metrics()["lmcache_mp_l1_evicted_chunks_total"] > RAM_CHUNKS
        assert [policy.cached(prompt) for prompt in returning] == [8 * CHUNK] * 4
        assert policy.files() == 0
