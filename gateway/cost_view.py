"""What a landing costs the caches, as it is shown over HTTP and by `--json`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from gateway.prefix_cost import LandingCost


def costs_view(costs: Iterable[LandingCost]) -> list[dict[str, Any]]:
    """One entry for each assistant that was asked anything."""
    return [{"assistant": each.assistant, **asdict(each.cost)} for each in costs if each.cost is not None]
