"""The replay of a change of knowledge, over real retrieval and a real database."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import func, select

from backend.client import Completion, Message, Sampling
from backend.errors import ContextTooLong, EngineTimeout, EngineUnreachable
from evals.case import Case, FlakyMeasure, Retrieves, SqlResult
from evals.errors import SuiteInvalid, SuiteNotFound
from evals.replay import SuiteReplay, compare
from evals.run import prepare_case
from gateway.answering import Prepared
from gateway.core import Assistant, Core
from gateway.replay import CaseOutcome, CaseReplay, PairedTest, Replay, ReplayReport
from gateway.tables import replay_answers, requests, turns
from gateway.testing import ScriptedEngine
from kb.knowledge_base import Changes

from .conftest import OpenShop, Shop, gotcha, success

CANCELLED = "How many orders placed in 2025 were cancelled?"
BY_STATE = "SELECT count(*) FROM orders WHERE state = 'cancelled' AND created_at LIKE '2025%'"
BY_STATUS = "SELECT count(*) FROM orders WHERE status = 'cancelled' AND created_at LIKE '2025%'"
GERMANS = "How many customers are there in Germany?"
GERMANS_SQL = "SELECT count(*) FROM customers WHERE country = 'DE'"
HINT = gotcha("state", "Use orders.state, not orders.status.", "cancelled")
WRONG_HINT = gotcha("status", "Use orders.status, not orders.state.", "orders", "cancelled")

cancelled = Case("cancelled", CANCELLED, (SqlResult((BY_STATE,)),))
germans = Case("germans", GERMANS, (SqlResult((GERMANS_SQL,)),))


def replayed(shop: Shop, *cases: Case, base: str, head: str = "main", repeats: int = 1) -> ReplayReport:
    return compare(shop.core, shop.assistant, cases, base=base, head=head, repeats=repeats)


def test_the_replay_is_what_the_gateway_asks_for() -> None:
    replay: Replay = SuiteReplay()

    assert callable(replay)


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


def test_answers_are_stored_and_a_second_replay_calls_no_engine(shop: Shop) -> None:
    before = shop.head
    shop.learn(HINT)
    shop.engine.enqueue(BY_STATUS, BY_STATE, BY_STATE, BY_STATE)
    first = replayed(shop, cancelled, base=before, repeats=2)

    again = replayed(shop, cancelled, base=before, repeats=2)

    assert (first.engine_calls, again.engine_calls) == (4, 0)
    assert (first.stored_answers, again.stored_answers) == (0, 4)
    assert again.cases == first.cases
    assert again.cases[0].verdict == "flaky"


def test_a_replay_with_more_repeats_asks_only_for_the_new_ones(shop: Shop) -> None:
    before = shop.head
    shop.learn(HINT)
    shop.engine.enqueue(BY_STATE, BY_STATE)
    replayed(shop, cancelled, base=before)
    shop.engine.enqueue(BY_STATE, BY_STATUS, BY_STATUS, BY_STATUS)

    report = replayed(shop, cancelled, base=before, repeats=3)

    assert report.engine_calls == 4
    # The stored first draws passed; of the new ones base had one of two, head none.
    assert [(c.base and c.base.passed, c.head and c.head.passed) for c in report.cases] == [(2, 1)]


@pytest.mark.parametrize(("later", "verdict"), [(BY_STATUS, "worse"), (BY_STATE, "flaky")])
def test_a_case_that_seems_worse_in_a_few_draws_is_drawn_again(shop: Shop, later: str, verdict: str) -> None:
    before = shop.head
    shop.learn(WRONG_HINT)
    shop.engine.enqueue(*[BY_STATE] * 3, BY_STATE, BY_STATUS, BY_STATUS)
    shop.engine.enqueue(*[BY_STATE] * 9, *[later] * 9)

    report = replayed(shop, cancelled, base=before, repeats=3)

    (outcome,) = report.cases
    assert outcome.base is not None
    assert outcome.head is not None
    assert (outcome.base.passed, outcome.head.repeats, report.engine_calls) == (12, 12, 24)
    assert (outcome.verdict, outcome.head.passed) == (verdict, 1 if verdict == "worse" else 10)


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
    history = follow_up.conversation.history
    shop.core.sessions.keep("default", "shop", "", "ses_user", history, [[]])
    shop.learn(HINT)
    shop.engine.enqueue(BY_STATE, BY_STATE)

    replayed(shop, follow_up, base=before)

    assert all("schema:orders" in call.messages[0]["content"] for call in shop.engine.calls)


# ── the gateway's replay: the suite and the confirmed successes ──────────────────────────────────────────────────


def test_a_new_success_makes_its_own_question_better(open_shop: OpenShop) -> None:
    shop = open_shop(verified_answers=True)
    before = shop.head
    after = shop.learn(success("cancelled", CANCELLED, BY_STATE))
    shop.engine.enqueue(BY_STATUS)

    report = SuiteReplay()(shop.core, shop.assistant, before, after)

    assert [(c.id, c.verdict) for c in report.cases] == [("success:cancelled", "better")]
    assert (report.verdict, report.engine_calls) == ("clean", 1)


def test_a_first_success_is_better_than_no_engine_at_all(open_shop: OpenShop) -> None:
    shop = open_shop(verified_answers=True, with_engine=False)
    before = shop.head
    after = shop.learn(success("cancelled", CANCELLED, BY_STATE))

    report = SuiteReplay()(shop.core, shop.assistant, before, after)

    assert (report.cases[0].verdict, report.verdict, report.engine_calls) == ("better", "clean", 0)


def test_superseded_and_retired_successes_are_no_cases(shop: Shop) -> None:
    old = success("old", CANCELLED, BY_STATUS)
    before = shop.learn(old, success("germans", GERMANS, GERMANS_SQL))
    new = success("new", CANCELLED, BY_STATE, supersedes=(old.id,))
    after = shop.learn(old.with_status("retired"), new)
    shop.engine.enqueue(BY_STATUS, BY_STATE)

    report = SuiteReplay()(shop.core, shop.assistant, before, after)

    assert {case.id: case.verdict for case in report.cases} == {"success:germans": "same", "success:new": "better"}


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


def test_a_success_without_a_statement_is_judged_by_its_retrieval(shop: Shop) -> None:
    before = shop.head
    after = shop.learn(success("opening", "When did the shop open?", "In January 2024."))

    report = SuiteReplay()(shop.core, shop.assistant, before, after)

    assert [(c.verdict, c.prompt_changed) for c in report.cases] == [("better", True)]
    assert report.engine_calls == 0


def test_the_suite_is_replayed_and_a_success_of_the_same_question_is_not_asked_twice(open_shop: OpenShop) -> None:
    shop = open_shop(repeats=2)
    path = shop.suite(
        f"suite: shop\nassistant: shop\nrepeats: 1\ncases:\n- id: cancelled\n  question: '{CANCELLED.upper()}'\n"
        f'  expect: [{{sql_result: {{sql: "{BY_STATE}"}}}}]\n'
    )
    settings = shop.assistant.settings.model_copy(update={"suite": str(path)})
    assistant = type(shop.assistant)("shop", settings, shop.base, shop.engine, shop.assistant.datasource)
    before = shop.head
    after = shop.learn(success("cancelled", CANCELLED, BY_STATE))
    shop.engine.enqueue(*[BY_STATE] * 4)

    report = SuiteReplay()(shop.core, assistant, before, after)

    both = CaseOutcome(2, 2, answer=BY_STATE)
    assert [(c.id, c.base, c.head) for c in report.cases] == [("cancelled", both, both)]


def test_a_suite_that_is_missing_or_wrong_is_an_error_and_not_an_empty_replay(open_shop: OpenShop) -> None:
    shop = open_shop(suite="/nowhere/suite.yaml")

    with pytest.raises(SuiteNotFound, match=r"\[assistants\.shop\]"):
        SuiteReplay()(shop.core, shop.assistant, shop.head, shop.head)

    settings = shop.assistant.settings.model_copy(update={"suite": str(shop.suite("suite: shop\n"))})
    assistant = type(shop.assistant)("shop", settings, shop.base, shop.engine, shop.assistant.datasource)
    with pytest.raises(SuiteInvalid, match="assistant"):
        SuiteReplay()(shop.core, assistant, shop.head, shop.head)


def test_a_base_without_successes_and_an_assistant_without_a_suite_replay_nothing(shop: Shop) -> None:
    report = SuiteReplay()(shop.core, shop.assistant, shop.head, shop.head)

    assert (report.cases, report.verdict) == ((), "clean")


def test_a_worker_thread_can_replay_while_the_main_thread_runs_a_loop(shop: Shop) -> None:
    before = shop.head
    after = shop.learn(success("cancelled", CANCELLED, BY_STATE))
    shop.engine.enqueue(BY_STATUS, BY_STATE)
    reports: list[ReplayReport] = []

    worker = threading.Thread(target=lambda: reports.append(SuiteReplay()(shop.core, shop.assistant, before, after)))
    worker.start()
    worker.join()

    assert [report.verdict for report in reports] == ["clean"]


# ── the flaky list, and what is held out ─────────────────────────────────────────────────────────────────────────

WAVERS = FlakyMeasure(7, 10, "c" * 12, date(2026, 11, 28))


def test_a_case_on_the_flaky_list_is_reported_and_decides_nothing(shop: Shop) -> None:
    before = shop.head
    shop.learn(WRONG_HINT)
    wavers = replace(cancelled, flaky=WAVERS)
    away = replace(wavers, id="away", question="How many orders placed in 2024 were cancelled?")
    # Both cases are under way at once: both bases are asked before the first head.
    shop.engine.enqueue(BY_STATE, EngineTimeout("main", 1.0), BY_STATUS)

    report = replayed(shop, wavers, away, base=before)

    assert [(case.verdict, case.flaky_listed) for case in report.cases] == [("flaky", True), ("undecided", True)]
    assert report.cases[0].detail.startswith("worse, and on the flaky list (7 of 10 at cccccccccccc on 2026-11-28)")
    assert (report.verdict, report.paired) == ("clean", None)


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


def test_drops_that_are_noise_one_by_one_are_a_regression_where_their_sum_is_not(shop: Shop) -> None:
    before = shop.head
    shop.learn(WRONG_HINT)
    cases = [replace(cancelled, id=f"in-{year}", question=CANCELLED.replace("2025", str(year))) for year in range(6)]
    shop.engine.enqueue(*[BY_STATE] * 3 * len(cases))  # all bases first: the cases are under way at once
    for _ in cases:
        shop.engine.enqueue(BY_STATE, BY_STATE, BY_STATUS)

    report = replayed(shop, *cases, base=before, repeats=3)
    fewer = replayed(shop, *cases[:5], base=before, repeats=3)

    assert {case.verdict for case in report.cases} == {"flaky"}
    assert (report.verdict, [case.id for case in report.suspects]) == ("regression", [case.id for case in cases])
    assert report.paired == PairedTest(6, 6, 0, 0.03125, -1.0, -1.0, pytest.approx(-0.0815, abs=1e-4))
    assert fewer.verdict == "clean"


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
