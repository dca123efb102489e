"""Progress: a live line on a terminal, a line per case in a pipe, nothing where it is not wanted."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from evals.progress import progress
from evals.run import CaseRun
from gateway.replay import CaseReplay

PASSED = CaseRun("orders", "How many?", (), "passed", 1, 1)
FAILED = CaseRun("reviews", "How many?", (), "failed", 0, 1)
WORSE = CaseReplay("orders", "How many?", True, None, None, "worse")


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_pipe_gets_a_line_per_case(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(3, console=Console(file=io.StringIO())) as on_done:
        for case in (PASSED, FAILED, WORSE):
            on_done(case)

    captured = capsys.readouterr()
    assert captured.err.splitlines() == ["[1/3] passed    orders", "[2/3] failed    reviews", "[3/3] worse     orders"]
    assert captured.out == ""


def test_a_terminal_gets_one_live_line_with_counts_and_the_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)

    with progress(4, console=console) as on_done:
        for case in (PASSED, FAILED, PASSED):
            on_done(case)

    last = shown(console).rpartition("3/4")[2]
    assert "2 passed, 1 failed" in last
    assert "left" in last
    assert "orders" not in shown(console)
    assert capsys.readouterr() == ("", "")


def test_quiet_is_quiet_on_a_terminal_too(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(file=io.StringIO(), force_terminal=True)

    with progress(1, quiet=True, console=console) as on_done:
        on_done(PASSED)

    assert shown(console) == ""
    assert capsys.readouterr() == ("", "")
