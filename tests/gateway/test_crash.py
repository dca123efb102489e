"""An acknowledged confirmation survives `kill -9`, wherever it strikes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.answering import Ask, answer, prepare
from gateway.confirming import confirm
from gateway.conversation import ask
from gateway.core import open_core
from gateway.proposals import Proposal
from gateway.settings import Settings
from kb.embedding import SentenceEmbedder
from kb.knowledge_base import Changes

from ..forks import exit_code
from .capture_process import capture
from .revert_process import take_back

STALE = "How many orders placed in 2025 were cancelled?"
STEPS = ["check", "generality", "compare", "prove", "trial 1", "trial 2", "commit", "replay", "land", "record"]


def capture_in_a_process(settings: Settings, fatal_step: str) -> int | None:
    datasource = settings.datasources["shop"].url.get_secret_value()
    return exit_code(capture, settings.state_url, datasource, fatal_step)


@pytest.fixture
def confirmed(
    make_settings: Callable[..., Settings], shop_items: Changes, embedder: SentenceEmbedder, fill: Any
) -> tuple[Settings, Proposal]:
    """A base on which a correction was just acknowledged, and nothing done about it yet."""
    settings = make_settings(engine=None)
    fill(settings, shop_items)
    core = open_core(settings, engines={}, embedder=embedder)
    asked = Ask(tenant="default", assistant="shop", conversation=ask(STALE))
    answered = asyncio.run(answer(core, prepare(core, asked)))
    right = answered.text.replace("o.status", "o.state")
    proposal = confirm(core, "default", asked.id, "failure", answer=right, note=None, by="ada", curates=True)
    core.close()
    assert proposal is not None
    return settings, proposal


@pytest.mark.parametrize("step", STEPS)
def test_a_proposal_lands_once_though_its_process_was_killed(
    confirmed: tuple[Settings, Proposal], embedder: SentenceEmbedder, step: str
) -> None:
    settings, proposal = confirmed
    assert capture_in_a_process(settings, step) == -signal.SIGKILL
    core = open_core(settings, engines={}, embedder=embedder)
    try:
        assert core.proposals.get("default", proposal.id).state == "queued"
        time.sleep(0.6)  # the dead process's lease runs out
        assert capture_in_a_process(settings, "none") == 0
        ended = core.proposals.get("default", proposal.id)
        assert ended.state == "landed"
        base = core.base("default", "shop")
        landed = [commit for commit in base.log() if commit.evidence.get("proposal") == proposal.id]
        assert [commit.id for commit in landed] == [ended.commit]
        confirmation = core.proposals.confirmation("default", proposal.request_id)
        assert confirmation is not None
        assert confirmation.confirmed_by == "ada"
        gotchas = [item for item in base.snapshot().items.values() if item.status == "proposed"]
        assert [item.title for item in gotchas] == ["orders.state, not orders.status"]
    finally:
        core.close()


@pytest.mark.parametrize("step", ["revert", "record"])
def test_a_revert_is_one_commit_though_its_process_was_killed(
    confirmed: tuple[Settings, Proposal], embedder: SentenceEmbedder, step: str
) -> None:
    settings, proposal = confirmed
    assert capture_in_a_process(settings, "none") == 0
    killed, repeated = (exit_code(take_back, settings.state_url, proposal.id, at) for at in (step, "none"))
    assert (killed, repeated) == (-signal.SIGKILL, 0)
    core = open_core(settings, engines={}, embedder=embedder)
    try:
        ended = core.proposals.get("default", proposal.id)
        assert ended.state == "reverted"
        base = core.base("default", "shop")
        assert [commit.evidence.get("reverts") for commit in base.log(limit=2)] == [ended.commit, None]
        assert base.log(limit=2)[1].id == ended.commit
    finally:
        core.close()


@contextlib.contextmanager
def server(config: Path) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).parent / "kvasir"), "serve", "--config", str(config), "--port", str(port)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("KVASIR_")}
    process = subprocess.Popen(command, env=environment)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            deadline = time.monotonic() + 90
            while True:
                assert process.poll() is None, "the server stopped"
                assert time.monotonic() < deadline, "the server was not ready in time"
                with contextlib.suppress(httpx.TransportError):
                    if client.get("/readyz").is_success:
                        break
                time.sleep(0.1)
            yield process, client
    finally:
        process.kill()
        process.wait()


def test_a_server_killed_right_after_the_acknowledgement_lands_it_after_its_restart(
    tmp_path: Path, shop_database: Path, make_settings: Callable[..., Settings], shop_items: Changes, fill: Any
) -> None:
    fill(make_settings(), shop_items)
    config = tmp_path / "kvasir.toml"
    config.write_text(
        f'home = "home"\n[datasources.shop]\nurl = "sqlite:///{shop_database}"\n'
        '[assistants.shop]\nkb = "shop"\ndatasource = "shop"\nverified_answers = true\n'
    )
    with server(config) as (process, client):
        body = {"model": "shop", "messages": [{"role": "user", "content": STALE}]}
        first = client.post("/v1/chat/completions", json=body).json()
        right = first["choices"][0]["message"]["content"].replace("o.status", "o.state")
        url = f"/v1/requests/{first['kvasir']['request_id']}/confirm"
        response = client.post(url, json={"verdict": "failure", "answer": right})
        process.send_signal(signal.SIGKILL)
        assert response.status_code == 202
    proposal_id = response.json()["id"]
    with server(config) as (_, client):
        deadline = time.monotonic() + 60
        while (proposal := client.get(f"/v1/proposals/{proposal_id}").json())["state"] == "queued":
            assert time.monotonic() < deadline, proposal
            time.sleep(0.2)
        assert proposal["state"] == "landed"
        assert client.post(url, json={"verdict": "failure", "answer": right}).json()["id"] == proposal_id
