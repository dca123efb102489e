"""Which prefixes return in each kind of traffic, and what is counted of it."""

from __future__ import annotations

from itertools import pairwise

import pytest

from backend.benching.figures import batch_figures, workload_figures
from backend.benching.workloads import WORKLOADS, code, conversations, documents, measure_batch, measure_workload
from backend.profiling.prompts import Prompts

from .scripted_pair import BASE, COMPUTED, SECONDS_A_TOKEN, scripted_target

PROMPTS = Prompts(range(1000))
LONGEST = 1200


def test_a_conversation_grows_at_its_end():
    by_session: dict[str, list[list[int]]] = {}
    for step in conversations(PROMPTS, LONGEST):
        by_session.setdefault(step.session, []).append(step.prompt)
    assert len(by_session) == 3
    for turns in by_session.values():
        assert [len(turn) for turn in turns] == [600, 800, 1000, 1200]
        assert all(later[: len(earlier)] == earlier for earlier, later in pairwise(turns))


def test_readers_of_a_document_share_it_and_nothing_else():
    steps = list(documents(PROMPTS, LONGEST))
    assert len({step.session for step in steps}) == 6
    assert len({tuple(step.prompt[:900]) for step in steps}) == 2
    assert [step.first for step in steps] == [True, True, False, False, False, False]


def test_an_editor_comes_back_to_an_empty_ram():
    steps = list(code(PROMPTS, LONGEST))
    assert [step.loss for step in steps] == ["nothing", "engine", "engine", "ram", "engine", "engine"]
    assert all(step.prompt[:900] == steps[0].prompt[:900] for step in steps)


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda one: one.name)
def test_no_workload_is_longer_than_the_window_allows(workload):
    assert max(len(step.prompt) for step in workload.steps(PROMPTS, LONGEST)) <= LONGEST


def test_a_returning_request_is_compared_with_a_cold_one_of_its_length():
    target = scripted_target("disk")
    requests = measure_workload(target, WORKLOADS[1], LONGEST, lambda _: None)
    back = [one for one in requests if not one.first]
    assert {one.cached_tokens for one in back} == {900}
    assert [one.seconds for one in back] == [pytest.approx(BASE + 900 * SECONDS_A_TOKEN["ram"] + 64 * COMPUTED)] * 4
    assert [one.cold_seconds for one in requests] == [pytest.approx(BASE + 964 * COMPUTED)] * 6
    ratio, hits = workload_figures("documents", requests)
    assert (ratio.n, hits.value) == (4, pytest.approx(4 * 900 / (6 * 964)))
    assert not target.pair.kept["ram"] & set(target.pair.sessions["kvasir-bench-reader-0-0"])  # type: ignore[attr-defined]


def test_a_batch_shares_its_instructions():
    runs = measure_batch(scripted_target("disk"), LONGEST, 1, lambda _: None)
    assert (runs[0].prompts, runs[0].tokens) == (4, 4 * 600)
    assert runs[0].cached_tokens >= 4 * 400
    assert batch_figures(runs)[1].value == pytest.approx(runs[0].cached_tokens / 2400)


def test_a_workload_that_is_ended_leaves_nothing_stored():
    target = scripted_target("disk")
    told: list[str] = []

    def end_at_the_third(message: str) -> None:
        told.append(message)
        if len(told) == 3:
            raise SystemExit(143)

    with pytest.raises(SystemExit):
        measure_workload(target, WORKLOADS[0], LONGEST, end_at_the_third)
    assert target.pair.sessions.keys() >= {"kvasir-bench-conversation-0", "kvasir-bench-conversation-1"}
    assert not any(target.pair.kept.values())
