"""What the layout does to what a prompt holds: the tables that a question needs, beside prompts in other orders."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evals.bench.bootstrap import mean_interval
from evals.bench.prefix.orders import OURS, SCORE
from evals.bench.prefix.played import Played
from evals.bench.row import Asked, Row


def recall_rows(questions: Sequence[Played], dialogues: Sequence[Played]) -> list[Row]:
    """Single questions have the same items in every order. A later turn of ours has what earlier turns placed, too."""
    later = [one for one in dialogues if one.request.turn > 0]
    rows = [
        _recall_row("(a) needed tables in the prompt", questions),
        _recall_row("(b) needed tables in the prompt, from the second turn on", later),
    ]
    same = [_same_tokens(one) for one in questions]
    name = "(a) prompts that hold the tokens of the order by score"
    rows.insert(1, Row(name, float(np.mean(same)), "share", len(same), asked=Asked(at_least=1.0)))
    return [row for row in rows if row.n]


def _recall_row(name: str, played: Sequence[Played]) -> Row:
    ours = [_share(one, {part.item for part in one.prepared.prompt.parts}) for one in played]
    by_score = [_share(one, {hit.item.id for hit in one.by_itself.retrieval.hits}) for one in played]
    if not ours:
        return Row(name, None, "share", 0)
    least = float(np.mean(by_score))
    value = float(np.mean(ours))
    return Row(name, value, "share", len(ours), mean_interval(ours), {SCORE: least}, Asked(at_least=least))


def _share(played: Played, present: set[str | None] | set[str]) -> float:
    needed = played.request.needed
    return len(needed & present) / len(needed)


def _same_tokens(played: Played) -> bool:
    ours, theirs = played.sent[OURS].tokens, played.sent[SCORE].tokens
    if ours is None or theirs is None:
        return False
    return bool(np.array_equal(np.sort(ours), np.sort(theirs)))
