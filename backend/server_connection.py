"""HTTP to the server of one engine, and what its failures mean.

aiohttp, because a request with it takes a third of the time that it takes with httpx.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx

from backend.address import without_credentials
from backend.engine import EngineConfig
from backend.errors import EngineInterrupted, EngineMisconfigured, EngineRefused, EngineTimeout, EngineUnreachable
from backend.refusal import refusal

_CONNECT_SECONDS = 10.0
_KEEP_SECONDS = 4.0
"""How long a connection is kept unused: less than the 5 s after which uvicorn, and so vLLM, closes it."""
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_PROVIDERS = ("hosted_vllm", "openai")
_Kept = tuple[AsyncGenerator[aiohttp.ClientSession], aiohttp.ClientSession]


def speaks_openai(config: EngineConfig) -> bool:
    """Whether the engine is a server of its own whose wire is OpenAI's."""
    return config.provider in _PROVIDERS and config.api_base is not None


class ServerConnection:
    """Any number of calls from any number of event loops; each loop keeps its connections until it ends.

    Raises `EngineUnreachable`, `EngineTimeout`, `EngineInterrupted` and `EngineRefused`.
    """

    def __init__(self, config: EngineConfig) -> None:
        """Raises `EngineMisconfigured` where there is no address, or a password in it beside a key."""
        if not config.api_base:
            raise EngineMisconfigured(
                config.name,
                "api_base",
                "is missing; it is the server's address, such as http://127.0.0.1:8100/v1 (several: replicas)",
            )
        self.api_base = config.api_base.rstrip("/")
        if config.api_key and _names_user(self.api_base):
            raise EngineMisconfigured(
                config.name,
                "api_key",
                "is given, and api_base names a user, too; one header takes one of them: leave one out",
            )
        self._config = config
        self._sessions: dict[asyncio.AbstractEventLoop, _Kept] = {}
        # The authorities that the other engines are checked by. To make a context takes some 20 ms.
        self._ssl: Any = httpx.create_ssl_context() if self.api_base.startswith("https") else True

    async def json(self, method: str, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The object that a whole answer is, within the engine's timeout. An error status is an `EngineRefused`."""
        with self.mapped():
            async with asyncio.timeout(self._config.timeout_seconds):
                response = await self.begun(method, url, body)
                try:
                    answer = await response.json(content_type=None)
                except ValueError as exc:
                    problem = f"{without_credentials(url)} answered something that is not JSON"
                    raise EngineRefused(self._config.name, 502, problem) from exc
                finally:
                    response.close()
        return answer if isinstance(answer, dict) else {}

    async def begun(self, method: str, url: str, body: dict[str, Any] | None = None) -> aiohttp.ClientResponse:
        """The head of an answer, which the caller closes. An error status is an `EngineRefused`."""
        response = await self.head(method, url, body)
        if response.status >= 400:
            try:
                raise await self.refused(response)
            finally:
                response.close()
        return response

    async def head(self, method: str, url: str, body: dict[str, Any] | None = None) -> aiohttp.ClientResponse:
        """The same, whatever its status."""
        with self.mapped():
            return await (await self._session()).request(method, url, json=body)

    async def refused(self, response: aiohttp.ClientResponse) -> EngineRefused:
        """The error that an answer with an error status is."""
        with self.mapped():
            return refusal(self._config, response.status, await response.text(errors="replace"), response.headers)

    @contextmanager
    def mapped(self) -> Iterator[None]:
        """Around everything that waits for the server."""
        name = self._config.name
        try:
            yield
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as exc:
            raise EngineUnreachable(name, self._config.api_base) from exc
        except TimeoutError as exc:
            raise EngineTimeout(name, self._config.timeout_seconds) from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise EngineInterrupted(name, "the connection was closed") from exc

    async def _session(self) -> aiohttp.ClientSession:
        """That of the running loop, to which its connections belong."""
        loop = asyncio.get_running_loop()
        kept = self._sessions.get(loop)
        if kept is None:
            opened = self._opened(loop)
            kept = self._sessions[loop] = opened, await anext(opened)
        return kept[1]

    async def _opened(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[aiohttp.ClientSession]:
        """Not left until the loop ends, which closes such generators; nobody else could know that it does."""
        timeout = self._config.timeout_seconds
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._ssl, keepalive_timeout=_KEEP_SECONDS),
            # A wait is for the next piece; the limits of whole answers are their callers'.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=min(_CONNECT_SECONDS, timeout), sock_read=timeout),
            headers=self._headers(),
            proxy=_proxy_of(self.api_base),
        ) as session:
            try:
                yield session
            finally:
                del self._sessions[loop]

    def _headers(self) -> dict[str, str]:
        key = self._config.api_key
        if key is None and self._config.provider == "openai" and not _names_user(self.api_base):
            key = os.environ.get("OPENAI_API_KEY")
        return {"Authorization": f"Bearer {key}"} if key else {}


def _names_user(url: str) -> bool:
    """aiohttp makes the header of it, and refuses a request that has one already."""
    return urlsplit(url).username is not None


def _proxy_of(url: str) -> str | None:
    """What the environment names, as for other engines. aiohttp's `trust_env` would read netrc, too, each time."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in _LOOPBACK or proxy_bypass(host):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")
