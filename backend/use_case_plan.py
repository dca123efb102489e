"""What `up --use-case` starts with: tiers and sizes for one kind of traffic. Whatever is given besides wins.

Where a prompt's KV goes, and when, is decided for each by `backend.tiers.use_case`; here is what must exist for it.

| use case | tiers | why |
| --- | --- | --- |
| chat | RAM, large; disk | a conversation is resumed from RAM, and from the disk once it was idle |
| document | RAM; disk; shared | others, on other machines, ask about the same text |
| code | RAM; disk, large | a session is resumed after a restart |
| batch | RAM, small; disk, large | what is asked once must not displace what is asked again; vLLM takes larger steps |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backend.errors import LaunchOptionInvalid
from backend.tiers.use_case import UseCase

_PLANS: Mapping[UseCase, Mapping[str, Any]] = {
    "chat": {"tiers": ("ram", "disk"), "l1_size_gb": 4.0, "disk_gb": 10.0},
    "document": {"tiers": ("ram", "disk", "shared"), "l1_size_gb": 2.0, "disk_gb": 10.0},
    "code": {"tiers": ("ram", "disk"), "l1_size_gb": 2.0, "disk_gb": 50.0},
    "batch": {"tiers": ("ram", "disk"), "l1_size_gb": 1.0, "disk_gb": 50.0},
}


def with_use_case(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `LaunchOptions` that were chosen, over those of the plan of `chosen["use_case"]`, if any.

    Raises `LaunchOptionInvalid` where a shared tier is described and left out at once.
    """
    tiers = chosen.get("tiers")
    if tiers is not None and "shared" not in tiers and chosen.get("shared_tier"):
        raise LaunchOptionInvalid("--tiers", "leaves out shared, and --shared-tier describes it; drop one of them")
    plan = dict(_PLANS[chosen["use_case"]]) if chosen.get("use_case") else {}
    if chosen.get("shared_tier") and "tiers" in plan:
        plan["tiers"] = ("ram", "disk", "shared")
    return {**plan, **chosen}


def with_last_tiers(chosen: Mapping[str, Any], last: tuple[str, ...] | None) -> dict[str, Any]:
    """`chosen` to go over the options of the last start, whose tiers were `last`: a shared tier that is described now
    exists besides them.
    """
    if last is None or "shared" in last or "tiers" in chosen or not chosen.get("shared_tier"):
        return dict(chosen)
    return {**chosen, "tiers": (*last, "shared")}
