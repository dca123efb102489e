"""The command against pages that are really served, and against ports where nothing listens."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from backend.cli import group
from backend.launch_state import LaunchState, PartState, write_state
from backend.plan import LaunchOptions
from backend.tiers.profile import profile_json

METRICS = """# TYPE vllm:request_prompt_tokens histogram
vllm:request_prompt_tokens_bucket{le="+Inf"} 4.0
vllm:request_prompt_tokens_sum 400.0
vllm:request_prompt_tokens_count 4.0
# TYPE vllm:num_preemptions counter
vllm:num_preemptions_total 0.0
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1.7e+09
"""
STATUS: dict[str, Any] = {
    "gates": {"load": True, "store": True},
    "disk": {"disk": {"bytes": 0, "cap_bytes": 1000, "files": 0}},
    "write_budget": {"bytes_per_day": None, "used_bytes": 0},
    "counts": {},
    "observed": {"repeats": {}, "prefix_changes": {}},
}


class Pages(ThreadingHTTPServer):
    """What any path answers; `keys` are the authorizations that came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages: dict[str, str] = {
            "/metrics": METRICS,
            "/kvasir/status": json.dumps(STATUS),
            "/kvasir/silent-sessions": json.dumps({"sessions": [], "capacity_bytes": 0}),
            "/kvasir/transfers": "[]",
        }
        self.keys: list[str | None] = []


class _Handler(BaseHTTPRequestHandler):
    server: Pages

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.keys.append(self.headers.get("authorization"))
        page = self.server.pages.get(self.path.split("?")[0])
        data = (page or "").encode()
        self.send_response(404 if page is None else 200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def pages() -> Iterator[Pages]:
    server = Pages()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "backend").mkdir()
    return tmp_path


def started(home: Path, port: int) -> None:
    """As if both parts had been started, and answered at `port`."""
    parts = tuple(
        PartState(name, home / f"{name}.log", f"http://127.0.0.1:{port}/health") for name in ("cache", "engine")
    )
    options = LaunchOptions(model=home, engine_port=port, cache_port=port, cache_http_port=port, device="cpu")
    write_state(home / "backend", LaunchState(options=options, served_name="x", parts=parts))


def doctor(home: Path, *arguments: str, key: str | None = None) -> Any:
    env = {"KVASIR_API_KEY": key, "KVASIR_HOME": str(home)}
    return CliRunner().invoke(group, ["doctor", "--watch", "0", *arguments], env=env)


def test_a_pair_without_a_symptom_is_exit_code_0(home, pages):
    started(home, pages.server_port)
    result = doctor(home)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("4 requests in ")
    assert result.stdout.endswith("\nno finding\n")


def test_a_finding_is_exit_code_1_with_its_numbers_and_its_command(home, pages):
    started(home, pages.server_port)
    pages.pages["/metrics"] = METRICS.replace("preemptions_total 0.0", "preemptions_total 3.0")
    result = doctor(home)
    assert result.exit_code == 1
    assert "1. vLLM's KV cache does not hold the requests that are served at once. [kv-memory-full]" in result.stdout
    assert "3  (limit 0: each is work twice)" in result.stdout
    assert f"$ kvasir backend down --only engine --home {home} && kvasir backend up" in result.stdout
    data = json.loads(doctor(home, "--json").stdout)
    assert [finding["name"] for finding in data["findings"]] == ["kv-memory-full"]
    assert data["findings"][0]["figures"][0]["limit"] == 0


def test_two_samples_are_taken_some_time_apart(home, pages):
    started(home, pages.server_port)
    pages.pages["/metrics"] = METRICS.replace("preemptions_total 0.0", "preemptions_total 3.0")
    result = doctor(home, "--watch", "0.1")
    assert result.exit_code == 0
    assert re.match(r"0 requests in [\d.]+ s\n", result.stdout)
    assert "\nwithout requests there is little to judge" in result.stdout
    assert "watching" in result.stderr


def test_parts_that_do_not_answer_are_named_with_what_was_not_judged(home, free_port):
    started(home, free_port)
    result = doctor(home)
    assert result.exit_code == 1
    assert f"vLLM's metrics not read: http://127.0.0.1:{free_port}/metrics: nothing answers" in result.stdout
    assert f"LMCache's metrics not read: http://127.0.0.1:{free_port}/metrics: nothing answers" in result.stdout
    assert "not judged for want of vLLM's metrics: queue-with-room, kv-memory-full, prompts-too-long" in result.stdout
    assert "[part-unreachable]" in result.stdout


def test_pages_of_something_else_are_no_metrics(home, pages):
    started(home, pages.server_port)
    pages.pages["/metrics"] = "<html>hello</html>"
    assert "its answer cannot be read" in doctor(home).stdout
    del pages.pages["/metrics"]
    assert "/metrics: status 404" in doctor(home).stdout


def test_the_gateways_key_goes_to_the_gateway_alone(home, pages):
    started(home, pages.server_port)
    doctor(home, key="secret")
    assert set(pages.keys) == {None}
    gateway = Pages()
    threading.Thread(target=gateway.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        result = doctor(home, "--gateway", f"http://127.0.0.1:{gateway.server_port}/", key="secret")
    finally:
        gateway.shutdown()
        gateway.server_close()
    assert set(gateway.keys) == {"Bearer secret"}
    assert set(pages.keys) == {None}
    assert "the gateway not read" in result.stdout
    assert "/v1/requests?limit=20: status 404" in result.stdout
    assert "secret" not in result.output


def test_a_profile_of_another_model_is_not_used_and_said(home, pages, profile):
    started(home, pages.server_port)
    (home / "backend" / "profile.json").write_text(json.dumps(profile_json(profile)))
    assert "profile not used: " in doctor(home).stdout
    assert f"is of {profile.model}" in json.loads(doctor(home, "--json").stdout)["profile_problem"]


def test_where_nothing_was_started_there_is_nothing_to_look_at(tmp_path):
    result = doctor(tmp_path)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: nothing was started in")
    assert "kvasir backend up" in result.stderr


def test_a_wrong_option_is_exit_code_2(home):
    assert doctor(home, "--watch", "-1").exit_code == 2
    assert doctor(home, "--nonsense").exit_code == 2
