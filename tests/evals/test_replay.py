"""The replay of a change of knowledge, over real retrieval and a real database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from backend.client import Completion, Message, Sampling
from backend.errors import ContextTooLong, EngineTimeout, EngineUnreachable
from evals.case import Case, Retrieves, SqlResult
from evals.replay import SuiteReplay, compare
from evals.run import prepare_case
from gateway.answering import Prepared
from gateway.conversation import ask
from gateway.core import Assistant, Core
from gateway.message_chain import Scope
from gateway.placements import Placements
from gateway.replay import CaseOutcome, CaseReplay
from gateway.tables import replay_answers, requests, turns
from gateway.testing import ScriptedEngine
from kb.items import Item, Schema
from kb.knowledge_base import Changes

from .conftest import OpenShop, Shop, gotcha, success
from .replayed import (
    BY_STATE,
    BY_STATUS,
    CANCELLED,
    HINT,
    WRONG_HINT,
    cancelled,
    germans,
    replayed,
)


def test_a_change_that_no_prompt_shows_calls_no_engine(shop: Shop) -> None:
    before = shop.head
    shop.learn(gotcha("returns", "Refunds are in cents.", "refund amount"))

    report = replayed(shop, cancelled, germans, base=before)

    assert shop.engine.calls == []
    assert (report.verdict, report.engine_calls, report.base, report.head) == ("clean", 0, before, shop.head)
    assert [(c.prompt_changed, c.verdict, c.base, c.head) for c in report.cases] == [(False, "same", None, None)] * 2


def test_only_the_case_whose_prompt_changed_goes_to_the_engine_on_both_sides(shop: Shop) -> None:
    before = shop.head
    shop.learn(HINT)
    shop.engine.enqueue(BY_STATUS, BY_STATE)

    report = replayed(shop, cancelled, germans, base=before)

    touched, untouched = report.cases
    assert (touched.verdict, untouched.verdict, report.verdict) == ("better", "same", "clean")
    assert (touched.base, touched.head) == (touched.base, CaseOutcome(1, 1, answer=BY_STATE))
    assert touched.base is not None
    assert touched.base.reason.startswith("SINGLE_CELL_DIFFERENCE")
    assert touched.base.answer == BY_STATUS
    assert (untouched.prompt_changed, report.engine_calls) == (False, 2)
    prompts = [call.messages[0]["content"] for call in shop.engine.calls]
    assert ["gotcha:state" in prompt for prompt in prompts] == [False, True]
    assert {call.cache_salt for call in shop.engine.calls} == {"default"}


def test_a_planted_wrong_item_is_a_regression(shop: Shop) -> None:
    before = shop.head
    shop.learn(WRONG_HINT)
    shop.engine.enqueue(BY_STATE, f"```sql\n{BY_STATUS};\n```")

    report = replayed(shop, cancelled, base=before)

    assert (report.cases[0].verdict, report.verdict) == ("worse", "regression")
    assert "head: SINGLE_CELL_DIFFERENCE" in report.cases[0].detail


def test_a_case_that_fails_on_both_sides_is_the_same(shop: Shop) -> None:
    before = shop.head
    shop.learn(HINT)
    shop.engine.enqueue("I do not know.", "SELECT * FROM nowhere")

    report = replayed(shop, cancelled, base=before)

    outcome = report.cases[0]
    assert outcome.base is not None
    assert outcome.head is not None
    assert (outcome.verdict, report.verdict) == ("same", "clean")
    assert (outcome.base.reason.partition(":")[0], outcome.head.reason.partition(":")[0]) == (
        "NOT_SQL",
        "EXECUTION_ERROR",
    )


def test_what_is_refused_to_who_asks_is_no_right_answer(shop: Shop) -> None:
    """SQLite takes a text in double quotes for a text, where no column is called so; the check of answers does not."""
    before = shop.head
    shop.learn(HINT)
    shop.engine.enqueue(BY_STATE.replace("'", '"'), BY_STATE)

    report = replayed(shop, cancelled, base=before)

    outcome = report.cases[0]
    assert outcome.base is not None
    assert outcome.verdict == "better"
    assert outcome.base.reason.startswith("EXECUTION_ERROR")


CARRIERS = "SELECT count(carrier) FROM shipments"
carriers = Case("carriers", germans.question, (SqlResult((CARRIERS,)),))
"""No prompt of this question shows the table that its answer reads."""


def without(shop: Shop, table: str, *columns: str) -> Item:
    item = shop.base.item(f"schema:{table}")
    assert isinstance(item.body, Schema)
    kept = tuple(column for column in item.body.columns if column.name not in columns)
    return replace(item, body=replace(item.body, columns=kept))


@pytest.mark.parametrize(
    ("gone", "verdict", "whole"), [("carrier", "worse", "regression"), ("delivered_on", "same", "clean")]
)
def test_a_stored_answer_whose_table_has_changed_is_judged_again_without_an_engine(
    shop: Shop, gone: str, verdict: str, whole: str
) -> None:
    shop.learn(gotcha("germany", "Germany is DE.", "Germany"))
    shop.engine.enqueue(CARRIERS, CARRIERS)
    replayed(shop, carriers, base="main~1")
    before, asked = shop.head, len(shop.engine.calls)
    shop.learn(without(shop, "shipments", gone))

    report = replayed(shop, carriers, base=before)

    (case,) = report.cases
    assert (case.prompt_changed, case.verdict, report.verdict, report.engine_calls) == (False, verdict, whole, 0)
    assert len(shop.engine.calls) == asked
    if verdict == "worse":
        assert case.base == CaseOutcome(1, 1, answer=CARRIERS)
        assert case.head is not None
        assert case.head.reason.startswith("EXECUTION_ERROR: ")
        assert "the tables that the answer reads are not; head: EXECUTION_ERROR" in case.detail


def test_what_no_engine_was_asked_is_not_judged_where_its_table_has_changed(shop: Shop) -> None:
    before = shop.head
    shop.learn(without(shop, "shipments", "carrier"))

    report = replayed(shop, carriers, base=before)

    assert (report.cases[0].verdict, report.engine_calls, shop.engine.calls) == ("same", 0, [])


def test_a_replay_leaves_no_trace_and_no_session(shop: Shop) -> None:
    before = shop.head
    shop.learn(HINT)
    shop.engine.enqueue(BY_STATE, EngineUnreachable("main", None))

    replayed(shop, cancelled, base=before)

    with shop.core.database.connect() as connection:
        counts = [connection.scalar(select(func.count()).select_from(t)) for t in (requests, turns, replay_answers)]
    assert counts == [0, 0, 1]


def test_an_engine_that_fails_leaves_the_case_undecided(shop: Shop) -> None:
    before = shop.head
    shop.learn(HINT)
    shop.engine.enqueue(BY_STATE, EngineTimeout("main", 1.0))

    report = replayed(shop, cancelled, base=before)

    assert (report.cases[0].verdict, report.verdict) == ("undecided", "undecided")
    assert (report.cases[0].base, report.cases[0].head) == (CaseOutcome(1, 1, answer=BY_STATE), None)
    assert "ENGINE_FAILED" in report.cases[0].detail


def test_an_engine_that_is_away_is_asked_once(shop: Shop) -> None:
    before = shop.head
    shop.learn(HINT)
    shop.engine.enqueue(EngineUnreachable("main", "http://127.0.0.1:1"))
    more = Case("cancelled-2024", "How many orders placed in 2024 were cancelled?", cancelled.expect)

    report = replayed(shop, cancelled, more, base=before)

    assert [case.verdict for case in report.cases] == ["undecided", "undecided"]
    assert len(shop.engine.calls) == 1


def test_a_prompt_that_outgrew_the_engine_is_a_failure_of_the_change(shop: Shop) -> None:
    before = shop.head
    shop.learn(HINT)
    shop.engine.enqueue(BY_STATE, ContextTooLong("main", 400, "8192 tokens are too many"))

    report = replayed(shop, cancelled, base=before)

    assert report.verdict == "regression"
    assert "PROMPT_TOO_LONG" in report.cases[0].detail


def test_what_is_retrieved_is_judged_on_both_sides_without_an_engine(open_shop: OpenShop) -> None:
    shop = open_shop(with_engine=False)
    wants_hint = Case("hint", CANCELLED, (Retrieves(("gotcha:state", "schema:*")),))
    before = shop.head
    with_hint = shop.learn(HINT)

    learned = replayed(shop, wants_hint, base=before, head=with_hint)
    forgotten = replayed(shop, wants_hint, base=with_hint, head=before)

    assert (learned.cases[0].verdict, learned.verdict) == ("better", "clean")
    assert (forgotten.cases[0].verdict, forgotten.verdict) == ("worse", "regression")
    assert "NOT_RETRIEVED: gotcha:state not among" in forgotten.cases[0].detail


def test_no_engine_is_asked_about_an_answer_that_retrieval_failed_already(shop: Shop) -> None:
    before = shop.head
    shop.learn(HINT)
    shop.engine.enqueue(BY_STATE)
    both = Case("both", CANCELLED, (SqlResult((BY_STATE,)), Retrieves(("gotcha:state",))))

    report = replayed(shop, both, base=before)

    assert (report.cases[0].verdict, report.engine_calls) == ("better", 1)


def test_a_datasource_that_is_away_leaves_the_case_undecided_and_asks_no_engine(open_shop: OpenShop) -> None:
    shop = open_shop(datasource_url="sqlite:////nowhere/shop.sqlite")
    before = shop.head
    shop.learn(HINT)

    report = replayed(shop, cancelled, base=before)

    assert report.verdict == "undecided"
    assert "DATASOURCE_UNAVAILABLE" in report.cases[0].detail
    assert shop.engine.calls == []


def test_accepted_answers_that_do_not_run_judge_nothing(shop: Shop) -> None:
    before = shop.head
    shop.learn(HINT)

    report = replayed(shop, Case("stale", CANCELLED, (SqlResult(("SELECT gone FROM orders",)),)), base=before)

    assert report.verdict == "undecided"
    assert "NO_ACCEPTED_ANSWER_RUNS" in report.cases[0].detail


def test_results_that_were_cut_are_judged_only_where_the_statement_is_the_accepted_one(shop: Shop) -> None:
    before = shop.head
    shop.learn(HINT)
    everything = Case("all", CANCELLED, (SqlResult(("SELECT id FROM orders",)),))
    shop.engine.enqueue("SELECT id FROM orders;", "SELECT id FROM orders ORDER BY id")

    report = replayed(shop, everything, base=before)

    assert report.cases[0].base == CaseOutcome(1, 1, answer="SELECT id FROM orders;")
    assert "head: RESULT_TRUNCATED" in report.cases[0].detail


def test_a_conversation_that_a_user_had_does_not_change_the_case(shop: Shop) -> None:
    before = shop.head
    follow_up = Case("follow-up", "And how many were cancelled?", cancelled.expect, earlier=((CANCELLED, BY_STATUS),))
    first = ask(CANCELLED)
    shop.core.sessions.keep(Scope("default", "shop", "shop"), "ses_user", first, Placements(), BY_STATUS)
    shop.learn(HINT)
    shop.engine.enqueue(BY_STATE, BY_STATE)

    replayed(shop, follow_up, base=before)

    assert all("schema:orders" in call.messages[0]["content"] for call in shop.engine.calls)


def test_a_verified_answer_that_changed_is_judged_though_the_engine_is_never_asked(open_shop: OpenShop) -> None:
    shop = open_shop(verified_answers=True)
    right = success("cancelled", CANCELLED, BY_STATE)
    before = shop.learn(right)
    after = shop.learn(success("cancelled", CANCELLED, BY_STATUS))

    report = replayed(shop, cancelled, base=before, head=after)

    assert (report.verdict, report.engine_calls) == ("regression", 0)


def test_a_verified_answer_that_lost_its_table_is_judged_though_its_prompt_is_the_same(open_shop: OpenShop) -> None:
    shop = open_shop(verified_answers=True)
    answer = "SELECT count(*) FROM suppliers"
    before = shop.learn(success("cancelled", CANCELLED, answer))
    after = shop.base.commit(Changes(remove=("schema:suppliers",)), author="ann", message="Forget a table").id
    case = Case("cancelled", CANCELLED, (SqlResult((answer,)),))
    shop.engine.enqueue(BY_STATE)

    report = replayed(shop, case, base=before, head=after)

    assert (report.cases[0].verdict, report.engine_calls) == ("worse", 1)
    assert "suppliers" not in shop.engine.calls[0].messages[0]["content"].partition("<success")[0]


def test_of_a_held_out_case_a_report_tells_the_id_and_the_verdict_alone(shop: Shop) -> None:
    before = shop.head
    shop.learn(WRONG_HINT)
    shop.engine.enqueue(BY_STATE, BY_STATUS)
    told: list[CaseReplay] = []

    report = compare(
        shop.core, shop.assistant, [replace(cancelled, held_out=True)], base=before, head="main", on_case=told.append
    )

    assert report.verdict == "regression"
    assert report.cases == (CaseReplay("cancelled", "", True, None, None, "worse", "held out", held_out=True),)
    assert tuple(told) == report.cases
    assert report.paired is not None
    assert (report.paired.lost, report.paired.cases) == (1, 1)
    words = json.dumps(report.to_dict())
    assert "SELECT" not in words
    assert CANCELLED not in words


def test_what_a_case_asks_at_base_is_not_prepared_again_after_a_replay_that_had_it_as_head(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[str] = []

    def counted(core: Core, assistant: Assistant, case: Case, commit: str) -> Prepared:
        prepared.append(commit)
        return prepare_case(core, assistant, case, commit)

    monkeypatch.setattr("evals.replay.prepare_case", counted)
    before, between = shop.head, shop.learn(gotcha("trucks", "Trucks are not for sale.", "trucks"))
    after = shop.learn(gotcha("boats", "Boats are not for sale.", "boats"))
    replay = SuiteReplay()
    cases = [cancelled, germans]
    compare(shop.core, shop.assistant, cases, base=before, head=between, prompts=replay.prompts)
    assert prepared == [between, before] * 2
    prepared.clear()
    report = compare(shop.core, shop.assistant, cases, base=between, head=after, prompts=replay.prompts)
    assert prepared == [after] * 2
    assert [case.prompt_changed for case in report.cases] == [False, False]


def test_a_changed_prompt_is_told_as_well_where_the_base_was_known(shop: Shop) -> None:
    replay = SuiteReplay()
    before = shop.head
    compare(shop.core, shop.assistant, [cancelled], base=before, head=before, prompts=replay.prompts)
    shop.learn(HINT)
    shop.engine.enqueue(BY_STATUS, BY_STATE)
    report = compare(shop.core, shop.assistant, [cancelled], base=before, head="main", prompts=replay.prompts)
    assert [case.verdict for case in report.cases] == ["better"]


def test_two_cases_of_one_prompt_under_way_at_a_time_ask_the_engine_once(shop: Shop) -> None:
    class Slow(ScriptedEngine):
        async def complete(
            self, messages: Sequence[Message], sampling: Sampling, *, cache_salt: str | None
        ) -> Completion:
            await asyncio.sleep(0.01)
            return await super().complete(messages, sampling, cache_salt=cache_salt)

    engine = Slow()
    engine.enqueue(BY_STATUS, BY_STATE)
    core = replace(shop.core, engines={"main": engine})
    before = shop.head
    shop.learn(HINT)
    twice = [cancelled, replace(cancelled, id="again")]
    report = compare(core, core.assistant("default", "shop"), twice, base=before, head="main")
    assert (report.engine_calls, report.stored_answers) == (2, 2)
    assert [(case.id, case.verdict) for case in report.cases] == [("cancelled", "better"), ("again", "better")]
