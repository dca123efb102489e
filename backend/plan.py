"""What `kvasir backend up` will start: the exact commands, decided before anything runs.

The settings are those of the pair that was run: vLLM 0.32 with LMCache 0.5.6 as a server of its own (multi-process
mode), so that the KV cache outlives a restart of vLLM.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from backend.cache_command import cache_argv
from backend.engine_python import EnginePython, engine_python_path, inspect_engine_python
from backend.errors import LaunchOptionInvalid
from backend.model_folder import ModelFolder, check_model_folder, model_folder

Device = Literal["cpu", "cuda"]
PartName = Literal["cache", "engine"]

_LONGEST_WINDOW_TOKENS = 16384
_CPU_BLOCK_TOKENS = 128


@dataclass(frozen=True)
class LaunchOptions:
    """What a user chooses. Sizes are in GB; `None` lets the plan decide.

    `policy` starts LMCache with Kvasir's policies, else plain. `disk_adapter` and `shared_tier` are JSON texts of
    LMCache's `--l2-adapter`. `allow_reset` lets a client empty the engine's own prefix cache, as measuring needs.
    """

    model: Path
    served_name: str | None = None
    device: Device | None = None
    engine_port: int = 8100
    cache_port: int = 5555
    cache_http_port: int = 8190
    window_tokens: int | None = None
    dtype: str | None = None
    l1_size_gb: float = 1.0
    chunk_tokens: int = 256
    cpu_kv_gb: float = 2.0
    gpu_memory_share: float = 0.9
    kv_dir: Path | None = None
    policy: bool = True
    disk_gb: float = 10.0
    disk_writes_gb_per_day: float | None = None
    disk_adapter: str | None = None
    shared_tier: str | None = None
    allow_reset: bool = False
    ready_seconds: float = 600.0
    engine_args: tuple[str, ...] = ()


@dataclass(frozen=True)
class Port:
    """A port that a part listens on, and the option that changes it."""

    number: int
    option: str


@dataclass(frozen=True)
class Part:
    """One process: `env` is added to the environment of whoever starts it."""

    name: PartName
    argv: tuple[str, ...]
    env: dict[str, str]
    ports: tuple[Port, ...]
    health_url: str
    segment: str | None = None

    def command(self) -> str:
        """The command as a shell takes it."""
        settings = " ".join(f"{key}={shlex.quote(value)}" for key, value in sorted(self.env.items()))
        return f"env {settings} {shlex.join(self.argv)}"


@dataclass(frozen=True)
class LaunchPlan:
    """The parts in the order in which they start."""

    options: LaunchOptions
    device: Device
    served_name: str
    window_tokens: int
    kv_dir: Path
    parts: tuple[Part, ...] = field(repr=False)

    @property
    def api_base(self) -> str:
        return f"http://127.0.0.1:{self.options.engine_port}/v1"

    @property
    def cache_url(self) -> str:
        return f"http://127.0.0.1:{self.options.cache_http_port}"

    def config_lines(self) -> str:
        """The part of kvasir.toml that uses this pair. A plain LMCache takes no notes, so it is not named."""
        lines = [
            "[engines.main]",
            f"model = {json.dumps(f'hosted_vllm/{self.served_name}')}",
            f"api_base = {json.dumps(self.api_base)}",
            "lmcache = true",
        ]
        if self.options.policy:
            lines.append(f"cache_url = {json.dumps(self.cache_url)}")
        return "".join(f"{line}\n" for line in lines)


def make_plan(options: LaunchOptions, home: Path, *, python: Path | None = None) -> LaunchPlan:
    """The plan for `options` with its files below `home/backend`. Starts nothing, writes nothing.

    `python` is the engine's interpreter; by default that of `KVASIR_ENGINE_PYTHON` or `.venv-engine`.
    Raises `LaunchOptionInvalid`, `ModelFolderInvalid`, `EnginePythonInvalid`.
    """
    _check(options)
    folder = check_model_folder(model_folder(options.model))
    interpreter = inspect_engine_python(python or engine_python_path())
    device = options.device or ("cuda" if has_gpu() and not interpreter.cpu_only else "cpu")
    if device == "cuda" and interpreter.cpu_only:
        raise LaunchOptionInvalid("--device cuda", f"'{interpreter.path}' has vLLM's CPU build; install the CUDA build")
    name = options.served_name or folder.name
    window = _window_tokens(options, folder)
    state_dir = home.expanduser().resolve() / "backend"
    kv_dir = (options.kv_dir or state_dir / "kv").expanduser().resolve()
    segment = f"kvasir_{hashlib.sha256(str(state_dir).encode()).hexdigest()[:12]}" if device == "cpu" else None
    argv = cache_argv(options, interpreter.path, folder.path, state_dir, kv_dir, segment)
    cache = _cache_part(options, argv, segment)
    engine = _engine_part(options, interpreter, folder, device, name, window)
    return LaunchPlan(
        options=replace(options, model=folder.path),
        device=device,
        served_name=name,
        window_tokens=window,
        kv_dir=kv_dir,
        parts=(cache, engine),
    )


def has_gpu() -> bool:
    """Whether the machine has an NVIDIA GPU that this process can see."""
    return any(Path("/dev").glob("nvidia[0-9]*"))


def _check(options: LaunchOptions) -> None:
    ports = {
        "--engine-port": options.engine_port,
        "--cache-port": options.cache_port,
        "--cache-http-port": options.cache_http_port,
    }
    for option, port in ports.items():
        if not 1 <= port <= 65535:
            raise LaunchOptionInvalid(option, f"got {port}; a port is a number from 1 to 65535")
    if len(set(ports.values())) < len(ports):
        raise LaunchOptionInvalid(", ".join(ports), "two of them are equal; give each part its own port")
    if options.chunk_tokens <= 0 or options.chunk_tokens % _CPU_BLOCK_TOKENS:
        raise LaunchOptionInvalid(
            "--chunk-tokens", f"got {options.chunk_tokens}; it must be a multiple of vLLM's block, {_CPU_BLOCK_TOKENS}"
        )
    sizes = {"--l1-size-gb": options.l1_size_gb, "--cpu-kv-gb": options.cpu_kv_gb, "--disk-gb": options.disk_gb}
    if options.disk_writes_gb_per_day is not None:
        sizes["--disk-writes-gb-per-day"] = options.disk_writes_gb_per_day
    for option, size in sizes.items():
        if size <= 0:
            raise LaunchOptionInvalid(option, f"got {size:g}; it must be more than 0")
    if options.cpu_kv_gb % 1:
        raise LaunchOptionInvalid("--cpu-kv-gb", f"got {options.cpu_kv_gb:g}; vLLM takes whole numbers")
    if not 0 < options.gpu_memory_share <= 1:
        raise LaunchOptionInvalid("--gpu-memory-share", f"got {options.gpu_memory_share:g}; it is a share, up to 1")


def _window_tokens(options: LaunchOptions, folder: ModelFolder) -> int:
    most = folder.window_tokens
    if options.window_tokens is None:
        return min(most or _LONGEST_WINDOW_TOKENS, _LONGEST_WINDOW_TOKENS)
    if options.window_tokens <= 0 or (most and options.window_tokens > most):
        raise LaunchOptionInvalid(
            "--window-tokens",
            f"got {options.window_tokens}; the model takes from 1 to {most or 'any number of'} tokens",
        )
    return options.window_tokens


def _cache_part(options: LaunchOptions, argv: tuple[str, ...], segment: str | None) -> Part:
    return Part(
        name="cache",
        argv=argv,
        env=_quiet(),
        ports=(
            Port(options.cache_port, "--cache-port"),
            Port(options.cache_http_port, "--cache-http-port"),
        ),
        health_url=f"http://127.0.0.1:{options.cache_http_port}/healthcheck",
        segment=segment,
    )


def _engine_part(
    options: LaunchOptions, python: EnginePython, folder: ModelFolder, device: Device, name: str, window: int
) -> Part:
    connector = {
        "kv_connector": "LMCacheMPConnector",
        "kv_role": "kv_both",
        # The default, "fail", turns a cache that cannot deliver into a failed request.
        "kv_load_failure_policy": "recompute",
        "kv_connector_extra_config": {
            "lmcache.mp.host": "tcp://127.0.0.1",
            "lmcache.mp.port": options.cache_port,
        },
    }
    # Not the `vllm` command: it looks up a distribution of that name, which the CPU build does not have.
    argv = [str(python.path), "-m", "vllm.entrypoints.openai.api_server"]
    argv += ["--model", str(folder.path), "--served-model-name", name, "--max-model-len", str(window)]
    argv += ["--host", "127.0.0.1", "--port", str(options.engine_port)]
    argv += ["--dtype", options.dtype or ("bfloat16" if device == "cpu" else "auto")]
    argv += ["--enable-prompt-tokens-details", "--kv-transfer-config", json.dumps(connector)]
    if _tells_ttft(python.vllm) and "--disable-log-stats" not in options.engine_args:
        argv += ["--enable-per-request-metrics"]
    env = _quiet()
    if options.allow_reset:
        env["VLLM_SERVER_DEV_MODE"] = "1"
    if device == "cpu":
        argv += ["--enforce-eager"]
        env["VLLM_CPU_KVCACHE_SPACE"] = f"{options.cpu_kv_gb:g}"
    else:
        argv += ["--gpu-memory-utilization", f"{options.gpu_memory_share:g}"]
        # FlashInfer's sampler is compiled at start, and stops the engine where no compiler is installed.
        env["VLLM_USE_FLASHINFER_SAMPLER"] = "0"
    return Part(
        name="engine",
        argv=(*argv, *options.engine_args),
        env=env,
        ports=(Port(options.engine_port, "--engine-port"),),
        health_url=f"http://127.0.0.1:{options.engine_port}/health",
    )


def _tells_ttft(vllm_version: str) -> bool:
    """Whether vLLM takes --enable-per-request-metrics: 0.32 does, 0.24 does not; in between is not known."""
    return tuple(int(number) for number in re.findall(r"\d+", vllm_version)[:2]) >= (0, 32)


def _quiet() -> dict[str, str]:
    return {
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "LMCACHE_DISABLE_BANNER": "1",
        "LMCACHE_TRACK_USAGE": "false",
        # `python -m` would put the current folder before the installed packages.
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
