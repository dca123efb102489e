"""The bench on the real pair: every place is what it says, by the engine's own count, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.benching.run import BenchPlan, run_bench
from backend.profiling.run import profile_backend
from backend.tiers.profile import read_profile

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

TOKENS = 1024


def test_a_prompt_is_measured_from_every_place_of_the_pair_and_nothing_is_left(pair: Any) -> None:
    before = set(pair.plan.kv_dir.glob("*.data"))
    report = run_bench(BenchPlan(pair.state_dir.parent, ("tiers", "gate"), lengths=(TOKENS,), repeats=1), print)
    assert {one.place for one in report.samples} == {"engine", "ram", "disk"}
    assert {one.what for one in report.skipped} == {"tiers: shared", "tiers: restart", "gate"}
    assert set(pair.plan.kv_dir.glob("*.data")) == before


def test_traffic_is_served_from_what_it_shares(pair: Any) -> None:
    report = run_bench(BenchPlan(pair.state_dir.parent, ("workloads",), lengths=(TOKENS,), repeats=1), print)
    hits = {figure.name: figure.value for figure in report.figures if figure.unit == "share"}
    # Of each, the shared prefix is at least half of what returns, and chunks are a quarter of a prompt.
    assert len(hits) == 4
    assert min(hits.values()) > 0.25


def test_an_address_alone_is_measured_as_far_as_it_goes(pair: Any) -> None:
    plan = BenchPlan(pair.state_dir.parent, ("tiers",), lengths=(512,), repeats=2, api_base=pair.api_base)
    report = run_bench(plan, print)
    assert {one.place for one in report.samples} == {"engine"}
    assert len(report.samples) == 2


@pytest.fixture
def without_profile(pair: Any) -> Iterator[Path]:
    """Where the profile of the pair will lie, which the tests after this one do without."""
    path = pair.state_dir / "profile.json"
    yield path
    path.unlink(missing_ok=True)
    httpx.post(f"{pair.cache_url}/kvasir/profile/reload").raise_for_status()


def test_a_profile_is_measured_and_the_gates_use_it(pair: Any, without_profile: Path) -> None:
    lengths = [256, 512, TOKENS]
    run = profile_backend(pair.state_dir, lengths=lengths, repeats=1, on_progress=print)
    assert read_profile(without_profile) == run.profile
    assert set(run.profile.tiers) == {"ram", "disk"}
    assert run.profile.prefill.seconds(TOKENS) > 0
    assert run.profile.tokenizer_tokens_per_second > 0
    for tier in run.profile.tiers.values():
        assert [one.tokens for one in tier.load_samples if min(one.seconds) > 0] == lengths
        assert {one.tokens for one in tier.store_samples if min(one.seconds) > 0}  # LMCache may drop an event
    status = httpx.get(f"{pair.cache_url}/kvasir/status").json()
    assert status["profile"] is not None
    report = run_bench(BenchPlan(pair.state_dir.parent, ("gate",), lengths=(TOKENS,), repeats=1), print)
    assert report.skipped == report.failed == []
    assert [one.tier for one in report.gate_samples] == ["ram", "disk"]
