"""Rules over readings that were recorded from the real pair by `tests/engine/test_doctor.py`."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Any

import click
import pytest

from backend.cli import group
from backend.doctor.diagnosis import RULES, diagnose
from backend.doctor.finding import Finding
from backend.doctor.metrics import Metrics, Series
from backend.doctor.readings import DiskUse, Readings, Unreachable
from backend.errors import ContextTooLong
from backend.tiers.cost import PrefillCost
from backend.tiers.profile import Sample
from gateway.errors import PromptTooLong

PROVOKED = (
    "queue-with-room",
    "kv-memory-full",
    "prompts-too-long",
    "volatile-prefix",
    "salts-split-cache",
    "same-context-recomputed",
    "slow-loads",
    "idle-sessions",
    "eviction-thrash",
    "disk-growth",
)


@pytest.fixture
def load(recorded_readings) -> Any:
    """By name."""
    return recorded_readings.load


def with_sent(readings: Readings, size_bytes: float) -> Readings:
    """The body of the refused request had so many bytes."""
    name, labels = "http_request_size_bytes_sum", {"handler": "/v1/completions"}
    before = sum(one.value for one in readings.before.engine.series if (one.name, one.labels) == (name, labels))
    others = (one for one in readings.after.engine.series if (one.name, one.labels) != (name, labels))
    sent = Series(name, labels, before + size_bytes)
    return replace(readings, after=replace(readings.after, engine=Metrics((*others, sent))))


def with_evicted(readings: Readings, chunks: int) -> Readings:
    """So many more than before went from RAM."""
    repeats = readings.before.tiers["observed"]["repeats"]
    evicted = {**repeats["evicted"], "ram": repeats["evicted"].get("ram", 0) + chunks}
    after = readings.after.tiers["observed"]
    return with_tiers(readings, observed={**after, "repeats": {**after["repeats"], "evicted": evicted}})


def names(readings: Readings) -> list[str]:
    return [finding.name for finding in diagnose(readings).findings]


def only(readings: Readings) -> Finding:
    [finding] = diagnose(readings).findings
    return finding


def figure(finding: Finding, name: str) -> float:
    return next(one.value for one in finding.figures if one.name == name)


def with_options(readings: Readings, **options: Any) -> Readings:
    return replace(readings, options=replace(readings.options, **options))


def with_tiers(readings: Readings, **changed: Any) -> Readings:
    return replace(readings, after=replace(readings.after, tiers={**readings.after.tiers, **changed}))


def with_series(readings: Readings, page: str, *added: Series) -> Readings:
    metrics = getattr(readings.after, page) or Metrics()
    before = getattr(readings.before, page) or Metrics()
    return replace(
        readings,
        before=replace(readings.before, **{page: before}),
        after=replace(readings.after, **{page: Metrics((*metrics.series, *added))}),
    )


@pytest.mark.parametrize("name", PROVOKED)
def test_what_the_pair_said_is_recognised_and_nothing_else(load, name):
    finding = only(load(name))
    assert finding.name == name
    judged = [one for one in finding.figures if one.limit is not None]
    assert judged
    assert all(one.origin for one in judged)


def test_a_healthy_pair_and_one_that_was_mended_have_no_finding(load):
    for name in ("healthy", "idle-sessions-moved"):
        diagnosis = diagnose(load(name))
        assert (diagnosis.findings, diagnosis.not_judged) == ((), ())


def test_the_names_of_rules_are_those_of_their_findings():
    assert {rule.name for rule in RULES} == {*PROVOKED, "part-unreachable"}


@pytest.mark.parametrize("name", PROVOKED)
def test_every_kvasir_command_that_is_named_exists(load, name):
    for line in only(load(name)).commands:
        for command in line.split(" && "):
            words = shlex.split(command)
            assert words[0] in ("kvasir", "curl", "grep")
            if words[:2] == ["kvasir", "backend"]:
                found = group.get_command(click.Context(group), words[2])
                assert found is not None, words
                found.make_context(words[2], words[3:])


def test_counters_of_a_part_that_was_started_again_count_from_zero(load):
    readings = load("queue-with-room")
    swapped = replace(readings, before=replace(readings.after, at=readings.before.at), after=readings.after)
    assert diagnose(swapped).requests == 0
    fewer = replace(readings.before, engine=Metrics((Series("vllm:request_prompt_tokens_count", {}, 1e9),)))
    total = readings.after.engine.total("vllm:request_prompt_tokens_count")
    assert diagnose(replace(readings, before=fewer)).requests == total


def test_what_was_not_read_is_named_with_the_rules_that_lack_it(load):
    readings = load("slow-loads")
    plain = replace(
        readings, before=replace(readings.before, tiers=None), after=replace(readings.after, tiers=None, silent=None)
    )
    diagnosis = diagnose(plain)
    assert diagnosis.findings == ()
    assert {one.name for one in diagnosis.not_judged} == {
        "idle-sessions",
        "same-context-recomputed",
        "volatile-prefix",
        "slow-loads",
        "eviction-thrash",
        "salts-split-cache",
    }
    assert {one.missing for one in diagnosis.not_judged} == {("tiers",)}


def test_a_part_that_was_started_and_does_not_answer_is_a_finding(load):
    gone = Unreachable("engine", "http://127.0.0.1:1/metrics", "nothing answers", started=True)
    finding = only(replace(load("healthy"), unreachable=(gone,)))
    assert finding.commands == ("kvasir backend down --only engine && kvasir backend up --only engine",)
    stopped = replace(gone, started=False)
    assert names(replace(load("healthy"), unreachable=(stopped,))) == []


def test_commands_name_a_home_that_is_not_the_default(load, tmp_path):
    command = only(replace(load("eviction-thrash"), home=tmp_path)).commands[0]
    assert command.count(f"--home {tmp_path}") == 2


def test_a_queue_is_mended_by_more_sequences_and_keeps_the_other_arguments(load):
    finding = only(load("queue-with-room"))
    fitting = int(5120 / figure(finding, "tokens a request"))
    assert finding.commands[0].endswith(
        f"--engine-arg=--num-gpu-blocks-override=40 --engine-arg=--max-num-seqs={fitting}"
    )


def test_memory_is_mended_by_what_bounds_it(load):
    readings = load("kv-memory-full")
    assert "--num-gpu-blocks-override=" in only(readings).commands[0]
    free = with_options(readings, engine_args=())
    assert "--cpu-kv-gb 2" in only(free).commands[0]
    gpu = replace(free, on_cpu=False)
    assert "--gpu-memory-share 0.95" in only(gpu).commands[0]
    assert "--engine-arg=--max-num-seqs=1" in only(with_options(gpu, gpu_memory_share=0.95)).commands[0]


def test_a_prompt_too_long_for_the_engine_asks_for_the_models_window(load):
    readings = load("prompts-too-long")
    assert "--window-tokens 8192" in only(replace(readings, model_window_tokens=8192)).commands[0]
    at_the_end = only(replace(readings, model_window_tokens=4096))
    assert "the model's own" in at_the_end.diagnosis


def test_a_refused_request_that_is_too_short_to_be_too_long_is_none(load):
    readings = load("prompts-too-long")
    assert names(with_sent(readings, 4000)) == []
    # Eight short ones are as many bytes as a long one: then it may have been.
    assert names(with_sent(readings, 8 * 600)) == ["prompts-too-long"]


def test_bytes_of_prompts_that_were_served_are_none_of_refused_ones(load):
    readings = load("prompts-too-long")
    served = (
        Series("http_requests_total", {"handler": "/v1/completions", "status": "2xx"}, 5.0),
        Series("vllm:request_prompt_tokens_count", {}, 5.0),
        Series("vllm:request_prompt_tokens_sum", {}, 18_000.0),
    )
    assert names(with_series(readings, "engine", *served)) == []


@pytest.mark.parametrize("error", [PromptTooLong, ContextTooLong])
def test_the_gateway_knows_why_a_request_was_refused(load, error):
    told = Series("kvasir_requests_total", {"outcome": error.__name__}, 3.0)
    finding = only(with_series(load("healthy"), "gateway", told))
    assert finding.name == "prompts-too-long"
    assert figure(finding, "requests that the gateway refused as too long") == 3


def test_a_spread_of_the_profile_sets_what_is_worth_a_finding(load, profile):
    readings = load("eviction-thrash")
    steady = replace(profile, prefill_samples=(Sample(100, (0.1, 0.101)),))
    share = only(replace(readings, profile=steady)).figures[1]
    assert (share.limit, "half of it" in share.origin) == (0.05, True)
    shaky = replace(profile, prefill_samples=(Sample(100, (0.1, 0.112)), Sample(200, (0.2, 0.224))))
    assert only(replace(readings, profile=shaky)).figures[1].limit == pytest.approx(2 * 0.012 / 0.106)


def test_losses_that_cannot_be_told_from_noise_are_none(load):
    readings = load("volatile-prefix")
    computed = Series("vllm:prompt_tokens_by_source_total", {"source": "local_compute"}, 1e6)
    assert names(with_series(readings, "engine", computed)) == []


def test_changes_at_many_places_have_no_one_cause(load):
    readings = load("volatile-prefix")
    observed = readings.after.tiers["observed"]
    changes = {**observed["prefix_changes"], "positions": {"20": 1, "30": 1, "300": 1}}
    assert names(with_tiers(readings, observed={**observed, "prefix_changes": changes})) == []


def test_salts_that_are_the_gateways_tenants_are_kept_apart_on_purpose(load):
    readings = load("salts-split-cache")
    tenants = [Series("kvasir_prompt_tokens_total", {"tenant": salt}, 1.0) for salt in "abc"]
    assert names(with_series(readings, "gateway", *tenants)) == []
    finding = only(with_series(readings, "gateway", *tenants[:2]))
    assert finding.examples == ("salt 'c': 2048 tokens asked",)


def test_what_vllm_served_itself_was_not_computed_again(load):
    readings = load("same-context-recomputed")
    served = Series("vllm:prefix_cache_hits_total", {}, 1e6)
    assert names(with_series(readings, "engine", served)) == []


def test_an_engine_that_stores_nothing_is_told_from_a_cache_that_is_emptied(load):
    readings = load("same-context-recomputed")
    assert only(readings).commands[0].startswith("grep")
    nothing = replace(readings.after, cache=readings.before.cache)
    assert "hands LMCache nothing" in only(replace(readings, after=nothing)).diagnosis


def test_loads_are_judged_by_the_profile_where_there_is_one(load, profile):
    readings = load("slow-loads")
    [fetch] = [one for one in readings.after.transfers if one["kind"] == "fetch"]
    tokens = 6 * 256
    # Computing takes 10 microseconds a token longer than the fetch took, then shorter.
    dear = replace(profile, prefill=PrefillCost(0.0, fetch["seconds"] / tokens + 1e-5, 0.0))
    assert names(replace(readings, profile=dear)) == []
    cheap = replace(profile, prefill=PrefillCost(0.0, fetch["seconds"] / tokens - 1e-5, 0.0))
    finding = only(replace(readings, profile=cheap))
    assert figure(finding, "seconds of loads") == fetch["seconds"]
    assert figure(finding, "tokens loaded") == tokens
    assert "became slower" in finding.diagnosis


def test_a_load_gate_that_is_off_is_turned_on(load):
    finding = only(with_tiers(load("slow-loads"), gates={"load": False, "store": False}))
    assert """-d '{"load": true, "store": false}'""" in finding.commands[0]


def test_fetches_that_no_request_used_are_promotions(load):
    readings = load("slow-loads")
    cache = replace(readings.after, cache=readings.before.cache)
    assert names(replace(readings, after=cache)) == []


def test_loads_that_spare_others_the_wait_may_be_the_slower_ones(load):
    readings = load("slow-loads")
    counts = {**readings.after.tiers["counts"], "load_gate_loaded_for_others_chunks": 6}
    assert names(with_tiers(readings, counts=counts)) == []


def test_silent_sessions_cost_nothing_while_ram_has_room(load):
    readings = load("idle-sessions")
    silent = {**readings.after.silent, "used_bytes": readings.after.silent["capacity_bytes"] // 2}
    assert names(replace(readings, after=replace(readings.after, silent=silent))) == []


def test_a_full_chat_cache_that_gives_nothing_up_is_healthy(load):
    assert names(with_evicted(load("idle-sessions"), 0)) == []


def test_with_a_profile_sessions_leave_by_themselves_when_their_place_is_needed(load, profile):
    assert names(replace(load("idle-sessions"), profile=profile)) == []


def test_names_of_sessions_are_safe_in_the_command(load):
    readings = load("idle-sessions")
    first = {**readings.after.silent["sessions"][0], "name": "a/b'; rm -rf {x}"}
    silent = {**readings.after.silent, "sessions": [first, *readings.after.silent["sessions"][1:]]}
    words = shlex.split(only(replace(readings, after=replace(readings.after, silent=silent))).commands[0])
    assert words[:4] == ["curl", "-sS", "-X", "POST"]
    assert "/kvasir/sessions/{a%2Fb%27%3B%20rm%20-rf%20%7Bx%7D," in words[4]


def test_a_folder_that_grows_without_a_cap(load, tmp_path):
    readings = with_options(load("healthy"), policy=False)
    before = replace(readings.before, tiers=None, disk=DiskUse(tmp_path, 1_000, 10_000_000_000))
    after = replace(readings.after, tiers=None, disk=DiskUse(tmp_path, 1_001_000, 10_000_000_000))
    grown = replace(readings, before=replace(before, at=0.0), after=replace(after, at=10.0))
    finding = only(grown)
    assert figure(finding, "growth at the rate of the window") == 8_640_000_000
    assert finding.commands[0].endswith("up --policy --disk-gb 5.1")
    still = replace(grown, after=replace(after, disk=before.disk))
    assert names(still) == []


def test_a_cap_beyond_what_the_disk_has_free(load, tmp_path):
    readings = load("healthy")
    after = replace(readings.after, disk=DiskUse(tmp_path, 800_000, 2_000_000))
    finding = only(replace(readings, after=after))
    assert "before the tier reaches its cap" in finding.symptom
    assert finding.commands[0].endswith("--disk-gb 0.0018")


def test_a_tier_that_cannot_grow_is_bounded_in_what_is_written(load, tmp_path):
    readings = load("disk-growth")
    disk = readings.after.disk
    full = replace(readings.after, disk=DiskUse(tmp_path, disk.used_bytes, 1_000_000))
    assert "--disk-writes-gb-per-day" in only(replace(readings, after=full)).commands[0]
    assert "--disk-gb" in only(readings).commands[0]
