"""`size` against what real vLLM prints when it starts; `kvasir bench size` has more architectures."""

from __future__ import annotations

import pytest

from evals.bench.size.benchmark import Plan, size_rows

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]


@pytest.mark.usefixtures("engine_python")
def test_size_counts_the_tokens_that_vllm_prints():
    # A window in most layers, and states beside attention: the kinds with the most rules.
    rows = size_rows(Plan(("gemma3", "jamba")), print)
    assert [row.value for row in rows] == [row.baseline.get("vllm") for row in rows]
    assert all(row.ok for row in rows)
