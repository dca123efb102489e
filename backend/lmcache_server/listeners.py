"""What LMCache tells about its tiers, handed to the control.

Files are counted through the adapters' listeners, which are called for each of them. Times come from the event bus:
it may drop events under load, and a missed measurement does no harm.
"""

from __future__ import annotations

from lmcache.v1.distributed.api import ObjectKey
from lmcache.v1.distributed.internal_api import L2AdapterListener
from lmcache.v1.mp_observability.event import Event, EventType
from lmcache.v1.mp_observability.event_bus import EventCallback, EventSubscriber

from backend.lmcache_server.object_files import file_name
from backend.tiers.control import TierControl
from backend.tiers.profile import RAM
from backend.tiers.settings import TierSettings


class TierFiles(L2AdapterListener):  # type: ignore[misc]
    """One adapter. `written` are the names of what this process wrote, which LMCache counts as well; of a tier without
    a cap they are not kept, since nothing is deleted from it and so they would only grow.
    """

    def __init__(self, control: TierControl, tier: TierSettings) -> None:
        self._control = control
        self._tier = tier.name
        self._capped = tier.cap_bytes is not None
        self.written: set[str] = set()

    def on_l2_keys_stored(self, keys: list[ObjectKey], sizes: list[int]) -> None:
        for key, size in zip(keys, sizes, strict=True):
            name = file_name(key)
            if self._capped:
                self.written.add(name)
            self._control.file_written(self._tier, name, size)

    def on_l2_keys_accessed(self, keys: list[ObjectKey]) -> None:
        self._control.files_used(self._tier, [file_name(key) for key in keys])

    def on_l2_keys_deleted(self, keys: list[ObjectKey]) -> None:
        for key in keys:
            name = file_name(key)
            self.written.discard(name)
            self._control.file_deleted(self._tier, name)


class TransferTimes(EventSubscriber):  # type: ignore[misc]
    """Begin and end of every transfer between RAM and an adapter, and of every store from the engine into RAM."""

    def __init__(self, control: TierControl) -> None:
        self._control = control
        self._names = {tier.adapter: tier.name for tier in control.settings.tiers}

    def get_subscriptions(self) -> dict[EventType, EventCallback]:
        return {
            EventType.L2_LOAD_TASK_SUBMITTED: self._fetch_begun,
            EventType.L2_LOAD_TASK_COMPLETED: self._fetch_ended,
            EventType.L2_STORE_SUBMITTED: self._store_begun,
            EventType.L2_STORE_COMPLETED: self._store_ended,
            # Of what the engine computed; what is fetched is reserved without this event.
            EventType.SM_WRITE_RESERVED: self._ram_begun,
            EventType.L1_WRITE_FINISHED: self._ram_ended,
        }

    def _fetch_begun(self, event: Event) -> None:
        data = event.metadata
        if name := self._names.get(data["adapter_index"]):
            key = ("fetch", name, data["task_id"])
            self._control.transfer_begun(key, "fetch", name, data["total_bytes"], event.timestamp)

    def _fetch_ended(self, event: Event) -> None:
        if name := self._names.get(event.metadata["adapter_index"]):
            self._control.transfer_ended(("fetch", name, event.metadata["task_id"]), event.timestamp)

    def _store_begun(self, event: Event) -> None:
        data = event.metadata
        if name := self._names.get(data["adapter_index"]):
            key = ("store", name, data["task_id"])
            self._control.transfer_begun(key, "store", name, data["total_bytes"], event.timestamp)

    def _store_ended(self, event: Event) -> None:
        data = event.metadata
        if name := self._names.get(data["adapter_index"]):
            key = ("store", name, data["task_id"])
            self._control.transfer_ended(key, event.timestamp, data["bytes_transferred"])

    def _ram_begun(self, event: Event) -> None:
        if keys := event.metadata["succeeded_keys"]:
            self._control.transfer_begun(("store", RAM, keys[0]), "store", RAM, 0, event.timestamp)

    def _ram_ended(self, event: Event) -> None:
        keys = event.metadata["keys"]
        if not keys:
            return
        size = sum(meta.size_bytes for meta in event.metadata["meta"])
        self._control.ram_written(size)
        self._control.transfer_ended(("store", RAM, keys[0]), event.timestamp, size)
