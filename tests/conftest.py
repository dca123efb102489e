"""Fixtures for all the tests: real PostgreSQL and Redis (see `services.py` for where they come from), and the shop."""

from __future__ import annotations

import importlib.util
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import ModuleType

import pytest
import uvicorn
from fastapi import FastAPI
from sqlalchemy.engine import URL

from kb.embedding import SentenceEmbedder

TESTS = Path(__file__).parent
GENERATOR = TESTS.parent / "examples" / "shop" / "generate.py"


def _load(name: str, path: Path) -> ModuleType:
    """By its path: tests are imported with --import-mode=importlib, which puts nothing on sys.path."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def services() -> ModuleType:
    """The module `tests/services.py`."""
    return _load("kvasir_test_services", TESTS / "services.py")


@pytest.fixture(scope="session")
def embedder() -> SentenceEmbedder:
    """The model that ships with Kvasir. It is loaded at its first use, once for all folders."""
    return SentenceEmbedder()


@pytest.fixture(scope="session")
def recorded_readings() -> ModuleType:
    """The module `tests/recorded_readings.py`."""
    return _load("kvasir_recorded_readings", TESTS / "recorded_readings.py")


@pytest.fixture(scope="session")
def shop_generator() -> ModuleType:
    """The module `examples/shop/generate.py`."""
    return _load("kvasir_shop_generate", GENERATOR)


@pytest.fixture(scope="session")
def postgres_server(services: ModuleType) -> Iterator[URL]:
    """A server where databases can be made; skips the test where there is none."""
    with ExitStack() as stack:
        try:
            server = stack.enter_context(services.postgres_server())
        except services.ServiceUnavailable as exc:
            services.give_up(exc)
        yield server


@pytest.fixture(scope="session")
def postgres_url(services: ModuleType, postgres_server: URL) -> Iterator[str]:
    """A database of its own for the session, `postgresql+psycopg://…`. Tests that share it name their own tables."""
    with services.postgres_database(postgres_server) as url:
        yield url


@pytest.fixture
def fresh_postgres(services: ModuleType, postgres_server: URL) -> Iterator[str]:
    """An empty database for the one test, `postgresql+psycopg://…`."""
    with services.postgres_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def redis_url(services: ModuleType) -> Iterator[str]:
    """An empty Redis for the session, `redis://…`; skips the test where there is none."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(services.redis_server())
        except services.ServiceUnavailable as exc:
            services.give_up(exc)
        yield url


@pytest.fixture(scope="session")
def shop_database(shop_generator: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example shop, generated once. Read it only."""
    path = tmp_path_factory.mktemp("shop") / "shop.sqlite"
    shop_generator.generate(path)
    return path


@pytest.fixture(scope="session")
def running() -> Callable[[FastAPI], AbstractContextManager[str]]:
    """Serves an application with uvicorn on a free port of this machine; gives its URL."""
    return _running


@contextmanager
def _running(app: FastAPI) -> Iterator[str]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        listener.close()
