"""Asks vLLM each second how many requests it has, for the load gate.

vLLM's scheduler alone knows, and tells it at `/metrics` of any release. It lies beside the gate's way: a policy reads
the last count and waits for nothing. The gateway's notes could not carry it, since the gateway does not see requests
that others send, nor which of its own are in the engine.
"""

from __future__ import annotations

import threading
from http.client import HTTPException
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

from prometheus_client.parser import text_string_to_metric_families

from backend.tiers.control import TierControl

_EVERY_SECONDS = 1.0
_PATIENCE_SECONDS = 1.0
_GAUGES = ("vllm:num_requests_running", "vllm:num_requests_waiting")


class EngineWatch:
    """A thread of its own, since an engine that hangs answers late. One that is away tells nothing, and is asked on."""

    def __init__(self, control: TierControl, engine_url: str) -> None:
        self._control = control
        # With the slash at the end it is the page that can be asked for two gauges alone, which costs vLLM little.
        self._url = f"{engine_url}/metrics/?{urlencode([('name[]', name) for name in _GAUGES])}"
        self._opener = build_opener(ProxyHandler({}))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kvasir-engine-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_SECONDS):
            requests = self._requests()
            if requests is not None:
                self._control.engine_has(requests)

    def _requests(self) -> int | None:
        try:
            with self._opener.open(self._url, timeout=_PATIENCE_SECONDS) as page:
                families = list(text_string_to_metric_families(page.read().decode()))
        except (OSError, HTTPException, ValueError):
            return None
        values = [sample.value for family in families for sample in family.samples if sample.name in _GAUGES]
        return int(sum(values)) if values else None
