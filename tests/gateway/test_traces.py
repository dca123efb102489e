"""Traces as they are kept and listed, on either database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from gateway.traces import Summary, Trace, Traces
from kb.database import open_database, upgrade

ANSWERED = Trace(
    id="req_a",
    tenant="acme",
    created_at="2026-01-01T00:00:00+00:00",
    assistant="shop",
    kb="shop",
    commit="0" * 64,
    session_id="ses",
    user="ada",
    status="answered",
    messages=({"role": "user", "content": "q"},),
    question="q",
    items=(),
    prompt=({"role": "user", "content": "q"},),
    prompt_hash="0" * 64,
    answer="SELECT 1",
    answered_by="engine",
    engine="main",
    verification={"status": "passed", "rows": [[1]]},
    timings={"total_seconds": 0.25},
)
FAILED = replace(
    ANSWERED,
    id="req_b",
    created_at="2026-01-02T00:00:00+00:00",
    assistant="other",
    status="failed",
    answer=None,
    answered_by=None,
    verification=None,
    timings={},
    error="the engine is away",
)


@pytest.fixture(params=["sqlite", "postgresql"])
def traces(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Traces]:
    url = f"sqlite:///{tmp_path}/state.db" if request.param == "sqlite" else request.getfixturevalue("fresh_postgres")
    database = open_database(url)
    upgrade(database)
    kept = Traces(database)
    for trace in (ANSWERED, FAILED, replace(ANSWERED, tenant="rival")):
        kept.keep(trace)
    yield kept
    database.dispose()


def summary(trace: Trace, verification: str | None, total_seconds: float | None) -> Summary:
    same = {name: value for name, value in asdict(trace).items() if name in Summary.__slots__}
    return Summary(**{**same, "verification": verification, "total_seconds": total_seconds})


def test_a_summary_says_of_a_request_what_its_trace_does(traces: Traces) -> None:
    assert traces.summaries("acme", None, 10) == [summary(FAILED, None, None), summary(ANSWERED, "passed", 0.25)]
    assert [request.id for request in traces.summaries("acme", "shop", 10)] == ["req_a"]
    assert [request.id for request in traces.summaries("acme", None, 1)] == ["req_b"]
    assert traces.summaries("nobody", None, 10) == []
