"""What of a prompt may be written to the last tier.

`all`: everything, as LMCache does. `recurrence`: a block only from the second prompt on that has it. `worth`: what is
expected to bring more than what lately had to go, by a margin that stands for the write itself; only Kvasir's policy
can tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from backend.simulation.trace import Request, Trace

GateName = Literal["all", "recurrence", "worth"]
MARGIN = 3.0
"""Where writes fall much and hits hardly, on the traces at hand: docs/simulation.md has the whole curve."""


@dataclass(frozen=True)
class StoreGate:
    """`margin` belongs to `worth`: how many times as much as what lately had to go a block must be worth."""

    name: GateName = "all"
    margin: float = MARGIN


WRITE_ALL = StoreGate()


class RecurrenceGate:
    """Remembers of every block that it came, without limit; a real one would forget in the order of coming."""

    def __init__(self, trace: Trace) -> None:
        self._seen = bytearray(len(trace.run_lengths))
        self._lengths: list[int] = trace.run_lengths.tolist()
        self._depths: list[int] = trace.run_depths.tolist()

    def admitted(self, request: Request) -> int:
        """How many blocks from the first on have come before. From now on, all of them have."""
        seen, admitted = self._seen, 0
        for run in request.runs:
            if seen[run]:
                admitted = self._depths[run] + self._lengths[run]
            seen[run] = 1
        return admitted
