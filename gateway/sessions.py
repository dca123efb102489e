"""Sessions: what each turn of a conversation placed, found again by the hash chain of its messages.

So a plain OpenAI client, which sends its whole history and knows nothing of Kvasir, keeps its context append-only.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Engine, select

from gateway.conversation import Conversation
from gateway.tables import turns
from kb.database import insert_missing, transaction


@dataclass(frozen=True, slots=True)
class Session:
    """`placements` holds, per user turn, the (item id, item hash) pairs that the turn placed."""

    id: str
    placements: tuple[tuple[tuple[str, str], ...], ...] = ()


class Sessions:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find(
        self, tenant: str, assistant: str, user: str, conversation: Conversation, session_id: str | None
    ) -> Session:
        """The session that the user's history belongs to, else a new one. A given id is kept as it is.

        Two users may send the same words: what one of them had placed, preferences among it, is not the other's.
        """
        history = conversation.history
        if history.messages:
            query = select(turns.c.session_id, turns.c.placements).where(
                turns.c.tenant == tenant,
                turns.c.assistant == assistant,
                turns.c.user == user,
                turns.c.chain == history.chain,
            )
            with self._engine.connect() as connection:
                row = connection.execute(query).one_or_none()
            if row is not None and len(row.placements) == len(history.user_turns):
                placements = tuple(tuple((str(i), str(h)) for i, h in turn) for turn in row.placements)
                # Messages that the user sent since the last answer, before the question, placed nothing.
                unanswered = len(conversation.user_turns) - 1 - len(placements)
                return Session(session_id or row.session_id, placements + ((),) * unanswered)
        return Session(session_id or f"ses_{secrets.token_hex(12)}")

    def keep(
        self,
        tenant: str,
        assistant: str,
        user: str,
        session_id: str,
        conversation: Conversation,
        placements: Sequence[Sequence[tuple[str, str]]],
    ) -> None:
        """Remember what an answered conversation has placed. Two answers to one history share the first entry."""
        row = {
            "tenant": tenant,
            "assistant": assistant,
            "user": user,
            "chain": conversation.chain,
            "session_id": session_id,
            "placements": [[list(pair) for pair in turn] for turn in placements],
            "created_at": datetime.now(UTC).isoformat(),
        }
        with transaction(self._engine) as connection:
            insert_missing(connection, turns, [row])
