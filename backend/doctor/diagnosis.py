"""All rules over one set of readings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backend.doctor.disk import disk_growth
from backend.doctor.finding import Finding
from backend.doctor.idle_sessions import idle_sessions_hold_memory
from backend.doctor.memory import kv_memory_full, prompts_too_long
from backend.doctor.readings import Readings, Source, Unreachable
from backend.doctor.recomputed import same_context_recomputed
from backend.doctor.salts import salts_split_the_cache
from backend.doctor.slow_loads import loads_slower_than_recompute
from backend.doctor.thrash import eviction_thrash
from backend.doctor.throughput import queue_with_room
from backend.doctor.unreachable import part_does_not_answer
from backend.doctor.volatile import volatile_prefix


@dataclass(frozen=True)
class Rule:
    """`needs` are the sources without which it cannot judge."""

    name: str
    judge: Callable[[Readings], Finding | None]
    needs: tuple[Source, ...] = ()


RULES = (
    Rule("part-unreachable", part_does_not_answer),
    Rule("queue-with-room", queue_with_room, ("engine",)),
    Rule("kv-memory-full", kv_memory_full, ("engine",)),
    Rule("prompts-too-long", prompts_too_long, ("engine",)),
    Rule("idle-sessions", idle_sessions_hold_memory, ("tiers",)),
    Rule("same-context-recomputed", same_context_recomputed, ("engine", "tiers")),
    Rule("volatile-prefix", volatile_prefix, ("engine", "tiers")),
    Rule("slow-loads", loads_slower_than_recompute, ("engine", "cache", "tiers")),
    Rule("disk-growth", disk_growth),
    Rule("eviction-thrash", eviction_thrash, ("engine", "tiers")),
    Rule("salts-split-cache", salts_split_the_cache, ("engine", "cache", "tiers")),
)


@dataclass(frozen=True)
class NotJudged:
    """A rule that lacked `missing`."""

    name: str
    missing: tuple[Source, ...]


@dataclass(frozen=True)
class Diagnosis:
    """`requests` are those that the engine ended in the window of `seconds`. `profile_problem` says why a profile that
    is there was not used.
    """

    seconds: float
    requests: int
    findings: tuple[Finding, ...]
    not_judged: tuple[NotJudged, ...]
    unreachable: tuple[Unreachable, ...]
    profile_problem: str | None


def diagnose(readings: Readings) -> Diagnosis:
    findings: list[Finding] = []
    not_judged: list[NotJudged] = []
    for rule in RULES:
        if missing := tuple(source for source in rule.needs if not readings.has(source)):
            not_judged.append(NotJudged(rule.name, missing))
        elif finding := rule.judge(readings):
            findings.append(finding)
    requests = int(readings.grew("engine", "vllm:request_prompt_tokens_count"))
    return Diagnosis(
        readings.seconds,
        requests,
        tuple(findings),
        tuple(not_judged),
        readings.unreachable,
        readings.profile_problem,
    )
