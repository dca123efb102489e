"""The benchmark of the gateway: its figures from known seconds, and a small run with real processes."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from evals.bench.cli import group
from evals.bench.gateway.added import added_ms, over_rounds, pool
from evals.bench.gateway.load import Load
from evals.bench.gateway.proxy import found_proxy
from evals.bench.gateway.rows import DIRECT, EMBEDDING, PASS_THROUGH, PROXY, RETRIEVAL, Block, rows_of
from evals.bench.gateway.servers import bound_to

SECONDS = {DIRECT: 0.020, PASS_THROUGH: 0.022, RETRIEVAL: 0.033, EMBEDDING: 0.029, PROXY: 0.026}


def blocks(seconds: dict[str, float], rounds: int = 3) -> dict[Block, list[Load]]:
    return {
        Block(target, 1, stream): [Load((value,) * 10, 10 * value)] * rounds
        for target, value in seconds.items()
        for stream in (False, True)
    }


def test_what_is_added_is_a_quantile_beside_the_same_of_the_engine_alone():
    pooled = pool({"gateway": [[0.03, 0.05], [0.04]], DIRECT: [[0.02], [0.02, 0.02]]})
    assert added_ms(pooled, "gateway", DIRECT, 0.5) == pytest.approx(20)
    assert added_ms(pooled, "gateway", DIRECT, 1.0) == pytest.approx(30)


def test_a_round_that_was_slow_for_all_does_not_widen_the_interval():
    rounds = {"gateway": [[0.03], [0.13], [0.03]], DIRECT: [[0.02], [0.12], [0.02]]}
    value, (low, high) = over_rounds(rounds, lambda pooled: float(pooled["gateway"].mean() - pooled[DIRECT].mean()))
    assert (value, low, high) == pytest.approx((0.01, 0.01, 0.01))


def test_rows_compare_with_the_proxy_and_with_the_embedding():
    rows = {row.name: row for row in rows_of(blocks(SECONDS), {"kvasir": 500.0, PROXY: 300.0})}
    beside_proxy = rows["pass-through, 1 at a time: p99 added, beside the proxy's"]
    assert beside_proxy.value == pytest.approx(2 / 6)
    assert beside_proxy.ok
    beside_embedding = rows["with retrieval, 1 at a time: p50 added, beside twice pass-through and the embedding"]
    assert beside_embedding.value == pytest.approx(13 / (2 * 2 + 9))
    assert rows["with retrieval, 1 at a time: p99 TTFT added"].baseline[PROXY] == pytest.approx(6)
    assert rows["pass-through, 1 at a time: requests a second"].value == pytest.approx(1 / 0.022)


def test_without_a_proxy_nothing_is_compared_with_it(tmp_path: Path):
    without = {name: value for name, value in SECONDS.items() if name != PROXY}
    assert not [row.name for row in rows_of(blocks(without), {"kvasir": 500.0}) if "prox" in row.name]
    reason = found_proxy(tmp_path / "python")
    assert isinstance(reason, str)
    assert "make proxy-env" in reason


def test_a_small_run_measures_real_processes_and_leaves_none(tmp_path: Path):
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    options = ["--rounds", "2", "--requests", "4", "--clients", "2", "--proxy-python", str(tmp_path / "none"), "--json"]
    result = CliRunner().invoke(group, ["gateway", *options])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    rows = {row["name"]: row for row in report["rows"]}
    assert rows["with retrieval, 2 at a time: requests a second"]["baseline"].keys() == {DIRECT}
    assert rows["pass-through, 2 at a time: p50 added"]["n"] == 40
    assert report["machine"]["litellm_proxy"] is None
    assert "the proxy is left out" in result.stderr
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


def test_one_core_is_too_few():
    with bound_to([0]):
        result = CliRunner().invoke(group, ["gateway"])
    assert result.exit_code == 3
    assert "two are needed" in result.output
