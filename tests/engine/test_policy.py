"""Kvasir's policies inside the real LMCache, under the real vLLM: what is written, loaded, kept, and given back."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.launcher import down, up
from backend.plan import LaunchOptions, LaunchPlan, make_plan
from backend.profiling.pair import MeasuredPair, PairAddress
from backend.tiers.cost import PrefillCost, TransferCost
from backend.tiers.profile import Profile, TierProfile, profile_json
from backend.tiny_model import make_model_folder

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]

CHUNK = 256
TOKENS = 4 * CHUNK
DISK_BYTES = 40_000_000


class PolicyPair:
    """The pair, and prompts of random tokens."""

    def __init__(self, plan: LaunchPlan) -> None:
        self.plan = plan
        self.measured = MeasuredPair(PairAddress(plan.api_base.removesuffix("/v1"), plan.cache_url, plan.served_name))
        self.folder = plan.kv_dir
        self._source = random.SystemRandom()

    def prompt(self, tokens: int = TOKENS) -> list[int]:
        return [self._source.randrange(100, 500) for _ in range(tokens + 16)]

    def cached(self, prompt: list[int], *, engine: bool = False, ram: bool = True) -> int:
        """Ask, and say how many tokens came from a cache; without vLLM's own, and without LMCache's RAM if wished."""
        if not engine:
            self.measured.empty_engine()
        if not ram:
            self.measured.empty_ram()
        return self.measured.first_token(prompt).cached_tokens

    def files(self) -> int:
        return len(list(self.folder.glob("*.data")))

    def bytes(self) -> int:
        return sum(path.stat().st_size for path in self.folder.iterdir())

    def call(self, method: str, path: str, **body: Any) -> Any:
        answer = httpx.request(method, f"{self.plan.cache_url}/kvasir/{path}", json=body or None, trust_env=False)
        return answer.raise_for_status().json()

    def fetches(self) -> list[Any]:
        return [one for one in self.call("GET", "transfers") if one["kind"] == "fetch"]

    def use_profile(self, *, disk_seconds_a_token: float) -> None:
        """A profile that is given, so that the gate's choice does not depend on this machine: 1 ms a token computed."""
        nothing = TransferCost(0.0, 0.0)
        line = TransferCost(0.0, disk_seconds_a_token)
        tiers = {"ram": TierProfile(nothing, nothing, nothing), "disk": TierProfile(line, nothing, nothing)}
        model = str(self.plan.options.model)
        profile = Profile(model, CHUNK, 1000, PrefillCost(0.0, 0.001, 0.0), tiers)
        path = self.folder.parent / "profile.json"
        path.write_text(json.dumps(profile_json(profile)))
        assert self.call("POST", "profile/reload")["profile_problem"] is None


@pytest.fixture(scope="module")
def plan(
    engine_python: Path, tmp_path_factory: pytest.TempPathFactory, free_ports: Callable[[int], list[int]]
) -> LaunchPlan:
    home = tmp_path_factory.mktemp("policy")
    texts = [Path(__file__).read_text(encoding="utf-8")]
    model = make_model_folder(home / "tiny", texts, hidden=128, heads=2, kv_heads=1)
    engine_port, cache_port, cache_http_port = free_ports(3)
    options = LaunchOptions(
        model=model,
        engine_port=engine_port,
        cache_port=cache_port,
        cache_http_port=cache_http_port,
        window_tokens=4096,
        cpu_kv_gb=1.0,
        disk_gb=DISK_BYTES / 1e9,
        allow_reset=True,
    )
    return make_plan(options, home, python=engine_python)


@contextmanager
def running(plan: LaunchPlan) -> Iterator[PolicyPair]:
    state_dir = plan.kv_dir.parent
    try:
        up(plan, state_dir, print)
        pair = PolicyPair(plan)
        yield pair
        pair.measured.close()
    finally:
        down(state_dir, print)


@pytest.fixture(scope="module")
def pair(plan: LaunchPlan) -> Iterator[PolicyPair]:
    # What a killed server left behind: more than the cap allows, and a file that was being written.
    plan.kv_dir.mkdir(parents=True)
    for number in range(5):
        (plan.kv_dir / f"old{number}.data").write_bytes(bytes(DISK_BYTES // 4))
    (plan.kv_dir / "half.tmp").write_bytes(bytes(1000))
    with running(plan) as started:
        yield started


def eventually(read: Callable[[], int], wanted: int) -> int:
    for _ in range(100):
        if (value := read()) == wanted:
            return value
        time.sleep(0.1)
    return value


def test_files_of_an_earlier_server_count_and_the_cap_holds(pair):
    assert not list(pair.folder.glob("*.tmp"))
    assert pair.bytes() == DISK_BYTES
    assert pair.call("GET", "status")["disk"]["disk"] == {"bytes": DISK_BYTES, "cap_bytes": DISK_BYTES, "files": 4}
    pair.call("PUT", "gates", load=True, store=False)
    for _ in range(3):
        assert pair.cached(pair.prompt(), engine=True) == 0
        time.sleep(0.5)
        assert pair.bytes() <= DISK_BYTES
    assert pair.files() > 4
    pair.call("PUT", "gates", load=True, store=True)


def test_a_prompt_goes_to_disk_when_it_is_asked_again_and_comes_back_from_there(pair):
    prompt, before = pair.prompt(), pair.files()
    assert pair.cached(prompt) == 0
    time.sleep(1)
    assert pair.files() == before
    assert pair.cached(prompt) == TOKENS
    assert eventually(pair.files, before + 4) == before + 4
    assert pair.cached(prompt, ram=False) == TOKENS


def test_a_disk_slower_than_recomputing_is_not_loaded_from_and_not_written_to(pair):
    known, new, before = pair.prompt(), pair.prompt(), pair.files()
    for _ in range(2):
        pair.cached(known)
    assert eventually(pair.files, before + 4) == before + 4
    try:
        pair.use_profile(disk_seconds_a_token=0.01)
        assert pair.cached(known, ram=False) == 0
        # It was computed anew, so it is in RAM now, which the profile calls free.
        assert eventually(lambda: pair.cached(known), TOKENS) == TOKENS
        before = pair.files()
        for _ in range(2):
            pair.cached(new)
        time.sleep(1)
        assert pair.files() == before
        pair.use_profile(disk_seconds_a_token=0.0001)
        assert pair.cached(known, ram=False) == TOKENS
    finally:
        (pair.folder.parent / "profile.json").unlink()
        pair.call("POST", "profile/reload")


def test_batch_goes_to_disk_at_once_and_leaves_ram(pair):
    prompt, before = pair.prompt(), pair.files()
    pair.call("POST", "notes", token_ids=prompt, use_case="batch")
    assert pair.cached(prompt) == 0
    assert eventually(pair.files, before + 4) == before + 4
    # Not from RAM, and not kept there after it was fetched.
    for _ in range(2):
        before = len(pair.fetches())
        assert pair.cached(prompt) == TOKENS
        assert eventually(lambda: len(pair.fetches()), before + 1) == before + 1


def test_an_idle_session_moves_to_disk_and_a_typing_hint_brings_it_back(pair):
    prompt, before = pair.prompt(), pair.files()
    pair.call("POST", "notes", token_ids=prompt, use_case="chat", session="ada")
    for _ in range(2):
        pair.cached(prompt)
    time.sleep(1)
    assert pair.files() == before
    assert pair.call("POST", "sessions/ada/idle") == {"chunks": 4}
    assert eventually(pair.files, before + 4) == before + 4
    before = len(pair.fetches())
    assert pair.call("POST", "sessions/ada/expect")["chunks"] == 4
    assert eventually(lambda: len(pair.fetches()), before + 1) == before + 1
    assert pair.call("GET", "status")["sessions"]["active"] == 1
    # The next question finds it in RAM: nothing more is fetched.
    assert pair.cached(prompt) == TOKENS
    time.sleep(1)
    assert len(pair.fetches()) == before + 1


def test_a_gone_session_and_a_retired_commit_leave_nothing(pair):
    knowledge, before = pair.prompt(2 * CHUNK)[: 2 * CHUNK], pair.files()
    own = knowledge + pair.prompt(2 * CHUNK)
    pair.call("POST", "notes", token_ids=own, use_case="code", session="eve", commit="c1", knowledge_tokens=2 * CHUNK)
    for _ in range(2):
        pair.cached(own)
    assert eventually(pair.files, before + 4) == before + 4
    assert pair.call("DELETE", "sessions/eve") == {"chunks": 2}
    assert eventually(pair.files, before + 2) == before + 2
    assert pair.cached(own) == 2 * CHUNK
    assert pair.call("DELETE", "commits/c1") == {"chunks": 2}
    assert pair.cached(knowledge + pair.prompt(CHUNK)) == 0


def test_the_numbers_are_among_lmcaches_metrics(pair):
    text = httpx.get(f"{pair.plan.cache_url}/metrics", trust_env=False).text
    assert 'kvasir_tier_events{event="store_gate_first_seen"' in text
    assert 'kvasir_tier_disk_bytes{tier="disk"' in text
