"""The cache of one engine, as the gateway talks to it: who asks a prompt, who is about to, and what is over.

It says so beside the requests, in the background (`cache_outbox.py`): no answer waits for it or fails by it. The KV
itself goes its own way, between vLLM and LMCache.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backend.cache_server import CacheServer, PromptNote
from backend.client import Engine
from backend.tiers.use_case import UseCase
from gateway.cache_outbox import CacheOutbox, Kind, Outcome
from gateway.knowledge_prefix import KnowledgePrefixes, Tokens, as_tokens
from kb.codec import canonical_json
from kb.store import BaseId


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What a prompt begins with: `text` of its system message, which the assistant's other prompts can share."""

    base: BaseId
    commit: str
    text: str


class EngineCache:
    """Of the engine `name`. All but `knowledge_tokens` and `flush` return at once; that one alone raises."""

    def __init__(self, name: str, engine: Engine, server: CacheServer, *, warm_seconds: float = 0.0) -> None:
        self.name, self.url = name, server.url
        self.warm_seconds = warm_seconds
        """How long warming one landed commit may take."""
        self._prefixes = KnowledgePrefixes(engine)
        self._outbox = CacheOutbox(server)

    def note(
        self,
        token_ids: Sequence[int] | Tokens,
        knowledge: Knowledge,
        *,
        cache_salt: str,
        use_case: UseCase,
        session_id: str | None = None,
    ) -> None:
        """A prompt that the engine is asked now, or soon. `cache_salt` is what it is asked with, the tenant's."""
        tokens = as_tokens(token_ids)

        def send(server: CacheServer) -> None:
            session = None if session_id is None else _session_name(knowledge.base.tenant, session_id)
            commit = _commit_name(knowledge.base, knowledge.commit)
            known = self._prefixes.length_in(tokens, knowledge.text)
            server.note(PromptNote(tokens.tolist(), cache_salt, use_case, session, commit, known))

        self._outbox.put("note", send)

    def knowledge_tokens(self, text: str) -> Tokens | None:
        """Tokens of a prompt of this knowledge alone; `None` where the engine does not tell.

        Waits for the engine, outside of any event loop. Raises `EngineError`, `TimeoutError`.
        """
        return self._prefixes.tokens(text)

    def promote(self, token_ids: Tokens, cache_salt: str) -> None:
        """What a slower tier has of this prompt is wanted in RAM."""
        self._outbox.put("promotion", lambda server: server.promote(token_ids.tolist(), cache_salt))

    def expect(self, tenant: str, session_id: str) -> None:
        """The session is about to ask."""
        name = _session_name(tenant, session_id)
        self._outbox.put("expect", lambda server: server.expect(name))

    def end(self, tenant: str, session_id: str) -> None:
        """The session asks no more."""
        name = _session_name(tenant, session_id)
        self._outbox.put("end", lambda server: server.end(name))

    def release(self, base: BaseId, commit: str, done: Callable[[], None]) -> None:
        """Nothing reads this commit any more. `done` is called in another thread, once the cache has taken it."""
        name = _commit_name(base, commit)

        def send(server: CacheServer) -> None:
            server.release(name)
            done()

        self._outbox.put("release", send)

    def flush(self, seconds: float) -> None:
        """Waits until the cache was told what it was to be told so far, at most so long."""
        self._outbox.flush(seconds)

    def counts(self) -> dict[tuple[Kind, Outcome], int]:
        return self._outbox.counts()

    def waiting(self) -> int:
        return self._outbox.waiting()

    def close(self) -> None:
        self._outbox.close()


def _session_name(tenant: str, session_id: str) -> str:
    """The cache knows no tenants, so names must: clients choose session ids, and two tenants may choose the same."""
    return _name("session", tenant, session_id)


def _commit_name(base: BaseId, commit: str) -> str:
    """Two bases of equal history have equal commits, and one of them may move on."""
    return _name("commit", base.tenant, base.name, commit)


def _name(*parts: str) -> str:
    return hashlib.blake2b(canonical_json(parts), digest_size=16).hexdigest()
