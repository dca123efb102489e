"""The rule: the longest prefix wins, unless that replica is overloaded. A short one draws nobody from idle replicas.

Overloaded is who has more requests in flight than `SLACK` and `FACTOR` times those of the least loaded. The slack lets
conversations of one beginning stay together on idle replicas; the factor bounds how far the load leans at any traffic.
The least loaded is never overloaded, so there is always a choice.

A prefix that is less than half of the prompt is one that many prompts share, such as an assistant's instructions. Who
followed it would all go to one replica, until that is overloaded and the conversations that live there have to leave.
So the least loaded gets such a request, computes the prefix once, and from then on has it as well.

Equals are told apart by rendezvous hashing (Thaler and Ravishankar, "Using name-based mappings to increase hit rates",
1998): a replica that leaves moves its own conversations alone, and those that no replica knows better come back to it.

The three numbers are what `kvasir bench prefix --only routing` was best with, of a few that were tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

SLACK = 8
FACTOR = 1.5
DRAWING_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Candidate:
    """A replica that can be asked. `matched_blocks` of the prompt's first blocks are likely in its cache."""

    name: str
    matched_blocks: int
    in_flight: int


def chosen(candidates: Sequence[Candidate], prompt_blocks: int, beginning: bytes) -> str:
    """Whom to ask a prompt of so many blocks, of at least one; `beginning` is the conversation's.

    The order of the candidates has no say.
    """
    limit = SLACK + FACTOR * min(one.in_flight for one in candidates)
    free = [one for one in candidates if one.in_flight <= limit]
    drawn = max(one.matched_blocks for one in free) >= DRAWING_SHARE * prompt_blocks

    def merit(one: Candidate) -> tuple[int, int, bytes]:
        matched, idle = one.matched_blocks, -one.in_flight
        return (*((matched, idle) if drawn else (idle, matched)), _weight(one.name, beginning))

    return max(free, key=merit).name


def _weight(name: str, beginning: bytes) -> bytes:
    return blake2b(name.encode(), key=beginning, digest_size=8).digest()
