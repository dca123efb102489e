"""A stream put to the gateway's core, request after request, and the same requests with their items in other orders.

Ours are the product's own: retrieval, sessions found by the hash chain of the messages, assembly, traces. The others
are sent to the same engine under salts of their own, so that no order finds what another left in the cache. Every
other request has them the other way round.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from backend.client import Message, Sampling
from backend.errors import BackendError, ContextTooLong
from evals.bench.errors import EngineFailed
from evals.bench.prefix.assistant_world import StreamWorld
from evals.bench.prefix.engines import Sent, StreamEngine
from evals.bench.prefix.orders import OURS, Order
from evals.bench.prefix.request_stream import Request
from gateway.answering import Ask, Prepared, answer, prepare
from gateway.conversation import Conversation
from gateway.errors import GatewayError, PromptTooLong

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Played:
    """A request with what reached the engine, by order. `warmed` are prompts that came before it and answer nobody.

    `by_itself` is what other orders are made of: a later turn of ours leaves out tables that are not worth their text
    (`gateway/new_tables.py`).
    """

    request: Request
    prepared: Prepared
    by_itself: Prepared
    sent: Mapping[str, Sent]
    warmed: tuple[Sent, ...] = ()


@dataclass
class Player:
    """Plays streams to one world. `before` is called with a request's number, before it is asked. Progress is told
    every `told_every` requests."""

    world: StreamWorld
    engine: StreamEngine
    say: Say
    baselines: Mapping[str, Order] = field(default_factory=dict)
    before: Callable[[int], None] | None = None
    told_every: int = 100

    def play(self, name: str, stream: Sequence[Request]) -> list[Played]:
        """A dialogue ends where its prompt no longer fits the engine's window. Raises `EngineFailed`."""
        histories: dict[str, tuple[Message, ...]] = {}
        played: list[Played] = []
        full: set[str] = set()
        for number, request in enumerate(stream):
            if request.dialogue in full:
                continue
            history = histories.get(request.dialogue, ())
            try:
                played.append(self._put(number, request, history))
            except (PromptTooLong, ContextTooLong):
                full.add(request.dialogue)
                self.say(f"{name}: turn {request.turn + 1} of {request.dialogue} does not fit the window")
                continue
            histories[request.dialogue] = (
                *history,
                {"role": "user", "content": request.question},
                {"role": "assistant", "content": request.answer},
            )
            if (number + 1) % self.told_every == 0 or number + 1 == len(stream):
                self.say(f"{name}: {number + 1} of {len(stream)} asked")
        return played

    def _put(self, number: int, request: Request, history: tuple[Message, ...]) -> Played:
        known = len(self.engine.sent)
        if self.before is not None:
            self.before(number)
        warmed = tuple(self.engine.sent[known:])
        conversation = Conversation((), (*history, {"role": "user", "content": request.question}))
        ask = Ask(self.world.tenant, self.world.assistant.name, conversation, user=request.person)
        self.engine.answer = request.answer
        try:
            prepared = prepare(self.world.core, ask, planned=True)
            by_itself = self.world.by_itself(prepared)
            sent = asyncio.run(self._all_orders(prepared, by_itself, reverse=number % 2 == 1))
        except (PromptTooLong, ContextTooLong):
            raise
        except (BackendError, GatewayError) as exc:
            raise EngineFailed(f"'{request.question}' got no answer: {exc}") from exc
        return Played(request, prepared, by_itself, sent, warmed)

    async def _all_orders(self, prepared: Prepared, by_itself: Prepared, *, reverse: bool) -> dict[str, Sent]:
        names = [OURS, *self.baselines]
        sent: dict[str, Sent] = {}
        for name in reversed(names) if reverse else names:
            if name == OURS:
                await answer(self.world.core, prepared)
            else:
                salt = f"{self.world.tenant}-{name.replace(' ', '-')}"
                await self.engine.complete(self.baselines[name](by_itself), Sampling(max_tokens=1), cache_salt=salt)
            sent[name] = self.engine.sent[-1]
        return sent
