"""LMCache's connector for vLLM, so that vLLM outlives LMCache. Runs in the engine's Python; read against LMCache 0.5.6.

On a CPU, vLLM's worker waits for LMCache whenever it stores. A server that dies then, or that was started again and
does not know this worker yet, never answers: the wait ends in an error that takes vLLM down. Here the error ends the
store alone. LMCache counts as away from then on, and its heartbeat registers the worker again once it answers.

vLLM imports this file by its name, `kv_connector_module_path`; its folder is on PYTHONPATH. What else is in it
has a name that begins with `kvasir_`, too, so that it hides no module of the engine's.
"""

from __future__ import annotations

import logging

from lmcache.integration.vllm.lmcache_mp_connector import LMCacheMPConnector

logger = logging.getLogger("vllm.kvasir_connector")


class KvasirConnector(LMCacheMPConnector):  # type: ignore[misc]
    """Where a store times out, its requests go on without it."""

    def wait_for_save(self) -> None:
        try:
            super().wait_for_save()
        except TimeoutError as exc:
            logger.warning("%s: going on without LMCache until it answers", exc)
            # The event that LMCache's heartbeat sets and clears. Cleared, the next good ping registers this worker.
            self.worker_adapter._health_event.clear()
