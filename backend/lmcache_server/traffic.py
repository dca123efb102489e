"""What the event bus tells about the traffic, handed to what the doctor reads."""

from __future__ import annotations

from lmcache.v1.mp_observability.event import Event, EventType
from lmcache.v1.mp_observability.event_bus import EventCallback, EventSubscriber
from lmcache.v1.multiprocess.engine_context import MPCacheServerContext
from lmcache.v1.multiprocess.token_hasher import TokenHasher

from backend.lmcache_server import release
from backend.lmcache_server.object_files import id_of
from backend.lmcache_server.shared import Shared


class Traffic(EventSubscriber):  # type: ignore[misc]
    """Every lookup's tokens, and what leaves RAM."""

    def __init__(self, context: MPCacheServerContext, own: Shared) -> None:
        self._context = context
        self._control = own.control
        self._observed = own.observed

    def get_subscriptions(self) -> dict[EventType, EventCallback]:
        return {
            EventType.MP_LOOKUP_PREFETCH_END: self._looked_up,
            EventType.L1_KEYS_EVICTED: self._left_ram,
            EventType.L1_EVICTION_LOOP_TICK: self._eviction_looked,
        }

    def _looked_up(self, event: Event) -> None:
        # The event says how many tokens were found; the request's own session has them all, until it ends.
        session = release.session(self._context, event.session_id)
        found = event.metadata.get("hit_tokens")
        if session is None or found is None or not self._control.store_gate:
            return
        chunk = self._context.chunk_size
        parent = None
        if found:
            parent = TokenHasher.hash_to_bytes(session.get_hashes(found - chunk, found)[0])
        self._observed.not_found(parent, found, session.token_ids[found:])

    def _left_ram(self, event: Event) -> None:
        self._observed.left_ram([id_of(key) for key in event.metadata["keys"]])

    def _eviction_looked(self, event: Event) -> None:
        self._observed.eviction_looked(evicted=event.metadata["triggered"])
