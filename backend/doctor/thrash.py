"""Eviction thrash: what was evicted is asked for again."""

from __future__ import annotations

from backend.doctor.finding import Figure, Finding
from backend.doctor.load import computed_again, computed_tokens
from backend.doctor.readings import Readings
from backend.doctor.thresholds import least_tokens, noticeable_share
from backend.tiers.profile import RAM


def eviction_thrash(readings: Readings) -> Finding | None:
    after = readings.after.tiers or {}
    returned_by_tier = ((after.get("observed") or {}).get("repeats") or {}).get("returned") or {}
    returned = {tier: _tokens(readings, "returned", tier) for tier in returned_by_tier}
    computed = computed_tokens(readings)
    again = min(sum(returned.values()), computed_again(readings))
    share, least = noticeable_share(readings.profile), least_tokens(readings)
    if not computed or again < least.value or again / computed < share.value:
        return None
    worst = max(returned, key=lambda tier: returned[tier])
    evicted = _tokens(readings, "evicted", worst)
    if worst == RAM:
        size, unit, option = readings.options.l1_size_gb, "GiB", "--l1-size-gb"
    else:
        size, unit, option = readings.options.disk_gb, "GB", "--disk-gb"
    return Finding(
        "eviction-thrash",
        f"What was evicted from {worst} is asked for again, and computed again.",
        (
            Figure("tokens computed again after an eviction", again, limit=least.value, origin=least.origin),
            Figure("their share of all computed", again / computed, limit=share.value, origin=share.origin),
            Figure(f"tokens evicted from {worst}", evicted),
            Figure(f"size of {worst}", size, unit),
        ),
        "The working set is larger than the tier: before a prompt comes again, others have taken its place. "
        "Double the tier, as far as the machine has room, and look again.",
        (readings.restart(option, f"{2 * size:g}"),),
    )


def _tokens(readings: Readings, what: str, tier: str) -> float:
    return readings.grew_in_tiers("observed", "repeats", what, tier) * readings.chunk_tokens
