"""Kvasir's policies inside the real LMCache, under the real vLLM: what is written, loaded, kept, and given back."""

from __future__ import annotations

import time

import httpx
import pytest

from .conftest import DISK_BYTES
from .policy_pair import CHUNK, TOKENS
from .waiting import until_equal

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]


def test_files_of_an_earlier_server_count(pair):
    eighth = DISK_BYTES // 8
    assert pair.files_at_start == {f"old{number}.data": eighth for number in range(1, 5)}
    assert pair.disk_at_start == {"bytes": 4 * eighth, "cap_bytes": DISK_BYTES, "files": 4}


def test_a_prompt_goes_to_disk_when_it_is_asked_again_and_comes_back_from_there(policy):
    prompt, before = policy.prompt(), policy.files()
    assert policy.cached(prompt) == 0
    time.sleep(1)
    assert policy.files() == before
    assert policy.cached(prompt) == TOKENS
    assert until_equal(policy.files, before + 4) == before + 4
    assert policy.cached(prompt, ram=False) == TOKENS


def test_a_disk_slower_than_recomputing_is_not_loaded_from_and_not_written_to(policy):
    known, new, before = policy.prompt(), policy.prompt(), policy.files()
    for _ in range(2):
        policy.cached(known)
    assert until_equal(policy.files, before + 4) == before + 4
    try:
        policy.use_profile(disk_seconds_a_token=0.01)
        assert policy.cached(known, ram=False) == 0
        # It was computed anew, so it is in RAM now, which the profile calls free.
        assert until_equal(lambda: policy.cached(known), TOKENS) == TOKENS
        before = policy.files()
        for _ in range(2):
            policy.cached(new)
        time.sleep(1)
        assert policy.files() == before
        policy.use_profile(disk_seconds_a_token=0.0001)
        assert policy.cached(known, ram=False) == TOKENS
    finally:
        (policy.folder.parent / "profile.json").unlink()
        policy.call("POST", "profile/reload")


def test_a_busy_engine_loads_what_an_idle_one_computes(policy):
    known, before = policy.prompt(), policy.files()
    for _ in range(2):
        policy.cached(known)
    assert until_equal(policy.files, before + 4) == before + 4
    try:
        policy.use_profile(disk_seconds_a_token=0.0015, fetch_seconds_a_token=0.0015)
        assert until_equal(lambda: policy.call("GET", "status")["engine_requests"], 0) == 0
        assert policy.cached(known, ram=False) == 0
        policy.measured.empty_engine()  # which vLLM refuses while it answers
        with policy.answering(3):
            assert policy.cached(known, engine=True, ram=False) == TOKENS
        assert policy.call("GET", "status")["counts"]["load_gate_loaded_for_others_chunks"] == 4
    finally:
        (policy.folder.parent / "profile.json").unlink()
        policy.call("POST", "profile/reload")


def test_batch_goes_to_disk_at_once_and_leaves_ram(policy):
    prompt, before = policy.prompt(), policy.files()
    policy.call("POST", "notes", token_ids=prompt, use_case="batch")
    assert policy.cached(prompt) == 0
    assert until_equal(policy.files, before + 4) == before + 4
    # Not from RAM, and not kept there after it was fetched.
    for _ in range(2):
        before = len(policy.fetches())
        assert policy.cached(prompt) == TOKENS
        assert until_equal(lambda: len(policy.fetches()), before + 1) == before + 1


def test_an_idle_session_moves_to_disk_and_a_typing_hint_brings_it_back(policy):
    prompt, before = policy.prompt(), policy.files()
    policy.call("POST", "notes", token_ids=prompt, use_case="chat", session="ada")
    for _ in range(2):
        policy.cached(prompt)
    time.sleep(1)
    assert policy.files() == before
    assert policy.call("POST", "sessions/ada/idle") == {"chunks": 4}
    others = policy.call("GET", "status")["sessions"]["active"]
    assert until_equal(policy.files, before + 4) == before + 4
    before = len(policy.fetches())
    assert policy.call("POST", "sessions/ada/expect")["chunks"] == 4
    assert until_equal(lambda: len(policy.fetches()), before + 1) == before + 1
    assert policy.call("GET", "status")["sessions"]["active"] == others + 1
    # The next question finds it in RAM: nothing more is fetched.
    assert policy.cached(prompt) == TOKENS
    time.sleep(1)
    assert len(policy.fetches()) == before + 1


def test_a_gone_session_and_a_retired_commit_leave_nothing(policy):
    knowledge, before = policy.prompt(2 * CHUNK)[: 2 * CHUNK], policy.files()
    own = knowledge + policy.prompt(2 * CHUNK)
    policy.call("POST", "notes", token_ids=own, use_case="code", session="eve", commit="c1", knowledge_tokens=2 * CHUNK)
    for _ in range(2):
        policy.cached(own)
    assert until_equal(policy.files, before + 4) == before + 4
    assert policy.call("DELETE", "sessions/eve") == {"chunks": 2}
    assert until_equal(policy.files, before + 2) == before + 2
    assert policy.cached(own) == 2 * CHUNK
    assert policy.call("DELETE", "commits/c1") == {"chunks": 2}
    assert policy.cached(knowledge + policy.prompt(CHUNK)) == 0


def test_the_numbers_are_among_lmcaches_metrics(policy):
    text = httpx.get(f"{policy.plan.cache_url}/metrics", trust_env=False).text
    assert 'kvasir_tier_events{event="store_gate_first_seen"' in text
    assert 'kvasir_tier_disk_bytes{tier="disk"' in text


def test_the_cap_holds_and_the_oldest_file_makes_room(policy):
    """The last one, since it fills the disk."""
    names, tokens = policy.file_names(), 14 * CHUNK
    oldest = min(name for name in names if name.startswith("old"))
    policy.call("PUT", "gates", load=True, store=False)
    try:
        for _ in range(20):
            assert policy.cached(policy.prompt(tokens), engine=True) == 0
            time.sleep(0.5)
            assert policy.bytes() <= DISK_BYTES
            if names - policy.file_names():
                break
    finally:
        policy.call("PUT", "gates", load=True, store=True)
    assert names - policy.file_names() == {oldest}
    assert policy.bytes() > DISK_BYTES * 3 // 4
