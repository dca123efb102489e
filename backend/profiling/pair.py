"""The running pair, as the measurements use it. The one client of vLLM's development endpoints."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from backend.errors import MeasurementFailed
from backend.polling import until

_PATIENCE_SECONDS = 60.0
# In the order of PrefixCounts.
_COUNTERS = (
    "vllm:prompt_tokens_total",
    "vllm:prefix_cache_queries_total",
    "vllm:prefix_cache_hits_total",
    "vllm:external_prefix_cache_hits_total",
)
_HELD = ("vllm:num_requests_running", "vllm:kv_cache_usage_perc")


@dataclass(frozen=True)
class FirstToken:
    """`cached_tokens` are those of the prompt that the engine did not compute."""

    seconds: float
    cached_tokens: int


@dataclass(frozen=True)
class PrefixCounts:
    """The engine's counters of tokens since its start: of the prompts it answered, looked for in its own prefix cache,
    found there, found in another's.

    vLLM 0.24 looks for a prompt again in each step that it waits for LMCache, and counts that each time.
    """

    prompts: float
    looked_for: float
    own_hits: float
    other_hits: float

    def since(self, before: PrefixCounts) -> PrefixCounts:
        """Of one prompt, its own hits are counted once."""
        prompts, looked_for = self.prompts - before.prompts, self.looked_for - before.looked_for
        times = looked_for / prompts if prompts and looked_for else 1.0
        own = (self.own_hits - before.own_hits) / times
        return PrefixCounts(prompts, looked_for, own, self.other_hits - before.other_hits)


@dataclass(frozen=True)
class PairAddress:
    """Where the two parts answer, without a path, and the name that requests use."""

    engine_url: str
    cache_url: str
    served_name: str


class MeasuredPair:
    """Each method raises `MeasurementFailed` where the pair does not do what was asked."""

    def __init__(
        self, address: PairAddress, *, timeout_seconds: float = 600.0, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._address = address
        self._client = httpx.Client(timeout=timeout_seconds, trust_env=False, transport=transport)

    def close(self) -> None:
        self._client.close()

    def first_token(self, token_ids: Sequence[int]) -> FirstToken:
        """Ask for one token after the prompt, and time its arrival here."""
        body = {
            "model": self._address.served_name,
            "prompt": list(token_ids),
            "max_tokens": 1,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        seconds: float | None = None
        cached = 0
        begun = time.perf_counter()
        try:
            with self._client.stream("POST", f"{self._address.engine_url}/v1/completions", json=body) as response:
                if response.is_error:
                    response.read()
                    raise MeasurementFailed("completion", f"status {response.status_code}: {response.text[:200]}")
                for line in response.iter_lines():
                    if not line.startswith("data: {"):
                        continue
                    if seconds is None:
                        seconds = time.perf_counter() - begun
                    cached = max(cached, _cached_tokens(line.removeprefix("data: ")))
        except httpx.HTTPError as exc:
            raise MeasurementFailed("completion", f"the engine does not answer: {exc!r}") from exc
        if seconds is None:
            raise MeasurementFailed("completion", "the answer holds no token")
        return FirstToken(seconds, cached)

    def empty_engine(self) -> None:
        """Drop vLLM's own prefix cache; LMCache keeps what it has. vLLM refuses while it still hands blocks over."""
        held_nothing = False

        def emptied() -> bool:
            nonlocal held_nothing
            response = self._send("POST", f"{self._address.engine_url}/reset_prefix_cache", allow=(404,))
            if response.status_code == 404:
                raise MeasurementFailed(
                    "reset of vLLM's prefix cache",
                    "it is not allowed; start the engine with 'kvasir backend up --allow-reset' to measure, and "
                    "without it after that",
                )
            if response.json()["success"] if response.content else held_nothing:
                return True
            # Older releases do not say whether they did. They do where no block is held, so once more.
            held_nothing = not response.content and not any(self._metrics(_HELD))
            return False

        if not until(emptied, seconds=_PATIENCE_SECONDS):
            raise MeasurementFailed("reset of vLLM's prefix cache", "its blocks stay in use; does somebody else ask?")

    def may_empty_engine(self) -> bool:
        """Whether the engine lets us; where it does, its prefix cache may be empty after this."""
        return self._send("POST", f"{self._address.engine_url}/reset_prefix_cache", allow=(404,)).status_code != 404

    def prefix_counts(self) -> PrefixCounts:
        return PrefixCounts(*self._metrics(_COUNTERS))

    def empty_ram(self) -> None:
        """Drop LMCache's memory; its slower tiers keep what they have. What is just being written stays until it is."""

        def emptied() -> bool:
            self._send("POST", f"{self._address.cache_url}/cache/clear")
            return not _holds_objects(self._send("GET", f"{self._address.cache_url}/status").json())

        if not until(emptied, seconds=_PATIENCE_SECONDS):
            raise MeasurementFailed("emptying LMCache's memory", "objects stay in use; does somebody else ask?")

    def status(self) -> dict[str, Any]:
        response = self._send("GET", f"{self._address.cache_url}/kvasir/status", allow=(404,))
        if response.status_code == 404:
            raise MeasurementFailed(
                "status of the tiers", "LMCache runs without Kvasir's policies; start it without --plain-cache"
            )
        return dict(response.json())

    def set_gates(self, *, load: bool, store: bool) -> None:
        self._send("PUT", f"{self._address.cache_url}/kvasir/gates", json={"load": load, "store": store})

    def note(self, token_ids: Sequence[int], *, session: str, use_case: str | None) -> None:
        body = {"token_ids": list(token_ids), "session": session, "use_case": use_case}
        self._send("POST", f"{self._address.cache_url}/kvasir/notes", json=body)

    def demote_session(self, session: str) -> None:
        """Have the session's own chunks written to disk and taken out of RAM, as when it is idle."""
        self._send("POST", f"{self._address.cache_url}/kvasir/sessions/{session}/idle")

    def expect_session(self, session: str) -> None:
        """Somebody types: have the session's chunks fetched into RAM."""
        self._send("POST", f"{self._address.cache_url}/kvasir/sessions/{session}/expect")

    def forget_session(self, session: str) -> None:
        self._send("DELETE", f"{self._address.cache_url}/kvasir/sessions/{session}")

    def reload_profile(self) -> None:
        self._send("POST", f"{self._address.cache_url}/kvasir/profile/reload")

    def last_transfer(self) -> int:
        return max((one["number"] for one in self.transfers(0)), default=0)

    def transfers(self, after: int) -> list[dict[str, Any]]:
        response = self._send("GET", f"{self._address.cache_url}/kvasir/transfers", params={"after": after})
        return list(response.json())

    def await_stored(self, tier: str, size_bytes: int, after: int) -> list[dict[str, Any]]:
        """The stores into `tier` after the transfer `after`, once they add up to `size_bytes`, or after a minute."""
        return self._await_moved("store", tier, size_bytes, after)

    def await_fetched(self, tier: str, size_bytes: int, after: int) -> list[dict[str, Any]]:
        """The same of fetches from `tier` into RAM."""
        return self._await_moved("fetch", tier, size_bytes, after)

    def _await_moved(self, kind: str, tier: str, size_bytes: int, after: int) -> list[dict[str, Any]]:
        def moved() -> list[dict[str, Any]]:
            return [one for one in self.transfers(after) if (one["kind"], one["tier"]) == (kind, tier)]

        return until(
            moved, lambda moved: sum(one["size_bytes"] for one in moved) >= size_bytes, seconds=_PATIENCE_SECONDS
        )

    def window_tokens(self) -> int:
        return int(self._send("GET", f"{self._address.engine_url}/v1/models").json()["data"][0]["max_model_len"])

    def token_ids(self, text: str) -> list[int]:
        body = {"model": self._address.served_name, "prompt": text}
        return list(self._send("POST", f"{self._address.engine_url}/tokenize", json=body).json()["tokens"])

    def count_tokens(self, text: str) -> int:
        body = {"model": self._address.served_name, "prompt": text}
        return int(self._send("POST", f"{self._address.engine_url}/tokenize", json=body).json()["count"])

    def _metrics(self, names: Sequence[str]) -> list[float]:
        """Of the engine, summed over their labels; 0 for one that it does not have."""
        totals = dict.fromkeys(names, 0.0)
        text = self._send("GET", f"{self._address.engine_url}/metrics").text
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name in totals:
                    totals[sample.name] += sample.value
        return list(totals.values())

    def _send(self, method: str, url: str, *, allow: tuple[int, ...] = (), **given: Any) -> httpx.Response:
        try:
            response = self._client.request(method, url, **given)
        except httpx.HTTPError as exc:
            raise MeasurementFailed(
                f"{method} {url}", f"nothing answers ({exc!r}); see 'kvasir backend status'"
            ) from exc
        if response.is_error and response.status_code not in allow:
            raise MeasurementFailed(f"{method} {url}", f"status {response.status_code}: {response.text[:200]}")
        return response


def _holds_objects(status: Any) -> bool:
    """Whether any of LMCache's managers of memory does, which tell by that they count locks of readers."""
    if isinstance(status, list):
        return any(map(_holds_objects, status))
    if not isinstance(status, dict):
        return False
    own = "read_locked_count" in status and status.get("total_object_count", 0) > 0
    return own or any(map(_holds_objects, status.values()))


def _cached_tokens(data: str) -> int:
    usage = json.loads(data).get("usage") or {}
    return int((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)
