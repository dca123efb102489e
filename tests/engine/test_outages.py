"""The real pair when a part of it is killed: answers go on, and what was computed outlives who computed it."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend import ports
from backend.launch_state import log_path, read_state, supervisor_log
from backend.launcher import down, status
from backend.plan import LaunchPlan
from backend.processes import find, members
from backend.shared_memory import pool_segment
from evals.replay import SuiteReplay
from gateway.app import create_app
from gateway.settings import AssistantSettings, EngineSettings, Settings
from kb.items import Document, Item

from .conftest import HANDBOOK, running_pair, tiny_model
from .filled import fill
from .waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

CHUNK = 256
TOKENS = 4 * CHUNK
PATIENCE_SECONDS = 180.0
SENT_SECONDS = 2.0
"""In which a question comes to the engine."""


@pytest.fixture(scope="module")
def plan(engine_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaunchPlan]:
    home = tmp_path_factory.mktemp("outages")
    model = tiny_model(home, [Path(__file__).read_text(encoding="utf-8"), HANDBOOK])
    # To disk at once, so that there is something to come back.
    with running_pair(model, home, engine_python, cpu_kv_gb=1.0, use_case="batch") as pair:
        yield pair.plan


@pytest.fixture
def state_dir(plan: LaunchPlan) -> Path:
    return plan.kv_dir.parent


@pytest.fixture(scope="module")
def gateway(plan: LaunchPlan, running: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    engine = EngineSettings(
        model=f"hosted_vllm/{plan.served_name}", api_base=plan.api_base, lmcache=True, max_output_tokens=8
    )
    settings = Settings(
        home=tmp_path_factory.mktemp("gateway"),
        engines={"main": engine},
        assistants={"shop": AssistantSettings(kb="shop", engine="main")},
    )
    fill(settings, Item("document:handbook", "Handbook", Document(HANDBOOK), usage="always"))
    with running(create_app(settings, replay=SuiteReplay())) as url, httpx.Client(base_url=url, timeout=120) as client:
        yield client


def ask(gateway: httpx.Client, question: str, **fields: Any) -> httpx.Response:
    body = {"model": "shop", "messages": [{"role": "user", "content": question}], **fields}
    return gateway.post("/v1/chat/completions", json=body)


def prompt(tokens: int = TOKENS) -> list[int]:
    return random.choices(range(100, 500), k=tokens + 16)


def cached(plan: LaunchPlan, tokens: list[int]) -> dict[str, int]:
    """Ask vLLM itself for one token, and say what it and LMCache had of the prompt."""
    body = {
        "model": plan.served_name,
        "prompt": tokens,
        "max_tokens": 1,
        "kv_transfer_params": {"cached_token_stats": True},
    }
    answer = httpx.post(f"{plan.api_base}/completions", json=body, timeout=120, trust_env=False).raise_for_status()
    stats: dict[str, int] = answer.json()["kv_transfer_params"]["cached_token_stats"]
    return stats


def pid_of(state_dir: Path, name: str) -> int:
    part = next(part for part in status(state_dir).parts if part.name == name)
    assert part.pid is not None, part
    return part.pid


def kill(state_dir: Path, name: str) -> int:
    """Without a word, as the kernel does when memory runs out."""
    pid = pid_of(state_dir, name)
    os.kill(pid, signal.SIGKILL)
    return pid


def eventually(condition: Callable[[], Any]) -> Any:
    return until(condition, bool, PATIENCE_SECONDS)


def test_a_killed_lmcache_costs_hits_and_no_answer_and_hits_return_with_it(plan: LaunchPlan, state_dir: Path) -> None:
    engine = next(part for part in status(state_dir).parts if part.name == "engine").pid
    kept = prompt()
    cached(plan, kept)
    assert eventually(lambda: len(list(plan.kv_dir.glob("*.data"))) >= TOKENS // CHUNK)
    killed = kill(state_dir, "cache")

    # The first answer after it meets the dead server in the middle of its store, and all of them come.
    for _ in range(3):
        assert cached(plan, prompt())["num_lmcache_cached_tokens"] == 0
    assert eventually(lambda: status(state_dir).healthy)
    cache, after = status(state_dir).parts
    assert after.pid == engine
    assert cache.pid != killed
    assert cache.restarts.total == 1

    def hit_again() -> bool:
        new = prompt()
        cached(plan, new)
        return cached(plan, new)["num_lmcache_cached_tokens"] == TOKENS

    assert eventually(hit_again)
    # Nobody has asked it since, and the RAM that it may have lain in is gone.
    assert cached(plan, kept)["num_lmcache_cached_tokens"] == TOKENS


def test_a_killed_vllm_is_a_503_until_it_is_back_and_its_kv_outlives_it(
    plan: LaunchPlan, state_dir: Path, gateway: httpx.Client
) -> None:
    first = ask(gateway, "How many aisles are there?")
    assert first.status_code == 200, first.text
    before = len(list(plan.kv_dir.glob("*.data")))
    long: list[httpx.Response] = []
    part = read_state(state_dir).part("engine")
    assert part is not None
    engine, *computing = members(part.process, log_path(state_dir, "engine"))
    # What computes is held, so that the answer cannot be done before the server is killed, however fast it is.
    for process in computing:
        process.suspend()
    asking = threading.Thread(target=lambda: long.append(ask(gateway, "Count on.", max_tokens=2000)))
    asking.start()
    asking.join(SENT_SECONDS)
    assert asking.is_alive(), long
    engine.kill()
    for process in computing:
        process.resume()
    asking.join()
    meanwhile = ask(gateway, "Which article is the last?")
    streamed = ask(gateway, "Which article is the first?", stream=True)
    for response in (*long, meanwhile, streamed):
        assert response.status_code == 503, response.text
        assert int(response.headers["retry-after"]) > 0
        assert response.json()["error"].keys() == {"message", "type", "param", "code"}
        assert response.json()["error"]["type"] == "server_error"
    assert before

    assert eventually(lambda: status(state_dir).healthy)
    again = ask(gateway, "Which article is the longest?")
    assert again.status_code == 200, again.text
    usage = again.json()["kvasir"]["cache"]
    assert usage["engine_cached_tokens"] == 0
    assert usage["lmcache_cached_tokens"] >= 2 * CHUNK


def test_both_killed_and_the_supervisor_too_down_leaves_nothing(plan: LaunchPlan, state_dir: Path) -> None:
    assert eventually(lambda: status(state_dir).healthy)
    state = read_state(state_dir)
    marks = [part.process for part in state.parts] + [state.supervisor]
    segments = [segment for part in state.parts for segment in part.segments]
    assert pool_segment(plan.parts[0].segment or "") in segments
    kill(state_dir, "engine")
    assert state.supervisor is not None
    os.kill(state.supervisor.pid, signal.SIGKILL)
    kill(state_dir, "cache")
    assert eventually(lambda: status(state_dir).supervisor == "ended")
    down(state_dir, print)
    assert not any(find(mark) for mark in marks if mark)
    for log in (log_path(state_dir, "cache"), log_path(state_dir, "engine"), supervisor_log(state_dir)):
        assert members(None, log) == ()
    assert not any(segment.exists() for segment in segments)
    assert all(ports.is_free(port.number) for part in plan.parts for port in part.ports)
