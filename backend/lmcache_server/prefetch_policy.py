"""The load gate as LMCache's prefetch policy, which is asked about all tiers at once. For 0.5.6; `release` chooses."""

from __future__ import annotations

from collections.abc import Sequence

from lmcache.lmcache_native import Bitmap
from lmcache.v1.distributed.api import FULL_ATTENTION_WINDOW_CHUNKS, FetchingPolicy, GroupedObjectKeys, ObjectKey
from lmcache.v1.distributed.storage_controllers.prefetch_policy import DefaultPrefetchPolicy, PrefetchPlan
from lmcache.v1.distributed.storage_controllers.utils import (
    Bitmap2D,
    L1ManagerDescriptor,
    L2AdapterDescriptor,
    MapState,
)

from backend.lmcache_server.object_files import id_of
from backend.lmcache_server.shared import leading, shared
from backend.tiers.profile import RAM


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
            self._shared.sizes.learn(group.keys[0].model_name, group.object_group_id, group.layout_desc)
        ids = [id_of(key) for key in key_groups[0].keys]
        ram = [_merged(l1, row) for row in range(len(key_groups))]
        in_ram = {column for column, whole in enumerate(_whole_columns(ram)) if whole}
        self._shared.looked_up(ids, in_ram, lambda column: [group.keys[column] for group in key_groups])
        kept = _whole_columns([row | _merged(l2, number) for number, row in enumerate(ram)])
        self._shared.found(ids, leading(kept))

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


def _masked(grid: Bitmap2D, columns: Sequence[int]) -> Bitmap2D:
    width = grid.size()[1]
    mask = Bitmap(width)
    mask.batched_set([column for column in columns if column < width])
    return Bitmap2D([row & mask for row in grid])
