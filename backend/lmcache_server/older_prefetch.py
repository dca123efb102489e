"""The load gate in LMCache 0.5.3, in two steps, since its prefetch policy is asked about the slower tiers alone.

A lookup takes what lies in RAM, and only then asks the slower tiers for the rest. So the first step is before it: where
nothing that may follow could make the part in RAM worth its time, the lookup finds nothing. The second is the policy,
which gets the keys after RAM's part and what the slower tiers have of them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, SupportsIndex

from lmcache.native_storage_ops import Bitmap
from lmcache.v1.distributed.api import ObjectKey, PrefetchHandle, PrefetchMode, PrefetchRequestSpec, TrimPolicy
from lmcache.v1.distributed.storage_controllers.prefetch_policy import DefaultPrefetchPolicy

from backend.lmcache_server.object_files import id_of
from backend.lmcache_server.shared import leading, shared
from backend.tiers.profile import RAM
from backend.tiers.sightings import ChunkId

logger = logging.getLogger("lmcache.kvasir")


@dataclass(frozen=True)
class Lookup:
    """One request's. `width` keys make a chunk; `in_ram` says of each chunk whether all of them lie there."""

    ids: list[ChunkId]
    in_ram: list[bool]
    width: int
    gated: bool


class LookupKeys(list[ObjectKey]):
    """The keys of a lookup from its chunk `first` on. LMCache cuts off those in RAM; what is left still knows where it
    began. Keys of a promotion are a plain list, by which the policy tells them.
    """

    def __init__(self, keys: Sequence[ObjectKey], lookup: Lookup, first: int = 0) -> None:
        super().__init__(keys)
        self.lookup = lookup
        self.first = first

    def __getitem__(self, place: SupportsIndex | slice) -> Any:
        found = super().__getitem__(place)
        if not isinstance(place, slice):
            return found
        return LookupKeys(found, self.lookup, self.first + place.indices(len(self))[0] // self.lookup.width)


class OlderPrefetchPolicy(DefaultPrefetchPolicy):  # type: ignore[misc]
    """The second step."""

    def __init__(self) -> None:
        self._shared = shared()
        self._names = {tier.adapter: tier.name for tier in self._shared.control.settings.tiers}

    def select_load_plan(
        self, keys: list[ObjectKey], lookup_results: dict[int, Bitmap], adapters: list[Any]
    ) -> dict[int, Bitmap]:
        if isinstance(keys, LookupKeys):
            try:
                lookup_results = self._gated(keys, lookup_results)
            except Exception:
                # Raised further, it would leave the request waiting for ever.
                logger.exception("kvasir: the load gate failed; everything that was found is loaded")
        plan: dict[int, Bitmap] = super().select_load_plan(keys, lookup_results, adapters)
        return plan

    def select_l1_retentions(self, keys: list[ObjectKey]) -> list[bool]:
        """What was just fetched for a request is recent, and so belongs to RAM, except where its use case says not."""
        return self._shared.control.stays_in_ram([id_of(key) for key in keys])

    def _gated(self, keys: LookupKeys, results: dict[int, Bitmap]) -> dict[int, Bitmap]:
        """The results without the chunks that shall not be fetched, and each chunk in one of them."""
        lookup, width = keys.lookup, keys.lookup.width
        in_ram = lookup.in_ram[keys.first :]
        whole = {self._name(index): _whole_chunks(found, len(keys), width) for index, found in sorted(results.items())}
        holders: list[list[str]] = [[RAM]] * keys.first
        for chunk, here in enumerate(in_ram):
            names = [RAM] if here else []
            names += [name for name, chunks in whole.items() if chunks[chunk]]
            if not names:
                break
            holders.append(names)
        self._shared.found(lookup.ids, len(holders))
        if not lookup.gated:
            return results
        chosen = self._shared.control.choose(holders)[keys.first :]
        gated: dict[int, Bitmap] = {}
        for index, found in results.items():
            from_here = [chunk for chunk, tier in enumerate(chosen) if tier == self._name(index)]
            gated[index] = found & _mask(len(keys), width, from_here)
        return gated

    def _name(self, adapter: int) -> str:
        """Adapters that were added while LMCache runs have no profile, and so are loaded from as LMCache would."""
        return self._names.get(adapter, f"adapter {adapter}")


def gate_lookups(storage: Any) -> None:
    """The first step, before `storage` (LMCache's storage manager) takes what lies in RAM."""
    submit = storage.submit_prefetch_task

    def submit_gated(spec: PrefetchRequestSpec, external_request_id: str = "", skip_l2: bool = False) -> PrefetchHandle:
        if spec.mode is PrefetchMode.LOOKUP and spec.policy is TrimPolicy.PREFIX and spec.keys:
            spec = replace(spec, keys=_from_ram(spec, storage._l1_manager))
        return submit(spec, external_request_id, skip_l2)

    storage.submit_prefetch_task = submit_gated


def _from_ram(spec: PrefetchRequestSpec, ram: Any) -> LookupKeys:
    """The keys to look up: fewer than asked for, where RAM's part is not worth it and ends them."""
    own = shared()
    width = spec.attn_desc.num_object_groups * spec.attn_desc.world_size
    chunks = [spec.keys[at : at + width] for at in range(0, len(spec.keys), width)]
    lookup = Lookup(
        ids=[id_of(chunk[0]) for chunk in chunks],
        in_ram=[all(ram.get_object_state(key) is not None for key in chunk) for chunk in chunks],
        width=width,
        gated=all(window < 0 for window in spec.attn_desc.num_chunks_in_sw),
    )
    for group, layout in spec.group_layout_descs.items():
        own.sizes.learn(spec.keys[0].model_name, group, layout)
    own.looked_up(lookup.ids, {at for at, here in enumerate(lookup.in_ram) if here}, lambda at: chunks[at])
    first = leading(lookup.in_ram)
    more = len(chunks) - first if own.control.settings.tiers else 0
    taken = own.control.choose_ram(first, more) if lookup.gated else first
    if taken < first or not more:
        own.found(lookup.ids, first)  # the policy will not be asked
    keys = LookupKeys(spec.keys, lookup)
    return keys[: taken * width] if taken < first else keys


def _whole_chunks(found: Bitmap, keys: int, width: int) -> list[bool]:
    return [all(found.test(at + rank) for rank in range(width)) for at in range(0, keys, width)]


def _mask(keys: int, width: int, chunks: Sequence[int]) -> Bitmap:
    mask = Bitmap(keys)
    mask.batched_set([chunk * width + rank for chunk in chunks for rank in range(width)])
    return mask
