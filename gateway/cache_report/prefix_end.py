"""Where the beginning that a prompt shares with a recent one ends, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os.path import commonprefix
from typing import Literal

from gateway.cache_report.recent_prompts import Match, RecentPrompts
from gateway.cache_report.served import Served, Stretch
from gateway.prompt import Layer

Cause = Literal[
    "first",
    "repeated",
    "continued",
    "question",
    "conversation",
    "inserted",
    "removed",
    "replaced",
    "reordered",
    "changed",
    "cut",
]

CAUSES: dict[Cause, str] = {
    "first": "no recent prompt of this assistant",
    "repeated": "the same prompt again",
    "continued": "the next turn of a recent conversation",
    "question": "another question behind the same context",
    "conversation": "a conversation whose earlier turns no recent prompt has",
    "inserted": "an item that the recent prompt did not have",
    "removed": "an item that the recent prompt had, and this one has not",
    "replaced": "an item in the place of another",
    "reordered": "the same items in another order",
    "changed": "the same item or instructions in another wording",
    "cut": "a conversation that came back without all of its messages",
}

WHOLE: frozenset[Cause] = frozenset({"first", "repeated", "continued", "question", "conversation"})
"""Ends that break nothing: all that stands before the new words could be reused, or there was nothing to reuse."""


@dataclass(frozen=True, slots=True)
class PrefixEnd:
    """The first difference between a request and the recent one that shares its longest beginning.

    `stretches` are shared whole, `shared_tokens` with what is shared of the next one. `lost_tokens` stand behind the
    difference, and the recent prompt had them as well: elsewhere they would have been reused. `item` is the one to
    blame, if it is one; `instead_of` what the recent prompt had in its place.
    """

    cause: Cause
    layer: Layer
    request: str
    recent: str | None = None
    item: str | None = None
    instead_of: str | None = None
    other_commit: bool = False
    stretches: int = 0
    shared_tokens: float = 0.0
    lost_tokens: float = 0.0


def prefix_end(served: Served, recents: RecentPrompts) -> PrefixEnd:
    match = recents.longest(served)
    if match is None:
        last = recents.last_of(served.assistant)
        if last is None:
            return PrefixEnd("first", served.stretches[0].layer, served.id)
        match = Match(0, last)
    cut_from = recents.cut_from(served)
    if cut_from is not None:
        return _end(served, match, "cut", _layer_at(served, match.stretches), recent=cut_from)
    return _first_difference(served, match)


def _first_difference(served: Served, match: Match) -> PrefixEnd:
    depth, recent = match.stretches, match.recent
    if depth == len(served.stretches):
        return _end(served, match, "repeated", served.stretches[-1].layer)
    new = served.stretches[depth]
    if depth == len(recent.stretches):
        return _end(served, match, "continued", new.layer)
    old = recent.stretches[depth]
    if new.layer == "question":
        return _end(served, match, "question", new.layer)
    if _is_of_another_conversation(new, recent.stretches[depth:]):
        return _end(served, match, "conversation", new.layer)
    if new.item is None and old.item is None:
        return _end(served, match, "changed", new.layer)
    if new.item == old.item:
        return _end(served, match, "changed", new.layer, item=new.item)
    comes = new.item in _items(recent.stretches[depth + 1 :])
    goes = old.item in _items(served.stretches[depth + 1 :])
    if comes and goes:
        return _end(served, match, "reordered", new.layer, item=new.item, instead_of=old.item)
    if old.item is not None and (comes or new.item is None):
        return _end(served, match, "removed", old.layer, item=old.item)
    if goes or old.item is None:
        return _end(served, match, "inserted", new.layer, item=new.item)
    return _end(served, match, "replaced", new.layer, item=new.item, instead_of=old.item)


def _is_of_another_conversation(new: Stretch, recent: Sequence[Stretch]) -> bool:
    """Whether it is a message of an earlier turn, which the recent prompt does not have further on either."""
    return new.layer == "conversation" and new.item is None and all(new.text != old.text for old in recent)


def _end(
    served: Served,
    match: Match,
    cause: Cause,
    layer: Layer,
    *,
    item: str | None = None,
    instead_of: str | None = None,
    recent: Served | None = None,
) -> PrefixEnd:
    before = recent or match.recent
    depth = match.stretches
    behind = {stretch.text for stretch in match.recent.stretches[depth:]}
    return PrefixEnd(
        cause=cause,
        layer=layer,
        request=served.id,
        recent=before.id,
        item=item,
        instead_of=instead_of,
        other_commit=served.commit != before.commit,
        stretches=depth,
        shared_tokens=sum(stretch.tokens for stretch in served.stretches[:depth]) + _shared_of_next(served, match),
        lost_tokens=sum(stretch.tokens for stretch in served.stretches[depth:] if stretch.text in behind),
    )


def _shared_of_next(served: Served, match: Match) -> float:
    """Tokens with which the first stretch that differs begins like the recent one."""
    new, old = served.stretches[match.stretches :], match.recent.stretches[match.stretches :]
    if not new or not old:
        return 0.0
    common = len(commonprefix([new[0].text, old[0].text]))  # noqa: RUF071 - characters are what is meant
    return new[0].tokens * common / len(new[0].text)


def _layer_at(served: Served, depth: int) -> Layer:
    return served.stretches[min(depth, len(served.stretches) - 1)].layer


def _items(stretches: Sequence[Stretch]) -> set[str]:
    return {stretch.item for stretch in stretches if stretch.item is not None}
