"""Ctrl-C, as a real signal to a real process: what was answered until then is not asked again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evals.kept_runs import KeptRuns

from .conftest import OpenShop, Shop, gotcha

PROCESS = Path(__file__).with_name("interrupted_process.py")
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


def start(shop: Shop, *arguments: str, hangs_at: int = 0) -> subprocess.Popen[str]:
    config = ["--config", str(shop.folder / "kvasir.toml")]
    suite = str(shop.folder / "suite.yaml")
    command = [sys.executable, str(PROCESS), str(shop.folder / "calls"), str(hangs_at), arguments[0], suite]
    return subprocess.Popen(
        [*command, *arguments[1:], *config],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


def calls(shop: Shop) -> int:
    file = shop.folder / "calls"
    return len(file.read_text().splitlines()) if file.exists() else 0


def interrupt_at_call(shop: Shop, call: int, *arguments: str) -> tuple[int, str]:
    """Start, send SIGINT while the engine is at that call, and give exit code and stderr."""
    process = start(shop, *arguments, hangs_at=call)
    while calls(shop) < call:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    return process.returncode, told


def test_a_run_that_was_interrupted_goes_on_where_it_stood(configured: Shop) -> None:
    code, told = interrupt_at_call(configured, 3, "run")
    assert code == 130
    assert "interrupted; what engines answered is stored: run it again, and it goes on where it stood" in told
    assert "Traceback" not in told
    assert KeptRuns(configured.core.database).list("default") == []

    again = start(configured, "run", "--quiet")
    _, told = again.communicate(timeout=120)

    assert (again.returncode, told) == (0, "")
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

    again = start(configured, *arguments)
    told = again.communicate(timeout=120)

    assert again.returncode == 0, told
    assert calls(configured) == 4 + (2 * len(QUESTIONS) - 3)
