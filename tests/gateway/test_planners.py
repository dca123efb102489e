"""Planners by engine and tenant: who influences whose, and that the stored traces restore them."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.conversation import ask
from gateway.placements import Placed, Placements
from gateway.planners import Planners
from gateway.prompt import Prompt, assemble
from gateway.traces import Trace, Traces
from kb.database import open_database, upgrade
from kb.items import Gotcha, Item

NUMBERS = itertools.count()
INSTRUCTIONS = "Answer with one query."
POOL = [Placed(Item(f"gotcha:{name}", name, Gotcha(name)), name) for name in "abcde"]
STREAM = st.lists(st.lists(st.sampled_from(POOL), min_size=1, unique=True).map(tuple), max_size=12)


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traces]:
    database = open_database(f"sqlite:///{tmp_path_factory.mktemp('state')}/state.db")
    upgrade(database)
    yield Traces(database)
    database.dispose()


def trace_of(prompt: Prompt, tenant: str, engine: str | None = "main") -> Trace:
    number = next(NUMBERS)
    return Trace(
        id=f"req_{number}",
        tenant=tenant,
        created_at=f"2026-01-01T00:00:00.{number:06}",
        assistant="shop",
        kb="shop",
        commit="c",
        session_id="ses",
        user="",
        status="answered",
        messages=ask("q").messages,
        question="q",
        items=(),
        prompt=prompt.messages,
        prompt_hash=prompt.hash,
        parts=prompt.parts,
        prompt_order=prompt.order,
        answered_by="engine" if engine else "verified",
        engine=engine,
    )


def planned(planners: Planners, items: tuple[Placed, ...], tenant: str, engine: str = "main") -> Prompt:
    planner = planners.of(engine, tenant)
    assert planner is not None
    return assemble(INSTRUCTIONS, ask("q"), Placements(planner.planned(INSTRUCTIONS, items)))


def serve(traces: Traces, planners: Planners, items: tuple[Placed, ...], tenant: str, engine: str = "main") -> Prompt:
    """As the gateway does it: plan, answer, store, remember."""
    prompt = planned(planners, items, tenant, engine)
    traces.keep(trace_of(prompt, tenant, engine))
    planners.served(engine, tenant, prompt)
    return prompt


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STREAM, st.integers(1, 30))
def test_the_stored_traces_restore_what_is_remembered(
    traces: Traces, stream: list[tuple[Placed, ...]], blocks: int
) -> None:
    tenant = f"tenant-{next(NUMBERS)}"
    planners = Planners(traces, {"main": blocks})
    for items in stream:
        serve(traces, planners, items, tenant)
    there, restored = planners.of("main", tenant), Planners(traces, {"main": blocks}).of("main", tenant)
    assert there is not None
    assert restored is not None
    assert restored.paths() == there.paths()
    assert len(restored) <= blocks
    for planner in (there, restored):
        planner.served([b"x", b"y", b"z"])
    assert restored.paths() == there.paths(), "both forget the same"


def test_another_tenants_traffic_and_another_engines_move_nothing(traces: Traces) -> None:
    a, b, c, d, e = POOL
    planners = Planners(traces, {"main": 100, "other": 100})
    serve(traces, planners, (a, c), "acme")
    expected = planned(planners, (a, b, c), "acme")
    assert expected.order == "planned"
    for tenant, engine in (("rival", "main"), ("acme", "other")):
        for items in ((b, c), (b,), (d, e), tuple(POOL)):
            serve(traces, planners, items, tenant, engine)
        assert planned(planners, (a, b, c), tenant, engine) != expected
    for known in (planners, Planners(traces, {"main": 100, "other": 100})):
        assert planned(known, (a, b, c), "acme") == expected


def test_a_tenant_that_fills_its_memory_leaves_anothers_as_it_was(traces: Traces) -> None:
    planners = Planners(traces, {"main": 3})
    a, b, c, *_ = POOL
    serve(traces, planners, (a, c), "small")
    for items in itertools.permutations(POOL, 3):
        serve(traces, planners, items, "large")
    assert planned(planners, (a, b, c), "small").order == "planned"


def test_only_what_an_engine_answered_is_restored(traces: Traces) -> None:
    a, _, c, *_ = POOL
    prompt = assemble(INSTRUCTIONS, ask("q"), Placements((a, c)))
    traces.keep(trace_of(prompt, "restored", engine=None))
    traces.keep(replace(trace_of(prompt, "restored"), parts=()))
    planner = Planners(traces, {"main": 100}).of("main", "restored")
    assert planner is not None
    assert len(planner) == 0


def test_a_tenant_whose_planner_is_restored_keeps_no_other_waiting(
    traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, read_on = threading.Event(), threading.Event()
    newest = traces.newest

    def slow(tenant: str, assistant: str | None, limit: int) -> Iterator[Trace]:
        if tenant == "large":
            reading.set()
            assert read_on.wait(timeout=60)
        return newest(tenant, assistant, limit)

    monkeypatch.setattr(traces, "newest", slow)
    planners = Planners(traces, {"main": 100})
    with ThreadPoolExecutor() as threads:
        twice = [threads.submit(planners.of, "main", "large") for _ in range(2)]
        assert reading.wait(timeout=60)
        try:
            assert threads.submit(planners.of, "main", "other").result(timeout=60) is not None
            assert not any(one.done() for one in twice)
        finally:
            read_on.set()
        first, second = (one.result(timeout=60) for one in twice)
    assert first is not None
    assert first is second


def test_an_engine_without_blocks_has_no_planner(traces: Traces) -> None:
    planners = Planners(traces, {"main": 0})
    assert planners.of("main", "acme") is None
    assert planners.of("unknown", "acme") is None
    assert planners.of(None, "acme") is None
    planners.served("main", "acme", assemble(INSTRUCTIONS, ask("q"), Placements()))
