"""A prompt that an engine answered, cut into stretches with their tokens.

The engine's tokens of a stretch are not known, as it counts whole prompts: they are shared out by characters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backend.engine import Message
from gateway.cache_use import CacheUse, cache_use
from gateway.message_chain import MessageChain
from gateway.prompt import Layer
from gateway.traces import Trace
from kb.items import Kind

Turn = tuple[str, str]
"""A question and its answer."""

_KEY = b"cache report"
"""Of chains that are compared within one report and stored nowhere."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a prompt. Two are the same for a prefix cache if their texts are; the first of a message begins with
    its role.
    """

    text: str
    layer: Layer
    item: str | None
    kind: Kind | None
    tokens: float


@dataclass(frozen=True, slots=True)
class Served:
    """`history` and `conversation` are hash chains of the messages before the question, and of all with the answer.

    `last_turn` is the turn before the question; it and `history` are `None` in a first turn.
    """

    id: str
    assistant: str
    commit: str
    engine: str
    stretches: tuple[Stretch, ...]
    prompt_tokens: int
    use: CacheUse
    history: str | None
    conversation: str
    turn: Turn
    last_turn: Turn | None


def served(trace: Trace) -> Served | None:
    """`None` where no engine answered, or the trace does not say what its prompt was made of."""
    use = cache_use(trace) if trace.status == "answered" else None
    if use is None or not use.prompt_tokens or not trace.parts:
        return None
    chain = MessageChain(_KEY, (*trace.messages, {"role": "assistant", "content": trace.answer or ""}))
    last_answer = max((i for i, m in enumerate(trace.messages) if m["role"] == "assistant"), default=-1)
    return Served(
        id=trace.id,
        assistant=trace.assistant,
        commit=trace.commit,
        engine=trace.engine or "",
        stretches=_stretches(trace, use.prompt_tokens),
        prompt_tokens=use.prompt_tokens,
        use=use,
        history=chain.links[last_answer] if last_answer >= 0 else None,
        conversation=chain.links[-1],
        turn=(trace.question.strip(), (trace.answer or "").strip()),
        last_turn=_last_turn(trace.messages[: last_answer + 1]),
    )


def _last_turn(history: Sequence[Message]) -> Turn | None:
    if len(history) < 2:
        return None
    question, answer = (message["content"].strip() for message in history[-2:])
    return question, answer


def _stretches(trace: Trace, prompt_tokens: int) -> tuple[Stretch, ...]:
    texts = list(_texts(trace))
    tokens_per_character = prompt_tokens / max(1, sum(map(len, texts)))
    return tuple(
        Stretch(text, part.layer, part.item, part.kind, len(text) * tokens_per_character)
        for part, text in zip(trace.parts, texts, strict=True)
    )


def _texts(trace: Trace) -> Iterator[str]:
    message, start = -1, 0
    for part in trace.parts:
        role = ""
        if part.message != message:
            message, start, role = part.message, 0, f"<{trace.prompt[part.message]['role']}>"
        yield role + trace.prompt[message]["content"][start : start + part.characters]
        start += part.characters
