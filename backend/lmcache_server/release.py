"""All that differs between the releases of LMCache that the policies run in, by what the installed one offers.

0.5.6 loads server modules and asks its prefetch policy about every tier at once. 0.5.3 is the last that runs with torch
2.11, and so with vLLM 0.24. It has no option for modules, so ours is put beside its own here; and its policy is asked
about the slower tiers alone, once RAM's part is taken, so `older_prefetch` looks at RAM before that.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from lmcache.v1.distributed.api import MemoryLayoutDesc, ObjectKey
from lmcache.v1.multiprocess.custom_types import IPCCacheServerKey
from lmcache.v1.multiprocess.engine_context import MPCacheServerContext
from lmcache.v1.multiprocess.warm_prefetch import WarmPrefetchJobs

logger = logging.getLogger("lmcache.kvasir")

LOADS_MODULES = find_spec("lmcache.v1.multiprocess.ext_server_module") is not None
_MODULE = {"module_path": "backend.lmcache_server.module"}


@dataclass(frozen=True)
class _Row:
    """What 0.5.6 has as `GroupedObjectKeys`, as far as it is read here."""

    keys: list[ObjectKey]
    layout_desc: MemoryLayoutDesc


def prefetch_policy() -> type:
    """The class of the load gate."""
    if LOADS_MODULES:
        from backend.lmcache_server.prefetch_policy import KvasirPrefetchPolicy

        return KvasirPrefetchPolicy
    from backend.lmcache_server.older_prefetch import OlderPrefetchPolicy

    return OlderPrefetchPolicy


def with_module(arguments: Sequence[str]) -> list[str]:
    """LMCache's arguments, so that its server has our module."""
    if LOADS_MODULES:
        return [*arguments, "--server-module", json.dumps(_MODULE)]
    _put_module_beside()
    return list(arguments)


def ram_managers(storage: Any) -> list[Any]:
    return list(storage._l1_managers_by_id.values()) if LOADS_MODULES else [storage._l1_manager]


def eviction_controllers(storage: Any) -> list[Any]:
    """Of RAM."""
    return list(storage._eviction_controllers) if LOADS_MODULES else [storage._eviction_controller]


def store_controllers(storage: Any) -> list[Any]:
    return list(storage._store_controllers.values()) if LOADS_MODULES else [storage._store_controller]


def session(context: MPCacheServerContext, request_id: str) -> Any:
    """The request's, or `None` once it ended."""
    manager = context.session_manager
    return manager.get(request_id) if LOADS_MODULES else manager._sessions.get(request_id)


def key_rows(
    key: IPCCacheServerKey, hashes: list[bytes], layouts: dict[int, MemoryLayoutDesc], windows: Any
) -> list[Any]:
    """The keys of these chunks, in rows of equal layout. `windows` is LMCache's description of the attention."""
    groups = sorted(layouts)
    if LOADS_MODULES:
        from lmcache.v1.distributed.api import ipc_key_to_grouped_object_keys

        return list(ipc_key_to_grouped_object_keys(key, hashes, groups, layouts, windows))
    from lmcache.v1.distributed.api import ipc_key_to_object_keys

    rows = ipc_key_to_object_keys(key, hashes, groups)
    return [_Row(keys, layouts[group]) for group, keys in zip(groups, rows, strict=True)]


def submit_warm(jobs: WarmPrefetchJobs, storage: Any, rows: Sequence[Any]) -> str:
    """Fetch into RAM what a slower tier has of the rows; the name of the job."""
    if LOADS_MODULES:
        return str(jobs.submit(storage, rows))
    # 0.5.3 takes one layout: that of a model whose layers are in one object group, as they are by default.
    return str(jobs.submit(storage, [key for row in rows for key in row.keys], rows[0].layout_desc))


def _put_module_beside() -> None:
    from lmcache.v1.multiprocess import server

    built_in = server._build_modules

    def build_modules(context: MPCacheServerContext, *more: Any) -> list[Any]:
        from backend.lmcache_server.module import make_module
        from backend.lmcache_server.older_prefetch import gate_lookups

        gate_lookups(context.storage_manager)
        return [*built_in(context, *more), make_module(context)]

    server._build_modules = build_modules
    logger.info("kvasir: this LMCache loads no server modules, so Kvasir's is put beside its own")
