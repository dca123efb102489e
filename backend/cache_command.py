"""The command that starts LMCache: plain, or with Kvasir's policies around it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.errors import LaunchOptionInvalid
from backend.tiers.settings import PolicySettings, TierSettings

if TYPE_CHECKING:
    from backend.plan import LaunchOptions, TierName

_SERVER = Path(__file__).parent / "lmcache_server" / "__main__.py"
_TENSOR_PARALLEL = ("--tensor-parallel-size", "-tp")


def cache_argv(
    options: LaunchOptions, python: Path, model: Path, state_dir: Path, kv_dir: Path, segment: str | None
) -> tuple[str, ...]:
    """The whole command. Raises `LaunchOptionInvalid` for an adapter or a size that cannot work."""
    disk = _adapter("--disk-adapter", options.disk_adapter) or {"type": "fs", "base_path": str(kv_dir)}
    shared = _adapter("--shared-tier", options.shared_tier)
    given: dict[TierName, dict[str, Any] | None] = {"disk": disk, "shared": shared}
    adapters = {name: adapter for name, adapter in given.items() if name in options.tier_names and adapter}
    argv = [str(python)]
    if options.policy:
        argv += [str(_SERVER), _settings(options, model, state_dir, adapters).to_json()]
    else:
        argv += ["-m", "lmcache.cli.main"]
    argv += ["server", "--host", "127.0.0.1", "--port", str(options.cache_port)]
    argv += ["--http-host", "127.0.0.1", "--http-port", str(options.cache_http_port)]
    argv += ["--chunk-size", str(options.chunk_tokens), "--eviction-policy", "LRU"]
    # What LMCache takes at once: the smaller of both, and the second is a whole number.
    sizes = ["--l1-size-gb", f"{options.l1_size_gb:g}", "--l1-init-size-gb", str(math.ceil(options.l1_size_gb))]
    argv += [*sizes, "--supported-transfer-mode", "auto"]
    if options.engine_type != "default":
        argv += ["--engine-type", options.engine_type]
    if segment:
        # Without a GPU, keys and values travel through this segment; with one, through CUDA IPC.
        argv += ["--shm-name", segment]
    for adapter in adapters.values():
        argv += ["--l2-adapter", json.dumps(adapter)]
    if options.policy:
        argv += ["--l2-store-policy", "kvasir", "--l2-prefetch-policy", "kvasir"]
    return tuple(argv)


def _settings(
    options: LaunchOptions, model: Path, state_dir: Path, adapters: Mapping[TierName, dict[str, Any]]
) -> PolicySettings:
    per_day = options.disk_writes_gb_per_day
    return PolicySettings(
        model=str(model),
        chunk_tokens=options.chunk_tokens,
        state_dir=state_dir,
        profile=state_dir / "profile.json",
        tiers=tuple(_tier(name, place, adapters[name], options) for place, name in enumerate(adapters)),
        world_size=tensor_parallel(options.engine_args),
        write_bytes_per_day=None if per_day is None else int(per_day * 1e9),
        use_case=options.use_case,
        engine_url=f"http://127.0.0.1:{options.engine_port}",
    )


def _tier(name: TierName, place: int, adapter: dict[str, Any], options: LaunchOptions) -> TierSettings:
    if name != "disk":
        return TierSettings("shared", "shared", place)
    folder = adapter.get("base_path")
    return TierSettings(
        name="disk",
        role="disk",
        adapter=place,
        folder=Path(folder) if folder else None,
        cap_bytes=int(options.disk_gb * 1e9) if folder else None,
    )


def _adapter(option: str, text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        adapter = json.loads(text)
    except ValueError as exc:
        raise LaunchOptionInvalid(option, f"is not JSON ({exc}); give an L2 adapter of LMCache") from exc
    if not isinstance(adapter, dict) or not isinstance(adapter.get("type"), str):
        raise LaunchOptionInvalid(option, 'must be an object with a "type", as LMCache takes for --l2-adapter')
    return adapter


def tensor_parallel(engine_args: tuple[str, ...]) -> int:
    """The tensor-parallel size that the engine is started with, by which LMCache splits its objects."""
    words = [word for argument in engine_args for word in argument.split("=", 1)]
    for name, value in pairwise(words):
        if name in _TENSOR_PARALLEL and value.isdigit():
            return int(value)
    return 1
