"""Whether a part answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx


@dataclass(frozen=True)
class Health:
    """`detail` says what was wrong, in a few words; empty when healthy."""

    healthy: bool
    detail: str = ""


def probe(url: str, *, timeout_seconds: float = 5.0) -> Health:
    """Ask `url` once; any 2xx is healthy. Environment proxies are not used: parts listen on loopback."""
    try:
        response = httpx.get(url, timeout=timeout_seconds, trust_env=False)
    except httpx.TimeoutException:
        return Health(False, f"no answer within {timeout_seconds:g} s")
    except httpx.TransportError:
        return Health(False, "nothing answers")
    return Health(True) if response.is_success else Health(False, f"status {response.status_code}")


def wait_until_healthy(
    url: str,
    ended: Callable[[], bool],
    *,
    timeout_seconds: float,
    on_wait: Callable[[float], None],
    pause_seconds: float = 0.25,
) -> bool:
    """Ask until healthy. `False` once `ended()` or after `timeout_seconds`. `on_wait` gets the seconds waited."""
    begun = time.monotonic()
    while True:
        # Asked first: something else on the port must not pass for a part that has ended.
        if ended():
            return False
        if probe(url).healthy:
            return not ended()
        waited = time.monotonic() - begun
        if waited > timeout_seconds:
            return False
        on_wait(waited)
        time.sleep(pause_seconds)
