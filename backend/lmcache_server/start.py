"""Registers the policies and hands over to LMCache's own command."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lmcache.cli.main import main as lmcache_main
from lmcache.v1.distributed.storage_controllers.prefetch_policy import register_prefetch_policy
from lmcache.v1.distributed.storage_controllers.store_policy import register_store_policy

from backend.lmcache_server.release import prefetch_policy, with_module
from backend.lmcache_server.shared import share
from backend.lmcache_server.store_policy import KvasirStorePolicy
from backend.tiers.control import TierControl
from backend.tiers.settings import read_settings

POLICY = "kvasir"


def start(settings: str, arguments: Sequence[str]) -> None:
    """Blocks until LMCache ends."""
    share(TierControl(read_settings(settings)))
    register_store_policy(POLICY, KvasirStorePolicy)
    register_prefetch_policy(POLICY, prefetch_policy())
    if "blend" in arguments:
        # LMCache's blend engine takes seconds to import.
        from backend.lmcache_server import blend_on_cpu

        blend_on_cpu.install()
    sys.argv = ["lmcache", *with_module(arguments)]  # not every release takes them as an argument
    lmcache_main()
