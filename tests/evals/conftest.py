"""A shop assistant with its real database and embeddings; only the engine is scripted."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from backend.client import Engine
from gateway.core import Assistant, Core, open_core
from gateway.settings import AssistantSettings, DatasourceSettings, Settings
from gateway.testing import ScriptedEngine
from kb.database import open_database, upgrade
from kb.embedding import SentenceEmbedder
from kb.introspect import introspect
from kb.items import Entity, Gotcha, Item, Success
from kb.knowledge_base import Changes, KnowledgeBase
from kb.retrieval import Retriever
from kb.sql_store import SqlStore


@pytest.fixture(scope="session")
def shop_items(shop_database: Path) -> list[Item]:
    return introspect(f"sqlite:///{shop_database}")


@dataclass
class Shop:
    """An open core over a state database of its own. `learn` commits items and gives the commit's id."""

    core: Core
    engine: ScriptedEngine
    folder: Path
    settings: Settings
    opened: list[Core] = field(default_factory=list)

    @property
    def base(self) -> KnowledgeBase:
        return self.core.base("default", "shop")

    @property
    def assistant(self) -> Assistant:
        return self.core.assistant("default", "shop")

    @property
    def head(self) -> str:
        return self.base.resolve().id

    def learn(self, *items: Item) -> str:
        return self.base.commit(Changes(put=items), author="ann", message="Learn").id

    def suite(self, text: str) -> Path:
        path = self.folder / "suite.yaml"
        path.write_text(text)
        return path


OpenShop = Callable[..., Shop]


@pytest.fixture(scope="session")
def filled_home(shop_items: list[Item], embedder: SentenceEmbedder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose state holds the base `shop` of the tables, and their vectors, which take longest. Copy it."""
    settings = Settings(home=tmp_path_factory.mktemp("filled"))
    database = open_database(settings.state_url)
    upgrade(database)
    base = KnowledgeBase.create(SqlStore(database), "default", "shop", author="ann")
    base.commit(Changes(put=tuple(shop_items)), author="ann", message="The shop's tables")
    Retriever(SqlStore(database), embedder).prepare(base)
    database.dispose()
    return settings.home


@pytest.fixture
def open_shop(tmp_path: Path, shop_database: Path, filled_home: Path, embedder: SentenceEmbedder) -> Iterator[OpenShop]:
    """Opens the shop; keywords change the assistant's settings, `with_engine` and `datasource_url` the rest."""
    opened: list[Core] = []

    def open_one(*, with_engine: bool = True, datasource_url: str | None = None, **assistant: object) -> Shop:
        fields = {"kb": "shop", "datasource": "shop", "engine": "main" if with_engine else None, **assistant}
        settings = Settings(
            home=tmp_path / "home",
            datasources={"shop": DatasourceSettings(url=datasource_url or f"sqlite:///{shop_database}", max_rows=200)},
            assistants={"shop": AssistantSettings(**fields)},
        )
        shutil.copytree(filled_home, settings.home, dirs_exist_ok=True)
        engine = ScriptedEngine()
        engines: dict[str, Engine] = {"main": engine} if with_engine else {}
        opened.append(open_core(settings, engines=engines, embedder=embedder))
        return Shop(opened[-1], engine, tmp_path, settings)

    yield open_one
    for core in opened:
        core.close()


@pytest.fixture
def shop(open_shop: OpenShop) -> Shop:
    return open_shop()


def success(name: str, question: str, answer: str, **fields: object) -> Item:
    return Item(f"success:{name}", question, Success(question, answer), **fields)  # type: ignore[arg-type]


def gotcha(name: str, text: str, *about: str) -> Item:
    return Item(f"gotcha:{name}", text, Gotcha(text), entities=tuple(Entity(entity) for entity in about))
