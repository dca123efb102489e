"""`kvasir backend bench`: what it prints, draws and refuses; and the servers it starts beside a pair."""

from __future__ import annotations

import json
import shutil
import socket

import httpx
import pytest
from click.testing import CliRunner

from backend.bench_cli import bench_command
from backend.benching import run as run_module
from backend.benching import target as target_module
from backend.benching.figure import Asked, Figure, median_interval
from backend.benching.gate import GateSample
from backend.benching.plot import gate_curves, plot_bench, tier_curves
from backend.benching.redis_server import redis_missing, shared_tier
from backend.benching.run import SECTIONS
from backend.benching.target import api_target
from backend.benching.tiers import Sample
from backend.errors import LaunchOptionInvalid, MeasurementFailed

from .scripted_pair import scripted_target


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr("backend.profiling.measure.time.sleep", lambda _: None)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home from which a scripted pair seems to run."""
    monkeypatch.setattr(run_module, "running_target", lambda *_: scripted_target("disk"))
    return tmp_path


def test_the_text_has_figures_and_what_was_left_out(home):
    arguments = ["--home", str(home), "--lengths", "200,400", "--repeats", "3", "--plot", str(home / "tiers.svg")]
    result = CliRunner().invoke(bench_command, arguments)
    assert result.exit_code == 0, result.output
    assert "cold ÷ RAM, 400 tokens" in result.stdout
    assert "multi-turn: hit rate" in result.stdout
    assert "not measured: tiers: shared: not here" in result.stdout
    assert "tiers: repeat 3 of 3, 400 tokens" in result.stderr
    drawn = (home / "tiers.svg").read_text()
    assert all(text in drawn for text in ("seconds to the first token", "from every tier", "KV in disk"))


def test_json_has_the_form_of_every_benchmark(home):
    arguments = ["--home", str(home), "--lengths", "200", "--repeats", "3", "--only", "gate", "--json"]
    data = json.loads(CliRunner().invoke(bench_command, arguments).stdout)
    row = next(row for row in data["rows"] if "disk" in row["name"])
    assert (row["value"], row["unit"], row["asked"], row["ok"], row["n"]) == (1.0, "times", {"at_most": 1.1}, True, 3)
    assert row["baseline"]["tokens loaded"] == 200
    assert [sample["tier"] for sample in data["gate_samples"]] == ["ram", "disk"] * 3
    assert data["machine"]["cores"] >= 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MeasurementFailed("disk", "too small"), "disk: too small"),
        (LaunchOptionInvalid("--redis", "nobody there"), "--redis: nobody there"),
    ],
)
def test_a_section_that_fails_leaves_the_figures_of_the_others(home, monkeypatch, error, reason):
    def fail(*_):
        raise error

    monkeypatch.setattr(run_module, "measure_tiers", fail)
    result = CliRunner().invoke(bench_command, ["--home", str(home), "--lengths", "200", "--repeats", "1", "--json"])
    data = json.loads(result.stdout)
    assert result.exit_code == 1
    assert data["failed"] == [{"what": "tiers", "reason": reason}]
    assert any("batch: hit rate" in row["name"] for row in data["rows"])


def test_a_home_without_a_start_says_how_to_start(tmp_path):
    result = CliRunner().invoke(bench_command, ["--home", str(tmp_path)])
    assert result.exit_code == 1
    assert "kvasir backend up --allow-reset" in result.stderr


def test_a_pair_is_started_or_named_but_not_both():
    result = CliRunner().invoke(bench_command, ["--own", "--api-base", "http://x/v1"])
    assert result.exit_code == 2


def test_the_command_offers_every_section():
    choices = next(option for option in bench_command.params if option.name == "sections").type.choices
    assert tuple(choices) == SECTIONS


def test_any_vllm_is_measured_without_what_is_lmcaches(monkeypatch):
    def get(url, **_):
        assert url == "http://engine:8100/v1/models"
        return httpx.Response(
            200, json={"data": [{"id": "m", "max_model_len": 4096}]}, request=httpx.Request("GET", url)
        )

    monkeypatch.setattr(target_module.httpx, "get", get)
    monkeypatch.setattr(target_module.MeasuredPair, "token_ids", lambda *_: [5, 6, 7])
    target = api_target("http://engine:8100/v1/")
    assert set(target.prompts.new(50)) == {5, 6, 7}
    assert (target.window_tokens, target.has_policies) == (4096, False)
    assert set(target.missing) == {"ram", "disk", "shared", "policies", "restart"}


def test_an_address_without_a_server_is_named():
    with pytest.raises(MeasurementFailed, match=r"--api-base: no OpenAI server .* http://127.0.0.1:1/v1"):
        api_target("http://127.0.0.1:1/v1")


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
def test_a_redis_of_our_own_ends_with_its_block(tmp_path):
    with shared_tier(None, tmp_path) as adapter:
        place = json.loads(adapter)
        with socket.create_connection((place["host"], place["port"])) as connection:
            connection.sendall(b"PING\r\n")
            assert connection.recv(10) == b"+PONG\r\n"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((place["host"], place["port"]))


def test_a_redis_that_is_named_is_taken(tmp_path):
    with shared_tier("cache:6379", tmp_path) as adapter:
        assert json.loads(adapter) == {"type": "resp", "host": "cache", "port": 6379}
    with pytest.raises(MeasurementFailed, match="host:port"), shared_tier("cache", tmp_path):
        pass


def test_without_redis_the_reason_names_the_option(monkeypatch):
    monkeypatch.setattr("backend.benching.redis_server.shutil.which", lambda _: None)
    assert "--redis host:port" in redis_missing(None)
    assert redis_missing("cache:6379") is None


def test_a_plot_has_the_cold_prompts_and_every_place(tmp_path):
    samples = [Sample("ram", 200, 0.1, 1.0), Sample("disk", 200, 0.2, 1.1), Sample("ram", 400, 0.1, 2.0)]
    assert tier_curves(samples) == {
        "cold": {200: [1.0, 1.1], 400: [2.0]},
        "RAM": {200: [0.1], 400: [0.1]},
        "disk": {200: [0.2]},
    }
    plot_bench(samples, [], tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_a_plot_has_a_panel_of_each_tier_before_which_the_gate_was_measured(tmp_path):
    samples = [GateSample("disk", 400, 2.0, 2.1, None, 0), GateSample("disk", 200, 1.0, 1.1, 3.0, 0)]
    samples.append(GateSample("ram", 200, 1.0, 0.1, 0.2, 200))
    assert gate_curves(samples) == {
        "disk": {
            "recompute always": {200: [1.0], 400: [2.0]},
            "load always": {200: [3.0]},
            "with the gate": {200: [1.1], 400: [2.1]},
        },
        "ram": {"recompute always": {200: [1.0]}, "load always": {200: [0.2]}, "with the gate": {200: [0.1]}},
    }
    plot_bench([], samples, tmp_path / "p.svg")
    drawn = (tmp_path / "p.svg").read_text()
    assert [title in drawn for title in ("KV in disk", "KV in RAM", "from every tier")] == [True, True, False]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--plot", "p.svg", "--only", "workloads"), 2, "--only tiers"),
        (("--plot", "nowhere/p.svg"), 1, "its folder does not exist"),
        (("--plot", "p.xyz"), 1, "end its name with .svg or .png"),
    ],
)
def test_a_plot_that_cannot_be_is_told_before_anything_is_measured(home, monkeypatch, arguments, code, told):
    monkeypatch.setattr("backend.benching.run.run_bench", None)
    result = CliRunner().invoke(bench_command, ["--home", str(home), *arguments])
    assert result.exit_code == code
    assert told in result.stderr


def test_a_plot_whose_section_failed_leaves_the_report(home, monkeypatch):
    def fail(*_):
        raise MeasurementFailed("disk", "too small")

    monkeypatch.setattr(run_module, "measure_tiers", fail)
    arguments = ["--home", str(home), "--only", "tiers", "--lengths", "200", "--repeats", "1", "--json"]
    result = CliRunner().invoke(bench_command, [*arguments, "--plot", str(home / "p.svg")])
    assert (result.exit_code, json.loads(result.stdout)["failed"][0]["what"]) == (1, "tiers")
    assert not (home / "p.svg").exists()


def test_an_interval_needs_three_values_and_holds_the_median():
    assert median_interval([1.0, 2.0]) is None
    assert median_interval([2.0, 2.0, 2.0]) == (2.0, 2.0)
    low, high = median_interval([float(number) for number in range(1, 102)])
    assert 40 < low < 51 < high < 62


def test_what_was_asked_decides():
    assert Figure("f", 1.0, "times", 3, asked=Asked(at_least=1.0)).ok is True
    assert Figure("f", 1.2, "times", 3, asked=Asked(at_most=1.1)).ok is False
    assert Figure("f", 1.2, "times", 3).ok is None
