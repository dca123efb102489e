"""What the gateway works with, wired from settings once and passed to whatever needs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import Engine as Database

from backend.cache_server import CacheServer
from backend.client import Engine, EngineConfig, connect
from gateway.api_keys import ApiKeys
from gateway.datasource import Datasource, DatasourceConfig
from gateway.engine_cache import EngineCache
from gateway.errors import AssistantNotFound
from gateway.item_tokens import ItemTokens
from gateway.planners import Planners
from gateway.proposals import Proposals
from gateway.sessions import Sessions
from gateway.settings import AssistantSettings, DatasourceSettings, EngineSettings, Settings
from gateway.stable_prefix import StablePrefixes
from gateway.traces import Traces
from kb.database import check_version, open_database
from kb.dry_run_store import DryRunStore
from kb.embedding import Embedder, SentenceEmbedder
from kb.hit import Limits
from kb.knowledge_base import KnowledgeBase
from kb.landing import Landing
from kb.retrieval import Retriever
from kb.sql_store import SqlStore
from kb.store import BaseId, Store

ENGINE_PREFIX = "engine:"


@dataclass(frozen=True)
class Assistant:
    """An assistant with what its settings name. `engine`, its `cache` and `datasource` may be absent."""

    name: str
    settings: AssistantSettings
    base: KnowledgeBase
    engine: Engine | None
    datasource: Datasource | None
    limits: Limits = field(default_factory=Limits)
    cache: EngineCache | None = None

    @property
    def cache_salt(self) -> str:
        """What keeps the tenant's KV apart, in the engine and in its cache: both are told this one."""
        return self.settings.tenant

    @property
    def revision(self) -> str:
        """The commit it is pinned to, else its branch."""
        return self.settings.commit or self.settings.branch


@dataclass(frozen=True)
class Core:
    """`landing` has a say before a branch of one of its knowledge bases moves."""

    settings: Settings
    database: Database
    store: Store
    retriever: Retriever
    engines: Mapping[str, Engine]
    datasources: Mapping[str, Datasource]
    caches: Mapping[str, EngineCache]
    traces: Traces
    sessions: Sessions
    proposals: Proposals
    api_keys: ApiKeys
    planners: Planners
    landing: Landing | None = None
    stable_prefixes: StablePrefixes = field(default_factory=StablePrefixes, init=False, repr=False, compare=False)
    _counters: dict[str, ItemTokens] = field(default_factory=dict, init=False, repr=False, compare=False)
    _bases: dict[BaseId, KnowledgeBase] = field(default_factory=dict, init=False, repr=False, compare=False)

    def assistant(self, tenant: str, name: str) -> Assistant:
        """Raises `AssistantNotFound`, also for another tenant's, and `BaseNotFound` for one without its base."""
        settings = self.settings.assistants.get(name)
        if settings is None or settings.tenant != tenant:
            raise AssistantNotFound(name, self.model_names(tenant))
        return Assistant(
            name,
            settings,
            self.base(tenant, settings.kb),
            self.engines.get(settings.engine) if settings.engine else None,
            self.datasources.get(settings.datasource) if settings.datasource else None,
            self._limits(settings),
            self.caches.get(settings.engine) if settings.engine else None,
        )

    def assistant_names(self, tenant: str) -> tuple[str, ...]:
        return tuple(sorted(n for n, entry in self.settings.assistants.items() if entry.tenant == tenant))

    def open_engine(self, tenant: str, model: str) -> Engine | None:
        """The engine that `model` names itself, `engine:NAME`, where its settings open it to the tenant."""
        name = model.removeprefix(ENGINE_PREFIX)
        settings = self.settings.engines.get(name)
        return self.engines.get(name) if name != model and settings and tenant in settings.pass_through else None

    def model_names(self, tenant: str) -> tuple[str, ...]:
        """What the tenant may name as `model`: its assistants, then the engines that are open to it."""
        engines = sorted(n for n, entry in self.settings.engines.items() if tenant in entry.pass_through)
        return (*self.assistant_names(tenant), *(f"{ENGINE_PREFIX}{name}" for name in engines))

    def caches_of(self, tenant: str, base: str | None = None) -> tuple[EngineCache, ...]:
        """Where KV of the tenant's prompts may lie, of those over one base or of all."""
        entries = self.settings.assistants.values()
        names = {entry.engine for entry in entries if entry.tenant == tenant and base in (None, entry.kb)}
        found = {cache.urls: cache for name, cache in self.caches.items() if name in names}
        return tuple(found.values())

    def base(self, tenant: str, name: str) -> KnowledgeBase:
        """Raises `BaseNotFound`. One that was found once is kept: bases are never removed."""
        wanted = BaseId(tenant, name)
        if wanted not in self._bases:
            self._bases[wanted] = KnowledgeBase(self.store, tenant, name, landing=self.landing)
        return self._bases[wanted]

    def _limits(self, settings: AssistantSettings) -> Limits:
        engine = self.engines.get(settings.engine) if settings.engine else None
        if engine is None or not settings.budgets:
            return Limits()
        counter = self._counters.setdefault(str(settings.engine), ItemTokens(engine))
        return Limits(tokens=settings.budgets, measure=counter.of)

    def followed(self) -> Iterator[tuple[KnowledgeBase, str]]:
        """What assistants retrieve from, each base and revision once; bases that are not there yet are left out."""
        entries = self.settings.assistants.values()
        wanted = dict.fromkeys((entry.tenant, entry.kb, entry.commit or entry.branch) for entry in entries)
        for tenant, name, revision in wanted:
            if name in self.store.bases(tenant):
                yield self.base(tenant, name), revision

    def readers(self, base: BaseId, revision: str) -> tuple[str, ...]:
        """Names of the assistants that read the base at this branch, or are pinned to this commit."""
        reads = (base.tenant, base.name, revision)
        return tuple(
            name
            for name, entry in self.settings.assistants.items()
            if (entry.tenant, entry.kb, entry.commit or entry.branch) == reads
        )

    def restore_planners(self) -> None:
        """Now, so that no request waits for it."""
        for entry in self.settings.assistants.values():
            self.planners.of(entry.engine, entry.tenant)

    def close(self) -> None:
        for cache in self.caches.values():
            cache.close()
        for datasource in self.datasources.values():
            datasource.close()
        self.database.dispose()


def open_core(
    settings: Settings,
    *,
    engines: Mapping[str, Engine] | None = None,
    embedder: Embedder | None = None,
    dry_run: bool = False,
) -> Core:
    """Open everything. `engines` replaces those of the settings, for tests; in a dry run, what is written to knowledge
    bases is forgotten. Raises `SchemaBehind`, `ConfigError`.
    """
    database = open_database(settings.state_url)
    check_version(database, settings.upgrade_command)
    store: Store = DryRunStore(SqlStore(database)) if dry_run else SqlStore(database)
    engines = engines if engines is not None else _engines(settings)
    traces = Traces(database)
    return Core(
        settings=settings,
        database=database,
        store=store,
        retriever=Retriever(store, embedder or SentenceEmbedder(settings.embedding_model)),
        engines=engines,
        datasources={name: open_datasource(name, entry) for name, entry in settings.datasources.items()},
        caches=_caches(settings, engines),
        traces=traces,
        sessions=Sessions(database, expire_after=timedelta(days=settings.session_days)),
        proposals=Proposals(database),
        api_keys=ApiKeys(database),
        planners=Planners(traces, {name: entry.planner_blocks for name, entry in settings.engines.items()}),
    )


def open_datasource(name: str, settings: DatasourceSettings) -> Datasource:
    config = DatasourceConfig(
        name=name,
        url=settings.url.get_secret_value(),
        max_rows=settings.max_rows,
        timeout_seconds=settings.timeout_seconds,
        max_memory_mb=settings.max_memory_mb,
    )
    return Datasource(config)


def _engines(settings: Settings) -> dict[str, Engine]:
    return {name: connect(engine_config(name, entry)) for name, entry in settings.engines.items()}


def _caches(settings: Settings, engines: Mapping[str, Engine]) -> dict[str, EngineCache]:
    return {
        name: EngineCache(name, engines[name], _servers(entry), warm_seconds=entry.warm_seconds)
        for name, entry in settings.engines.items()
        if entry.cache_urls and name in engines
    }


def _servers(settings: EngineSettings) -> dict[str, CacheServer]:
    """By replica; those that share a cache have one server."""
    servers = {url: CacheServer(url) for url in set(settings.cache_urls.values())}
    return {replica: servers[url] for replica, url in settings.cache_urls.items()}


def engine_config(name: str, settings: EngineSettings) -> EngineConfig:
    kept = {"api_key", "cache_url", "replicas", "warm_seconds", "pass_through", "planner_blocks"}
    fields = settings.model_dump(exclude=kept)
    key = settings.api_key.get_secret_value() if settings.api_key else None
    replicas = tuple(replica.api_base for replica in settings.replicas)
    return EngineConfig(name=name, api_key=key, replicas=replicas, **fields)
