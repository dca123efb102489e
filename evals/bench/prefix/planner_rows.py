"""What the planner does to the prompts of a stream, beside the same stream without it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evals.bench.prefix.orders import OURS
from evals.bench.prefix.played import Played
from evals.bench.row import Asked, Row, share_row


def planner_rows(canonical: Sequence[Played], planned: Sequence[Played]) -> list[Row]:
    """Of the stream (a): it may change where items stand, and must not change what a prompt holds."""
    changed = [one.prepared.prompt.order == "planned" for one in planned]
    same = [_same_tokens(one, other) for one, other in zip(canonical, planned, strict=True)]
    return [
        share_row("(a) prompts that the planner ordered otherwise", changed),
        share_row("(a) planned prompts that hold the tokens of ours", same, Asked(at_least=1.0)),
    ]


def _same_tokens(canonical: Played, planned: Played) -> bool:
    ours, theirs = canonical.sent[OURS].tokens, planned.sent[OURS].tokens
    assert ours is not None, "an engine that keeps no cache tells its tokens"
    assert theirs is not None, "an engine that keeps no cache tells its tokens"
    return bool(np.array_equal(np.sort(ours), np.sort(theirs)))
