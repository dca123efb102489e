"""Idle sessions that hold memory."""

from __future__ import annotations

import shlex
from urllib.parse import quote

from backend.doctor.finding import Figure, Finding
from backend.doctor.readings import Readings
from backend.doctor.slow_loads import profile_commands
from backend.tiers.profile import RAM

# LMCache's defaults, which `up` leaves as they are: above the watermark it evicts this share.
_WATERMARK = 0.8
_EVICTED = 0.2
_FULL = _WATERMARK * (1 - _EVICTED)
_NAMED = 20


def idle_sessions_hold_memory(readings: Readings) -> Finding | None:
    silent = readings.after.silent or {}
    capacity = silent.get("capacity_bytes") or 0
    sessions = silent.get("sessions") or []
    if not capacity or not sessions:
        return None
    # With a profile, they move by themselves as soon as others need their place more. Where nothing has to go from RAM,
    # nobody needs it.
    evicted = readings.grew_in_tiers("observed", "repeats", "evicted", RAM)
    if readings.profile is not None or not evicted:
        return None
    used, held = silent["used_bytes"] / capacity, sum(one["ram_bytes"] for one in sessions) / capacity
    if used < _FULL or held < _EVICTED:
        return None
    names = [quote(one["name"], safe="") for one in sessions[:_NAMED]]
    which = names[0] if len(names) == 1 else f"{{{','.join(names)}}}"
    demote = shlex.join(["curl", "-sS", "-X", "POST", f"{readings.cache_url}/kvasir/sessions/{which}/idle"])
    return Finding(
        "idle-sessions",
        "LMCache's RAM is full and gives up KV, and sessions that are silent hold a good part of it.",
        (
            Figure("share of RAM in use", used, limit=_FULL, origin="what LMCache's eviction leaves: 0.8 × (1 − 0.2)"),
            Figure(
                "share of RAM that silent sessions alone hold",
                held,
                limit=_EVICTED,
                origin="what LMCache evicts at once; it would have nothing to do",
            ),
            Figure(
                "tokens evicted from RAM",
                evicted * readings.chunk_tokens,
                limit=0,
                origin="what is evicted is lost, what is moved is not",
            ),
            Figure("silent sessions with RAM", len(sessions)),
            Figure("longest silence", max(one["silent_seconds"] for one in sessions), "s"),
            Figure(
                "silence that counts",
                silent["after_seconds"],
                "s",
                origin="four usual gaps between two requests of a session",
            ),
        ),
        "Nobody has asked in these sessions for longer than others take to come back. Without a profile Kvasir moves "
        "no idle session to the disk by itself.",
        (demote, *profile_commands(readings)),
    )
