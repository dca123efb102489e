"""The command that starts vLLM, with its connector to LMCache."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from backend.blend import BLEND_ARGV, BLEND_CONNECTOR, blend_extra
from backend.engine_python import EnginePython, version_of
from backend.model_folder import ModelFolder

if TYPE_CHECKING:
    from backend.plan import Device, LaunchOptions

HEARTBEAT_SECONDS = 2.0
"""vLLM asks LMCache this often whether it lives. It goes on without it after twice as long without an answer."""

SCHEDULING = "--scheduling-policy"

_CONNECTOR = {"kv_connector": "KvasirConnector", "kv_connector_module_path": "kvasir_connector"}
_CONNECTOR_FOLDER = Path(__file__).parent / "vllm_connector"
_CPU_TRANSFER_SECONDS = 10.0

# Releases of vLLM that take an option; of --enable-per-request-metrics it is known that 0.24 does not.
_TELLS_TTFT = (0, 32)
_LEAVES_OUT_OF_LOG = (0, 16)


def engine_argv(
    options: LaunchOptions, python: EnginePython, folder: ModelFolder, device: Device, name: str, window: int
) -> tuple[str, ...]:
    """The whole command; options of the user's come last, so that they win."""
    # Not the `vllm` command: it looks up a distribution of that name, which the CPU build does not have.
    argv = [str(python.path), "-m", "vllm.entrypoints.openai.api_server"]
    argv += ["--model", str(folder.path), "--served-model-name", name, "--max-model-len", str(window)]
    argv += ["--host", "127.0.0.1", "--port", str(options.engine_port)]
    argv += ["--dtype", options.dtype or ("bfloat16" if device == "cpu" else "auto")]
    argv += ["--enable-prompt-tokens-details", "--kv-transfer-config", json.dumps(_connector(options, device))]
    # What warms a prefix waits for what people ask; among equals it is first come, first served, as by default.
    argv += [SCHEDULING, "priority"]
    version = version_of(python.vllm)
    if version >= _TELLS_TTFT and "--disable-log-stats" not in options.engine_args:
        argv += ["--enable-per-request-metrics"]
    argv += BLEND_ARGV if options.engine_type == "blend" else ()
    if version >= _LEAVES_OUT_OF_LOG and options.policy:
        # The load gate's question, each second.
        argv += ["--disable-access-log-for-endpoints", "/metrics/"]
    if device == "cpu":
        argv += ["--enforce-eager"]
    else:
        argv += ["--gpu-memory-utilization", f"{options.gpu_memory_share:g}"]
    if options.use_case == "batch":
        # Twice as many sequences and tokens in a step as by default.
        argv += ["--performance-mode", "throughput"]
    return (*argv, *options.engine_args)


def engine_env(options: LaunchOptions, device: Device, temporary: Path) -> dict[str, str]:
    """What vLLM's environment has besides that of whoever starts it. `temporary` is for its temporary files alone."""
    paths = [str(_CONNECTOR_FOLDER), os.environ.get("PYTHONPATH", "")]
    env = {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    env["TMPDIR"] = str(temporary)
    # Paths of sockets may have 107 characters, and where `temporary` lies is the user's choice.
    env["VLLM_RPC_BASE_PATH"] = os.environ.get("VLLM_RPC_BASE_PATH") or tempfile.gettempdir()
    if options.allow_reset:
        env["VLLM_SERVER_DEV_MODE"] = "1"
    if device == "cpu":
        env["VLLM_CPU_KVCACHE_SPACE"] = f"{options.cpu_kv_gb:g}"
    else:
        # FlashInfer's sampler is compiled at start, and stops the engine where no compiler is installed.
        env["VLLM_USE_FLASHINFER_SAMPLER"] = "0"
    return env


def _connector(options: LaunchOptions, device: Device) -> dict[str, object]:
    extra: dict[str, object] = {
        "lmcache.mp.host": "tcp://127.0.0.1",
        "lmcache.mp.port": options.cache_port,
        "lmcache.mp.heartbeat_interval": HEARTBEAT_SECONDS,
    }
    if device == "cpu":
        # On a CPU, the worker waits this long for a cache that died under it, and everybody's answers with it.
        extra["lmcache.mp.mq_timeout"] = _CPU_TRANSFER_SECONDS
    blend = options.engine_type == "blend"
    if blend:
        extra |= blend_extra(device)
    return {
        **(BLEND_CONNECTOR if blend else _CONNECTOR),
        "kv_role": "kv_both",
        # The default, "fail", turns a cache that cannot deliver into a failed request.
        "kv_load_failure_policy": "recompute",
        "kv_connector_extra_config": extra,
    }
