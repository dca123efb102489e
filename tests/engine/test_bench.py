"""The bench on the real pair: every place is what it says, by the engine's own count, and nothing is left behind."""

from __future__ import annotations

from typing import Any

import pytest

from backend.benching.run import BenchPlan, run_bench

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
