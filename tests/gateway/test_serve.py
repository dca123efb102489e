"""`kvasir serve` as a process: what it binds to, what it announces, and how it ends."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from gateway.api_keys import ApiKeys
from gateway.settings import load_settings
from kb.database import open_database, upgrade
from kb.knowledge_base import KnowledgeBase
from kb.sql_store import SqlStore

KVASIR = Path(sys.executable).parent / "kvasir"
ENGINE_AWAY = (
    '[engines.m]\nmodel = "openai/x"\napi_base = "http://127.0.0.1:1/v1"\napi_key = "sekret"\nretries = 0\n'
    '[assistants.shop]\nkb = "shop"\nengine = "m"\n'
)


@dataclass
class Server:
    """A started `kvasir serve`; `lines` is its stderr so far."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def url(self) -> str:
        """Where it serves, once it has said so."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if found := re.search(r"Kvasir serves (http://\S+) ", line):
                threading.Thread(target=lambda: self.lines.extend(self.process.stderr or ()), daemon=True).start()
                return found[1]
        raise AssertionError("".join(self.lines))

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


Start = Callable[..., Server]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start `kvasir serve` on a home with an empty base `shop`."""
    config = tmp_path / "kvasir.toml"
    with contextlib.ExitStack() as stack:

        def start(*arguments: str, text: str = "", key: bool = False, **variables: str) -> Server:
            config.write_text(f'home = "state"\n{text}')
            database = open_database(load_settings(config).state_url)
            upgrade(database)
            KnowledgeBase.create(SqlStore(database), "default", "shop", author="test")
            if key:
                (tmp_path / "key").write_text(ApiKeys(database).create("default", "ann", ("admin",)))
            database.dispose()
            environment = {name: value for name, value in os.environ.items() if not name.startswith("KVASIR_")}
            process = subprocess.Popen(
                [str(KVASIR), "serve", "--config", str(config), *arguments],
                env={**environment, **variables},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            return Server(process)

        yield start


def refusal(server: Server) -> str:
    """What a server says that does not start."""
    _, stderr = server.process.communicate(timeout=120)
    assert server.process.returncode == 2, stderr
    assert "Traceback" not in stderr
    assert "Kvasir serves" not in stderr
    return stderr


def test_it_announces_its_port_and_that_only_this_machine_is_served_and_ends_cleanly(start: Start) -> None:
    server = start("--port", "0")
    url = server.url()
    assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d*", url)
    assert httpx.get(f"{url}/readyz", timeout=60).json()["status"] == "ready"
    assert server.end(signal.SIGTERM) == 0
    said = "".join(server.lines)
    assert "only this machine is served" in said
    assert "No assistant is configured" in said
    assert "Traceback" not in said


def test_a_search_logs_none_of_its_librarys_steps(start: Start) -> None:
    text = '[assistants.shop]\nkb = "shop"\n'
    server = start("--port", "0", text=text, KVASIR_LOG_LEVEL="DEBUG")
    body = {"model": "shop", "messages": [{"role": "user", "content": "How many orders?"}]}
    assert httpx.post(f"{server.url()}/v1/chat/completions", json=body, timeout=120).status_code == 503
    assert server.end(signal.SIGTERM) == 0
    assert "bm25s" not in "".join(server.lines)


def test_an_open_address_without_a_key_is_refused_with_the_command_that_makes_one(start: Start) -> None:
    stderr = refusal(start("--host", "0.0.0.0", "--port", "0"))
    assert "host: got '0.0.0.0'" in stderr
    assert "kvasir key create" in stderr


def test_an_open_address_is_served_once_a_key_exists(start: Start, tmp_path: Path) -> None:
    url = start("--host", "0.0.0.0", "--port", "0", key=True).url().replace("0.0.0.0", "127.0.0.1")
    assert httpx.get(f"{url}/v1/models", timeout=60).status_code == 401
    headers = {"Authorization": f"Bearer {(tmp_path / 'key').read_text()}"}
    assert httpx.get(f"{url}/v1/models", headers=headers).status_code == 200


def test_a_port_that_is_taken_is_told_before_anything_is_announced(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        # The model is none, so it would be told first if it were loaded first.
        stderr = refusal(start("--port", str(port), KVASIR_EMBEDDING_MODEL="/nowhere", HF_HUB_OFFLINE="1"))
    assert f"got '127.0.0.1:{port}'; it cannot be listened on (Address already in use)" in stderr
    assert "--port" in stderr


def test_a_host_that_is_none_of_this_machine_is_told(start: Start) -> None:
    stderr = refusal(start("--host", "192.0.2.1", "--port", "0", key=True))
    assert "cannot be listened on (Cannot assign requested address)" in stderr


def test_an_embedding_model_that_is_none_stops_the_start(start: Start) -> None:
    stderr = refusal(start("--port", "0", KVASIR_EMBEDDING_MODEL="/nowhere", HF_HUB_OFFLINE="1"))
    assert "embedding model '/nowhere' cannot be loaded" in stderr


def test_it_starts_while_its_engine_is_away_and_says_so_to_whoever_asks(start: Start) -> None:
    server = start("--port", "0", text=ENGINE_AWAY)
    url = server.url()
    body = {"model": "shop", "messages": [{"role": "user", "content": "How many orders?"}]}
    response = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=120)
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "engine_unreachable"
    assert "sekret" not in response.text
    assert httpx.get(f"{url}/healthz").is_success
    assert server.end(signal.SIGINT) == 0
