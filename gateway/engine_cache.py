"""The cache of one engine, as the gateway talks to it: who asks a prompt, who is about to, and what is over.

It says so beside the requests, in the background (`cache_outbox.py`): no answer waits for it or fails by it. The KV
itself goes its own way, between vLLM and LMCache.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from backend.cache_server import CacheServer, PromptNote
from backend.client import Engine
from backend.tiers.use_case import UseCase
from gateway.cache_outbox import CacheOutbox, Kind, Outcome, Send
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
    """Of the engine `name`. All but `knowledge_tokens` and `flush` return at once; that one alone raises.

    The replicas of an engine may have a cache each, or share some: `servers` are by the names of replicas. A prompt is
    told to the cache of the replica that is asked, everything else to all.
    """

    def __init__(
        self, name: str, engine: Engine, servers: CacheServer | Mapping[str, CacheServer], *, warm_seconds: float = 0.0
    ) -> None:
        self.name = name
        self.warm_seconds = warm_seconds
        """How long warming one landed commit may take."""
        self._prefixes = KnowledgePrefixes(engine)
        by_replica = servers if isinstance(servers, Mapping) else {"": servers}
        self._outboxes = {server.url: CacheOutbox(server) for server in by_replica.values()}
        self._url_of = {replica: server.url for replica, server in by_replica.items()}

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(sorted(self._outboxes))

    def note(
        self,
        token_ids: Sequence[int] | Tokens,
        knowledge: Knowledge,
        *,
        cache_salt: str,
        use_case: UseCase,
        session_id: str | None = None,
        replica: str | None = None,
    ) -> None:
        """A prompt that the engine is asked now, or soon. `cache_salt` is what it is asked with, the tenant's.

        `replica` is who is asked, `None` all of them, or an engine that is one.
        """
        tokens = as_tokens(token_ids)

        def send(server: CacheServer) -> None:
            session = None if session_id is None else _session_name(knowledge.base.tenant, session_id)
            commit = _commit_name(knowledge.base, knowledge.commit)
            known = self._prefixes.length_in(tokens, knowledge.text)
            server.note(PromptNote(tokens.tolist(), cache_salt, use_case, session, commit, known))

        for outbox in self._outboxes_of(replica):
            outbox.put("note", send)

    def knowledge_tokens(self, text: str) -> Tokens | None:
        """Tokens of a prompt of this knowledge alone; `None` where the engine does not tell.

        Waits for the engine, outside of any event loop. Raises `EngineError`, `TimeoutError`.
        """
        return self._prefixes.tokens(text)

    def promote(self, token_ids: Tokens, cache_salt: str) -> None:
        """What a slower tier has of this prompt is wanted in RAM."""
        self._tell_all("promotion", lambda server: server.promote(token_ids.tolist(), cache_salt))

    def expect(self, tenant: str, session_id: str) -> None:
        """The session is about to ask."""
        name = _session_name(tenant, session_id)
        self._tell_all("expect", lambda server: server.expect(name))

    def end(self, tenant: str, session_id: str) -> None:
        """The session asks no more."""
        name = _session_name(tenant, session_id)
        self._tell_all("end", lambda server: server.end(name))

    def release(self, base: BaseId, commit: str, url: str, done: Callable[[], None]) -> None:
        """Nothing reads this commit any more, for the cache at `url`, one of `urls`. `done` is called in another
        thread, once it has taken that."""
        name = _commit_name(base, commit)

        def send(server: CacheServer) -> None:
            server.release(name)
            done()

        self._outboxes[url].put("release", send)

    def flush(self, seconds: float) -> None:
        """Waits until the cache was told what it was to be told so far, at most so long."""
        until = time.monotonic() + seconds
        for outbox in self._outboxes.values():
            outbox.flush(max(0.0, until - time.monotonic()))

    def counts(self) -> dict[tuple[Kind, Outcome], int]:
        counted = Counter[tuple[Kind, Outcome]]()
        for outbox in self._outboxes.values():
            counted.update(outbox.counts())
        return dict(counted)

    def waiting(self) -> int:
        """Of the cache that most waits for."""
        return max((outbox.waiting() for outbox in self._outboxes.values()), default=0)

    def close(self) -> None:
        for outbox in self._outboxes.values():
            outbox.close()

    def _outboxes_of(self, replica: str | None) -> Iterable[CacheOutbox]:
        """None for a replica that has no cache."""
        if replica is None:
            return self._outboxes.values()
        url = self._url_of.get(replica)
        return () if url is None else (self._outboxes[url],)

    def _tell_all(self, kind: Kind, send: Send) -> None:
        for outbox in self._outboxes.values():
            outbox.put(kind, send)


def _session_name(tenant: str, session_id: str) -> str:
    """The cache knows no tenants, so names must: clients choose session ids, and two tenants may choose the same."""
    return _name("session", tenant, session_id)


def _commit_name(base: BaseId, commit: str) -> str:
    """Two bases of equal history have equal commits, and one of them may move on."""
    return _name("commit", base.tenant, base.name, commit)


def _name(*parts: str) -> str:
    return hashlib.blake2b(canonical_json(parts), digest_size=16).hexdigest()
