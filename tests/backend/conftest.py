"""A tiny model folder, a profile whose curves are easy to compute by hand, a real HTTP server that speaks just enough
of OpenAI's API, well or badly, and small real processes in the place of vLLM and LMCache."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from backend import part_process
from backend.launch_state import log_path
from backend.launcher import down
from backend.plan import LaunchOptions, LaunchPlan, Part, Port
from backend.processes import members
from backend.tiers.cost import PrefillCost, TransferCost
from backend.tiers.profile import Profile, Sample, TierProfile
from backend.tiny_model import make_model_folder

REPOSITORY = Path(__file__).parents[2]
NOTHING = TransferCost(0.0, 0.0)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # A text that stays: with another tokenizer the model draws other words, and one draw may end early.
    texts = [(REPOSITORY / "LICENSE").read_text(encoding="utf-8")]
    return make_model_folder(tmp_path_factory.mktemp("models") / "tiny", texts, vocab_tokens=800, window_tokens=2048)


@pytest.fixture(scope="session")
def exact_folder(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In float32: in bfloat16 a prefix computed in another batch can round to another greedy token."""
    folder: Path = shutil.copytree(model_folder, tmp_path_factory.mktemp("exact") / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "dtype": "float32"}))
    return folder


@pytest.fixture
def profile() -> Profile:
    """Prefill: 1 ms a token. RAM: 10 ms and 0.1 ms a token. Disk: 100 ms and 0.5 ms a token, of which half a fetch."""
    return Profile(
        model="/models/m",
        chunk_tokens=100,
        kv_bytes_per_token=1000,
        prefill=PrefillCost(0.05, 0.001, 0.0),
        tiers={
            "ram": TierProfile(TransferCost(0.01, 0.0001), NOTHING, NOTHING),
            "disk": TierProfile(
                TransferCost(0.1, 0.0005),
                fetch=TransferCost(0.05, 0.00025),
                store=TransferCost(0.0, 0.0002),
                load_samples=(Sample(100, (0.15, 0.16)),),
                raw_read_bytes_per_second=2e9,
            ),
        },
        prefill_samples=(Sample(100, (0.15,)),),
        tokenizer_tokens_per_second=1e6,
        made_at="2026-11-28T12:00:00+00:00",
        versions={"vllm": "0.32.0"},
    )


class OpenAIServer(ThreadingHTTPServer):
    """`mode` is what the next requests meet: a status to refuse with, or one of the names in `_Handler`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.mode: str | int = "ok"
        self.error_message = "no"
        self.text, self.finish_reason = "hi", "stop"
        self.fail_first = 0
        self.timing: dict | None = None
        self.requests: list[tuple[str, dict, dict]] = []
        self.reader_left = threading.Event()
        self.stopping = threading.Event()

    @property
    def api_base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    @property
    def bodies(self) -> list[dict]:
        return [body for _, body, _ in self.requests]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: OpenAIServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.requests.append((self.path, {}, self._named()))
        self._send(200, {"data": [{"id": "served", "max_model_len": 4096}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.requests.append((self.path, body, self._named()))
        mode = self.server.mode
        if len(self.server.requests) <= self.server.fail_first:
            mode = 503
        if isinstance(mode, int):
            message = self.server.error_message.replace("{key}", self.headers.get("authorization", ""))
            self._send(mode, {"error": {"message": message, "type": "x", "code": mode}}, retry_after="7")
        elif mode == "silent":
            self.server.stopping.wait(20)
        elif self.path == "/tokenize":
            self._send(200, {"count": 42, "max_model_len": 4096, "tokens": [7, 8]})
        elif body.get("stream"):
            self._stream(mode)
        else:
            timing = {"metrics": self.server.timing} if self.server.timing else {}
            answer = _answer("abort" if mode == "aborted" else self.server.finish_reason, self.server.text)
            self._send(200, {**answer, **timing})

    def _named(self) -> dict[str, str]:
        """The headers; clients differ in how they write their names."""
        return {name.lower(): value for name, value in self.headers.items()}

    def _send(self, status: int, body: dict, retry_after: str | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        if retry_after:
            self.send_header("retry-after", retry_after)
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, mode: str) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            self._events(mode)
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.server.reader_left.set()

    def _events(self, mode: str) -> None:
        if mode == "refusing":
            self._event({"error": {"message": "too hot", "type": "x", "code": 503}})
            return
        for number in range(3):
            self._event(_part({"content": f"w{number} "}))
        for _ in range(300 if mode == "monotonous" else 0):
            self._event(_part({"content": "----"}))
        if mode == "cut":
            self.close_connection = True
            self.connection.shutdown(2)
        elif mode == "stalled":
            self.server.stopping.wait(20)
        elif mode == "endless":
            while not self.server.stopping.is_set():
                self._event(_part({"content": "more "}))
                time.sleep(0.02)
        elif mode == "dying":
            self._event({"error": {"message": "EngineDead", "type": "x", "code": 500}})
        elif mode == "aborted":
            self._event(_part({}, "abort"))
        elif mode in ("ok", "monotonous"):
            self._event(_part({}, "length"))
            self._event({**_part({}), "choices": [], "usage": _USAGE})
        if mode != "unfinished":
            self._event("[DONE]")

    def _event(self, data: dict | str) -> None:
        line = f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()
        self.wfile.write(b"%x\r\n" % len(line) + line + b"\r\n")
        self.wfile.flush()


_USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 3,
    "total_tokens": 12,
    "prompt_tokens_details": {"cached_tokens": 4},
}


def _answer(finish_reason: str, text: str) -> dict:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}
    stats = {"num_vllm_cached_tokens": 3, "num_lmcache_cached_tokens": 4, "num_lmcache_extra_cached_tokens": 1}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "served",
        "choices": [choice],
        "usage": _USAGE,
        "kv_transfer_params": {"cached_token_stats": stats},
    }


def _part(delta: dict, finish_reason: str | None = None) -> dict:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "served", "choices": [choice]}


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    server = OpenAIServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()


# Answers every GET. With "family" it has a child as hard to find as vLLM's: an empty environment, a session of its own,
# and no ear for SIGTERM.
SERVER = """
import os, signal, socket, subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory

class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_GET(self):
        self.send_response(200); self.send_header("content-length", "0"); self.end_headers()

print("part", sys.argv[2], "starts", flush=True)
sleeper = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True)"
if "family" in sys.argv:
    subprocess.Popen([sys.executable, "-c", sleeper + "; time.sleep(600)"], env={}, start_new_session=True)
if "memory" in sys.argv:
    memory = SharedMemory(create=True, size=4096)
    resource_tracker.unregister(memory._name, "shared_memory")
    print("memory", memory.name, flush=True)
if "socket" in sys.argv:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(os.path.join(os.environ["TMPDIR"], sys.argv[2] + ".socket"))
    listening.listen()
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def server_code() -> str:
    return SERVER


@pytest.fixture
def free_ports():
    with socket.socket() as one, socket.socket() as two:
        for probe in (one, two):
            probe.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


@pytest.fixture
def state_dir(tmp_path, monkeypatch):
    monkeypatch.setattr(part_process, "_GRACE_SECONDS", 1.0)
    state_dir = tmp_path / "backend"
    yield state_dir
    down(state_dir)
    for name in ("cache", "engine"):
        assert members(None, log_path(state_dir, name)) == ()


@pytest.fixture
def plan(free_ports, tmp_path):
    def make(
        cache: str = SERVER, engine: str = SERVER, extra: tuple[str, ...] = (), restart: bool = False
    ) -> LaunchPlan:
        options = LaunchOptions(model=tmp_path, engine_port=free_ports[1], ready_seconds=20.0, restart=restart)
        parts = tuple(
            Part(
                name=name,
                argv=(sys.executable, "-c", code, str(port), name, *extra),
                env={},
                ports=(Port(port, f"--{name}-port"),),
                health_url=f"http://127.0.0.1:{port}/health",
            )
            for name, code, port in (("cache", cache, free_ports[0]), ("engine", engine, free_ports[1]))
        )
        return LaunchPlan(options, "cpu", "served", 4096, tmp_path / "kv", parts)

    return make
