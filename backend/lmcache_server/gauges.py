"""Kvasir's numbers among LMCache's own at `/metrics`."""

from __future__ import annotations

from lmcache.v1.mp_observability.otel_init import register_gauge

from backend.tiers.control import TierControl
from backend.tiers.observed import Observed

_METER = "kvasir.tiers"


def add_gauges(control: TierControl, observed: Observed) -> None:
    """`kvasir_tier_events{event=…}`, `kvasir_tier_disk_bytes{tier=…}`, `kvasir_tier_slowdown{tier=…}`, sessions,
    `kvasir_reuse_chunks{event=…, tier=…}` and `kvasir_reuse_changed_prefix_tokens`.
    """

    def events() -> list[tuple[int | float, dict[str, object]]]:
        return [(count, {"event": name}) for name, count in control.status()["counts"].items()]

    def disk() -> list[tuple[int | float, dict[str, object]]]:
        return [(tier["bytes"], {"tier": name}) for name, tier in control.status()["disk"].items()]

    def slowdown() -> list[tuple[int | float, dict[str, object]]]:
        return [(tier["slowdown"], {"tier": name}) for name, tier in control.status()["tiers"].items()]

    def sessions() -> list[tuple[int | float, dict[str, object]]]:
        return [(count, {"state": state}) for state, count in control.status()["sessions"].items()]

    def repeats() -> list[tuple[int | float, dict[str, object]]]:
        counts = observed.status()["repeats"]
        plain = [(count, {"event": name}) for name, count in counts.items() if not isinstance(count, dict)]
        by_tier = [
            (count, {"event": name, "tier": tier})
            for name in ("evicted", "returned")
            for tier, count in counts[name].items()
        ]
        return plain + by_tier

    def changed() -> int:
        return int(observed.status()["prefix_changes"]["tokens"])

    register_gauge(_METER, "kvasir_reuse.chunks", "Chunks asked for, and what became of them.", repeats)
    register_gauge(
        _METER, "kvasir_reuse.changed_prefix_tokens", "Tokens computed again because of a change before them.", changed
    )
    register_gauge(_METER, "kvasir_tier.events", "What the gates decided, since the start.", events)
    register_gauge(_METER, "kvasir_tier.disk_bytes", "Bytes in the tier's folder, reserved ones included.", disk)
    register_gauge(_METER, "kvasir_tier.slowdown", "Seconds of a fetch now over those of the profile.", slowdown)
    register_gauge(_METER, "kvasir_tier.sessions", "Known sessions by state.", sessions)
