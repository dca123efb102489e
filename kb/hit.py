"""What retrieval finds: an item, how well it fits, and why; and how much of each kind it may find."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from kb.items import KINDS, Item, Kind


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of each kind a question may retrieve, and the evidence it takes.

    A kind that `per_kind` leaves out retrieves its `always` items only. `floor` is the least cosine of a metric or
    document that the question does not name; `near_best` the least share of the best table's score that another table
    needs (0 takes any); `pattern_floor` the least similarity of a template or success.
    `worth`, if given, says of a table that is likely, but not the likeliest, whether it is worth its place.
    `tokens` bounds the tokens of all of a kind, as `measure` counts those of one hit: what does not fit whole is left
    out, and what is next best may fit. Kinds that it leaves out are not bounded.
    """

    per_kind: Mapping[Kind, int] = field(
        default_factory=lambda: {
            "schema": 6,
            "relationship": 12,
            "metric": 4,
            "document": 4,
            "gotcha": 6,
            "template": 2,
            "success": 3,
            "preference": 10,
        }
    )
    floor: float = 0.3
    near_best: float = 0.05
    pattern_floor: float = 0.6
    worth: Callable[[Hit], bool] | None = None
    tokens: Mapping[Kind, int] = field(default_factory=dict)
    measure: Callable[[Hit], int] | None = None

    def __post_init__(self) -> None:
        assert self.measure is not None or not self.tokens, "a bound in tokens needs who counts them"


@dataclass(frozen=True, slots=True)
class Hit:
    """`score` is higher-better and compares within a kind only; `item_hash` is the item's content hash."""

    item: Item
    item_hash: str
    score: float
    reasons: tuple[str, ...]


def within(hits: Iterable[Hit], limits: Limits) -> list[Hit]:
    """At most the limits of each kind, best first; ties by id, so that the result never depends on order."""
    by_kind: dict[Kind, list[Hit]] = {}
    for hit in hits:
        by_kind.setdefault(hit.item.kind, []).append(hit)
    kept: list[Hit] = []
    for kind in (*limits.per_kind, *(kind for kind in KINDS if kind not in limits.per_kind)):
        limit, of_kind = limits.per_kind.get(kind, 0), by_kind.get(kind, [])
        always = sorted((hit for hit in of_kind if is_always(hit.item)), key=lambda hit: hit.item.id)
        ranked = sorted((hit for hit in of_kind if not is_always(hit.item)), key=lambda hit: (-hit.score, hit.item.id))
        kept += [*always, *_fitting(always, ranked[:limit], kind, limits)]
    return kept


def _fitting(always: Iterable[Hit], ranked: list[Hit], kind: Kind, limits: Limits) -> list[Hit]:
    """Those of `ranked` for which `always` leaves room, each whole."""
    if limits.measure is None or kind not in limits.tokens:
        return ranked
    room = limits.tokens[kind] - sum(map(limits.measure, always))
    kept: list[Hit] = []
    for hit in ranked:
        tokens = limits.measure(hit)
        if tokens <= room:
            kept.append(hit)
            room -= tokens
    return kept


def is_always(item: Item) -> bool:
    """A rule always applies, so no limit cuts it."""
    return item.kind == "rule" or item.usage == "always"
