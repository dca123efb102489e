"""Fusion: dense, sparse and named evidence of every candidate, added with weights, in arrays.

A base may have 100,000 candidates, so no Python loop here runs over all of them; hits are made of the kept ones alone.
Fusing ranks with equal weight was seen to be worse than the dense ranking alone (docs/decisions/003).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kb.entities import Mention
from kb.hit import Hit, Limits
from kb.items import Item, Kind, Schema
from kb.name_words import Scores
from kb.table_chances import SHORTLISTED, ChanceWeights, TableEvidence, chances

SEARCHED: tuple[Kind, ...] = ("schema", "metric", "document")
PATTERNS: tuple[Kind, ...] = ("template", "success")
NO_DATABASE = -1


@dataclass(frozen=True, slots=True)
class Weights:
    """The score of a table is its chance to be needed, by `tables`.

    That of a metric or document is cosine + sparse * BM25 (share of the best) + named * (share of names of its own)
    + about * (the best chance of a table that it says it is about).
    """

    tables: ChanceWeights = field(default_factory=ChanceWeights)
    sparse: float = 0.1
    named: float = 0.6
    about: float = 0.2


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a question may find; the arrays have one entry an item, in the order of `items`.

    `kind` is the kind's place in `SEARCHED` or `PATTERNS`; `database` numbers the databases of tables and is
    `NO_DATABASE` for what is no table.
    """

    items: Sequence[Item]
    hashes: Sequence[str]
    kind: NDArray[np.int8]
    database: NDArray[np.int32]

    @property
    def is_table(self) -> NDArray[np.bool_]:
        return np.not_equal(self.database, NO_DATABASE)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for each candidate; `cosine`, `bm25` and `named` have one entry each, in their order.

    `named` is the share of the question's names that are its own, a name of many items counting less. `surfaces` are
    these names, each with the places of the candidates that it names, ascending. `tables` is of the tables among the
    candidates, in their order; `about` gives the tables that the metric or document at a place is about.
    """

    candidates: Candidates
    cosine: Scores
    bm25: Scores
    named: Scores
    surfaces: Sequence[tuple[str, NDArray[np.int32]]]
    tables: TableEvidence
    about: Callable[[int], Sequence[int]]


@dataclass(frozen=True, slots=True)
class PatternEvidence:
    """Cosines of the question with each template's and success's, as asked and masked, in the candidates' order."""

    candidates: Candidates
    cosine: Scores
    masked_cosine: Scores


def named_by(mentions: Sequence[Mention], slot: int) -> tuple[float, tuple[str, ...]]:
    """The share of the question's names that are names of the item in this slot, and these names."""
    own = [mention for mention in mentions if slot in mention.owners]
    share = sum(1 / len(mention.owners) / len(mentions) for mention in own)
    return share, tuple(mention.shown for mention in own)


def fuse(evidence: Evidence, weights: Weights, limits: Limits) -> list[Hit]:
    """The best candidates of each kind, as many as `limits` keeps."""
    candidates = evidence.candidates
    found = chances(evidence.tables, weights.tables)
    scores, likely = _scores(evidence, weights), np.zeros_like(evidence.cosine)
    for place in _shortlist(evidence, scores):
        likely[place] = max((float(found.table[table]) for table in evidence.about(place)), default=0.0)
    scores += weights.about * likely
    scores[candidates.is_table], likely[candidates.is_table] = found.table, found.database
    hits: list[Hit] = []
    for place in _kept(evidence, scores, limits):
        reasons = tuple(_reasons(evidence, place, float(likely[place])))
        hits.append(Hit(candidates.items[place], candidates.hashes[place], float(scores[place]), reasons))
    return hits if limits.worth is None else list(_worth_it(hits, limits.worth))


def _worth_it(hits: Sequence[Hit], worth: Callable[[Hit], bool]) -> Iterator[Hit]:
    likeliest = next((hit for hit in hits if hit.item.kind == "schema"), None)
    return (hit for hit in hits if hit.item.kind != "schema" or hit is likeliest or worth(hit))


def like_patterns(evidence: PatternEvidence, limits: Limits) -> list[Hit]:
    """The templates and successes whose question is most like the asked one, as many as `limits` keeps."""
    candidates = evidence.candidates
    scores = 0.5 * evidence.cosine + 0.5 * evidence.masked_cosine
    hits: list[Hit] = []
    for number, kind in enumerate(PATTERNS):
        places = np.flatnonzero((scores >= limits.pattern_floor) & (candidates.kind == number))
        for place in best_places(scores, places, limits.per_kind.get(kind, 0), candidates.items):
            reasons = (f"similar {evidence.cosine[place]:.2f}", f"masked {evidence.masked_cosine[place]:.2f}")
            hits.append(Hit(candidates.items[place], candidates.hashes[place], float(scores[place]), reasons))
    return hits


def _scores(evidence: Evidence, weights: Weights) -> Scores:
    best = float(evidence.bm25.max(initial=0.0))
    shares = evidence.bm25 / best if best else np.zeros_like(evidence.bm25)
    return evidence.cosine + weights.sparse * shares + weights.named * evidence.named


def _shortlist(evidence: Evidence, scores: Scores) -> list[int]:
    """Places of the metrics and documents that fit best, and of those that are named."""
    others = np.flatnonzero(~evidence.candidates.is_table)
    named = others[evidence.named[others] > 0]
    best = best_places(scores, others, SHORTLISTED, evidence.candidates.items)
    return list(dict.fromkeys((*best, *best_places(scores, named, SHORTLISTED, evidence.candidates.items))))


def _kept(evidence: Evidence, scores: Scores, limits: Limits) -> Iterator[int]:
    candidates = evidence.candidates
    is_table = candidates.is_table
    found = is_table | (evidence.cosine >= limits.floor) | (evidence.named > 0)
    if limits.near_best > 0:
        # Without the tables that are far from the best one; where even that one is unlike the question, without any.
        best = scores[is_table].max(initial=0.0)
        found &= ~is_table | (scores >= limits.near_best * best)
    for number, kind in enumerate(SEARCHED):
        places = np.flatnonzero(found & (candidates.kind == number))
        yield from best_places(scores, places, limits.per_kind.get(kind, 0), candidates.items)


def best_places(scores: Scores, places: NDArray[np.int64], limit: int, items: Sequence[Item]) -> list[int]:
    """The `limit` of `places` with the best scores, best first; ties by item id."""
    if limit < len(places):
        least = np.partition(scores[places], -limit)[-limit] if limit else np.inf
        places = places[scores[places] >= least]
    return sorted(map(int, places), key=lambda place: (-scores[place], items[place].id))[:limit]


def _reasons(evidence: Evidence, place: int, likely: float) -> Iterator[str]:
    """`likely` is the chance of a table's database, or of the likeliest table that another item is about."""
    yield f"similar {evidence.cosine[place]:.2f}"
    if evidence.bm25[place] > 0:
        yield f"words {evidence.bm25[place]:.1f}"
    if evidence.named[place] > 0:
        yield "names " + ", ".join(shown for shown, places in evidence.surfaces if place in places)
    body = evidence.candidates.items[place].body
    if isinstance(body, Schema):
        if body.database:
            yield f"database {body.database} {likely:.2f}"
    elif likely > 0:
        yield f"its tables {likely:.2f}"
