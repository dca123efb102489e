"""The store gate as LMCache's store policy, which it makes once and calls from its store loop."""

from __future__ import annotations

from typing import Any

from lmcache.v1.distributed.api import ObjectKey
from lmcache.v1.distributed.storage_controllers.store_policy import StorePolicy

from backend.lmcache_server.object_files import file_name, id_of
from backend.lmcache_server.shared import shared
from backend.tiers.writes import StoreItem


class KvasirStorePolicy(StorePolicy):  # type: ignore[misc]
    """Store gate. Asked about every object that was put into RAM, and by us about those that recur there."""

    def __init__(self) -> None:
        self._shared = shared()
        self._adapters = {tier.name: tier.adapter for tier in self._shared.control.settings.tiers}

    def select_store_targets(self, keys: list[ObjectKey], adapters: list[Any]) -> dict[int, list[ObjectKey]]:
        """`adapters` are LMCache's descriptors, whose class has another name in each release."""
        # An object of a size that is not known yet was never looked up. It waits: a cap cannot hold by guessing.
        sized = [(key, size) for key in keys if (size := self._shared.sizes.of(key)) is not None]
        control, actions = self._shared.control, self._shared.actions
        plan = control.plan_store([StoreItem(id_of(key), file_name(key), size) for key, size in sized])
        live = {adapter.index for adapter in adapters}
        targets: dict[int, list[ObjectKey]] = {}
        for tier, indices in plan.targets.items():
            if victims := plan.victims[tier]:
                assert actions is not None
                actions.delete_files(tier, victims)
            if self._adapters[tier] in live:
                targets[self._adapters[tier]] = [sized[index][0] for index in indices]
        return targets

    def select_l1_deletions(self, keys: list[ObjectKey]) -> list[ObjectKey]:
        leaving = self._shared.control.take_leaving([id_of(key) for key in keys])
        return [keys[index] for index in leaving]
