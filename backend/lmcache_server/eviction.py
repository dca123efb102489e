"""What leaves LMCache's RAM where it is short: what is worth least there, instead of what was used longest ago.

LMCache has no registry of eviction policies, so ours is put into its controllers once they are made, before the first
object comes. They go on to decide when to evict, and how much: above 0.8 of the memory, a fifth of the objects.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from lmcache.v1.distributed.api import ObjectKey
from lmcache.v1.distributed.eviction import EvictionPolicy
from lmcache.v1.distributed.internal_api import EvictionAction, EvictionDestination
from lmcache.v1.distributed.storage_manager import StorageManager

from backend.lmcache_server import release
from backend.lmcache_server.object_files import file_name, id_of
from backend.tiers.control import TierControl
from backend.tiers.writes import HeldItem

_AT_ONCE = 500
"""Objects that are judged before the gates, which wait meanwhile, have their turn again."""


def take_over_eviction(storage: StorageManager, control: TierControl) -> None:
    """Of RAM. Adapters with an `eviction` block keep what that names."""
    for controller in release.eviction_controllers(storage):
        policy = WorthEviction(control)
        controller._listener._policy = policy
        controller._eviction_policy = policy


class WorthEviction(EvictionPolicy):  # type: ignore[misc]
    """Of objects that are worth the same, those that were used longest ago, and the end of a prompt first."""

    def __init__(self, control: TierControl) -> None:
        self._control = control
        self._lock = threading.Lock()
        self._used: OrderedDict[ObjectKey, float] = OrderedDict()

    def register_eviction_destination(self, destination: EvictionDestination) -> None:
        """There is none but to discard: what is to be on disk was written there before."""

    def on_keys_created(self, keys: list[ObjectKey]) -> None:
        with self._lock:
            self._use(keys)

    def on_keys_touched(self, keys: list[ObjectKey]) -> None:
        with self._lock:
            self._use([key for key in keys if key in self._used])

    def on_keys_removed(self, keys: list[ObjectKey]) -> None:
        with self._lock:
            for key in keys:
                self._used.pop(key, None)

    def get_eviction_actions(
        self,
        expected_ratio: float,
        key_eligible_filter: Callable[[ObjectKey], bool] | None = None,
        cache_salt: str | None = None,  # noqa: ARG002  for policies that keep salts apart
    ) -> list[EvictionAction]:
        """At least one object, unless none may go."""
        with self._lock:
            held = list(self._used.items())
        wanted = max(1, int(len(held) * expected_ratio))
        leaving: list[ObjectKey] = []
        for key in self._least_worth_first(held):
            if len(leaving) == wanted:
                break
            if key_eligible_filter is None or key_eligible_filter(key):
                leaving.append(key)
        return [EvictionAction(EvictionDestination.DISCARD, leaving)] if leaving else []

    def _use(self, keys: Sequence[ObjectKey]) -> None:
        now = time.monotonic()
        for key in reversed(keys):
            self._used[key] = now
            self._used.move_to_end(key)

    def _least_worth_first(self, held: Sequence[tuple[ObjectKey, float]]) -> list[ObjectKey]:
        now = time.monotonic()
        worths: list[float] = []
        for begin in range(0, len(held), _AT_ONCE):
            some = held[begin : begin + _AT_ONCE]
            items = [HeldItem(id_of(key), file_name(key), now - used) for key, used in some]
            worths += self._control.worth_in_ram(items)
        order = sorted(range(len(held)), key=worths.__getitem__)
        return [held[index][0] for index in order]
