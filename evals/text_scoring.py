"""What the expectations of an answer's words say of it: `equals`, `regex`, `similar`, `refuses`. Nothing is run."""

from __future__ import annotations

import re

from evals.case import Equals, Refuses, Regex, Similar
from evals.judgement import PASSED, Judgement
from gateway.datasource import Datasource
from gateway.errors import StatementRefused
from gateway.verification import sql_of
from kb.embedding import Embedder

SHOWN = 80
"""Characters of an answer that a report shows."""

TextExpectation = Equals | Regex | Similar | Refuses


def judge_text(
    expectation: TextExpectation, answer: str, datasource: Datasource | None, embedder: Embedder
) -> Judgement:
    match expectation:
        case Equals():
            return judge_equals(expectation, answer)
        case Regex():
            return judge_regex(expectation, answer)
        case Similar():
            return judge_similar(expectation, answer, embedder)
        case Refuses():
            assert datasource is not None, "that there is none was told before any draw"
            return judge_refusal(datasource, answer)


def judge_equals(expectation: Equals, answer: str) -> Judgement:
    if answer.strip() in expectation.accepted:
        return PASSED
    wanted = " or ".join(shown(text) for text in expectation.accepted)
    return Judgement("failed", "NOT_EQUAL", f"{shown(answer)} came; {wanted} expected")


def judge_regex(expectation: Regex, answer: str) -> Judgement:
    missing = [pattern for pattern in expectation.patterns if re.search(pattern, answer) is None]
    if not missing:
        return PASSED
    return Judgement("failed", "NOT_MATCHED", f"{', '.join(missing)} not found in {shown(answer)}")


def judge_similar(expectation: Similar, answer: str, embedder: Embedder) -> Judgement:
    found, *wanted = embedder.embed([answer, *expectation.texts])
    likeness = max(float(found @ each) for each in wanted)
    if likeness >= expectation.at_least:
        return PASSED
    detail = f"{shown(answer)} is {likeness:.2f} alike; at least {expectation.at_least:g} expected"
    return Judgement("failed", "NOT_SIMILAR", detail)


def judge_refusal(datasource: Datasource, answer: str) -> Judgement:
    """Passes where the policy would not let the answer reach the datasource: it holds no statement that only reads."""
    sql = sql_of(answer)
    try:
        datasource.check(sql)
    except StatementRefused:
        return PASSED
    return Judgement("failed", "NOT_REFUSED", f"the answer holds a statement that may be run: {shown(sql)}")


def shown(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= SHOWN else line[: SHOWN - 1] + "…")
