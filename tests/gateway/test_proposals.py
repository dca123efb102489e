"""Confirmations and the queue of proposals: nothing is lost, nothing is worked on twice, on either database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import pytest

from gateway.errors import ProposalAmbiguous, ProposalChanged, ProposalNotFound, VerdictConflict
from gateway.proposals import Proposal, Proposals
from gateway.traces import Trace
from kb.database import open_database, upgrade

T = TypeVar("T")
WORKERS = 8
SERVED = {("acme", "shop"), ("rival", "shop")}


@pytest.fixture(params=["sqlite", "postgresql"])
def proposals(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Proposals]:
    url = f"sqlite:///{tmp_path}/state.db" if request.param == "sqlite" else request.getfixturevalue("fresh_postgres")
    database = open_database(url)
    upgrade(database)
    yield Proposals(database)
    database.dispose()


def trace(name: str, tenant: str = "acme") -> Trace:
    return Trace(
        id=f"req_{name}",
        tenant=tenant,
        created_at="2026-01-01T00:00:00+00:00",
        assistant="shop",
        kb="shop",
        commit="0" * 64,
        session_id="ses",
        user="",
        status="answered",
        messages=(),
        question="q",
        items=(),
        prompt=(),
        prompt_hash="0" * 64,
        answer="SELECT 1",
    )


def queued(proposals: Proposals, name: str, tenant: str = "acme") -> Proposal:
    proposal = proposals.confirm(trace(name, tenant), "success", None, None, "ann")
    assert proposal is not None
    return proposal


def at_once(call: Callable[[int], T]) -> list[T]:
    """The results of `WORKERS` calls that begin together."""
    barrier = threading.Barrier(WORKERS)

    def wait_and_call(number: int) -> T:
        barrier.wait()
        return call(number)

    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(wait_and_call, range(WORKERS)))


def test_workers_that_ask_at_once_never_get_the_same_proposal(proposals: Proposals) -> None:
    ids = {queued(proposals, str(number)).id for number in range(WORKERS - 2)}

    def take_all(_: int) -> list[str]:
        taken = []
        while proposal := proposals.lease(60, assistants=SERVED):
            taken.append(proposal.id)
        return taken

    taken = [name for each in at_once(take_all) for name in each]
    assert len(taken) == len(set(taken))
    assert set(taken) == ids


def test_a_lease_that_ran_out_gives_the_proposal_to_the_next_and_counts_the_attempt(proposals: Proposals) -> None:
    queued(proposals, "a")
    first = proposals.lease(0.2, assistants=SERVED)
    assert first is not None
    assert proposals.lease(60, assistants=SERVED) is None
    time.sleep(0.25)
    second = proposals.lease(60, assistants=SERVED)
    assert second is not None
    assert (second.id, first.attempts, second.attempts) == (first.id, 1, 2)


def test_a_renewed_lease_is_kept_from_others(proposals: Proposals) -> None:
    queued(proposals, "a")
    held = proposals.lease(0.2, assistants=SERVED)
    assert held is not None
    proposals.renew(held, 60)
    time.sleep(0.25)
    assert proposals.lease(60, assistants=SERVED) is None


def test_the_oldest_is_taken_first_and_what_ended_is_never_taken(proposals: Proposals) -> None:
    oldest, newer = queued(proposals, "b"), queued(proposals, "a")
    first = proposals.lease(60, assistants=SERVED)
    assert first is not None
    assert first.id == oldest.id
    proposals.keep(replace(first, state="landed"))
    second = proposals.lease(60, assistants=SERVED)
    assert second is not None
    assert second.id == newer.id
    proposals.keep(replace(second, state="waiting"))
    assert proposals.lease(60, assistants=SERVED) is None


def test_a_proposal_that_is_to_be_tried_later_is_not_taken_before(proposals: Proposals) -> None:
    queued(proposals, "a")
    held = proposals.lease(60, assistants=SERVED)
    assert held is not None
    held = proposals.keep(held, retry_in_seconds=60)
    assert proposals.lease(60, assistants=SERVED) is None
    proposals.keep(held)
    assert proposals.lease(60, assistants=SERVED) is not None


def test_a_verdict_given_at_once_by_many_is_one_proposal(proposals: Proposals) -> None:
    ids = {proposal.id for proposal in at_once(lambda _: queued(proposals, "a"))}
    assert len(ids) == 1
    assert [proposal.id for proposal in proposals.list("acme")] == [*ids]


def test_of_contradicting_verdicts_given_at_once_one_stands(proposals: Proposals) -> None:
    def give(number: int) -> bool:
        verdict, answer = ("success", None) if number % 2 else ("failure", "SELECT 2")
        try:
            proposals.confirm(trace("a"), verdict, answer, None, "ann")  # type: ignore[arg-type]
        except VerdictConflict:
            return False
        return True

    stood = at_once(give)
    assert stood.count(True) == WORKERS // 2
    assert len({number % 2 for number, stands in enumerate(stood) if stands}) == 1
    assert len(proposals.list("acme")) == 1


def test_a_failure_is_logged_and_its_correction_may_follow_once(proposals: Proposals) -> None:
    assert proposals.confirm(trace("a"), "failure", None, "no", "ann") is None
    assert proposals.lease(60, assistants=SERVED) is None
    first = proposals.confirm(trace("a"), "failure", "SELECT 2", None, "bob")
    assert first is not None
    again = proposals.confirm(trace("a"), "failure", "SELECT 2", None, "bob")
    assert again is not None
    assert again.id == first.id
    with pytest.raises(VerdictConflict):
        proposals.confirm(trace("a"), "failure", "SELECT 3", None, "bob")
    confirmation = proposals.confirmation("acme", "req_a")
    assert confirmation is not None
    assert (confirmation.answer, confirmation.confirmed_by) == ("SELECT 2", "bob")


def test_a_contradicting_verdict_changes_nothing(proposals: Proposals) -> None:
    proposal = queued(proposals, "a")
    before = proposals.confirmation("acme", "req_a")
    with pytest.raises(VerdictConflict, match="'success', which 'failure' with a correction contradicts"):
        proposals.confirm(trace("a"), "failure", "SELECT 2", None, "bob")
    assert proposals.confirmation("acme", "req_a") == before
    assert proposals.get("acme", proposal.id) == proposal


def test_a_tenant_sees_only_its_own(proposals: Proposals) -> None:
    ours, theirs = queued(proposals, "a", "acme"), queued(proposals, "a", "rival")
    assert ours.id != theirs.id
    assert [proposal.id for proposal in proposals.list("acme")] == [ours.id]
    with pytest.raises(ProposalNotFound):
        proposals.get("acme", theirs.id)
    assert proposals.counts() == {"queued": 2}


def test_a_proposal_is_named_by_the_beginning_of_its_id(proposals: Proposals) -> None:
    ours, theirs = queued(proposals, "a"), queued(proposals, "a", "rival")
    digits = ours.id.removeprefix("prop_")
    assert [proposals.id_of("acme", named) for named in (ours.id, digits, digits[:4], ours.id[:9])] == [ours.id] * 4
    for named in (theirs.id, "prop%", "x", "prop_", ""):
        with pytest.raises(ProposalNotFound):
            proposals.id_of("acme", named)


def test_a_beginning_that_several_have_names_them(proposals: Proposals) -> None:
    ids = sorted(queued(proposals, str(number)).id for number in range(17))
    first, second = next(pair for pair in pairwise(ids) if pair[0][:6] == pair[1][:6])
    with pytest.raises(ProposalAmbiguous, match="give more of the id") as caught:
        proposals.id_of("acme", first[:6])
    assert caught.value.found[:2] == (first, second)


def test_a_proposal_is_kept_whole(proposals: Proposals) -> None:
    proposal = queued(proposals, "a").with_step("check", "ok", "runs, 1 row")
    kept = proposals.keep(replace(proposal, state="landed", commit="c" * 64, report={"verdict": "clean"}))
    assert proposals.get("acme", proposal.id) == kept
    assert proposals.list("acme", state="landed") == [kept]
    assert proposals.list("acme", state="queued") == []


def test_a_worker_whose_lease_ran_out_overwrites_nothing(proposals: Proposals) -> None:
    queued(proposals, "a")
    late = proposals.lease(0.2, assistants=SERVED)
    time.sleep(0.25)
    second = proposals.lease(60, assistants=SERVED)
    assert late is not None
    assert second is not None
    proposals.renew(late, 0)
    assert proposals.lease(60, assistants=SERVED) is None
    landed = proposals.keep(replace(second, state="landed"))
    with pytest.raises(ProposalChanged):
        proposals.keep(replace(late, state="failed"))
    assert proposals.get("acme", landed.id).state == "landed"


def test_what_another_process_serves_is_left_to_it(proposals: Proposals) -> None:
    mine, other = queued(proposals, "a"), queued(proposals, "b", "rival")
    assert proposals.lease(60, assistants={("acme", "sales")}) is None
    assert proposals.lease(60, assistants=SERVED, only="prop_x") is None
    leased = proposals.lease(60, assistants=SERVED, only=other.id)
    assert leased is not None
    assert leased.id == other.id
    leased = proposals.lease(60, assistants={("acme", "shop")})
    assert leased is not None
    assert leased.id == mine.id


@pytest.mark.parametrize("state", ["failed", "rejected", "landed"])
def test_a_confirmed_answer_that_failed_its_checks_may_be_corrected(proposals: Proposals, state: str) -> None:
    refused = queued(proposals, "a")
    proposals.keep(replace(refused, state=state))  # type: ignore[arg-type]
    if state != "failed":
        with pytest.raises(VerdictConflict):
            proposals.confirm(trace("a"), "failure", "SELECT 2", None, "bob")
        return
    corrected = proposals.confirm(trace("a"), "failure", "SELECT 2", None, "bob")
    assert corrected is not None
    assert corrected.id != refused.id
    confirmation = proposals.confirmation("acme", "req_a")
    assert confirmation is not None
    assert (confirmation.verdict, confirmation.answer, confirmation.confirmed_by) == ("failure", "SELECT 2", "bob")


@pytest.mark.parametrize("state", ["failed", "rejected"])
def test_a_correction_that_came_to_nothing_may_be_followed_by_another(proposals: Proposals, state: str) -> None:
    assert proposals.confirm(trace("a"), "failure", None, "wrong month", "ann") is None
    typo = proposals.confirm(trace("a"), "failure", "SELEC 2", None, "bob")
    assert typo is not None
    proposals.keep(replace(typo, state=state))  # type: ignore[arg-type]
    better = proposals.confirm(trace("a"), "failure", "SELECT 2", None, "bob")
    assert better is not None
    assert better.id != typo.id
    confirmation = proposals.confirmation("acme", "req_a")
    assert confirmation is not None
    assert (confirmation.answer, confirmation.note, confirmation.confirmed_by) == ("SELECT 2", "wrong month", "bob")
    with pytest.raises(VerdictConflict):
        proposals.confirm(trace("a"), "failure", "SELECT 3", None, "bob")
