"""The measurements against a pair that is scripted: what is fitted, what is refused, what is put back."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace

import pytest
from click.testing import CliRunner

from backend.engine_python import EnginePython
from backend.errors import MeasurementFailed
from backend.launch_state import LaunchState, write_state
from backend.plan import LaunchOptions
from backend.profile_cli import profile_command
from backend.profiling import run as run_module
from backend.profiling.compare import compare
from backend.profiling.fit import beyond, fit_line, fit_prefill
from backend.profiling.measure import measure, profile_lengths
from backend.profiling.pair import FirstToken
from backend.profiling.plot import plot_profile
from backend.tiers.cost import TransferCost
from backend.tiers.profile import Sample, profile_json, read_profile

CHUNK = 100
BYTES = 10
LENGTHS = (200, 400, 800)


class ScriptedPair:
    """Caches like the real pair, with times that are exact: 50 ms, and 1 ms a token computed; RAM and disk as below."""

    def __init__(self, disk_bytes: int = 10**9) -> None:
        self.gates = {"load": True, "store": True}
        self.gates_while_measured: list[dict[str, bool]] = []
        self.engine: set[tuple[int, ...]] = set()
        self.ram: set[tuple[int, ...]] = set()
        self.disk: set[tuple[int, ...]] = set()
        self.session: tuple[int, ...] = ()
        self.log: list[dict[str, object]] = []
        self.disk_bytes = disk_bytes

    def status(self):
        tiers = {"disk": {"role": "disk", "folder": None}}
        return {"chunk_tokens": CHUNK, "model": "/models/m", "tiers": tiers, "gates": dict(self.gates)}

    def first_token(self, token_ids) -> FirstToken:
        self.gates_while_measured.append(dict(self.gates))
        prompt = tuple(token_ids)
        whole = len(prompt) // CHUNK * CHUNK
        base = 0.05
        if prompt in self.engine:
            return FirstToken(base, whole)
        self.engine.add(prompt)
        if prompt in self.ram:
            return FirstToken(base + 0.01 + 0.0001 * whole, whole)
        self.ram.add(prompt)
        if prompt in self.disk:
            self._moved("fetch", "disk", whole, 0.02 + 0.0002 * whole)
            return FirstToken(base + 0.04 + 0.0004 * whole, whole)
        self._moved("store", "ram", whole, 0.001 * whole)
        if whole * BYTES <= self.disk_bytes:
            self.disk.add(prompt)
            self._moved("store", "disk", whole, 0.002 * whole)
        return FirstToken(base + 0.001 * whole, 0)

    def _moved(self, kind, tier, tokens, seconds) -> None:
        number = len(self.log) + 1
        self.log.append(
            {"number": number, "kind": kind, "tier": tier, "size_bytes": tokens * BYTES, "seconds": seconds}
        )

    def empty_engine(self) -> None:
        self.engine.clear()

    def empty_ram(self) -> None:
        self.ram.clear()

    def set_gates(self, *, load, store) -> None:
        self.gates = {"load": load, "store": store}

    def note(self, token_ids, *, session, use_case) -> None:
        self.session = tuple(token_ids)

    def forget_session(self, session) -> None:
        self.disk.discard(self.session)
        self.ram.discard(self.session)

    def last_transfer(self) -> int:
        return len(self.log)

    def transfers(self, after):
        return self.log[after:]

    def await_stored(self, tier, size_bytes, after):
        return [one for one in self.log[after:] if (one["kind"], one["tier"]) == ("store", tier)]

    def window_tokens(self) -> int:
        return 1000

    def count_tokens(self, text) -> int:
        return len(text) // 4

    def reload_profile(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr("backend.profiling.measure.time.sleep", lambda _: None)


def test_the_costs_that_made_the_times_are_found_again():
    profile = measure(ScriptedPair(), LENGTHS, 2, vocabulary=1000, versions={"vllm": "0.32.0"})
    assert profile.kv_bytes_per_token == BYTES
    assert profile.prefill.constant_seconds == pytest.approx(0.05)
    assert profile.prefill.per_token_seconds == pytest.approx(0.001)
    assert profile.prefill.per_token_squared_seconds == pytest.approx(0, abs=1e-12)
    assert profile.tiers["ram"].load == TransferCost(pytest.approx(0.01), pytest.approx(0.0001))
    assert profile.tiers["disk"].load == TransferCost(pytest.approx(0.04), pytest.approx(0.0004))
    assert profile.tiers["disk"].fetch == TransferCost(pytest.approx(0.02), pytest.approx(0.0002))
    assert profile.tiers["disk"].store.per_token_seconds == pytest.approx(0.002)
    assert profile.break_even_tokens("disk") == pytest.approx(0.04 / 0.0006)
    assert [len(sample.seconds) for sample in profile.prefill_samples] == [2, 2, 2]


def test_the_gates_are_off_meanwhile_and_nothing_is_left_behind():
    pair = ScriptedPair()
    pair.gates = {"load": True, "store": False}
    measure(pair, LENGTHS, 1, vocabulary=1000, versions={})
    assert {tuple(gates.values()) for gates in pair.gates_while_measured} == {(False, False)}
    assert pair.gates == {"load": True, "store": False}
    assert not pair.disk


def test_a_pair_that_somebody_else_warmed_is_refused():
    pair = ScriptedPair()
    pair.first_token = lambda token_ids: FirstToken(0.1, 100)  # type: ignore[method-assign]
    pair.log = [{"number": 1, "kind": "store", "tier": "ram", "size_bytes": 1, "seconds": 1.0}]
    pair.last_transfer = lambda: 0  # type: ignore[method-assign]
    with pytest.raises(MeasurementFailed, match="100 tokens were cached"):
        measure(pair, LENGTHS, 1, vocabulary=1000, versions={})
    assert pair.gates == {"load": True, "store": True}


def test_a_disk_that_is_too_small_is_named():
    with pytest.raises(MeasurementFailed, match="--disk-gb"):
        measure(ScriptedPair(disk_bytes=5000), LENGTHS, 1, vocabulary=1000, versions={})


@pytest.mark.parametrize("lengths", [(100, 200), (100, 100, 100), (100, 200, 250), (0, 100, 200)])
def test_lengths_that_fit_no_curve_are_refused(lengths):
    with pytest.raises(MeasurementFailed, match="lengths"):
        measure(ScriptedPair(), lengths, 1, vocabulary=1000, versions={})


def test_default_lengths_are_whole_chunks_up_to_the_window():
    assert profile_lengths(4096, 256) == (512, 1024, 2048, 3840)
    assert profile_lengths(1000, 100) == (200, 400, 800, 900)


def test_a_fit_needs_more_lengths_than_it_has_degrees():
    with pytest.raises(ValueError, match="2 lengths"):
        fit_prefill([Sample(1, (1.0,)), Sample(2, (2.0,))])
    assert fit_line([]) == TransferCost(0.0, 0.0)
    assert beyond(TransferCost(0.1, 0.2), 0.3) == TransferCost(0.0, 0.2)


def test_a_median_of_repeats_carries_the_fit():
    line = fit_line([Sample(100, (1.0, 1.1, 90.0)), Sample(200, (2.0, 2.2, 90.0))])
    assert line.per_token_seconds == pytest.approx(0.011)


@pytest.fixture
def home(tmp_path, model_folder, monkeypatch):
    """A home from which the scripted pair seems to run."""
    state_dir = tmp_path / "backend"
    state_dir.mkdir()
    write_state(state_dir, LaunchState(LaunchOptions(model=model_folder, chunk_tokens=100), "tiny"))
    monkeypatch.setattr(run_module, "MeasuredPair", lambda address: ScriptedPair())
    monkeypatch.setattr(run_module, "inspect_engine_python", lambda path: EnginePython(path, "0.32.0", "0.5.6", True))
    return tmp_path


def test_the_command_keeps_the_profile_and_compares_it_with_the_former_one(home):
    arguments = ["--home", str(home), "--lengths", "200,400,800", "--repeats", "1", "--plot", str(home / "curves.svg")]
    first = CliRunner().invoke(profile_command, arguments)
    assert first.exit_code == 0, first.output
    assert "disk: cheaper than recomputing from 67 tokens" in first.stdout
    assert "load from disk: cheaper from 67 tokens" in (home / "curves.svg").read_text()
    path = home / "backend" / "profile.json"
    profile = read_profile(path)
    halves = tuple(Sample(sample.tokens, (sample.seconds[0] / 2,)) for sample in profile.prefill_samples)
    former = replace(profile, prefill_samples=halves)
    path.write_text(json.dumps(profile_json(former)))
    second = CliRunner().invoke(profile_command, [*arguments, "--json"])
    data = json.loads(second.stdout)
    ratios = {(change["curve"], change["tokens"]): change["ratio"] for change in data["changes"]}
    assert ratios["prefill", 400] == pytest.approx(2.0)
    assert ratios["load disk", 400] == pytest.approx(1.0)
    assert read_profile(home / "backend" / "profile.previous.json") == former


def test_a_profile_that_is_ended_sets_the_gates_back(home, monkeypatch):
    class Ended(ScriptedPair):
        def empty_ram(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    pair = Ended()
    monkeypatch.setattr(run_module, "MeasuredPair", lambda address: pair)
    arguments = ["--home", str(home), "--lengths", "200,400,800", "--repeats", "1"]
    assert CliRunner().invoke(profile_command, arguments).exit_code == 128 + signal.SIGTERM
    assert {"load": False, "store": False} in pair.gates_while_measured
    assert pair.gates == {"load": True, "store": True}
    assert not (home / "backend" / "profile.json").exists()


def test_a_length_beyond_the_window_is_refused_before_anything_is_measured(home):
    result = CliRunner().invoke(profile_command, ["--home", str(home), "--lengths", "256,512,1048576"])
    assert result.exit_code == 1
    assert "--lengths: 1048576: the pair's window takes up to" in result.stderr
    assert "warming up" not in result.stderr


def test_a_window_that_is_too_small_for_a_profile_is_named(home, monkeypatch):
    monkeypatch.setattr(ScriptedPair, "window_tokens", lambda self: 400)
    result = CliRunner().invoke(profile_command, ["--home", str(home)])
    assert result.exit_code == 1
    assert "--window-tokens: 400 tokens hold fewer than 3 lengths" in result.stderr


def test_profiles_of_different_models_are_not_compared(profile):
    assert compare(replace(profile, model="/models/other"), profile) == ()


def test_a_home_without_a_start_says_so(tmp_path):
    result = CliRunner().invoke(profile_command, ["--home", str(tmp_path)])
    assert result.exit_code == 1
    assert "kvasir backend up" in result.stderr


def test_a_plot_is_of_the_kind_that_its_name_says(profile, tmp_path):
    plot_profile(profile, tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
