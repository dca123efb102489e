"""The client of Kvasir's routes on LMCache's port."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from backend.cache_server import CacheServer
from backend.errors import CacheFailed


class Listening(HTTPServer):
    """Keeps the header of authorization of each call, and answers with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.authorized: list[str | None] = []
        self.status = 202


class Handler(BaseHTTPRequestHandler):
    server: Listening

    def do_POST(self) -> None:
        self.server.authorized.append(self.headers["Authorization"])
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing goes to stderr."""


@pytest.fixture
def listening() -> Iterator[Listening]:
    with Listening() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_credentials_of_its_address_are_sent_and_stand_in_no_text(
    listening: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    server = CacheServer(f"http://ada:s%40kret@127.0.0.1:{listening.server_port}/")
    server.expect("ses")
    listening.status = 500
    with pytest.raises(CacheFailed) as caught:
        server.expect("ses")
    server.close()
    assert listening.authorized == ["Basic YWRhOnNAa3JldA=="] * 2
    assert server.url == f"http://127.0.0.1:{listening.server_port}"
    assert "kret" not in f"{caught.value} {caught.value.url} {caplog.text}"


def test_an_address_without_credentials_sends_none(listening: Listening) -> None:
    server = CacheServer(f"http://127.0.0.1:{listening.server_port}")
    server.expect("ses")
    server.close()
    assert listening.authorized == [None]
