"""Ctrl-C, as a real signal to a real process: what was answered until then is not asked again."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from evals.kept_runs import KeptRuns

from ..forks import start
from .conftest import OpenShop, Shop, gotcha
from .interrupted_process import evaluate

QUESTIONS = {
    "orders": "How many orders are there?",
    "reviews": "How many reviews are there?",
    "customers": "How many customers are there?",
    "returns": "How many orders were returned?",
}


@pytest.fixture
def configured(open_shop: OpenShop, shop_database: Path) -> Shop:
    shop = open_shop()
    (shop.folder / "kvasir.toml").write_text(
        f'home = "home"\n[datasources.shop]\nurl = "sqlite:///{shop_database}"\n'
        '[engines.main]\nmodel = "scripted/engine"\n'
        '[assistants.shop]\nkb = "shop"\nengine = "main"\ndatasource = "shop"\n'
    )
    lines = ["suite: shop", "assistant: shop", "cases:"]
    for name, question in QUESTIONS.items():
        lines += [f"- id: {name}", f"  question: {question}", "  expect: [{sql_result: {sql: SELECT 1}}]"]
    shop.suite("\n".join(lines))
    return shop


def started(shop: Shop, *arguments: str, hangs_at: int = 0) -> BaseProcess:
    config = ["--config", str(shop.folder / "kvasir.toml")]
    command = [arguments[0], str(shop.folder / "suite.yaml"), *arguments[1:], *config]
    return start(evaluate, shop.folder / "calls", hangs_at, command, shop.folder / "stdout", shop.folder / "stderr")


def ended(process: BaseProcess, shop: Shop) -> tuple[int | None, str]:
    """Wait for it; give its exit code and what it said on stderr."""
    process.join(timeout=120)
    code = process.exitcode
    process.kill()
    return code, (shop.folder / "stderr").read_text()


def calls(shop: Shop) -> int:
    file = shop.folder / "calls"
    return len(file.read_text().splitlines()) if file.exists() else 0


def interrupt_at_call(shop: Shop, call: int, *arguments: str) -> tuple[int | None, str]:
    """Start, send SIGINT while the engine is at that call, and give exit code and stderr."""
    process = started(shop, *arguments, hangs_at=call)
    while calls(shop) < call:
        assert process.is_alive(), (shop.folder / "stderr").read_text()
        time.sleep(0.05)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    return ended(process, shop)


def test_a_run_that_was_interrupted_goes_on_where_it_stood(configured: Shop) -> None:
    code, told = interrupt_at_call(configured, 3, "run")
    assert code == 130
    assert "interrupted; what engines answered is stored: run it again, and it goes on where it stood" in told
    assert "Traceback" not in told
    assert KeptRuns(configured.core.database).list("default") == []

    assert ended(started(configured, "run", "--quiet"), configured) == (0, "")
    # Two were answered before the interrupt, the third was not; it and the fourth are asked again.
    assert calls(configured) == 3 + 2
    (kept,) = KeptRuns(configured.core.database).list("default")
    assert kept.counts == {"passed": 4}


def test_a_gate_that_was_interrupted_goes_on_where_it_stood(configured: Shop) -> None:
    before = configured.head
    configured.learn(gotcha("all", "Count all of them.", "orders", "reviews", "customers"))
    arguments = ("gate", "--base", before, "--head", "main")
    code, _ = interrupt_at_call(configured, 4, *arguments)
    assert code == 130

    again, told = ended(started(configured, *arguments), configured)

    assert again == 0, told
    assert calls(configured) == 4 + (2 * len(QUESTIONS) - 3)
