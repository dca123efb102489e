"""What landing costs the cache: how much of the prompts' shared prefix the recent requests would compute anew.

Each recent first turn is assembled at both commits. Its system message at base is what an engine has cached by now; as
far as the one at head begins alike, that stays of use. A later turn keeps all of its own: no commit changes what a
conversation began with.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from os.path import commonprefix

from backend.client import Engine
from backend.errors import BackendError
from gateway.answering import Ask, prepare
from gateway.conversation import parse_conversation
from gateway.core import Assistant, Core
from gateway.replay import PrefixCost, Unit
from gateway.sessions import Session
from gateway.traces import Trace
from kb.store import BaseId

RECENT_REQUESTS = 200
LANDING_REQUESTS = 50
"""Over so many the replay before landing tells it, and a commit: every request is assembled twice."""

Texts = Counter[tuple[str, str]]
"""How often a request has this system message at base, and this beginning of it at head."""


@dataclass(frozen=True, slots=True)
class LandingCost:
    """What a move of its branch costs one assistant; `cost` is `None` where it has no requests yet."""

    assistant: str
    cost: PrefixCost | None


def landing_costs(core: Core, base: BaseId, branch: str, before: str, after: str) -> tuple[LandingCost, ...]:
    """For each assistant that reads the branch. Not to be called in an event loop: it runs one."""
    return tuple(
        LandingCost(
            name,
            asyncio.run(prefix_cost(core, core.assistant(base.tenant, name), before, after, recent=LANDING_REQUESTS)),
        )
        for name in core.readers(base, branch)
    )


async def prefix_cost(core: Core, assistant: Assistant, base: str, head: str, *, recent: int) -> PrefixCost | None:
    """Over those of the assistant's last `recent` requests that its engine answered; `None` without any."""
    tenant = assistant.settings.tenant
    traces = core.traces.recent(tenant, assistant.name, recent) if recent else []
    texts = await _texts(core, (trace for trace in traces if _of_the_engine(trace)), base, head)
    if not texts:
        return None
    counted = await _tokens(assistant.engine, texts) if assistant.engine is not None else None
    sizes = counted if counted is not None else {text: len(text) for pair in texts for text in pair}
    kept = sum(sizes[common] * times for (_, common), times in texts.items())
    whole = sum(sizes[before] * times for (before, _), times in texts.items())
    unit: Unit = "tokens" if counted is not None else "characters"
    return PrefixCost(texts.total(), kept, max(0, whole - kept), unit)


def _of_the_engine(trace: Trace) -> bool:
    return trace.status == "answered" and trace.answered_by == "engine"


async def _texts(core: Core, traces: Iterable[Trace], base: str, head: str) -> Texts:
    texts: Texts = Counter()
    asked = Counter[tuple[str, str, str, tuple[tuple[str, str], ...]]]()
    for trace in traces:
        if any(message["role"] == "assistant" for message in trace.messages):
            placed = trace.prompt[0]["content"]
            texts[placed, placed] += 1
        else:
            asked[trace.tenant, trace.assistant, trace.user, _key(trace)] += 1
    for (tenant, assistant, user, messages), times in asked.items():
        await asyncio.sleep(0)  # where an interrupt gets in
        conversation = parse_conversation([{"role": role, "content": content} for role, content in messages])
        ask = Ask(tenant, assistant, conversation, user=user)
        before, after = (
            prepare(core, ask, revision=commit, session=Session("eval")).prompt.messages[0]["content"]
            for commit in (base, head)
        )
        texts[before, commonprefix([before, after])] += times  # noqa: RUF071 - characters are what is meant
    return texts


def _key(trace: Trace) -> tuple[tuple[str, str], ...]:
    return tuple((message["role"], message["content"]) for message in trace.messages)


async def _tokens(engine: Engine, texts: Texts) -> dict[str, int] | None:
    """Tokens of each text as a system message, without the chat template's; `None` where the engine cannot count."""

    async def count(text: str) -> int:
        return await engine.count_tokens([{"role": "system", "content": text}, {"role": "user", "content": "?"}])

    try:
        template = await count("")
        return {text: await count(text) - template for text in {text for pair in texts for text in pair}}
    except BackendError:
        return None
