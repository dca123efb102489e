"""The HTTP service: `create_app` takes what it needs, and nothing lives outside of what it returns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

from fastapi import FastAPI

from backend.client import Engine
from backend.routing.routed_relay import relay_to
from gateway import http_errors
from gateway.capture import Capture
from gateway.capture_worker import CaptureWorker
from gateway.core import open_core
from gateway.landings import Landings
from gateway.metrics import Metrics
from gateway.replay import Replay
from gateway.routes import chat, kb, kb_reading, kb_refs, operations, proposals, requests, sessions
from gateway.routes.dependencies import Gateway
from gateway.settings import Settings
from gateway.warm_landing import WarmLanding
from kb.embedding import Embedder
from kb.follower import Follower, TellReady
from kb.knowledge_base import KnowledgeBase

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_app(
    settings: Settings,
    *,
    replay: Replay,
    engines: Mapping[str, Engine] | None = None,
    embedder: Embedder | None = None,
    index_made: TellReady | None = None,
) -> FastAPI:
    """The application. Raises what `open_core` raises; closes what it opened when the server stops.

    `index_made` is told of each index that is made before a request needs it, as a branch moves and at the start.
    """
    core = open_core(settings, engines=engines, embedder=embedder)
    metrics = Metrics(core)
    landing = WarmLanding(core, metrics.warmed)
    core = replace(core, landing=landing)
    capture = Capture(core, replay)
    relays = {name: relay for name, engine in core.engines.items() if (relay := relay_to(engine)) is not None}
    gateway = Gateway(core, capture, CaptureWorker(core, capture), metrics, relays)
    landings = Landings(core, metrics.warmed)

    def ready(base: KnowledgeBase, revision: str, commit: str) -> None:
        landings.moved(base, revision, commit)
        if index_made is not None:
            index_made(base, revision, commit)

    follower = Follower(core.database, core.retriever, core.followed, ready=ready)
    app = FastAPI(
        title="Kvasir",
        description="A gateway that learns context instead of weights.",
        lifespan=_lifespan(gateway, follower, landings, landing),
    )
    app.state.gateway = gateway
    for module in (chat, requests, sessions, proposals, kb, kb_refs, kb_reading, operations):
        app.include_router(module.router)
    http_errors.install(app)
    return app


def _lifespan(gateway: Gateway, follower: Follower, landings: Landings, landing: WarmLanding) -> Lifespan:
    core, worker = gateway.core, gateway.worker

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        # The embedding model takes seconds to load: before the first request rather than during it.
        await asyncio.to_thread(core.retriever.warm_up)
        await asyncio.to_thread(core.restore_planners)
        landings.start()
        follower.start()
        worker.start()
        try:
            yield
        finally:
            landing.stop()
            await asyncio.to_thread(follower.stop)
            await asyncio.to_thread(landings.stop)
            await asyncio.to_thread(worker.stop)
            core.close()

    return lifespan
