"""HTTP pages of a pair and its gateways. What does not answer is remembered, and is no error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import httpx

from backend.doctor.metrics import Metrics, parse_metrics
from backend.doctor.readings import Source

Page = TypeVar("Page")

_TIMEOUT_SECONDS = 10.0


class Pages:
    """`problems` has what went wrong by source and address, since it was last emptied."""

    def __init__(self, *, api_key: str | None = None, timeout_seconds: float = _TIMEOUT_SECONDS) -> None:
        self.problems: dict[tuple[Source, str], str] = {}
        # Proxies of the environment are not used: parts listen on loopback.
        self._client = httpx.Client(timeout=timeout_seconds, trust_env=False)
        self._api_key = api_key
        self._timeout_seconds = timeout_seconds

    def close(self) -> None:
        self._client.close()

    def metrics(self, source: Source, url: str) -> Metrics | None:
        return self._read(source, url, lambda response: parse_metrics(response.text))

    def json(self, source: Source, url: str) -> Any:
        """`None` where it does not answer with JSON."""
        return self._read(source, url, lambda response: response.json())

    def _read(self, source: Source, url: str, parse: Callable[[httpx.Response], Page]) -> Page | None:
        # The key is the gateway's and goes nowhere else.
        headers = {"authorization": f"Bearer {self._api_key}"} if self._api_key and source == "gateway" else {}
        try:
            return parse(self._client.get(url, headers=headers).raise_for_status())
        except httpx.HTTPStatusError as exc:
            problem = f"status {exc.response.status_code}"
        except httpx.TimeoutException:
            problem = f"no answer within {self._timeout_seconds:g} s"
        except (httpx.HTTPError, httpx.InvalidURL):
            problem = "nothing answers"
        except ValueError as exc:
            problem = f"its answer cannot be read: {exc}"
        self.problems[source, url] = problem
        return None
