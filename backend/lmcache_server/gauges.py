"""Kvasir's numbers among LMCache's own at `/metrics`."""

from __future__ import annotations

from lmcache.v1.mp_observability.otel_init import register_gauge

from backend.tiers.control import TierControl

_METER = "kvasir.tiers"


def add_gauges(control: TierControl) -> None:
    """`kvasir_tier_events{event=…}`, `kvasir_tier_disk_bytes{tier=…}`, `kvasir_tier_slowdown{tier=…}`, sessions."""

    def events() -> list[tuple[int | float, dict[str, object]]]:
        return [(count, {"event": name}) for name, count in control.status()["counts"].items()]

    def disk() -> list[tuple[int | float, dict[str, object]]]:
        return [(tier["bytes"], {"tier": name}) for name, tier in control.status()["disk"].items()]

    def slowdown() -> list[tuple[int | float, dict[str, object]]]:
        return [(tier["slowdown"], {"tier": name}) for name, tier in control.status()["tiers"].items()]

    def sessions() -> list[tuple[int | float, dict[str, object]]]:
        return [(count, {"state": state}) for state, count in control.status()["sessions"].items()]

    register_gauge(_METER, "kvasir_tier.events", "What the gates decided, since the start.", events)
    register_gauge(_METER, "kvasir_tier.disk_bytes", "Bytes in the tier's folder, reserved ones included.", disk)
    register_gauge(_METER, "kvasir_tier.slowdown", "Seconds of a fetch now over those of the profile.", slowdown)
    register_gauge(_METER, "kvasir_tier.sessions", "Known sessions by state.", sessions)
