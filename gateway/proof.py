"""The proof of gotchas: in the context without the corrected success, they turn the failing question's answer right.

All are tried together, since an answer that is wrong in two ways needs two rules. Then each is left out once: one
without which the answer is right as well proves nothing and is not proposed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.replay import Judged
from kb.items import Item

TryWith = Callable[[tuple[Item, ...]], Judged]
"""Puts the failing question with these gotchas in its context."""


@dataclass(frozen=True, slots=True)
class Proof:
    """`proved` are the gotchas that are needed, and enough, for the right answer; `detail` says why others are not.

    `away`: something that the proof needs is away, and nothing was decided.
    """

    proved: tuple[Item, ...]
    detail: str
    away: bool = False
    engine_calls: int = 0


def prove(gotchas: tuple[Item, ...], try_with: TryWith) -> Proof:
    """At most one trial more than there are gotchas. `gotchas` is not empty."""
    whole = try_with(gotchas)
    calls, kept = whole.engine_calls, gotchas
    if whole.outcome != "right":
        return _unproved(whole, f"with {_listed(gotchas)} the answer is not right", calls)
    for gotcha in gotchas:
        others = tuple(item for item in kept if item is not gotcha)
        without = try_with(others)
        calls += without.engine_calls
        if without.outcome == "right":
            kept = others
        elif without.outcome != "wrong":
            return _unproved(without, f"whether {gotcha.id} is needed cannot be told", calls)
    if not kept:
        return Proof((), f"not proved: the answer is right without {_listed(gotchas)}", engine_calls=calls)
    spared = tuple(item for item in gotchas if item not in kept)
    detail = f"{_listed(kept)} turns the answer right" + (f"; {_listed(spared)} is not needed" if spared else "")
    return Proof(kept, detail, engine_calls=calls)


def _unproved(judged: Judged, what: str, calls: int) -> Proof:
    why = f"{what}: {judged.detail}" if judged.detail else what
    return Proof((), f"not proved: {why}", judged.outcome == "away", calls)


def _listed(gotchas: tuple[Item, ...]) -> str:
    return " with ".join(f"{item.id} ({item.title})" for item in gotchas)
