"""A Redis server for a shared tier: the one that is named, or `redis-server` of this machine on a free port."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.errors import MeasurementFailed
from backend.polling import until
from backend.ports import find_free

_PROGRAM = "redis-server"
_START_SECONDS = 20.0
_END_SECONDS = 20.0
_MAX_MEMORY = "2gb"


def redis_missing(named: str | None) -> str | None:
    """Why there is no server to have, if so."""
    if named is None and shutil.which(_PROGRAM) is None:
        return f"{_PROGRAM} is not installed; install it, or name a server with --redis host:port"
    return None


@contextmanager
def shared_tier(named: str | None, folder: Path) -> Iterator[str]:
    """LMCache's adapter, as JSON, for the server `named` as `host:port`, or one of our own that ends with the block."""
    if named is not None:
        host, _, port = named.rpartition(":")
        if not host or not port.isdigit():
            raise MeasurementFailed("--redis", f"got '{named}'; give host:port")
        yield _adapter(host, int(port))
        return
    if missing := redis_missing(named):
        raise MeasurementFailed("--redis", missing)
    port_number = find_free(1)[0]
    server = subprocess.Popen(
        [
            *(_PROGRAM, "--bind", "127.0.0.1", "--port", str(port_number), "--dir", str(folder)),
            *("--save", "", "--appendonly", "no", "--maxmemory", _MAX_MEMORY, "--maxmemory-policy", "allkeys-lru"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _await_answer(port_number, server)
        yield _adapter("127.0.0.1", port_number)
    finally:
        server.terminate()
        try:
            server.wait(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _await_answer(port: int, server: subprocess.Popen[bytes]) -> None:
    until(lambda: server.poll() is not None or _answers(port), seconds=_START_SECONDS)
    if not _answers(port):
        raise MeasurementFailed(_PROGRAM, f"it did not answer on port {port}")


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _adapter(host: str, port: int) -> str:
    return json.dumps({"type": "resp", "host": host, "port": port})
