"""Volatile prefixes: something near the beginning of prompts changes with every request."""

from __future__ import annotations

import shlex
from itertools import pairwise

from backend.doctor.finding import Figure, Finding
from backend.doctor.load import computed_tokens
from backend.doctor.readings import Prompt, Readings
from backend.doctor.thresholds import least_tokens, noticeable_share
from backend.tiers.prefix_changes import Change, find_change

_TOKEN_CHARACTERS = 4
_SPAN_CHARACTERS = 256
_CONTEXT_CHARACTERS = 40
_SHOWN = 3


def volatile_prefix(readings: Readings) -> Finding | None:
    """From the tokens that LMCache was asked for. The gateway's traces, where they were read, show the place."""
    computed = computed_tokens(readings)
    wasted = min(readings.grew_in_tiers("observed", "prefix_changes", "tokens"), computed)
    changed = readings.grew_in_tiers("observed", "prefix_changes", "changed")
    share, least = noticeable_share(readings.profile), least_tokens(readings)
    if not computed or wasted < least.value or wasted / computed < share.value:
        return None
    place, there = _most_frequent_place(readings)
    if there < changed / 2:
        return None
    examples = _changes(readings)[:_SHOWN]
    elsewhere = bool(readings.prompts) and not examples
    return Finding(
        "volatile-prefix",
        "Prompts begin alike, differ in a few tokens, and go on alike; all after the difference is computed anew.",
        (
            Figure("tokens computed again after a change", wasted, limit=least.value, origin=least.origin),
            Figure("their share of all computed", wasted / computed, limit=share.value, origin=share.origin),
            Figure("prompts with such a change", changed),
            Figure("where it is most often, in tokens from the beginning", float(place)),
            Figure("prompts with a change there", there, limit=changed / 2, origin="half of all: it has one cause"),
        ),
        "A date, an identifier or a counter stands before text that never changes. Move it to the end of the prompt, "
        "behind all that requests share."
        + (" The gateway's last prompts have none: others ask this engine, too." if elsewhere else ""),
        (_next_command(readings, examples[0][0] if examples else None),),
        tuple(_shown(prompt, change) for prompt, change in examples),
    )


def _most_frequent_place(readings: Readings) -> tuple[str, float]:
    """In tokens from the beginning, and how many prompts of the window changed there."""
    positions = (readings.after.tiers or {})["observed"]["prefix_changes"]["positions"]
    grown = {place: readings.grew_in_tiers("observed", "prefix_changes", "positions", place) for place in positions}
    place = max(grown, key=lambda one: grown[one])
    return place, grown[place]


def _changes(readings: Readings) -> list[tuple[Prompt, Change]]:
    """Between each prompt of an assistant and the one before it, newest first."""
    at_least = readings.chunk_tokens * _TOKEN_CHARACTERS
    found: list[tuple[Prompt, Change]] = []
    for assistant in dict.fromkeys(prompt.assistant for prompt in readings.prompts):
        own = [prompt for prompt in readings.prompts if prompt.assistant == assistant]
        for prompt, former in pairwise(own):
            if change := find_change(former.text, prompt.text, at_least=at_least, span=_SPAN_CHARACTERS):
                found.append((prompt, change))
    return found


def _shown(prompt: Prompt, change: Change) -> str:
    before = prompt.text[max(0, change.position - _CONTEXT_CHARACTERS) : change.position]
    return (
        f"{prompt.request_id} of assistant {prompt.assistant}, after {change.position} characters: "
        f"…{before!r} then {change.one!r}, now {change.other!r}"
    )


def _next_command(readings: Readings, example: Prompt | None) -> str:
    if example is None:
        return readings.command("doctor", "--gateway", "http://127.0.0.1:8000")
    key = '-H "authorization: Bearer $KVASIR_API_KEY"'
    return f"curl -sS {key} {shlex.quote(f'{example.gateway}/v1/requests/{example.request_id}')}"
