"""A suite is read strictly: every mistake is told with its file, line, case and field."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from evals.case import FlakyMeasure, Retrieves, SqlResult
from evals.errors import SuiteInvalid, SuiteNotFound
from evals.suite import load_suite
from gateway.errors import GatewayError

WHOLE = """\
suite: shop
assistant: shop
repeats: 3
cases:
  - id: delivered-orders
    question: How many orders were delivered?
    tags: [orders]
    expect:
      - retrieves: [schema:orders, "gotcha:*"]
      - sql_result:
          sql:
            - SELECT 1
            - SELECT 2
          ordered: true
  - id: follow-up
    turns:
      - user: How many orders were there?
        assistant: SELECT count(*) FROM orders
      - And how many were cancelled?
    expect:
      - sql_result: {sql: SELECT 3}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "shop.yaml"


def test_a_suite_is_read_whole(file: Path) -> None:
    file.write_text(WHOLE)

    suite = load_suite(file)

    assert (suite.name, suite.assistant, suite.repeats) == ("shop", "shop", 3)
    first, second = suite.cases
    assert (first.id, first.question, first.tags) == (
        "delivered-orders",
        "How many orders were delivered?",
        ("orders",),
    )
    assert first.expect == (Retrieves(("schema:orders", "gotcha:*")), SqlResult(("SELECT 1", "SELECT 2"), True))
    assert second.expect == (SqlResult(("SELECT 3",), False),)
    assert [m["role"] for m in second.conversation.messages] == ["user", "assistant", "user"]
    assert second.conversation.question == "And how many were cancelled?"


def test_what_is_held_out_and_what_is_flaky_is_read(file: Path) -> None:
    listed = "held_out: true\n    flaky: {passed: 7, repeats: 10, commit: 'abcdef0', measured: 2026-11-28}"
    file.write_text(WHOLE.replace("tags: [orders]", listed))

    suite = load_suite(file)

    first, second = suite.cases
    assert (first.held_out, first.flaky) == (True, FlakyMeasure(7, 10, "abcdef0", date(2026, 11, 28)))
    assert (second.held_out, second.flaky, suite.open_cases) == (False, None, (second,))


MISTAKES = {
    "an unknown key of the suite": ("repeats: 3", "repeat: 3", 3, None, "repeat", "did you mean 'repeats'?"),
    "an unknown key of a case": ("tags: [", "tag: [", 7, "delivered-orders", "tag", "did you mean 'tags'?"),
    "an unknown expectation": ("- retrieves", "- retreives", 9, "delivered-orders", "expect.0.retreives", "retrieves"),
    "an unknown key of an expectation": (
        "ordered: true",
        "order: true",
        14,
        "delivered-orders",
        "expect.1.sql_result.order",
        "did you mean 'ordered'?",
    ),
    "an unknown key of a turn": (
        "assistant: SELECT",
        "asistant: SELECT",
        18,
        "follow-up",
        "turns.0.asistant",
        "assistant",
    ),
    "no assistant": ("assistant: shop\n", "", 1, None, "assistant", "it is missing"),
    "no id": ("id: follow-up\n    turns", "turns", 15, None, "id", "it is missing"),
    "no sql": ("{sql: SELECT 3}", "{}", 21, "follow-up", "expect.0.sql_result.sql", "it is missing"),
    "an id that is taken": (
        "id: follow-up",
        "id: delivered-orders",
        15,
        "delivered-orders",
        "id",
        "at line 5 has the same id",
    ),
    "no expectation": (
        "expect:\n      - sql_result: {sql: SELECT 3}",
        "expect: []",
        20,
        "follow-up",
        "expect",
        "it is empty",
    ),
    "expect left blank": (
        "expect:\n      - sql_result: {sql: SELECT 3}",
        "expect:",
        20,
        "follow-up",
        "expect",
        "valid list",
    ),
    "an empty pattern": ('"gotcha:*"', '""', 9, "delivered-orders", "expect.0.retrieves.1", "it is empty"),
    "two expectations in one entry": (
        "- sql_result: {sql: SELECT 3}",
        "- sql_result: {sql: SELECT 3}\n        retrieves: a",
        21,
        "follow-up",
        "expect.0",
        "exactly one of",
    ),
    "no question": (
        "    question: How many orders were delivered?\n",
        "",
        5,
        "delivered-orders",
        None,
        "exactly one of",
    ),
    "a question and turns": ("    turns:", "    question: x\n    turns:", 15, "follow-up", None, "exactly one of"),
    "an answer to the last turn": (
        "- And how many were cancelled?",
        "- user: And?\n        assistant: x",
        15,
        "follow-up",
        None,
        "the last is the question",
    ),
    "too many repeats": ("repeats: 3", "repeats: 100", 3, None, "repeats", "less than or equal to 20"),
    "a number for text": (
        "question: How many orders were delivered?",
        "question: 7",
        6,
        "delivered-orders",
        "question",
        "string",
    ),
    "yes for text": ("id: follow-up", "id: yes", 15, "yes", "id", "string"),
    "a key given twice": ("repeats: 3", "repeats: 3\nrepeats: 4", 4, None, "repeats", "given twice"),
    "a case's key given twice": (
        "tags: [orders]",
        "tags: [a]\n    tags: [b]",
        8,
        "delivered-orders",
        "tags",
        "given twice",
    ),
    "a flaky case that always passed": (
        "tags: [orders]",
        "flaky: {passed: 10, repeats: 10, commit: abcdef0, measured: 2026-11-28}",
        7,
        "delivered-orders",
        "flaky",
        "passed must be less than repeats",
    ),
    "a flaky case that never passed": (
        "tags: [orders]",
        "flaky: {passed: 0, repeats: 10, commit: abcdef0, measured: 2026-11-28}",
        7,
        "delivered-orders",
        "flaky.passed",
        "greater than or equal to 1",
    ),
    "a flaky case without its measurement": (
        "tags: [orders]",
        "flaky: true",
        7,
        "delivered-orders",
        "flaky",
        "dictionary",
    ),
    "a flaky case measured at no day": (
        "tags: [orders]",
        "flaky: {passed: 7, repeats: 10, commit: abcdef0}",
        7,
        "delivered-orders",
        "flaky.measured",
        "it is missing",
    ),
    "a flaky case measured nowhere": (
        "tags: [orders]",
        "flaky: {passed: 7, repeats: 10, commit: main, measured: 2026-11-28}",
        7,
        "delivered-orders",
        "flaky",
        "7 to 64 hexadecimal digits",
    ),
    "an unknown key of flaky": (
        "tags: [orders]",
        "flaky: {pased: 7, passed: 7, repeats: 10, commit: abcdef0, measured: 2026-11-28}",
        7,
        "delivered-orders",
        "flaky.pased",
        "did you mean 'passed'?",
    ),
    "a word for held_out": ("tags: [orders]", "held_out: perhaps", 7, "delivered-orders", "held_out", "boolean"),
    "no YAML": ("tags: [orders]", "tags: [orders", 8, None, None, "not YAML"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_place(name: str, file: Path) -> None:
    right, wrong, line, case, field, told = MISTAKES[name]
    assert right in WHOLE
    file.write_text(WHOLE.replace(right, wrong, 1))

    with pytest.raises(SuiteInvalid) as caught:
        load_suite(file)

    error = caught.value
    assert (error.line, error.case, error.field) == (line, case, field)
    assert told in error.problem
    assert str(error).startswith(f"{file}:{line}")


@pytest.mark.parametrize("text", ["", "- a\n", "shop", "a: &a [*a]\n", "suite: !!python/object:os.system x\n"])
def test_what_is_no_suite_is_refused(text: str, file: Path) -> None:
    file.write_text(text)

    with pytest.raises(SuiteInvalid, match=r"shop\.yaml:1"):
        load_suite(file)


def test_a_file_that_is_not_there_names_the_setting_to_correct(tmp_path: Path) -> None:
    with pytest.raises(SuiteNotFound, match=r"No such file.*\[assistants\.shop\]"):
        load_suite(tmp_path / "none.yaml", assistant="shop")


def test_a_file_that_is_not_text_is_refused(file: Path) -> None:
    file.write_bytes(b"suite: \xff\n")

    with pytest.raises(SuiteNotFound, match="UTF-8 at byte 7"):
        load_suite(file)


def test_errors_of_suites_are_errors_of_the_gateway_to_its_worker() -> None:
    assert issubclass(SuiteInvalid, GatewayError)
