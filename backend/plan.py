"""What `kvasir backend up` will start: the exact commands, decided before anything runs.

The settings are those of the pair that was run: vLLM 0.32 with LMCache 0.5.6 as a server of its own (multi-process
mode), so that the KV cache outlives a restart of vLLM.
"""

from __future__ import annotations

import hashlib
import json
import math
import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from backend.blend import check_blend
from backend.cache_command import cache_argv
from backend.engine_command import SCHEDULING, engine_argv, engine_env
from backend.engine_python import (
    EnginePython,
    assumed_engine_python,
    engine_python_path,
    inspect_engine_python,
    version_of,
)
from backend.errors import EnginePythonInvalid, LaunchOptionInvalid
from backend.model_folder import ModelFolder, check_model_folder, model_folder
from backend.tiers.use_case import UseCase
from backend.weight_offload import with_weight_offload

Device = Literal["cpu", "cuda"]
EngineType = Literal["default", "blend"]
ENGINE_TYPES: tuple[EngineType, ...] = get_args(EngineType)
PartName = Literal["cache", "engine"]
TierName = Literal["ram", "disk", "shared"]
TIER_NAMES: tuple[TierName, ...] = get_args(TierName)

_LONGEST_WINDOW_TOKENS = 16384
_CPU_BLOCK_TOKENS = 128
_POLICY_LMCACHE = (0, 5, 6)
_OLDER_POLICY_LMCACHE = (0, 5, 3)
"""The policies run in releases from the first on, and in the second, the last that goes with torch 2.11; those between
were not looked at.
"""


@dataclass(frozen=True)
class LaunchOptions:
    """What a user chooses. `None` lets the plan decide. Sizes are in GB on disk, and in GiB in memory (`l1_size_gb`,
    `cpu_kv_gb`), as LMCache and vLLM take them.

    `policy` starts LMCache with Kvasir's policies, else plain. `disk_adapter` and `shared_tier` are JSON texts of
    LMCache's `--l2-adapter`. `allow_reset` lets a client empty the engine's own prefix cache, as measuring needs.
    `use_case` is whose rules hold for prompts of which nothing is said; the sizes that go with it are in
    `backend.use_case_plan`. `tiers` are those that exist. `gpu` is a name of `backend.sizing.gpus`, by default the
    machine's. `restart` leaves a supervisor behind. `engine_type` is LMCache's: with `blend`, KV is also reused where
    a text stands elsewhere in a prompt.
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
    use_case: UseCase | None = None
    tiers: tuple[TierName, ...] | None = None
    gpu: str | None = None
    restart: bool = True
    engine_type: EngineType = "default"
    ready_seconds: float = 600.0
    engine_args: tuple[str, ...] = ()

    @property
    def tier_names(self) -> tuple[TierName, ...]:
        """`tiers`, or what exists where they are not chosen."""
        if self.tiers is not None:
            return self.tiers
        return TIER_NAMES if self.shared_tier else ("ram", "disk")


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
    """The parts in the order in which they start. `problem` is why they cannot, where only the plan was asked for."""

    options: LaunchOptions
    device: Device
    served_name: str
    window_tokens: int
    kv_dir: Path
    parts: tuple[Part, ...] = field(repr=False)
    problem: str | None = None

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
        if not any(argument.startswith(SCHEDULING) for argument in self.options.engine_args):
            lines.append("priorities = true")
        if self.options.policy:
            lines.append(f"cache_url = {json.dumps(self.cache_url)}")
        return "".join(f"{line}\n" for line in lines)


def make_plan(options: LaunchOptions, home: Path, *, python: Path | None = None, dry_run: bool = False) -> LaunchPlan:
    """The plan for `options` with its files below `home/backend`. Starts nothing, writes nothing.

    `python` is the engine's interpreter; by default that of `KVASIR_ENGINE_PYTHON` or `.venv-engine`. With `dry_run`
    it need not be there: the plan is that for the tested versions, and has a `problem`.
    Raises `LaunchOptionInvalid`, `ModelFolderInvalid`, `EnginePythonInvalid`.
    """
    check_options(options)
    folder = check_model_folder(model_folder(options.model))
    interpreter, problem = _interpreter(python or engine_python_path(), dry_run=dry_run)
    device = options.device or ("cuda" if has_gpu() and not interpreter.cpu_only else "cpu")
    if device == "cuda" and interpreter.cpu_only:
        raise LaunchOptionInvalid("--device cuda", f"'{interpreter.path}' has vLLM's CPU build; install the CUDA build")
    if options.engine_type == "blend":
        check_blend(options, folder.path, device, interpreter)
    if options.policy:
        _check_policy_release(interpreter)
    name = options.served_name or folder.name
    window = window_tokens(options, folder)
    state_dir = home.expanduser().resolve() / "backend"
    kv_dir = (options.kv_dir or state_dir / "kv").expanduser().resolve()
    segment = f"kvasir_{hashlib.sha256(str(state_dir).encode()).hexdigest()[:12]}" if device == "cpu" else None
    argv = cache_argv(options, interpreter.path, folder.path, state_dir, kv_dir, segment)
    cache = _cache_part(options, argv, segment)
    # Not kept with the options: another start may have another GPU.
    offloaded = with_weight_offload(options, folder.path, device, window)
    engine = _engine_part(
        options, engine_argv(offloaded, interpreter, folder, device, name, window), device, state_dir / "tmp"
    )
    return LaunchPlan(
        options=replace(options, model=folder.path, kv_dir=kv_dir if options.kv_dir else None),
        device=device,
        served_name=name,
        window_tokens=window,
        kv_dir=kv_dir,
        parts=(cache, engine),
        problem=problem,
    )


def _interpreter(path: Path, *, dry_run: bool) -> tuple[EnginePython, str | None]:
    try:
        return inspect_engine_python(path), None
    except EnginePythonInvalid as exc:
        if not dry_run:
            raise
        return assumed_engine_python(path), str(exc)


def has_gpu() -> bool:
    """Whether the machine has an NVIDIA GPU that this process can see."""
    return any(Path("/dev").glob("nvidia[0-9]*"))


def check_options(options: LaunchOptions) -> None:
    """Raises `LaunchOptionInvalid` for what cannot work with any model."""
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
    sizes["--ready-seconds"] = options.ready_seconds
    for option, size in sizes.items():
        if not 0 < size < math.inf:
            raise LaunchOptionInvalid(option, f"got {size:g}; it must be a number above 0")
    if options.cpu_kv_gb % 1:
        raise LaunchOptionInvalid("--cpu-kv-gb", f"got {options.cpu_kv_gb:g}; vLLM takes whole numbers")
    _check_tiers(options)
    if not 0 < options.gpu_memory_share <= 1:
        raise LaunchOptionInvalid("--gpu-memory-share", f"got {options.gpu_memory_share:g}; it is a share, up to 1")


def _check_policy_release(python: EnginePython) -> None:
    version = version_of(python.lmcache)
    if version < _POLICY_LMCACHE and version != _OLDER_POLICY_LMCACHE:
        newer, older = (".".join(map(str, one)) for one in (_POLICY_LMCACHE, _OLDER_POLICY_LMCACHE))
        raise LaunchOptionInvalid(
            "--policy",
            f"Kvasir's policies need LMCache {newer}, or {older} with torch 2.11, and '{python.path}' has "
            f"{python.lmcache}; start it as it comes with --plain-cache",
        )


def _check_tiers(options: LaunchOptions) -> None:
    unknown = [tier for tier in options.tier_names if tier not in TIER_NAMES]
    if unknown or "ram" not in options.tier_names:
        problem = f"'{unknown[0]}' is no tier" if unknown else "ram is missing, through which LMCache moves everything"
        raise LaunchOptionInvalid("--tiers", f"{problem}; give ram, and disk and shared as wanted: ram,disk")
    if "shared" in options.tier_names and options.shared_tier is None:
        why = f", and the use case {options.use_case} keeps its KV there" if options.use_case == "document" else ""
        raise LaunchOptionInvalid(
            "--shared-tier",
            f"is missing{why}; give LMCache's adapter of a network tier, such as "
            '\'{"type": "resp", "host": "cache", "port": 6379}\', or do without: --tiers ram,disk',
        )


def window_tokens(options: LaunchOptions, folder: ModelFolder) -> int:
    """Longest prompt and answer together. Raises `LaunchOptionInvalid` for more than the model takes, or less than a
    chunk, of which nothing could be kept.
    """
    most = folder.window_tokens
    if options.window_tokens is None:
        return min(most or _LONGEST_WINDOW_TOKENS, _LONGEST_WINDOW_TOKENS)
    if options.window_tokens <= 0 or (most and options.window_tokens > most):
        raise LaunchOptionInvalid(
            "--window-tokens",
            f"got {options.window_tokens}; the model takes from 1 to {most or 'any number of'} tokens",
        )
    if options.window_tokens <= options.chunk_tokens:
        raise LaunchOptionInvalid(
            "--window-tokens",
            f"got {options.window_tokens}; it must be more than a chunk, {options.chunk_tokens} tokens",
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


def _engine_part(options: LaunchOptions, argv: tuple[str, ...], device: Device, temporary: Path) -> Part:
    return Part(
        name="engine",
        argv=argv,
        env={**_quiet(), **engine_env(options, device, temporary)},
        ports=(Port(options.engine_port, "--engine-port"),),
        health_url=f"http://127.0.0.1:{options.engine_port}/health",
    )


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
