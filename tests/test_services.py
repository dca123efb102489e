"""The servers that tests use: ours start, are empty and stop; the others are found; their absence skips or fails."""

from __future__ import annotations

import os
import socket
from types import ModuleType
from urllib.parse import urlsplit

import psycopg
import pytest


def _connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True


def _libpq(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def _redis(url: str, *commands: str) -> list[str]:
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=5) as connection:
        answers = connection.makefile("rb")
        lines = []
        for command in commands:
            connection.sendall(f"{command}\r\n".encode())
            lines.append(answers.readline().decode().strip())
        return lines


def _own_postgres(services: ModuleType):
    try:
        services._postgres_programs()
    except services.ServiceUnavailable as exc:
        services.give_up(exc)
    return services.postgres_server(private=True)


def test_a_postgres_of_our_own_starts_serves_and_stops(services: ModuleType) -> None:
    with _own_postgres(services) as server:
        assert server.port != 5432
        with services.postgres_database(server) as url, psycopg.connect(_libpq(url)) as connection:
            connection.execute("CREATE TABLE things (name text)")
            connection.execute("INSERT INTO things VALUES ('ä')")
            assert connection.execute("SELECT name FROM things").fetchall() == [("ä",)]
            home = connection.execute("SHOW data_directory").fetchone()
        assert _connects(server.port)
    assert not _connects(server.port)
    assert home is not None
    assert not os.path.exists(home[0])


def test_a_postgres_of_our_own_stops_when_the_tests_break(services: ModuleType) -> None:
    ports = []

    def break_down() -> None:
        with _own_postgres(services) as server:
            ports.append(server.port)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_down()
    assert not _connects(ports[0])


def test_a_redis_of_our_own_starts_empty_and_stops(services: ModuleType) -> None:
    try:
        with services.redis_server(private=True) as url:
            assert _redis(url, "DBSIZE", "SET a 1", "DBSIZE") == [":0", "+OK", ":1"]
            port = urlsplit(url).port
            assert port is not None
            assert port != 6379
    except services.ServiceUnavailable as exc:
        services.give_up(exc)
    assert not _connects(port)


def test_each_fresh_postgres_is_empty(fresh_postgres: str, postgres_url: str) -> None:
    assert fresh_postgres.startswith("postgresql+psycopg://")
    assert fresh_postgres != postgres_url
    with psycopg.connect(_libpq(fresh_postgres)) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        assert tables == (0,)


def test_a_database_is_dropped_though_somebody_still_uses_it(services: ModuleType, postgres_server) -> None:
    with services.postgres_database(postgres_server) as url:
        lingering = psycopg.connect(_libpq(url))
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(_libpq(url))
    lingering.close()


def test_the_redis_fixture_answers(redis_url: str) -> None:
    assert _redis(redis_url, "PING") == ["+PONG"]


def test_a_named_postgres_is_used(services: ModuleType, postgres_server) -> None:
    named = postgres_server.set(drivername="postgresql").render_as_string(hide_password=False)
    with services.postgres_server({"KVASIR_TEST_POSTGRES_URL": named}) as server:
        assert server.port == postgres_server.port
        assert server.drivername == "postgresql+psycopg"


def test_a_named_postgres_that_does_not_answer_is_an_error_that_keeps_its_password(services: ModuleType) -> None:
    environ = {"KVASIR_TEST_POSTGRES_URL": "postgresql://user:hunter2@127.0.0.1:1/x"}
    with (
        pytest.raises(services.ServiceUnavailable, match="KVASIR_TEST_POSTGRES_URL") as raised,
        services.postgres_server(environ),
    ):
        pass
    assert "hunter2" not in str(raised.value)


def test_a_named_redis_is_used_and_is_an_error_where_it_does_not_answer(services: ModuleType, redis_url: str) -> None:
    with services.redis_server({"KVASIR_TEST_REDIS_URL": redis_url}) as url:
        assert url == redis_url
    with (
        pytest.raises(services.ServiceUnavailable, match="KVASIR_TEST_REDIS_URL"),
        services.redis_server({"KVASIR_TEST_REDIS_URL": "redis://127.0.0.1:1/0"}),
    ):
        pass


def test_without_a_service_the_test_is_skipped(services: ModuleType) -> None:
    with pytest.raises(pytest.skip.Exception, match="no PostgreSQL here"):
        services.give_up(services.ServiceUnavailable("no PostgreSQL here"), {})


def test_without_a_service_that_is_required_the_test_fails(services: ModuleType) -> None:
    with pytest.raises(pytest.fail.Exception, match="no PostgreSQL here"):
        services.give_up(services.ServiceUnavailable("no PostgreSQL here"), {"KVASIR_REQUIRE_SERVICES": "1"})


def test_without_a_service_that_was_named_the_test_fails(services: ModuleType) -> None:
    with pytest.raises(pytest.fail.Exception, match="KVASIR_TEST_REDIS_URL"):
        services.give_up(services.NamedServiceUnavailable("KVASIR_TEST_REDIS_URL names …"), {})


def test_what_was_tried_is_named_where_nothing_is_installed(
    services: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "_postgres_programs", _raise(services, "no PostgreSQL: not installed"))
    monkeypatch.setattr(services.shutil, "which", lambda _: None)
    with pytest.raises(services.ServiceUnavailable, match="no PostgreSQL"), services.postgres_server(private=True):
        pass
    with pytest.raises(services.ServiceUnavailable, match="no Redis"), services.redis_server(private=True):
        pass


def _raise(services: ModuleType, message: str):
    def unavailable() -> None:
        raise services.ServiceUnavailable(message)

    return unavailable
