"""What `--use-case`, `--tiers` and `--engine trtllm` put on the command lines."""

from __future__ import annotations

import json
import shlex
import stat
from itertools import pairwise

import pytest
import yaml
from click.testing import CliRunner

from backend.cli import group
from backend.errors import LaunchOptionInvalid
from backend.plan import LaunchOptions, make_plan
from backend.sizing.report import SizeOptions, size_model
from backend.tiers.settings import PolicySettings, read_settings
from backend.weight_offload import local_gpu_gib, offload_gib

SHARED = '{"type": "resp", "host": "cache", "port": 6379}'
GIB = 2**30


def interpreter(folder, versions):
    path = folder / "python"
    path.write_text(f"#!/bin/sh\necho '{json.dumps(versions)}'\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def up(tmp_path, monkeypatch, model_folder):
    """`up` with `--dry-run --json`: its exit code, and the plan or the error."""
    monkeypatch.setenv("KVASIR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KVASIR_ENGINE_PYTHON", str(interpreter(tmp_path, {"vllm": "0.32.0", "lmcache": "0.5.6"})))

    def run(*arguments: str):
        result = CliRunner().invoke(group, ["up", "--model", str(model_folder), *arguments, "--dry-run", "--json"])
        return json.loads(result.stdout) if result.exit_code == 0 else result.stderr

    return run


def adapters(plan) -> list[str]:
    argv = plan["parts"][0]["argv"]
    return [json.loads(text)["type"] for flag, text in pairwise(argv) if flag == "--l2-adapter"]


def policy(plan) -> PolicySettings:
    return read_settings(plan["parts"][0]["argv"][2])


def engine_argument(plan, name: str) -> str | None:
    argv = plan["parts"][1]["argv"]
    return argv[argv.index(name) + 1] if name in argv else None


def test_each_use_case_has_its_tiers_and_its_rules(up):
    found = {}
    for case in ("chat", "code", "batch"):
        plan = up("--use-case", case, "--device", "cpu")
        found[case] = (adapters(plan), plan["options"]["l1_size_gb"], engine_argument(plan, "--performance-mode"))
        assert policy(plan).use_case == case
    plan = up("--use-case", "document", "--shared-tier", SHARED)
    assert found["chat"][1] > found["code"][1] > found["batch"][1]
    assert {case: (tiers, mode) for case, (tiers, _, mode) in found.items()} == {
        "chat": (["fs"], None),
        "code": (["fs"], None),
        "batch": (["fs"], "throughput"),
    }
    assert adapters(plan) == ["fs", "resp"]
    assert policy(up()).use_case is None


def test_documents_need_a_shared_tier_or_a_choice_against_it(up):
    refused = up("--use-case", "document")
    assert "--shared-tier: is missing" in refused
    assert "--tiers ram,disk" in refused
    assert adapters(up("--use-case", "document", "--tiers", "ram,disk")) == ["fs"]


def test_tiers_say_what_exists(up):
    assert adapters(up("--tiers", "ram")) == []
    plan = up("--tiers", "ram,shared", "--shared-tier", SHARED)
    assert adapters(plan) == ["resp"]
    assert [(tier.name, tier.adapter) for tier in policy(plan).tiers] == [("shared", 0)]
    assert "ram is missing" in up("--tiers", "disk")
    assert "'tape' is none of ram, disk, shared" in up("--tiers", "ram,tape")
    assert "drop one of them" in up("--tiers", "ram,disk", "--shared-tier", SHARED)


def test_what_is_given_wins_over_the_plan(up):
    plan = up("--use-case", "chat", "--l1-size-gb", "1.5", "--tiers", "ram", "--engine-arg=--performance-mode=balanced")
    assert (plan["options"]["l1_size_gb"], adapters(plan)) == (1.5, [])
    assert plan["parts"][1]["argv"][-1] == "--performance-mode=balanced"


def test_vllm_notices_within_the_first_wait_that_its_cache_is_gone(up):
    for device in ("cpu", "cuda"):
        plan = up("--device", device)
        extra = json.loads(engine_argument(plan, "--kv-transfer-config"))["kv_connector_extra_config"]
        assert 2 * extra["lmcache.mp.heartbeat_interval"] < 5.0
        # Only on a CPU, a store waits in the way of everybody's answers.
        assert ("lmcache.mp.mq_timeout" in extra) is (device == "cpu")


def write_config(folder, layers: int):
    """A folder whose weights are only a name: plans read the config."""
    folder.mkdir()
    config = {
        "model_type": "qwen2",
        "hidden_size": 2048,
        "num_hidden_layers": layers,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "intermediate_size": 8192,
        "vocab_size": 32000,
        "max_position_embeddings": 8192,
        "dtype": "bfloat16",
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").touch()
    (folder / "tokenizer.json").write_text("{}")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    return folder


def test_weights_that_do_not_fit_are_left_in_the_hosts_memory_just_so_many(tmp_path):
    model = write_config(tmp_path / "large", 200)
    options = LaunchOptions(model=model, use_case="batch", gpu="A10", window_tokens=8192)
    size = size_model(SizeOptions(model=model, gpu_names=("A10",), window_tokens=8192, context_tokens=(8192,)))
    short = 8 * size.each.sequence_bytes(8192) - size.gpus[0].fit.kv_memory_bytes
    assert short > GIB
    gib = offload_gib(options, model, 8192)
    assert short <= gib * GIB < short + GIB


def test_only_the_batch_plan_on_a_gpu_leaves_weights_elsewhere(tmp_path):
    model = write_config(tmp_path / "large", 200)
    python = interpreter(tmp_path, {"vllm": "0.32.0", "lmcache": "0.5.6"})

    def engine(gpu: str = "A10", **options) -> str:
        return make_plan(LaunchOptions(model=model, gpu=gpu, **options), tmp_path, python=python).parts[1].command()

    batch = {"use_case": "batch", "device": "cuda"}
    assert "--cpu-offload-gb=" in engine(**batch)
    assert "--cpu-offload-gb" not in engine(gpu="H200", **batch)
    assert "--cpu-offload-gb" not in engine(use_case="batch", device="cpu")
    assert "--cpu-offload-gb" not in engine(use_case="chat", device="cuda")
    chosen = engine(**batch, engine_args=("--cpu-offload-gb=3",))
    assert [word for word in shlex.split(chosen) if "offload" in word] == ["--cpu-offload-gb=3"]


def test_a_computed_offload_is_not_kept_for_a_start_on_another_gpu(tmp_path):
    model = write_config(tmp_path / "large", 200)
    python = interpreter(tmp_path, {"vllm": "0.32.0", "lmcache": "0.5.6"})
    options = LaunchOptions(model=model, gpu="A10", use_case="batch", device="cuda")
    assert make_plan(options, tmp_path, python=python).options.engine_args == ()


def test_the_smallest_gpu_of_this_machine_counts_where_none_is_named(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for answer, gib in (("echo 81559; echo 24576", 24.0), ("echo no driver", None), ("exit 9", None)):
        tool.write_text(f"#!/bin/sh\n{answer}\n")
        tool.chmod(0o755)
        assert local_gpu_gib() == gib


def test_a_window_that_no_offload_makes_room_for_is_refused(tmp_path):
    model = write_config(tmp_path / "large", 200)
    options = LaunchOptions(model=model, use_case="batch", gpu="T4", gpu_memory_share=0.01)
    with pytest.raises(LaunchOptionInvalid, match="--window-tokens"):
        offload_gib(options, model, 8192)


def test_tensorrt_llm_is_configured_with_reuse_and_host_offload_and_not_started(up, model_folder, tmp_path):
    plan = up("--engine", "trtllm", "--l1-size-gb", "2.5", "--gpu-memory-share", "0.8", "--window-tokens", "1024")
    assert yaml.safe_load(plan["configuration"]) == {
        "kv_cache_config": {
            "enable_block_reuse": True,
            "free_gpu_memory_fraction": 0.8,
            "host_cache_size": 5 * GIB // 2,
        }
    }
    argv = plan["argv"]
    assert argv[:2] == ["trtllm-serve", str(model_folder)]
    assert argv[argv.index("--extra_llm_api_options") + 1] == plan["path"]
    assert argv[argv.index("--max_seq_len") + 1] == "1024"
    assert 'model = "openai/tiny"' in plan["config"]
    assert not (tmp_path / "home").exists()
    started = CliRunner().invoke(group, ["up", "--model", str(model_folder), "--engine", "trtllm"])
    assert started.exit_code == 1
    assert "is generated, not started; add --dry-run" in started.stderr
    assert "rename the folder" in up("--engine", "trtllm", "--served-name", "other")


def test_the_lines_for_tensorrt_llm_are_a_configuration_that_the_gateway_takes(up, tmp_path):
    from gateway.settings import load_settings

    (tmp_path / "kvasir.toml").write_text(up("--engine", "trtllm")["config"])
    engine = load_settings(tmp_path / "kvasir.toml").engines["main"]
    assert (engine.model, engine.window_tokens) == ("openai/tiny", 2048)
