"""The pair as the tests of Kvasir's policies use it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import httpx

from backend.plan import LaunchPlan
from backend.profiling.pair import MeasuredPair, PairAddress
from backend.tiers.cost import PrefillCost, TransferCost
from backend.tiers.profile import Profile, TierProfile, profile_json

from .waiting import until_equal

CHUNK = 256
TOKENS = 4 * CHUNK


class PolicyPair:
    """The pair, and prompts of random tokens."""

    def __init__(self, plan: LaunchPlan) -> None:
        self.plan = plan
        self.measured = MeasuredPair(PairAddress(plan.api_base.removesuffix("/v1"), plan.cache_url, plan.served_name))
        self.folder = plan.kv_dir
        self._source = random.SystemRandom()

    def close(self) -> None:
        self.measured.close()

    def prompt(self, tokens: int = TOKENS) -> list[int]:
        return [self._source.randrange(100, 500) for _ in range(tokens + 16)]

    def cached(self, prompt: list[int], *, engine: bool = False, ram: bool = True) -> int:
        """Ask, and say how many tokens came from a cache; without vLLM's own, and without LMCache's RAM if wished."""
        if not engine:
            self.measured.empty_engine()
        if not ram:
            self.measured.empty_ram()
        return self.measured.first_token(prompt).cached_tokens

    def file_names(self) -> set[str]:
        return {path.name for path in self.folder.glob("*.data")}

    def files(self) -> int:
        return len(self.file_names())

    def bytes(self) -> int:
        """Of the files that are still there when each is looked at."""
        total = 0
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def call(self, method: str, path: str, **body: Any) -> Any:
        answer = httpx.request(method, f"{self.plan.cache_url}/kvasir/{path}", json=body or None, trust_env=False)
        return answer.raise_for_status().json()

    def fetches(self) -> list[Any]:
        return [one for one in self.call("GET", "transfers") if one["kind"] == "fetch"]

    @contextmanager
    def answering(self, requests: int) -> Iterator[None]:
        """So many other requests are being answered meanwhile, and the gate knows. They are broken off at the end."""
        url, name = f"{self.plan.api_base}/completions", self.plan.served_name
        streams = []  # one that is not held is closed
        with ExitStack() as stack:
            client = stack.enter_context(httpx.Client(timeout=60, trust_env=False))
            for _ in range(requests):
                body = {"model": name, "prompt": self.prompt(0), "max_tokens": 4000, "ignore_eos": True, "stream": True}
                answer = stack.enter_context(client.stream("POST", url, json=body))
                streams.append(answer.iter_lines())
                next(streams[-1])
            assert until_equal(lambda: self.call("GET", "status")["engine_requests"], requests) == requests
            yield

    def use_profile(self, *, disk_seconds_a_token: float, fetch_seconds_a_token: float = 0.0) -> None:
        """A profile that is given, so that the gate's choice does not depend on this machine: 1 ms a token computed."""
        nothing = TransferCost(0.0, 0.0)
        line, fetch = TransferCost(0.0, disk_seconds_a_token), TransferCost(0.0, fetch_seconds_a_token)
        tiers = {"ram": TierProfile(nothing, nothing, nothing), "disk": TierProfile(line, fetch, nothing)}
        model = str(self.plan.options.model)
        profile = Profile(model, CHUNK, 1000, PrefillCost(0.0, 0.001, 0.0), tiers)
        path = self.folder.parent / "profile.json"
        path.write_text(json.dumps(profile_json(profile)))
        assert self.call("POST", "profile/reload")["profile_problem"] is None
