"""Each symptom on the real pair, made small so that it comes soon, and a healthy pair. One start for all of them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from backend.doctor.diagnosis import Diagnosis, diagnose
from backend.doctor.reader import Reader
from backend.launch_state import read_state
from backend.plan import LaunchPlan
from backend.profiling.pair import MeasuredPair, PairAddress

from .conftest import running_pair, tiny_model
from .waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

DISK_BYTES = 67_200_000
CHUNK = 256
WINDOW = 4096


class Patient:
    """The pair, questions of random tokens, and what the doctor says about what happened in a `with` block."""

    def __init__(self, plan: LaunchPlan, recorded: ModuleType) -> None:
        self.plan = plan
        self.recorded = recorded
        self.state_dir = plan.kv_dir.parent
        self.engine_url = plan.api_base.removesuffix("/v1")
        self.measured = MeasuredPair(PairAddress(self.engine_url, plan.cache_url, plan.served_name))
        self.reader = Reader(self.state_dir)
        self.diagnosis: Diagnosis | None = None
        self._source = random.SystemRandom()

    def tokens(self, count: int) -> list[int]:
        return [self._source.randrange(100, 500) for _ in range(count)]

    def ask(self, prompt: Sequence[int], *, answer: int = 1, salt: str | None = None) -> int:
        """The status of the answer, which has exactly so many tokens."""
        body = {
            "model": self.plan.served_name,
            "prompt": list(prompt),
            "max_tokens": answer,
            "ignore_eos": True,
            **({"cache_salt": salt} if salt else {}),
        }
        return httpx.post(f"{self.engine_url}/v1/completions", json=body, timeout=120, trust_env=False).status_code

    def ask_at_once(self, prompts: Sequence[Sequence[int]], *, answer: int) -> None:
        with ThreadPoolExecutor(len(prompts)) as threads:
            assert set(threads.map(lambda prompt: self.ask(prompt, answer=answer), prompts)) == {200}

    def note(self, prompt: Sequence[int], use_case: str, session: str | None = None) -> None:
        body = {"token_ids": list(prompt), "use_case": use_case, "session": session}
        httpx.post(f"{self.plan.cache_url}/kvasir/notes", json=body, trust_env=False).raise_for_status()

    def forget(self) -> None:
        """Empty vLLM's cache and LMCache's RAM."""
        self.measured.empty_engine()
        self.measured.empty_ram()

    @contextmanager
    def watched(self, name: str) -> Iterator[None]:
        """KVASIR_RECORD_READINGS names a folder to keep the readings in, for the tests of rules without an engine."""
        before = self.reader.sample()
        yield
        time.sleep(1.5)  # counters come a moment after the answer
        readings = self.reader.readings(before, self.reader.sample())
        if folder := os.environ.get("KVASIR_RECORD_READINGS"):
            self.recorded.save(readings, name, Path(folder))
        self.diagnosis = diagnose(readings)

    def findings(self) -> list[str]:
        assert self.diagnosis is not None
        return [finding.name for finding in self.diagnosis.findings]


@pytest.fixture(scope="module")
def patient(
    engine_python: Path, tmp_path_factory: pytest.TempPathFactory, recorded_readings: ModuleType
) -> Iterator[Patient]:
    home = tmp_path_factory.mktemp("doctor")
    model = tiny_model(home, [Path(__file__).read_text(encoding="utf-8")])
    # RAM holds 160 chunks of 512 bytes a token, the disk 512, and vLLM's own cache two prompts of the window.
    with running_pair(
        model,
        home,
        engine_python,
        window_tokens=WINDOW,
        cpu_kv_gb=1.0,
        l1_size_gb=0.02,
        disk_gb=DISK_BYTES / 1e9,
        shared_tier='{"type": "mock", "max_size_gb": 0.1, "mock_bandwidth_gb": 0.001}',
        engine_args=("--num-gpu-blocks-override=40", "--max-num-seqs=2"),
    ) as pair:
        patient = Patient(pair.plan, recorded_readings)
        try:
            yield patient
        finally:
            patient.reader.close()
            patient.measured.close()


def test_a_healthy_pair_has_no_finding(patient):
    knowledge = patient.tokens(8 * CHUNK)
    patient.ask(patient.tokens(100))
    with patient.watched("healthy"):
        for number in range(6):
            question = knowledge + patient.tokens(100)
            patient.note(question, "chat", session=f"s{number}")
            assert patient.ask(question, answer=8) == 200
    assert patient.findings() == []
    assert patient.diagnosis.requests == 6
    assert patient.diagnosis.not_judged == ()
    assert patient.diagnosis.unreachable == ()


def test_requests_that_wait_while_there_is_room(patient):
    with patient.watched("queue-with-room"):
        # So many that they wait for several times as long as they are served, though a busy machine brings them late.
        patient.ask_at_once([patient.tokens(250) for _ in range(24)], answer=350)
    assert patient.findings() == ["queue-with-room"]
    assert "--max-num-seqs=8" in patient.diagnosis.findings[0].commands[0]


def test_prompts_that_outgrow_the_kv_cache_together(patient):
    with patient.watched("kv-memory-full"):
        patient.ask_at_once([patient.tokens(2000) for _ in range(2)], answer=800)
    assert patient.findings() == ["kv-memory-full"]


def test_a_prompt_that_does_not_fit_the_window(patient):
    with patient.watched("prompts-too-long"):
        assert patient.ask(patient.tokens(WINDOW + 100)) == 400
    assert patient.findings() == ["prompts-too-long"]


def test_a_number_that_changes_near_the_beginning(patient):
    opening, knowledge = patient.tokens(20), patient.tokens(6 * CHUNK)
    with patient.watched("volatile-prefix"):
        for _ in range(4):
            patient.ask(opening + patient.tokens(8) + knowledge + patient.tokens(50))
    assert patient.findings() == ["volatile-prefix"]
    figures = {figure.name: figure.value for figure in patient.diagnosis.findings[0].figures}
    assert figures["where it is most often, in tokens from the beginning"] == 20


def test_equal_prompts_under_several_salts(patient):
    prompt = patient.tokens(8 * CHUNK)
    with patient.watched("salts-split-cache"):
        for salt in ("a", "b", "c"):
            patient.ask(prompt, salt=salt)
    assert patient.findings() == ["salts-split-cache"]


def test_prompts_that_somebody_deletes(patient):
    prompts = [patient.tokens(6 * CHUNK) for _ in range(3)]
    with patient.watched("same-context-recomputed"):
        for prompt in prompts:
            patient.note(prompt, "chat")
            for _ in range(2):
                patient.ask(prompt)
                time.sleep(0.3)  # vLLM hands its KV over after the answer
                patient.forget()
    assert patient.findings() == ["same-context-recomputed"]
    subprocess.run(patient.diagnosis.findings[0].commands[0], shell=True, check=True, stdout=subprocess.DEVNULL)


def test_a_tier_that_is_slower_than_computing(patient):
    prompt = patient.tokens(6 * CHUNK)
    patient.note(prompt, "document")
    mark = patient.measured.last_transfer()
    patient.ask(prompt)
    patient.measured.await_stored("shared", 6 * CHUNK * 512, mark)
    patient.forget()
    with patient.watched("slow-loads"):
        patient.ask(prompt)
    assert patient.findings() == ["slow-loads"]
    figures = {figure.name: figure.value for figure in patient.diagnosis.findings[0].figures}
    assert figures["tokens loaded"] == 6 * CHUNK


def test_sessions_that_are_silent_in_a_full_ram_until_the_command_moves_them(patient):
    patient.forget()
    with patient.watched("idle-sessions"):
        for number in range(10):
            prompt = patient.tokens(15 * CHUNK)
            for _ in range(2):  # by which it is known after how long sessions come again
                patient.note(prompt, "chat", session=f"idle {number}")
                patient.ask(prompt)
            time.sleep(0.5)  # LMCache evicts once a second
        until(lambda: len(patient.reader.sample().silent["sessions"]), lambda silent: silent >= 8, seconds=60)
    assert patient.findings() == ["idle-sessions"]
    demote, *_ = patient.diagnosis.findings[0].commands
    subprocess.run(demote, shell=True, check=True, stdout=subprocess.DEVNULL)
    with patient.watched("idle-sessions-moved"):
        time.sleep(2)
    assert patient.findings() == []


def test_more_prompts_in_turn_than_ram_holds(patient):
    patient.forget()
    prompts = [patient.tokens(14 * CHUNK) for _ in range(13)]
    for prompt in prompts:
        patient.note(prompt, "chat")
        patient.ask(prompt)
    time.sleep(1.5)
    with patient.watched("eviction-thrash"):
        for prompt in prompts[:6]:
            patient.ask(prompt)
    assert patient.findings() == ["eviction-thrash"]
    assert "--l1-size-gb 0.04" in patient.diagnosis.findings[0].commands[0]


def test_a_disk_tier_that_is_rewritten_within_a_day(patient):
    def written() -> float:
        return patient.reader.sample().tiers["write_budget"]["used_bytes"]

    with patient.watched("disk-growth"):
        for _ in range(120):  # 37 would do where all is written; a busy machine drops some
            prompt = patient.tokens(14 * CHUNK)
            patient.note(prompt, "batch")
            patient.ask(prompt)
            if written() >= DISK_BYTES:
                break
    assert patient.findings() == ["disk-growth"]


def test_an_engine_that_died(patient):
    process = read_state(patient.state_dir).part("engine").process
    os.kill(process.pid, signal.SIGKILL)
    with patient.watched("part-unreachable"):
        pass
    assert patient.findings() == ["part-unreachable", "disk-growth"]
    assert {one.name for one in patient.diagnosis.not_judged} >= {"queue-with-room", "volatile-prefix"}
