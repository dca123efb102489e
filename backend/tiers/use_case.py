"""What a use case wants of the tiers.

| use case | wants |
| --- | --- |
| chat | RAM; the disk only once its session is idle |
| document | the shared network tier at once: others ask about the same text |
| code | the local disk once it recurs, to survive restarts |
| batch | the disk at once, RAM left alone |
| unknown | the disk once it recurs |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

UseCase = Literal["chat", "document", "code", "batch"]
USE_CASES: tuple[UseCase, ...] = get_args(UseCase)
TierRole = Literal["disk", "shared"]


@dataclass(frozen=True)
class TierPlan:
    """Where chunks go from RAM. `after_sightings` is how often one must have been asked for; `None` is never of itself.

    `role` falls back to the local disk where no shared tier is configured, and then waits for a second sighting.
    """

    role: TierRole
    after_sightings: int | None
    leaves_ram: bool = False


_PLANS: dict[UseCase | None, TierPlan] = {
    "chat": TierPlan("disk", None),
    "document": TierPlan("shared", 1),
    "code": TierPlan("disk", 2),
    "batch": TierPlan("disk", 1, leaves_ram=True),
    None: TierPlan("disk", 2),
}


def tier_plan(use_case: UseCase | None, *, has_shared: bool) -> TierPlan:
    plan = _PLANS[use_case]
    if plan.role == "shared" and not has_shared:
        return TierPlan("disk", 2)
    return plan
