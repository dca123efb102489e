"""The gates as LMCache's policies. It makes one of each, and calls them from its store and prefetch loops."""

from __future__ import annotations

from collections.abc import Sequence

from lmcache.lmcache_native import Bitmap
from lmcache.v1.distributed.api import FULL_ATTENTION_WINDOW_CHUNKS, FetchingPolicy, GroupedObjectKeys, ObjectKey
from lmcache.v1.distributed.storage_controllers.prefetch_policy import DefaultPrefetchPolicy, PrefetchPlan
from lmcache.v1.distributed.storage_controllers.store_policy import StorePolicy
from lmcache.v1.distributed.storage_controllers.utils import (
    Bitmap2D,
    L1ManagerDescriptor,
    L2AdapterDescriptor,
    MapState,
)

from backend.lmcache_server.object_files import file_name, id_of
from backend.lmcache_server.shared import shared
from backend.tiers.profile import RAM
from backend.tiers.writes import StoreItem


class KvasirStorePolicy(StorePolicy):  # type: ignore[misc]
    """Store gate. Asked about every object that was put into RAM, and by us about those that recur there."""

    def __init__(self) -> None:
        self._shared = shared()
        self._adapters = {tier.name: tier.adapter for tier in self._shared.control.settings.tiers}

    def select_store_targets(
        self, keys: list[ObjectKey], adapters: list[L2AdapterDescriptor]
    ) -> dict[int, list[ObjectKey]]:
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


class KvasirPrefetchPolicy(DefaultPrefetchPolicy):  # type: ignore[misc]
    """Load gate. Decides how many of the leading chunks LMCache fetches, and from where; LMCache plans the rest.

    The interface wants pure functions. This one also counts lookups, which changes no plan of the same request.
    """

    def __init__(self) -> None:
        self._shared = shared()
        self._names = {tier.adapter: tier.name for tier in self._shared.control.settings.tiers}
        self._last_request: list[GroupedObjectKeys] | None = None

    def plan_load(
        self,
        key_groups: list[GroupedObjectKeys],
        l1_locked_keys: MapState,
        l2_locked_keys: MapState,
        l1_manager_descs: dict[int, L1ManagerDescriptor],
        l2_adapter_descs: dict[int, L2AdapterDescriptor],
        fetching_policy: FetchingPolicy,
    ) -> PrefetchPlan:
        # "full" is a promotion: nobody waits for it, and its time is spent before it is needed.
        if fetching_policy == "prefix" and key_groups:
            self._note(key_groups, l1_locked_keys, l2_locked_keys)
            if all(group.sliding_window_size == FULL_ATTENTION_WINDOW_CHUNKS for group in key_groups):
                l1_locked_keys, l2_locked_keys = self._gated(key_groups, l1_locked_keys, l2_locked_keys)
        return super().plan_load(
            key_groups=key_groups,
            l1_locked_keys=l1_locked_keys,
            l2_locked_keys=l2_locked_keys,
            l1_manager_descs=l1_manager_descs,
            l2_adapter_descs=l2_adapter_descs,
            fetching_policy=fetching_policy,
        )

    def plan_l1_retention(
        self,
        keys: list[ObjectKey],
        l1_manager_desc: L1ManagerDescriptor,  # noqa: ARG002  LMCache passes both
        l2_adapter_desc: L2AdapterDescriptor,  # noqa: ARG002
    ) -> list[bool]:
        """What was just fetched for a request is recent, and so belongs to RAM, except where its use case says not."""
        return self._shared.control.stays_in_ram([id_of(key) for key in keys])

    def _note(self, key_groups: list[GroupedObjectKeys], l1: MapState, l2: MapState) -> None:
        # LMCache plans twice where RAM was short. The request's own list tells one lookup from two of equal prompts.
        if key_groups is self._last_request:
            return
        self._last_request = key_groups
        for group in key_groups:
            self._shared.sizes.learn(group)
        ids = [id_of(key) for key in key_groups[0].keys]
        self._shared.control.note_lookup(ids)
        ram = [_merged(l1, row) for row in range(len(key_groups))]
        in_ram = _whole_columns(ram)
        if self._shared.control.store_gate:  # else somebody measures, and empties the tiers on purpose
            kept = _whole_columns([row | _merged(l2, number) for number, row in enumerate(ram)])
            self._shared.observed.looked_up(ids, _leading(kept))
        due = [index for index in self._shared.control.recurring(ids) if index < len(in_ram) and in_ram[index]]
        if due and (actions := self._shared.actions):
            actions.ask_again([group.keys[index] for group in key_groups for index in due])

    def _gated(self, key_groups: list[GroupedObjectKeys], l1: MapState, l2: MapState) -> tuple[MapState, MapState]:
        """Both maps without the chunks that shall not be fetched, and each chunk with one holder among the adapters."""
        rows, columns = len(key_groups), len(key_groups[0].keys)
        ram = [_merged(l1, row) for row in range(rows)]
        adapters = {self._name(index): grid for index, grid in sorted(l2.items())}
        holders: list[list[str]] = []
        for column in range(columns):
            missing = [row for row in range(rows) if column not in ram[row]]
            names = [RAM] if not missing else []
            names += [name for name, grid in adapters.items() if all(grid[row].test(column) for row in missing)]
            if not names:
                break
            holders.append(names)
        chosen = self._shared.control.choose(holders)
        new_l1, new_l2 = MapState(), MapState()
        for index, grid in l1.items():
            new_l1[index] = _masked(grid, range(len(chosen)))
        for index, grid in l2.items():
            name = self._name(index)
            new_l2[index] = _masked(grid, [column for column, tier in enumerate(chosen) if tier == name])
        return new_l1, new_l2

    def _name(self, adapter: int) -> str:
        """Adapters that were added while LMCache runs have no profile, and so are loaded from as LMCache would."""
        return self._names.get(adapter, f"adapter {adapter}")


def _merged(state: MapState, row: int) -> set[int]:
    """The columns of `row` that any of the state's grids has."""
    found: set[int] = set()
    for _, grid in state.items():
        found |= grid[row].get_indices_set()
    return found


def _whole_columns(rows: Sequence[set[int]]) -> list[bool]:
    """For each column up to the last that is somewhere: whether every row has it."""
    most = max((max(row, default=-1) for row in rows), default=-1)
    return [all(column in row for row in rows) for column in range(most + 1)]


def _leading(columns: Sequence[bool]) -> int:
    """How many are true before the first that is not."""
    return next((index for index, whole in enumerate(columns) if not whole), len(columns))


def _masked(grid: Bitmap2D, columns: Sequence[int]) -> Bitmap2D:
    width = grid.size()[1]
    mask = Bitmap(width)
    mask.batched_set([column for column in columns if column < width])
    return Bitmap2D([row & mask for row in grid])
