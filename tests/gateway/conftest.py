"""A gateway over the shop: a home with knowledge in it, and the application served by a real server."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from evals.replay import SuiteReplay
from gateway.app import create_app
from gateway.core import Core, open_core
from gateway.settings import AssistantSettings, DatasourceSettings, EngineSettings, Settings
from gateway.testing import ScriptedEngine
from kb.database import open_database, upgrade
from kb.embedding import SentenceEmbedder
from kb.folder import import_folder
from kb.introspect import introspect
from kb.knowledge_base import Changes, KnowledgeBase
from kb.sql_store import SqlStore

Running = Callable[..., contextlib.AbstractContextManager[str]]
KNOWLEDGE = Path(__file__).parents[2] / "examples" / "shop" / "knowledge"
MAIN_ENGINE = EngineSettings(model="scripted/engine")


@dataclass
class Served:
    """A running gateway. `engine` is its scripted engine, `core` what it works with."""

    client: httpx.Client
    engine: ScriptedEngine
    core: Core
    url: str

    def ask(self, question: str | list[dict[str, Any]], **fields: Any) -> httpx.Response:
        messages = [{"role": "user", "content": question}] if isinstance(question, str) else question
        return self.client.post("/v1/chat/completions", json={"model": "shop", "messages": messages, **fields})

    def confirm(self, request_id: str, **body: Any) -> httpx.Response:
        return self.client.post(f"/v1/requests/{request_id}/confirm", json=body)

    def ended(self, proposal_id: str) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            proposal: dict[str, Any] = self.client.get(f"/v1/proposals/{proposal_id}").json()
            if proposal["state"] != "queued":
                return proposal
            time.sleep(0.05)
        raise AssertionError(f"proposal {proposal_id} is still queued")


@pytest.fixture
def make_settings(tmp_path: Path, shop_database: Path) -> Callable[..., Settings]:
    """Settings of an assistant `shop`; keyword arguments override its fields."""

    def make(state_url: str | None = None, **assistant: Any) -> Settings:
        fields = {"kb": "shop", "engine": "main", "datasource": "shop", "verified_answers": True, **assistant}
        return Settings(
            home=tmp_path / "home",
            database_url=state_url,
            engines={"main": MAIN_ENGINE},
            datasources={"shop": DatasourceSettings(url=f"sqlite:///{shop_database}")},
            assistants={"shop": AssistantSettings(**fields)},
        )

    return make


@pytest.fixture(scope="session")
def shop_items(shop_database: Path) -> Changes:
    """What the demo knows: the introspected tables and the knowledge folder."""
    items = introspect(f"sqlite:///{shop_database}", sample=["orders.state", "customers.country"])
    return Changes(put=(*items, *import_folder(KNOWLEDGE)))


@pytest.fixture(name="fill")
def fill_fixture() -> Callable[..., None]:
    return fill


def fill(settings: Settings, changes: Changes, *, tenant: str = "default") -> None:
    """Make the state database with a base `shop` of the given items."""
    database = open_database(settings.state_url)
    upgrade(database)
    base = KnowledgeBase.create(SqlStore(database), tenant, "shop", author="test")
    base.commit(changes, author="test", message="Fill the shop")
    database.dispose()


@pytest.fixture(scope="session")
def filled_home(shop_items: Changes, embedder: SentenceEmbedder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose state holds the base `shop`, and the vectors of its items, which take longest. Copy it."""
    settings = Settings(home=tmp_path_factory.mktemp("filled"))
    fill(settings, shop_items)
    core = open_core(settings, engines={}, embedder=embedder)
    core.retriever.prepare(core.base("default", "shop"))
    core.close()
    return settings.home


@pytest.fixture
def serve(
    make_settings: Callable[..., Settings],
    shop_items: Changes,
    filled_home: Path,
    embedder: SentenceEmbedder,
    running: Running,
) -> Iterator[Callable[..., Served]]:
    """Start a gateway; keyword arguments are the assistant's settings. All are stopped after the test.

    `real` takes the engines of the settings in the place of the scripted one.
    """
    with contextlib.ExitStack() as stack:

        def start(
            settings: Settings | None = None, *, filled: bool = True, real: bool = False, **assistant: Any
        ) -> Served:
            wanted = settings or make_settings(**assistant)
            if filled and wanted.database_url is None:
                shutil.copytree(filled_home, wanted.home, dirs_exist_ok=True)
            elif filled:
                fill(wanted, shop_items)
            engine = ScriptedEngine()
            engines = None if real else {"main": engine}
            app = create_app(wanted, replay=SuiteReplay(), engines=engines, embedder=embedder)
            url = stack.enter_context(running(app))
            client = stack.enter_context(httpx.Client(base_url=url, timeout=120))
            return Served(client, engine, app.state.gateway.core, url)

        yield start


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    return serve()
