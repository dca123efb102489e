"""LMCache 0.5.3's own storage manager with Kvasir's policies, no server: what each lookup found, as JSON.

Run by `test_older_release.py` in the engine's Python, with the repository on its path: `older_storage.py FOLDER`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from lmcache.v1.distributed.api import MemoryLayoutDesc, ObjectKey, PrefetchRequestSpec
from lmcache.v1.distributed.config import add_storage_manager_args, parse_args_to_config
from lmcache.v1.distributed.storage_controllers.prefetch_policy import register_prefetch_policy
from lmcache.v1.distributed.storage_controllers.store_policy import register_store_policy
from lmcache.v1.distributed.storage_manager import StorageManager
from lmcache.v1.multiprocess.custom_types import IPCCacheServerKey
from lmcache.v1.multiprocess.warm_prefetch import WarmPrefetchJobs

from backend.lmcache_server import release
from backend.lmcache_server.older_prefetch import gate_lookups
from backend.lmcache_server.shared import share
from backend.lmcache_server.store_policy import KvasirStorePolicy
from backend.tiers.control import TierControl
from backend.tiers.cost import PrefillCost, TransferCost
from backend.tiers.profile import Profile, TierProfile, profile_json
from backend.tiers.settings import PolicySettings, TierSettings

CHUNK, CHUNKS = 256, 8
LAYOUT = MemoryLayoutDesc(shapes=[torch.Size([2, CHUNK, 64])], dtypes=[torch.bfloat16])
FREE, QUICK, SLOW = TransferCost(0.0, 0.0), TransferCost(0.0, 0.0001), TransferCost(0.0, 0.01)
"""A token is computed in 1 ms."""


class Driver:
    """One prompt of `CHUNKS` chunks."""

    def __init__(self, folder: Path) -> None:
        files = folder / "kv"
        files.mkdir()
        self.profile = folder / "profile.json"
        tiers = (TierSettings("disk", "disk", 0, files, 10**9),)
        self.control = share(TierControl(PolicySettings("/m", CHUNK, folder, self.profile, tiers))).control
        self.control.set_gates(load=True, store=False)
        register_store_policy("kvasir", KvasirStorePolicy)
        register_prefetch_policy("kvasir", release.prefetch_policy())
        parser = argparse.ArgumentParser()
        add_storage_manager_args(parser)
        adapter = json.dumps({"type": "fs", "base_path": str(files)})
        policies = ["--l2-store-policy", "kvasir", "--l2-prefetch-policy", "kvasir"]
        given = ["--l1-size-gb", "0.1", "--eviction-policy", "LRU", "--l2-adapter", adapter, *policies]
        self.storage: Any = StorageManager(parse_args_to_config(parser.parse_args(given)))
        gate_lookups(self.storage)
        key = IPCCacheServerKey("/m", 1, None, (), 0, 0, "")
        self.rows = release.key_rows(key, [bytes([number]) * 32 for number in range(CHUNKS)], {0: LAYOUT}, None)
        self.keys: list[ObjectKey] = self.rows[0].keys

    def found(self, chunks: int = CHUNKS) -> int:
        """Leading chunks that a lookup of the first `chunks` brings into RAM."""
        keys = self.keys[:chunks]
        handle = self.storage.submit_prefetch_task(PrefetchRequestSpec(keys=keys, group_layout_descs={0: LAYOUT}))
        end = time.monotonic() + 20
        while (found := self.storage.query_prefetch_status(handle)) is None:
            assert time.monotonic() < end, "the lookup never ended"
            time.sleep(0.01)
        count = int(found.count_leading_ones())
        self.storage.finish_read_prefetched(keys[:count])
        return count

    def put(self, chunks: int = CHUNKS, *, then_on_disk: int = 0) -> None:
        """Into RAM, which is emptied before; the disk has them all from the first time on."""
        self.storage.clear()
        self.storage.finish_write(list(self.storage.reserve_write(self.keys[:chunks], LAYOUT, "new")))
        end = time.monotonic() + 20
        while len(list((self.profile.parent / "kv").glob("*.data"))) < then_on_disk and time.monotonic() < end:
            time.sleep(0.01)

    def costs(self, ram: TransferCost, disk: TransferCost) -> None:
        tiers = {"ram": TierProfile(ram, FREE, FREE), "disk": TierProfile(disk, FREE, FREE)}
        profile = Profile("/m", CHUNK, 512, PrefillCost(0.0, 0.001, 0.0), tiers)
        self.profile.write_text(json.dumps(profile_json(profile)))
        self.control.reload_profile()
        assert self.control.profile is not None

    def promoted(self) -> int:
        self.storage.clear()
        jobs = WarmPrefetchJobs()
        job = release.submit_warm(jobs, self.storage, self.rows)
        end = time.monotonic() + 20
        while (status := jobs.poll(self.storage, job)).state == "pending" and time.monotonic() < end:
            time.sleep(0.01)
        return int(status.found_keys)


def main(folder: Path) -> dict[str, Any]:
    driver = Driver(folder)
    said: dict[str, Any] = {"nothing kept": driver.found()}
    driver.put(then_on_disk=CHUNKS)
    said["without a profile, RAM"] = driver.found()
    driver.storage.clear()
    said["without a profile, disk"] = driver.found()
    driver.costs(FREE, SLOW)
    driver.storage.clear()
    said["slow disk"] = driver.found()
    driver.put(3)
    said["RAM, then slow disk"] = driver.found()
    driver.costs(FREE, QUICK)
    driver.put(3)
    said["RAM, then quick disk"] = driver.found()
    driver.costs(TransferCost(10.0, 0.0), SLOW)
    driver.put()
    said["slow RAM"] = driver.found()
    driver.costs(TransferCost(0.6, 0.0), QUICK)
    driver.put(2)
    said["RAM that pays only with what follows, alone"] = driver.found(2)
    said["RAM that pays only with what follows"] = driver.found()
    driver.costs(SLOW, SLOW)
    said["promoted from a slow disk"] = driver.promoted()
    driver.control.set_gates(load=False, store=False)
    driver.put()
    said["gate off"] = driver.found()
    said["counts"] = driver.control.status()["counts"]
    driver.storage.close()
    return said


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))  # noqa: T201
