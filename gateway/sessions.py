"""Sessions: what a conversation has placed, found again by its messages alone.

So a plain OpenAI client, which sends its whole history and knows nothing of Kvasir, keeps its context append-only.
Each turn is stored twice, as asked and as answered, each time with all that its prompt had placed: one row is enough
to restore it, whatever became of the others. A history finds, in this order,

1. the turn that it ends with, word for word;
2. the longest beginning of it that is known: the client changed an answer, stopped it, or got it elsewhere;
3. the turn that ends with its last question and answer, if every message of the history is one of that conversation:
   the client dropped its oldest messages, or some in the middle.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from sqlalchemy import Column, Connection, Engine, Row, Select, delete, select, tuple_

from backend.engine import Message
from gateway import tables
from gateway.conversation import Conversation
from gateway.message_chain import MessageChain, Scope, common_prefix
from gateway.placements import Placements, Reference, References
from gateway.tables import turns
from kb.database import insert_or_replace, transaction

EXPIRE_AFTER = timedelta(days=30)
LOOKED_BACK = 256
"""Messages of a history that are looked for, and of a conversation that are kept to compare with."""
SAME_TAIL = 8
"""Conversations that ended with the same question and answer and are compared with a history."""
SWEEP_EVERY_SECONDS, SWEPT_AT_ONCE = 60.0, 1000


@dataclass(frozen=True, slots=True)
class Session:
    """`placements` has an entry for each user message before the question; `None` where nothing is known of them."""

    id: str
    placements: References | None = None


class Sessions:
    def __init__(self, engine: Engine, *, expire_after: timedelta = EXPIRE_AFTER) -> None:
        self._engine, self._expire_after = engine, expire_after
        self._swept_at = time.monotonic()

    def find(self, scope: Scope, conversation: Conversation, session_id: str | None) -> Session:
        """The session that the user's history belongs to, else a new one. A given id is kept as it is."""
        history = conversation.messages[:-1]
        found = self._found(scope, history) if history else None
        if found is None or found.placements is None:
            return Session(session_id or f"ses_{secrets.token_hex(12)}")
        return Session(session_id or found.id, _padded(found.placements, _users(history)))

    def keep(
        self, scope: Scope, session_id: str, conversation: Conversation, placed: References, answer: str | None
    ) -> None:
        with transaction(self._engine) as connection:
            self.add(connection, scope, session_id, conversation, placed, answer)

    def add(
        self,
        connection: Connection,
        scope: Scope,
        session_id: str,
        conversation: Conversation,
        placed: References,
        answer: str | None,
    ) -> None:
        """Remember what a prompt had placed; `answer` is `None` where it did not come to its end.

        Where the same words were said before, what is known of them is replaced: who goes on means the latest.
        """
        answers: list[Message] = [] if answer is None else [{"role": "assistant", "content": answer}]
        chain = MessageChain(scope.key(self._secret), (*conversation.messages, *answers))
        written = placed.map(_written)
        row = {
            "tenant": scope.tenant,
            "assistant": scope.assistant,
            "base": scope.base,
            "session_id": session_id,
            "placements": {"system": written.system, "turns": written.turns},
            "created_at": datetime.now(UTC).isoformat(),
        }
        asked = {**row, "chain": chain.links[len(conversation.messages) - 1], "tail": None, "digests": []}
        answered = {**row, "chain": chain.links[-1], "tail": chain.tail, "digests": chain.digests[-LOOKED_BACK:]}
        insert_or_replace(connection, turns, [asked] if answer is None else [asked, answered])
        if time.monotonic() - self._swept_at > SWEEP_EVERY_SECONDS:
            self._swept_at = time.monotonic()
            self.sweep(connection)

    def sweep(self, connection: Connection) -> None:
        """Delete expired turns, a bounded number at once."""
        key = (turns.c.tenant, turns.c.chain)
        expired = select(*key).where(turns.c.created_at < self._oldest()).limit(SWEPT_AT_ONCE)
        # What another gateway writes or sweeps just now is left to it: to wait could be for each other.
        expired = expired.with_for_update(skip_locked=True)
        connection.execute(delete(turns).where(tuple_(*key).in_(expired)))

    @cached_property
    def _secret(self) -> bytes:
        """Of this state database, so that all its gateways find each other's sessions. A migration has made it."""
        query = select(tables.secrets.c.value).where(tables.secrets.c.name == "message chain")
        with self._engine.connect() as connection:
            return bytes.fromhex(connection.scalars(query).one())

    def _oldest(self) -> str:
        return (datetime.now(UTC) - self._expire_after).isoformat()

    def _found(self, scope: Scope, history: Sequence[Message]) -> Session | None:
        chain = MessageChain(scope.key(self._secret), tuple(history))
        with self._engine.connect() as connection:
            found = self._beginning(connection, scope, chain.links[-1:])
            if found is not None:
                return found
            beginning = self._beginning(connection, scope, chain.links[-LOOKED_BACK:-1])
            if _known(beginning) == _users(history):
                return beginning
            shortened = self._shortened(connection, scope, chain)
        return shortened if _known(shortened) > _known(beginning) else beginning

    def _beginning(self, connection: Connection, scope: Scope, links: Sequence[str]) -> Session | None:
        """By the longest beginning of a history that is known; `links` are those of its messages."""
        query = self._query(scope, turns.c.chain).where(turns.c.chain.in_(links))
        rows = {row.chain: row for row in connection.execute(query)}
        row = next((rows[link] for link in reversed(links) if link in rows), None)
        return None if row is None else Session(row.session_id, _read(row))

    def _shortened(self, connection: Connection, scope: Scope, chain: MessageChain) -> Session | None:
        """By the last exchange, where the history is a conversation with messages left out before that."""
        if chain.tail is None:
            return None
        query = self._query(scope, turns.c.digests).where(turns.c.tail == chain.tail)
        rows = connection.execute(query.order_by(turns.c.created_at.desc()).limit(SAME_TAIL)).all()
        return next((found for row in rows if (found := _without_some(row, chain)) is not None), None)

    def _query(self, scope: Scope, wanted: Column[Any]) -> Select[Any]:
        query = select(turns.c.session_id, turns.c.placements, wanted)
        return query.where(turns.c.tenant == scope.tenant, turns.c.created_at >= self._oldest())


def _without_some(row: Row[Any], chain: MessageChain) -> Session | None:
    """The session of a conversation that ended as the chain does, if it has all the messages of the chain."""
    known, sent = row.digests, chain.digests
    last = common_prefix(known[::-1], sent[::-1])
    # Of a longer conversation the beginning is not known any more.
    first = common_prefix(known, sent) if len(known) < LOOKED_BACK else 0
    if first + last < len(sent) or len(sent) > len(known):
        return None
    at_the_start, at_the_end = _users(chain.messages[:-last]), _users(chain.messages[-last:])
    placed = _read(row)
    of_the_sent = (*placed.turns[:at_the_start], *placed.turns[len(placed.turns) - at_the_end :])
    return Session(row.session_id, Placements(placed.system, of_the_sent))


def _known(session: Session | None) -> int:
    """Turns whose placements are known; -1 of none."""
    return len(session.placements.turns) if session is not None and session.placements is not None else -1


def _padded(placements: References, users: int) -> References:
    """With an entry for each user message; of what came to the client from elsewhere, nothing was placed."""
    return Placements(placements.system, (*placements.turns, *(() for _ in range(users - len(placements.turns)))))


def _users(messages: Sequence[Message]) -> int:
    return sum(message["role"] == "user" for message in messages)


def _written(entry: Reference) -> tuple[object, ...]:
    """Without a place where no planner gave one: gateways that know of none read it, too."""
    return entry if entry.place else entry[:3]


def _read(row: Row[Any]) -> References:
    def references(entries: Sequence[Sequence[Any]]) -> tuple[Reference, ...]:
        return tuple(
            Reference(str(item), str(item_hash), int(reach), *map(int, place))
            for item, item_hash, reach, *place in entries
        )

    return Placements(references(row.placements["system"]), tuple(references(t) for t in row.placements["turns"]))
