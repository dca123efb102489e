"""What the gateway tells the cache of its engine: whose prompt comes, who is about to ask, what is over.

The client of Kvasir's routes on LMCache's HTTP port (`backend/lmcache_server/routes.py`), which `kvasir backend up`
starts. They have no authentication, so names of sessions and commits must be unguessable and apart between tenants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from backend.errors import CacheFailed
from backend.tiers.use_case import UseCase

_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True)
class PromptNote:
    """Of a prompt by its tokens, chat template included: the first `knowledge_tokens` hold knowledge of `commit`.

    `cache_salt` must be the one that the engine is asked with, or the note is about another tenant's chunks.
    """

    token_ids: Sequence[int]
    cache_salt: str
    use_case: UseCase | None = None
    session: str | None = None
    commit: str | None = None
    knowledge_tokens: int = 0


class CacheServer:
    """One server. Every call blocks, and raises `CacheFailed` where it was not done."""

    def __init__(self, url: str, *, timeout_seconds: float = _TIMEOUT_SECONDS) -> None:
        """A name and a password in `url` are sent with every call; `url`, as it is logged and stored, has neither."""
        given = httpx.URL(url)
        self.url = str(given.copy_with(userinfo=b"")).rstrip("/")
        # It lies on loopback or a private network, where no proxy leads.
        auth = (given.username, given.password) if given.userinfo else None
        self._client = httpx.Client(timeout=timeout_seconds, trust_env=False, auth=auth)

    def close(self) -> None:
        self._client.close()

    def note(self, note: PromptNote) -> None:
        body = {
            "token_ids": list(note.token_ids),
            "cache_salt": note.cache_salt,
            "use_case": note.use_case,
            "session": note.session,
            "commit": note.commit,
            "knowledge_tokens": note.knowledge_tokens,
        }
        self._send("POST", "notes", body)

    def promote(self, token_ids: Sequence[int], cache_salt: str) -> None:
        """Fetch into RAM what a slower tier has of this prompt."""
        self._send("POST", "promotions", {"token_ids": list(token_ids), "cache_salt": cache_salt})

    def expect(self, session: str) -> None:
        """Fetch the session's prompt into RAM; one that is not known is passed over."""
        self._send("POST", f"sessions/{session}/expect")

    def end(self, session: str) -> None:
        """Delete what only this session has."""
        self._send("DELETE", f"sessions/{session}")

    def release(self, commit: str) -> None:
        """Delete the knowledge that only this commit has."""
        self._send("DELETE", f"commits/{commit}")

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        try:
            response = self._client.request(method, f"{self.url}/kvasir/{path}", json=body)
        except httpx.HTTPError as exc:
            raise CacheFailed(self.url, f"it does not answer ({type(exc).__name__})") from exc
        if response.is_error:
            raise CacheFailed(self.url, f"{method} /kvasir/{path.split('/')[0]} gave status {response.status_code}")
