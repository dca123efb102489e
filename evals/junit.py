"""Reports as JUnit XML, which CI systems show: a failed or worse case is a failure, an undecided one an error.

A case on the flaky list passes whatever it did, and its output says what that was.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from junitparser import Error, Failure, JUnitXml, TestCase, TestSuite

from evals.run import CaseRun, RunReport
from gateway.replay import CaseReplay, ReplayReport

# What XML 1.0 cannot hold, not even escaped (https://www.w3.org/TR/xml/#charsets). Databases' messages may have it.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def run_xml(report: RunReport) -> Any:
    """A `junitparser.JUnitXml` with one test case per case."""
    return _document(
        f"kvasir eval run {report.suite}", report.suite, [_run_case(report.suite, c) for c in report.cases]
    )


def replay_xml(report: ReplayReport, suite: str) -> Any:
    """A `junitparser.JUnitXml` with one test case per case; a flaky one passes and says so in its output."""
    title = f"kvasir eval gate {suite} {report.base[:12]}..{report.head[:12]}"
    return _document(title, suite, [_replay_case(suite, case) for case in report.cases])


def write_junit(document: Any, path: Path) -> None:
    """Raises `OSError`."""
    path.write_bytes(document.tostring())


def _document(title: str, suite: str, cases: list[Any]) -> Any:
    tests = TestSuite(_clean(suite))
    for case in cases:
        tests.add_testcase(case)
    document = JUnitXml(_clean(title))
    document.add_testsuite(tests)
    document.update_statistics()
    return document


def _run_case(suite: str, case: CaseRun) -> Any:
    test = TestCase(_clean(case.id), _clean(suite))
    message = f"{case.passed} of {case.repeats} passed. {case.detail}"
    if case.status != "passed" and case.flaky_listed:
        test.system_out = _clean(f"{case.status}, on the flaky list: {message}")
    elif case.status == "failed":
        test.result = [_result(Failure, message, case.reason, case.question)]
    elif case.status == "undecided":
        test.result = [_result(Error, case.detail, case.reason, case.question)]
    return test


def _replay_case(suite: str, case: CaseReplay) -> Any:
    test = TestCase(_clean(case.id), _clean(suite))
    if case.flaky_listed:
        test.system_out = _clean(f"{case.verdict}, on the flaky list: {case.detail}")
    elif case.verdict == "worse":
        test.result = [_result(Failure, case.detail, "WORSE", case.question)]
    elif case.verdict == "undecided":
        test.result = [_result(Error, case.detail, "UNDECIDED", case.question)]
    elif case.verdict != "same":
        test.system_out = _clean(f"{case.verdict}: {case.detail}")
    return test


def _result(kind: Any, message: str, reason: str, question: str) -> Any:
    result = kind(_clean(message), reason)
    result.text = _clean(question)
    return result


def _clean(text: str) -> str:
    return _NOT_XML.sub("�", text)
