"""A Kvasir of its own for one stream: an assistant over a base of the stream's items, and an engine to be asked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from backend.cache_server import CacheServer, PromptNote
from evals.bench.learning.world import AUTHOR, core_with_base
from evals.bench.prefix.engines import StreamEngine
from evals.bench.remembering import Remembering
from gateway.answering import Prepared, prepare
from gateway.core import Assistant, Core
from gateway.engine_cache import EngineCache
from gateway.freezing import freeze_reach
from gateway.sessions import Session
from kb.items import Item
from kb.knowledge_base import Changes, KnowledgeBase

_ENGINE, _NAME = "main", "stream"

_CONFIG = """\
home = "state"

[engines.main]
model = "hosted_vllm/stream"
api_base = "http://127.0.0.1:1/v1"
planner_blocks = {planner_blocks}
{cache}

[assistants.stream]
kb = "stream"
engine = "main"
tenant = {tenant}
"""


@dataclass(frozen=True, slots=True)
class StreamWorld:
    """`tenant` is the cache salt of its requests, too."""

    core: Core
    tenant: str

    @property
    def assistant(self) -> Assistant:
        return self.core.assistant(self.tenant, _NAME)

    @property
    def base(self) -> KnowledgeBase:
        return self.assistant.base

    def by_itself(self, prepared: Prepared) -> Prepared:
        """The same request as if nothing were known of its conversation: all that its question retrieves."""
        if prepared.session.placements is None:
            return prepared
        return prepare(self.core, prepared.ask, revision=prepared.commit, session=Session("by itself"))

    def learn(self, item: Item) -> str:
        """Commit one item; the commit's id."""
        return self.base.commit(Changes(put=(item,)), author=AUTHOR, message=item.title).id

    def frozen_reach(self) -> Mapping[str, int]:
        """Freeze the reach of what was asked until now, as `kvasir kb reach` does."""
        freeze_reach(self.base, self.core.traces, branch="main", author=AUTHOR)
        return self.base.reach(self.base.head())


class _NoServer(CacheServer):
    """Beside an engine without a cache: what it is told is dropped."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1")

    def note(self, note: PromptNote) -> None:
        pass

    def promote(self, token_ids: Sequence[int], cache_salt: str) -> None:
        pass

    def expect(self, session: str) -> None:
        pass


@contextmanager
def stream_world(
    items: Sequence[Item],
    engine: StreamEngine,
    embedder: Remembering,
    *,
    tenant: str = "default",
    reach: Mapping[str, int] | None = None,
    cache_url: str | None = None,
    planner_blocks: int = 0,
) -> Iterator[StreamWorld]:
    """`reach` is frozen with the items. `cache_url` is where the cache of a real engine listens. The planner, where
    there is one, remembers `planner_blocks`.
    """
    cache = "" if cache_url is None else f"cache_url = {json.dumps(cache_url)}"
    config = _CONFIG.format(cache=cache, tenant=json.dumps(tenant), planner_blocks=planner_blocks)
    engines = {_ENGINE: engine}
    with (
        TemporaryDirectory(prefix="kvasir-bench-") as folder,
        core_with_base(Path(folder), config, _NAME, embedder, tenant=tenant, engines=engines) as core,
    ):
        if cache_url is None:
            core = replace(core, caches={_ENGINE: EngineCache(_ENGINE, engine, _NoServer())})
        world = StreamWorld(core, tenant)
        message = "What the stream is about"
        world.base.commit(Changes(put=tuple(items)), author=AUTHOR, message=message, reach=reach)
        try:
            yield world
        finally:
            for kept in core.caches.values():
                kept.close()
