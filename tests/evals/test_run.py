"""A run of a suite at one commit, its reports and what CI makes of them."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from junitparser import Error, Failure, JUnitXml
from rich.console import Console

from backend.errors import EngineTimeout, EngineUnreachable
from evals.case import Case, FlakyMeasure, Retrieves, SqlResult
from evals.gate import ExitCode, gate, gate_exit_code, run_exit_code
from evals.junit import replay_xml, run_xml, write_junit
from evals.report import print_replay, print_run
from evals.run import CaseRun, RunReport, run_suite
from evals.suite import Suite
from gateway.errors import AssistantNotFound
from gateway.replay import CaseOutcome, CaseReplay, PairedTest, PrefixCost, ReplayReport
from kb.errors import CommitNotFound

from .conftest import OpenShop, Shop, gotcha, success

GERMANS = Case("germans", "How many [German] customers?", (SqlResult(("SELECT 2", "SELECT 1")),), tags=("x",))
ORDERS = Case("orders", "How many orders are there?", (Retrieves(("schema:orders",)),))
REVIEWS = Case("reviews", "How many reviews have five stars?", (SqlResult(("SELECT 3",)),))


def suite(*cases: Case, repeats: int = 1) -> Suite:
    return Suite("shop", "shop", repeats, cases)


def run(shop: Shop, *cases: Case, repeats: int = 1, revision: str | None = None) -> RunReport:
    return run_suite(shop.core, suite(*cases, repeats=repeats), tenant="default", revision=revision)


def test_each_case_passes_fails_or_is_undecided_with_its_reason(shop: Shop) -> None:
    shop.engine.enqueue("SELECT 1", EngineTimeout("main", 1.0))
    told: list[str] = []
    wrong = Case("wrong", "What was returned?", (Retrieves(("schema:returns", "metric:*")),))

    report = run_suite(
        shop.core, suite(GERMANS, ORDERS, wrong, REVIEWS), tenant="default", on_case=lambda case: told.append(case.id)
    )

    assert [(case.id, case.status, case.reason) for case in report.cases] == [
        ("germans", "passed", ""),
        ("orders", "passed", ""),
        ("wrong", "failed", "NOT_RETRIEVED"),
        ("reviews", "undecided", "ENGINE_FAILED"),
    ]
    assert told == ["germans", "orders", "wrong", "reviews"]
    assert report.pass_rate is not None
    assert (report.pass_rate.passed, report.pass_rate.total) == (2, 3)
    assert (report.commit, report.engine_calls) == (shop.head, 1)


def test_a_case_passes_only_if_every_repeat_does(shop: Shop) -> None:
    shop.engine.enqueue("SELECT 3", "SELECT 4", "SELECT 3")

    report = run(shop, REVIEWS, repeats=3)

    assert [(c.status, c.passed, c.repeats, c.reason) for c in report.cases] == [
        ("failed", 2, 3, "SINGLE_CELL_DIFFERENCE")
    ]


def test_a_second_run_calls_no_engine(shop: Shop) -> None:
    shop.engine.enqueue("SELECT 3")

    first, again = run(shop, REVIEWS), run(shop, REVIEWS)

    assert (first.engine_calls, again.engine_calls) == (1, 0)
    assert first.cases == again.cases


def test_a_run_at_an_old_commit_sees_what_was_known_then(shop: Shop) -> None:
    before = shop.head
    shop.learn(gotcha("state", "Use orders.state.", "orders"))
    hint = Case("hint", "How many orders are there?", (Retrieves(("gotcha:state",)),))

    assert [run(shop, hint).cases[0].status, run(shop, hint, revision=before).cases[0].status] == ["passed", "failed"]
    with pytest.raises(CommitNotFound):
        run(shop, hint, revision="nowhere")


def test_without_an_engine_only_verified_answers_can_be_judged(open_shop: OpenShop) -> None:
    shop = open_shop(with_engine=False, verified_answers=True)
    shop.learn(success("reviews", REVIEWS.question, "SELECT 3"))

    report = run(shop, REVIEWS, GERMANS)

    assert [(c.status, c.reason) for c in report.cases] == [("passed", ""), ("undecided", "ENGINE_MISSING")]


def test_without_a_datasource_results_cannot_be_judged(open_shop: OpenShop) -> None:
    report = run(open_shop(datasource=None), REVIEWS)

    assert [(c.status, c.reason) for c in report.cases] == [("undecided", "DATASOURCE_MISSING")]
    assert report.pass_rate is None


def test_another_tenants_assistant_is_not_found(shop: Shop) -> None:
    with pytest.raises(AssistantNotFound):
        run_suite(shop.core, suite(ORDERS), tenant="other")


def test_a_gate_over_an_engine_that_is_away_cannot_be_judged(shop: Shop) -> None:
    before = shop.head
    shop.learn(gotcha("stars", "Stars are reviews.rating.", "reviews"))
    shop.engine.enqueue(EngineUnreachable("main", None))

    report = gate(shop.core, suite(ORDERS, REVIEWS), tenant="default", base=before, head="main")

    assert gate_exit_code(report) == ExitCode.UNDECIDED
    assert [case.prompt_changed for case in report.cases] == [False, True]


def test_a_run_leaves_out_what_is_held_out_and_counts_it(shop: Shop) -> None:
    report = run(shop, ORDERS, replace(REVIEWS, held_out=True))

    assert ([case.id for case in report.cases], report.held_out, report.verdict) == (["orders"], 1, "passed")
    assert shop.engine.calls == []


def test_a_run_of_a_suite_that_is_all_held_out_has_not_passed(shop: Shop) -> None:
    report = run(shop, replace(ORDERS, held_out=True))

    assert (report.cases, run_exit_code(report)) == ((), ExitCode.UNDECIDED)


def test_a_failed_case_on_the_flaky_list_fails_no_run(shop: Shop) -> None:
    shop.engine.enqueue("SELECT 4")
    wavers = replace(REVIEWS, flaky=FlakyMeasure(7, 10, "c" * 12, date(2026, 11, 28)))

    report = run(shop, ORDERS, wavers)

    assert [(case.status, case.flaky_listed, case.answer) for case in report.cases] == [
        ("passed", False, ""),
        ("failed", True, "SELECT 4"),
    ]
    assert (report.verdict, report.pass_rate and report.pass_rate.total) == ("passed", 1)
    assert "1 on the flaky list, which counts for nothing here" in printed(report)
    assert run_xml(report).failures == 0


# ── reports ──────────────────────────────────────────────────────────────────────────────────────────────────────

REPORT = RunReport(
    "shop",
    "shop",
    "c" * 64,
    (
        CaseRun("germans", "How many?", (), "passed", 1, 1),
        CaseRun(
            "orders", "How many \x00 <orders>?", (), "failed", 0, 1, "EMPTY_RESULT", "no [row] came\x1b; 1 expected"
        ),
        CaseRun("reviews", "How many?", (), "undecided", 0, 1, "ENGINE_FAILED", "away"),
    ),
    None,
    2,
)
REPLAY = ReplayReport(
    "a" * 64,
    "b" * 64,
    "regression",
    (
        CaseReplay("germans", "?", True, CaseOutcome(1, 1), CaseOutcome(0, 1, "x"), "worse", "head: [EMPTY_RESULT]"),
        CaseReplay("orders", "?", False, None, None, "same", "the prompt is the same at both commits"),
        CaseReplay("reviews", "?", True, CaseOutcome(1, 1), None, "undecided", "head: away"),
        CaseReplay("stars", "?", True, CaseOutcome(3, 3), CaseOutcome(2, 3), "flaky", "head: y"),
    ),
    4,
    1,
    PairedTest(3, 1, 0, 1.0, -1 / 3, -1 / 3, 0.317),
    PrefixCost(2, 750, 250, "tokens"),
)


def printed(report: RunReport | ReplayReport) -> str:
    console = Console(file=io.StringIO(), width=150)
    if isinstance(report, RunReport):
        print_run(report, console)
    else:
        print_replay(report, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_run_is_printed_with_reasons_as_they_are() -> None:
    text = printed(REPORT)

    assert "EMPTY_RESULT: no [row] came" in text
    assert "no case could be judged" in text
    assert "1 undecided\n" in text
    assert "2 engine calls, 0 answers from store" in text


def test_a_replay_is_printed_with_the_cases_that_changed() -> None:
    text = printed(REPLAY)

    assert "germans" in text
    assert "head: [EMPTY_RESULT]" in text
    assert "orders" not in text
    assert "3 changed, 1 with the same prompt at both commits" in text
    assert "4 engine calls, 1 answer from store" in text
    assert "pass rate -33.3 points (95 % interval -33.3 to +31.7): of 3 cases 1 lost, 0 gained" in text
    assert "landing invalidates 250 of 1,000 tokens of shared prefix (25.0%), over the last 2 requests" in text
    assert "verdict: regression" in text


def test_the_junit_file_of_a_run_parses_whatever_messages_hold(tmp_path: Path) -> None:
    write_junit(run_xml(REPORT), tmp_path / "run.xml")

    document = JUnitXml.fromfile(str(tmp_path / "run.xml"))
    (parsed,) = list(document)

    assert (document.tests, document.failures, document.errors) == (3, 1, 1)
    germans, orders, reviews = list(parsed)
    assert germans.result == []
    assert isinstance(orders.result[0], Failure)
    assert (orders.result[0].type, orders.result[0].text) == ("EMPTY_RESULT", "How many � <orders>?")
    assert orders.result[0].message == "0 of 1 passed. no [row] came�; 1 expected"
    assert isinstance(reviews.result[0], Error)


def test_the_junit_file_of_a_gate_fails_worse_cases_and_only_those(tmp_path: Path) -> None:
    write_junit(replay_xml(REPLAY, "shop"), tmp_path / "gate.xml")

    document = JUnitXml.fromfile(str(tmp_path / "gate.xml"))

    assert (document.tests, document.failures, document.errors) == (4, 1, 1)
    assert "flaky" in str(list(next(iter(document)))[3].system_out)


def test_reports_are_json_as_they_are() -> None:
    assert json.loads(json.dumps(REPORT.to_dict()))["cases"][1]["reason"] == "EMPTY_RESULT"
    head = json.loads(json.dumps(REPLAY.to_dict()))["cases"][0]["head"]
    assert head == {"passed": 0, "repeats": 1, "reason": "x", "answer": ""}


def test_a_failed_case_counts_before_an_undecided_one() -> None:
    passed, failed, undecided = REPORT.cases

    def code(*cases: CaseRun) -> int:
        return run_exit_code(RunReport("s", "a", "c", cases, None, 0))

    assert [code(passed), code(passed, undecided), code(passed, undecided, failed)] == [0, 3, 1]
