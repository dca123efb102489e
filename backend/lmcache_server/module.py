"""Kvasir's module inside LMCache's server: acts on sessions and knowledge, keeps the disk's cap, answers over HTTP.

LMCache imports this file by name and calls `build_server_modules`, or `release` calls `make_module`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lmcache.v1.distributed.api import ObjectKey
from lmcache.v1.multiprocess.custom_types import IPCCacheServerKey
from lmcache.v1.multiprocess.engine_context import MPCacheServerContext
from lmcache.v1.multiprocess.http_server import app
from lmcache.v1.multiprocess.warm_prefetch import PENDING, WarmPrefetchJobs

from backend.lmcache_server import release
from backend.lmcache_server.engine_watch import EngineWatch
from backend.lmcache_server.eviction import take_over_eviction
from backend.lmcache_server.gauges import add_gauges
from backend.lmcache_server.listeners import TierFiles, TransferTimes
from backend.lmcache_server.object_files import id_of, key_of
from backend.lmcache_server.routes import add_routes
from backend.lmcache_server.shared import EngineNotRegistered, Shared, shared
from backend.lmcache_server.traffic import Traffic
from backend.tiers.disk_cap import UNFINISHED
from backend.tiers.sessions import SilentSessions
from backend.tiers.sightings import ChunkId, chunk_id, split_chunk_id

if TYPE_CHECKING:
    from lmcache.v1.multiprocess.ext_server_module import ExtServerModuleBuildContext

logger = logging.getLogger("lmcache.kvasir")

_TICK_SECONDS = 1.0
_TICKS_UNTIL_TIDY = 30


def build_server_modules(build: ExtServerModuleBuildContext) -> TierModule:
    return make_module(build.server_context)


def make_module(context: MPCacheServerContext) -> TierModule:
    module = TierModule(context, shared())
    add_routes(app, module)
    add_gauges(module.control, module.observed)
    return module


class TierModule:
    """One for the server's life. Public methods are called by HTTP handlers and by its own thread."""

    def __init__(self, context: MPCacheServerContext, own: Shared) -> None:
        self._context = context
        self._warm = WarmPrefetchJobs()
        self._warming: set[str] = set()
        self.control = own.control
        self.observed = own.observed
        self._sizes = own.sizes
        self._files: dict[str, TierFiles] = {}
        self._adapters: dict[str, Any] = {}
        places = {tier.adapter: tier for tier in own.control.settings.tiers}
        for descriptor, adapter in context.storage_manager.l2_adapters():
            if tier := places.get(descriptor.index):
                self._adapters[tier.name] = adapter
                self._files[tier.name] = TierFiles(own.control, tier)
                adapter.register_listener(self._files[tier.name])
        context.event_bus.register_subscriber(TransferTimes(own.control))
        context.event_bus.register_subscriber(Traffic(context, own))
        take_over_eviction(context.storage_manager, own.control)
        own.actions = self
        self._remove_unfinished()
        self._hold_cap()
        engine_url = own.control.settings.engine_url
        self._watch = EngineWatch(own.control, engine_url) if engine_url else None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kvasir-tiers", daemon=True)
        self._thread.start()

    # --- LMCache's contract of a module

    @property
    def context(self) -> MPCacheServerContext:
        return self._context

    def get_handlers(self) -> list[Any]:
        """Of messages from vLLM: none. Releases that load no modules ask each of theirs."""
        return []

    def report_status(self) -> dict[str, Any]:
        return {"kvasir": self.control.status()}

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        if self._watch:
            self._watch.close()
        self.control.tidy()

    # --- what the policies ask for

    def ask_again(self, keys: Sequence[ObjectKey]) -> None:
        # LMCache asks its store policy once, when an object is written. This is the queue that it then asks from.
        for controller in release.store_controllers(self._context.storage_manager):
            controller._listener.on_l1_keys_write_finished(list(keys))

    def delete_files(self, tier: str, names: Sequence[str]) -> None:
        self.observed.left_disk(tier, [id_of(key) for name in names if (key := key_of(name)) is not None])
        known = self._files[tier].written
        ours = [key for name in names if name in known and (key := key_of(name)) is not None]
        if ours:
            self._adapters[tier].delete(ours)
        # Those of an earlier process: the adapter never counted them, and would take them off its count.
        folder = next(one.folder for one in self.control.settings.tiers if one.name == tier)
        for name in names:
            if name not in known and folder is not None:
                (folder / name).unlink(missing_ok=True)

    # --- what the gateway asks for

    def ids_of_tokens(self, token_ids: Sequence[int], cache_salt: str) -> list[ChunkId]:
        hashes = self._context.token_hasher.compute_chunk_hashes(list(token_ids))
        return [chunk_id(one, cache_salt) for one in hashes]

    def promote(self, ids: Sequence[ChunkId]) -> str | None:
        """Bring chunks from slower tiers into RAM; the name of the job, or `None` for no chunks.

        Raises `EngineNotRegistered`.
        """
        if not ids:
            return None
        job = release.submit_warm(self._warm, self._context.storage_manager, self._rows(ids))
        self._warming.add(job)
        return job

    def demote_session(self, name: str) -> int:
        """Have the session's own chunks written and then taken out of RAM. How many. Raises `EngineNotRegistered`."""
        self._layouts()
        chunks = self.control.demote(name)
        self.ask_again(self._keys(chunks))
        return len(chunks)

    def drop_session(self, name: str) -> int:
        """Delete the session's own chunks everywhere. How many. Raises `EngineNotRegistered`."""
        self._layouts()
        return self._delete(self.control.drop(name))

    def chunk_bytes(self) -> int | None:
        """Bytes of a chunk's KV on all ranks; `None` before the first lookup."""
        settings = self.control.settings
        size = self._sizes.of_chunk(settings.model)
        return None if size is None else size * settings.world_size

    def silent_sessions(self) -> SilentSessions:
        """Those that have been silent for so long that others of this traffic would not have come back."""
        after, silent = self.control.silent_sessions()
        with_bytes = [replace(one, ram_bytes=self._ram_bytes(chunks)) for one, chunks in silent]
        held = sorted((one for one in with_bytes if one.ram_bytes), key=lambda one: -one.ram_bytes)
        used, capacity = self._ram_usage()
        return SilentSessions(after, used, capacity, tuple(held))

    def release_commit(self, commit: str) -> int:
        """Delete the chunks of knowledge that only this commit used. How many. Raises `EngineNotRegistered`."""
        self._layouts()
        return self._delete(self.control.release_commit(commit))

    # --- inside

    def _delete(self, ids: Sequence[ChunkId]) -> int:
        keys = self._keys(ids)
        if keys:
            self._context.storage_manager.delete_l1_keys(keys)
            for adapter in self._adapters.values():
                adapter.delete(keys)
        return len(ids)

    def _ram_usage(self) -> tuple[int, int]:
        """Bytes in use, and bytes there are."""
        usages = [manager.get_memory_usage() for manager in release.ram_managers(self._context.storage_manager)]
        return sum(used for used, _ in usages), sum(total for _, total in usages)

    def _ram_bytes(self, ids: Sequence[ChunkId]) -> int:
        managers = release.ram_managers(self._context.storage_manager)
        found = [manager.get_object_state(key) for key in self._keys(ids) for manager in managers]
        return sum(state.memory_obj.get_size() for state in found if state is not None)

    def _keys(self, ids: Sequence[ChunkId]) -> list[ObjectKey]:
        return [key for row in self._rows(ids) for key in row.keys] if ids else []

    def _layouts(self) -> Any:
        """Asked before anything is forgotten: without these no key can be formed, and what is forgotten stays.

        Raises `EngineNotRegistered`.
        """
        settings = self.control.settings
        found = self._context.layout_desc_registry.find_group_layout_descs(settings.model, settings.world_size)
        if not found:
            raise EngineNotRegistered(settings.model)
        return found

    def _rows(self, ids: Sequence[ChunkId]) -> list[Any]:
        settings, registry = self.control.settings, self._context.layout_desc_registry
        layouts = self._layouts()
        windows = registry.find_attn_desc(settings.model, settings.world_size)
        split = [split_chunk_id(chunk) for chunk in ids]
        rows: list[Any] = []
        for salt in dict.fromkeys(salt for _, salt in split):
            key = IPCCacheServerKey(
                model_name=settings.model,
                world_size=settings.world_size,
                worker_id=None,
                token_ids=(),
                start=0,
                end=0,
                request_id="",
                cache_salt=salt,
            )
            hashes = [one for one, of in split if of == salt]
            rows += release.key_rows(key, hashes, layouts, windows)
        return rows

    def _remove_unfinished(self) -> None:
        """Files that a killed process was writing. Nobody else writes into a folder of ours."""
        for tier in self.control.settings.tiers:
            for path in tier.folder.glob(f"*{UNFINISHED}") if tier.folder else ():
                path.unlink(missing_ok=True)

    def _hold_cap(self) -> None:
        for tier, names in self.control.over_cap().items():
            logger.info("kvasir: deleting %d files of tier %s, which is over its cap", len(names), tier)
            self.delete_files(tier, names)

    def _run(self) -> None:
        ticks = 0
        while not self._stop.wait(_TICK_SECONDS):
            ticks += 1
            try:
                self._tick(tidy=ticks % _TICKS_UNTIL_TIDY == 0)
            except Exception:
                logger.exception("kvasir: upkeep of the tiers failed; it is tried again")

    def _tick(self, *, tidy: bool) -> None:
        self.control.set_ram_bytes(self._ram_usage()[1])
        with suppress(EngineNotRegistered):
            for name, state in self.control.due_sessions():
                if state == "idle":
                    self.demote_session(name)
                else:
                    self.drop_session(name)
        self._finish(list(self._warming))
        if tidy:
            self.control.tidy()
            self._hold_cap()

    def _finish(self, jobs: Iterable[str]) -> None:
        for job in jobs:
            if self._warm.poll(self._context.storage_manager, job).state != PENDING:
                self._warming.discard(job)
