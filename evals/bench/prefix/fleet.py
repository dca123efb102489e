"""Several replicas with a bounded prefix cache each, and who of them is asked: by the longest prefix, as the product
does it, and by rules that look at less.

Time is counted in requests: so many are under way at once, and one ends when so many came after it.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import Protocol

from backend.client import Message
from backend.errors import EngineUnreachable
from backend.routing.choice import Candidate, chosen
from backend.routing.prefix import Prefix, prefix_of
from backend.routing.replicas import LONGEST_AWAY_SECONDS, Replicas
from evals.bench.prefix.block_cache import BoundedBlockCache, Tokens
from evals.bench.prefix.hit_rates import Use

UNDER_WAY = 16


@dataclass(frozen=True, slots=True)
class Prompt:
    messages: Sequence[Message]
    cache_salt: str | None
    tokens: Tokens


@dataclass(frozen=True, slots=True)
class Outage:
    """The replica `name` is away for the requests of these numbers, and comes back with nothing in its cache."""

    name: str
    begins: int
    ends: int

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and self.begins <= number < self.ends


@dataclass(frozen=True, slots=True)
class Routed:
    """One use for each request, and the share of the requests that the busiest replica got."""

    uses: tuple[Use, ...]
    busiest: float


class Rule(Protocol):
    """Who is asked, of those that are there; a request is under way until what `asking` gives is left."""

    def choose(self, prefix: Prefix, there: Sequence[str]) -> str: ...

    def asking(self, name: str, prefix: Prefix) -> AbstractContextManager[None]: ...

    def left(self, name: str) -> None:
        """A replica that went away is noticed by the first request that it does not answer."""
        ...

    def came_back(self) -> None: ...


class ByPrefix:
    """The product's own."""

    def __init__(self, names: Sequence[str]) -> None:
        self._now = 0.0
        self._replicas = Replicas("bench", names, clock=lambda: self._now)

    def choose(self, prefix: Prefix, there: Sequence[str]) -> str:
        name = self._replicas.choose(prefix)
        assert name in there, "who is away was noticed"
        return name

    def asking(self, name: str, prefix: Prefix) -> AbstractContextManager[None]:
        return self._replicas.asking(name, prefix)

    def left(self, name: str) -> None:
        logger = logging.getLogger("kvasir.routing")
        logger.disabled = True  # it would tell what to do about it
        with suppress(EngineUnreachable), self._replicas.asking(name, Prefix((), b"")):
            raise EngineUnreachable("bench", name)
        logger.disabled = False

    def came_back(self) -> None:
        self._now += LONGEST_AWAY_SECONDS


class _Simple:
    """Of rules that look at no load."""

    def asking(self, name: str, prefix: Prefix) -> AbstractContextManager[None]:  # noqa: ARG002
        return nullcontext()

    def left(self, name: str) -> None:
        pass

    def came_back(self) -> None:
        pass


class RoundRobin(_Simple):
    def __init__(self, names: Sequence[str]) -> None:  # noqa: ARG002
        self._turn = -1

    def choose(self, prefix: Prefix, there: Sequence[str]) -> str:  # noqa: ARG002
        self._turn += 1
        return there[self._turn % len(there)]


class StickyHash(_Simple):
    """Each conversation has its replica, whoever holds what."""

    def __init__(self, names: Sequence[str]) -> None:
        pass

    def choose(self, prefix: Prefix, there: Sequence[str]) -> str:
        return chosen([Candidate(name, 0, 0) for name in there], 0, prefix.beginning)


RULES: dict[str, Callable[[Sequence[str]], Rule]] = {
    "by prefix": ByPrefix,
    "sticky hash": StickyHash,
    "round robin": RoundRobin,
}


def routed(
    prompts: Sequence[Prompt],
    rule: Callable[[Sequence[str]], Rule],
    *,
    replicas: int,
    block_tokens: int,
    capacity_blocks: int,
    outage: Outage | None = None,
) -> Routed:
    """The prompts in their order over so many replicas, whose caches begin empty and hold so much each."""
    names = [f"replica {number + 1}" for number in range(replicas)]
    caches = {name: BoundedBlockCache(block_tokens, capacity_blocks) for name in names}
    choice = rule(names)
    under_way: deque[AbstractContextManager[None]] = deque()
    asked: Counter[str] = Counter()
    uses: list[Use] = []
    for number, prompt in enumerate(prompts):
        if outage is not None and number == outage.begins:
            caches[outage.name].clear()
            choice.left(outage.name)
        if outage is not None and number == outage.ends:
            choice.came_back()
        there = [name for name in names if outage is None or number not in outage or name != outage.name]
        if len(under_way) == UNDER_WAY:
            under_way.popleft().__exit__(None, None, None)
        prefix = prefix_of(prompt.messages, prompt.cache_salt)
        name = choice.choose(prefix, there)
        under_way.append(choice.asking(name, prefix))
        under_way[-1].__enter__()
        asked[name] += 1
        uses.append(Use(caches[name].take(prompt.tokens), len(prompt.tokens)))
    return Routed(tuple(uses), max(asked.values()) / len(prompts))
