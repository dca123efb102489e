"""A database of orders, on SQLite and PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from gateway.datasource import Datasource, DatasourceConfig

from .sources import libpq


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "data ?#%.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(
        """
        CREATE TABLE orders (id INTEGER PRIMARY KEY, state TEXT, total_eur REAL);
        CREATE VIRTUAL TABLE notes USING fts5(body);
        INSERT INTO notes VALUES ('a lamp came broken');
        """
    )
    connection.executemany("INSERT INTO orders VALUES (?, 'paid', ?)", [(number, number / 4) for number in range(3000)])
    connection.commit()
    connection.close()
    return path


@pytest.fixture
def sqlite_source(database: Path) -> Iterator[Datasource]:
    # Everything up to the query string is the path, so its own ? and # are quoted here.
    url = f"sqlite:///{str(database).replace('%', '%25').replace('?', '%3F')}"
    with Datasource(DatasourceConfig("shop", url, timeout_seconds=20, max_memory_mb=128)) as source:
        yield source


@pytest.fixture
def postgres_orders(fresh_postgres: str) -> str:
    with psycopg.connect(libpq(fresh_postgres)) as connection:
        connection.execute(
            "CREATE TABLE orders (id serial PRIMARY KEY, state text, total numeric(10, 2), placed_on date)"
        )
        connection.execute(
            "INSERT INTO orders (state, total, placed_on) "
            "SELECT 'paid', n / 4.0, '2026-01-01' FROM generate_series(1, 3000) AS n"
        )
    return fresh_postgres


@pytest.fixture
def postgres_source(postgres_orders: str) -> Iterator[Datasource]:
    with Datasource(DatasourceConfig("shop", postgres_orders, timeout_seconds=20, max_memory_mb=128)) as source:
        yield source


@pytest.fixture(params=["sqlite", "postgres"])
def source(request: pytest.FixtureRequest) -> Datasource:
    return request.getfixturevalue(f"{request.param}_source")
