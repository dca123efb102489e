"""Past requests as a trace of prefix hashes, which `kvasir backend simulate` reads.

The trace says which prompts began alike and nothing of what they said: a block is a number, in the order of first use,
and a trace is of one
tenant, so that it cannot tell of another's prompts either. Its form is Mooncake's (`backend/simulation/trace.py`).

A stored prompt is text, and the engine that cut it into tokens may be gone. So blocks are cut by characters, at as
many to a token as all of the tenant's prompts have on average; two prompts share the blocks that they would share as
tokens, but for the place of the cuts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any

from gateway.traces import Trace


@dataclass(frozen=True)
class Cut:
    """A block of `block_tokens` tokens has `block_characters` characters."""

    block_tokens: int
    block_characters: int

    def tokens(self, characters: int) -> int:
        return math.ceil(characters * self.block_tokens / self.block_characters)


def cut_for(traces: Iterable[Trace], block_tokens: int) -> Cut | None:
    """The cut by the characters to a token that the engine counted; `None` if it counted none."""
    characters = tokens = 0
    for trace in traces:
        if _reached_the_engine(trace) and trace.prompt_tokens:
            characters += len(_text(trace))
            tokens += trace.prompt_tokens
    if not tokens:
        return None
    return Cut(block_tokens, max(1, round(block_tokens * characters / tokens)))


def prefix_hashes(traces: Iterable[Trace], cut: Cut) -> Iterator[dict[str, Any]]:
    """One line of the trace for each request that an engine answered; `traces` is oldest first."""
    numbers: dict[tuple[int, bytes], int] = {}
    begun: datetime | None = None
    for trace in traces:
        if not _reached_the_engine(trace):
            continue
        at = datetime.fromisoformat(trace.created_at)
        begun = begun or at
        text, ids = _text(trace), []
        parent = -1
        for start in range(0, len(text), cut.block_characters):
            content = blake2b(text[start : start + cut.block_characters].encode(), digest_size=16).digest()
            parent = numbers.setdefault((parent, content), len(numbers))
            ids.append(parent)
        answered = (trace.usage or {}).get("completion_tokens")
        yield {
            "timestamp": round((at - begun).total_seconds() * 1000),
            "input_length": cut.tokens(len(text)),
            "output_length": answered if isinstance(answered, int) else cut.tokens(len(trace.answer or "")),
            "hash_ids": ids,
        }


def _reached_the_engine(trace: Trace) -> bool:
    return trace.status == "answered" and trace.answered_by == "engine" and bool(trace.prompt)


def _text(trace: Trace) -> str:
    return "".join(f"<{message['role']}>{message['content']}" for message in trace.prompt)
