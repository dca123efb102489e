"""What the same items would be as a prompt in another order: the baselines of a stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from backend.engine import Message
from gateway.answering import Prepared
from gateway.placements import Placed, Placements
from gateway.prompt import assemble
from kb.item_reach import WHOLE

Order = Callable[[Prepared], Sequence[Message]]

OURS, SCORE, IDS, PLANNED = "ours", "by score", "by id", "planned"
"""`PLANNED` is ours with the planner on: what it does depends on what was asked before, so it is played by itself."""


def by_score(prepared: Prepared) -> Sequence[Message]:
    """Each kind best first, and everything that this turn retrieved in the system message: re-ranked with each turn.

    Layers stay as they are, which is more than an order by score alone would give.
    """
    ranks: dict[str, int] = {}
    placed = []
    for hit in prepared.retrieval.hits:
        rank = ranks[hit.item.kind] = ranks.get(hit.item.kind, -1) + 1
        placed.append(Placed(hit.item, hit.item_hash, WHOLE - rank))
    return _afresh(prepared, placed)


def by_id(prepared: Prepared) -> Sequence[Message]:
    """As `by_score`, but in the canonical order of a base whose reach was never frozen."""
    return _afresh(prepared, [Placed(hit.item, hit.item_hash) for hit in prepared.retrieval.hits])


def _afresh(prepared: Prepared, placed: Sequence[Placed]) -> Sequence[Message]:
    conversation = prepared.ask.conversation
    placements = Placements(tuple(placed), tuple(() for _ in conversation.user_turns))
    return assemble(prepared.assistant.settings.instructions, conversation, placements).messages


BASELINES: Mapping[str, Order] = {SCORE: by_score, IDS: by_id}
