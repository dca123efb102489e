"""Real PostgreSQL and Redis servers for the tests: one that is named, one that runs, or one of our own.

`conftest.py` loads this file and makes fixtures of it. In order:

1. `KVASIR_TEST_POSTGRES_URL`, `KVASIR_TEST_REDIS_URL`: what is named is used, and the tests
   fail if it cannot be;
2. PostgreSQL: a server on 127.0.0.1:5432 where this user may create databases without a password;
3. a server of our own from the installed programs, on a free port, stopped at the end;
4. Redis: a server on 127.0.0.1:6379 that holds nothing (our own comes first because it cannot hold anybody's data);
5. none: the test is skipped, or fails where `KVASIR_REQUIRE_SERVICES=1`.
"""

from __future__ import annotations

import getpass
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import URL, make_url

START_SECONDS = 60.0
START_TRIES = 3
# PostgreSQL refuses to run as root.
UNPRIVILEGED = ("postgres", "nobody")


class ServiceUnavailable(Exception):
    """There is no such server and none can be started; the message says what was tried."""


class NamedServiceUnavailable(ServiceUnavailable):
    """The server that a variable names cannot be used: whoever named it wants the tests to run."""


def give_up(error: ServiceUnavailable, environ: Mapping[str, str] = os.environ) -> NoReturn:
    """Skips the test. Fails it where KVASIR_REQUIRE_SERVICES=1, and where the server was named."""
    if isinstance(error, NamedServiceUnavailable) or environ.get("KVASIR_REQUIRE_SERVICES") == "1":
        pytest.fail(str(error), pytrace=False)
    pytest.skip(str(error))


@contextmanager
def postgres_server(environ: Mapping[str, str] = os.environ, *, private: bool = False) -> Iterator[URL]:
    """The address of a server's maintenance database. `private` starts one whatever runs already.

    Raises ServiceUnavailable.
    """
    named = environ.get("KVASIR_TEST_POSTGRES_URL")
    if named and not private:
        url = make_url(named).set(drivername="postgresql+psycopg")
        if not _may_create_databases(url):
            raise NamedServiceUnavailable(
                f"KVASIR_TEST_POSTGRES_URL names {url.render_as_string()}, which does not answer or whose user may "
                "not create databases"
            )
        yield url
        return
    running = _postgres_url(getpass.getuser(), 5432)
    if not private and _may_create_databases(running):
        yield running
        return
    with _private_postgres() as url:
        yield url


@contextmanager
def postgres_database(server: URL) -> Iterator[str]:
    """An empty database's `postgresql+psycopg://` URL; the database is dropped afterwards, whoever still uses it."""
    name = f"kvasir_test_{os.getpid()}_{secrets.token_hex(4)}"
    _run_on(server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        _run_on(server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def redis_server(environ: Mapping[str, str] = os.environ, *, private: bool = False) -> Iterator[str]:
    """A `redis://` URL. Raises ServiceUnavailable."""
    named = environ.get("KVASIR_TEST_REDIS_URL")
    if named and not private:
        parts = urlsplit(named)
        if _redis_says(parts.hostname or "127.0.0.1", parts.port or 6379, "PING") is None:
            raise NamedServiceUnavailable(
                f"KVASIR_TEST_REDIS_URL names {parts.hostname}:{parts.port}, which does not answer"
            )
        yield named
        return
    if shutil.which("redis-server") is not None:
        with _private_redis() as url:
            yield url
    elif not private and _redis_says("127.0.0.1", 6379, "DBSIZE") == ":0":
        yield "redis://127.0.0.1:6379/0"
    else:
        raise ServiceUnavailable("no Redis: redis-server is not installed and no empty server runs on 127.0.0.1:6379")


def _postgres_url(user: str, port: int) -> URL:
    return URL.create("postgresql+psycopg", username=user, host="127.0.0.1", port=port, database="postgres")


def _libpq(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _run_on(server: URL, statement: sql.Composed) -> None:
    with psycopg.connect(_libpq(server), autocommit=True, connect_timeout=10) as connection:
        connection.execute(statement)


def _may_create_databases(url: URL) -> bool:
    try:
        with psycopg.connect(_libpq(url), connect_timeout=3) as connection:
            row = connection.execute(
                "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
            ).fetchone()
    except psycopg.Error:
        return False
    return bool(row and row[0])


@contextmanager
def _private_postgres() -> Iterator[URL]:
    programs = _postgres_programs()
    account = _unprivileged_account()
    # In the system's own folder for temporary files: pytest's are closed to other users than its own.
    home = Path(tempfile.mkdtemp(prefix="kvasir-postgres-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        if account is not None:
            os.chown(home, account.pw_uid, account.pw_gid)
        initdb = [str(programs / "initdb"), "-D", str(home / "data"), "-U", "kvasir", "-A", "trust", "-E", "UTF8"]
        if _as(account, [*initdb, "--locale=C", "--no-sync"], home).wait() != 0:
            raise ServiceUnavailable(f"initdb failed: {_log(home)}")

        def command(port: int) -> list[str]:
            options = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "shared_buffers=16MB")
            settings = [part for option in options for part in ("-c", option)]
            return [str(programs / "postgres"), "-D", str(home / "data"), "-p", str(port), *settings]

        def answers(port: int) -> bool:
            return _may_create_databases(_postgres_url("kvasir", port))

        port = stack.enter_context(_running(command, answers, account, home))
        yield _postgres_url("kvasir", port)


@contextmanager
def _private_redis() -> Iterator[str]:
    home = Path(tempfile.mkdtemp(prefix="kvasir-redis-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, home, ignore_errors=True)

        def command(port: int) -> list[str]:
            listen = ["--bind", "127.0.0.1", "--port", str(port)]
            return ["redis-server", *listen, "--save", "", "--appendonly", "no", "--dir", str(home)]

        def answers(port: int) -> bool:
            return _redis_says("127.0.0.1", port, "PING") == "+PONG"

        port = stack.enter_context(_running(command, answers, None, home))
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def _running(
    command: Callable[[int], Sequence[str]],
    answers: Callable[[int], bool],
    account: pwd.struct_passwd | None,
    home: Path,
) -> Iterator[int]:
    """Runs a server until the block ends; yields its port. A port that somebody else took first is given up."""
    for _ in range(START_TRIES):
        port = _free_port()
        server = _as(account, command(port), home)
        try:
            deadline = time.monotonic() + START_SECONDS
            while server.poll() is None and time.monotonic() < deadline:
                if answers(port):
                    yield port
                    return
                time.sleep(0.05)
        finally:
            _stop(server)
    raise ServiceUnavailable(f"{command(0)[0]} did not start in {START_TRIES} tries: {_log(home)}")


def _as(account: pwd.struct_passwd | None, command: Sequence[str], home: Path) -> subprocess.Popen[bytes]:
    """Starts a program in `home`, as another user where one is given. What it prints goes to home/log."""
    with open(home / "log", "ab") as log:
        return subprocess.Popen(
            command,
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=None if account is None else account.pw_uid,
            group=None if account is None else account.pw_gid,
            extra_groups=None if account is None else [],
        )


def _log(home: Path) -> str:
    return (home / "log").read_text("utf-8", "replace").strip()[-500:]


def _stop(server: subprocess.Popen[bytes]) -> None:
    # PostgreSQL's fast shutdown, which does not wait for its clients; Redis ends on it too.
    server.send_signal(signal.SIGINT)
    try:
        server.wait(timeout=20)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _unprivileged_account() -> pwd.struct_passwd | None:
    """Whom to run PostgreSQL as; None is this user."""
    if os.geteuid() != 0:
        return None
    known = {account.pw_name: account for account in pwd.getpwall()}
    for name in UNPRIVILEGED:
        if name in known:
            return known[name]
    raise ServiceUnavailable(f"PostgreSQL does not run as root, and there is no user {' or '.join(UNPRIVILEGED)}")


def _postgres_programs() -> Path:
    """The folder of initdb and postgres: of the newest version installed, else the one on PATH."""
    folders = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name), reverse=True
    )
    on_path = shutil.which("initdb")
    if on_path is not None:
        folders.append(Path(on_path).resolve().parent)
    for folder in folders:
        if (folder / "initdb").is_file() and (folder / "postgres").is_file():
            return folder
    raise ServiceUnavailable(
        "no PostgreSQL: this user may not create databases on 127.0.0.1:5432, and initdb and postgres are not installed"
    )


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _redis_says(host: str, port: int, command: str) -> str | None:
    """The first line of the answer to an inline command, or None where nothing answers."""
    try:
        with socket.create_connection((host, port), timeout=2) as connection:
            connection.sendall(f"{command}\r\n".encode())
            return connection.recv(256).decode("utf-8", "replace").splitlines()[0]
    except (OSError, IndexError):
        return None
