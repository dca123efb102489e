"""Hybrid retrieval over one commit: each kind by its own rule, every hit with the reasons it was retrieved.

Dense (cosine), sparse (BM25) and named evidence are added with weights, because fusing their ranks with equal
weight was seen to be worse than the dense ranking alone. Same commit, question and limits give the same hits.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kb.dense_index import DenseIndex
from kb.embedding import Embedder, StoredEmbedder, text_hash
from kb.entities import EntityIndex, Mention, name_key
from kb.items import KINDS, Item, Kind, Preference, Relationship, Schema
from kb.join_paths import JoinGraph
from kb.knowledge_base import KnowledgeBase, Snapshot
from kb.masking import MaskedQuestion, mask
from kb.objects import Commit
from kb.search_text import search_text
from kb.sparse_index import SparseIndex
from kb.store import Store, Vector

SEARCHED: tuple[Kind, ...] = ("schema", "metric", "document")
PATTERNS: tuple[Kind, ...] = ("template", "success")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of each kind a question may retrieve, and the evidence it takes.

    A kind that `per_kind` leaves out retrieves its `always` items only. `floor` is the least cosine of a metric or
    document that the question does not name; `near_best` the least share of the best table's score that another table
    needs (0 takes any); `pattern_floor` the least similarity of a template or success.
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
    near_best: float = 0.4
    pattern_floor: float = 0.6


@dataclass(frozen=True, slots=True)
class Weights:
    """The fused score is cosine + sparse * BM25 (share of the best) + named * (share of names that are its own).

    The defaults were searched on Spider's training databases (docs/benchmarks.md), together with `Limits.near_best`.
    """

    sparse: float = 0.3
    named: float = 0.6
    database: float = 1.0


@dataclass(frozen=True, slots=True)
class Hit:
    """`score` is higher-better and compares within a kind only; `item_hash` is the item's content hash."""

    item: Item
    item_hash: str
    score: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Hits by kind, best first within a kind."""

    commit: Commit
    question: MaskedQuestion
    mentions: tuple[Mention, ...]
    hits: tuple[Hit, ...]

    def of_kind(self, *kinds: Kind) -> tuple[Hit, ...]:
        return tuple(hit for hit in self.hits if hit.item.kind in kinds)


class _CommitIndex:
    """What one commit's retrieval needs, made once per tree."""

    def __init__(self, snapshot: Snapshot, dense: DenseIndex, embedder: StoredEmbedder) -> None:
        self.hashes = snapshot.hashes
        self.items = [item for item in snapshot.items.values() if item.retrievable]
        self.by_id = {item.id: item for item in self.items}
        self.tables, self.by_table = _by_name(self.items)
        self.entities = EntityIndex(self.items)
        self.joins = JoinGraph(self.items)
        self.searched = [item for item in self.items if item.kind in SEARCHED and item.usage == "auto"]
        self.patterns = [item for item in self.items if item.kind in PATTERNS and item.usage == "auto"]
        self.masked = {item.id: self.mask(search_text(item)) for item in self.patterns}
        texts = [search_text(item) for item in self.searched]
        plain = [search_text(item) for item in self.patterns]
        masked = [self.masked[item.id].text for item in self.patterns]
        dense.add(embedder.embed([*texts, *plain, *masked]))
        self.rows = dense.rows([text_hash(text) for text in texts])
        self.plain_rows = dense.rows([text_hash(text) for text in plain])
        self.masked_rows = dense.rows([text_hash(text) for text in masked])
        self.sparse = SparseIndex(texts)

    def mask(self, question: str) -> MaskedQuestion:
        return mask(question, self.entities.find(question))


class Retriever:
    """Retrieves from any base and commit of one store. Safe to call from several threads."""

    def __init__(self, store: Store, embedder: Embedder, *, weights: Weights | None = None, kept: int = 16) -> None:
        self._embedder = embedder
        self._stored = StoredEmbedder(embedder, store)
        self._weights = weights or Weights()
        self._kept = kept
        self._lock = threading.Lock()
        self._dense: DenseIndex | None = None
        self._indexes: OrderedDict[tuple[str, str], _CommitIndex] = OrderedDict()
        self._making: dict[tuple[str, str], threading.Lock] = {}

    def retrieve(
        self,
        base: KnowledgeBase,
        question: str,
        *,
        revision: str = "main",
        subjects: tuple[str, ...] = (),
        limits: Limits | None = None,
    ) -> Retrieval:
        """`subjects` are the user and teams whose preferences apply."""
        commit = base.resolve(revision)
        index = self._index(base, commit)
        limits = limits or Limits()
        mentions = index.entities.find(question)
        masked = mask(question, mentions)
        query = _Query(question, masked, mentions, *self._embedder.embed([question, masked.text]))
        hits = _within([*_always(index, subjects), *self._searched(index, query, limits)], limits)
        patterns = _within(self._patterns(index, query, limits), limits)
        hits += _referenced(index, [*patterns, *hits])
        hits += _joined(index, hits)
        hits += _gotchas(index, query, hits)
        hits += patterns
        return Retrieval(commit, masked, tuple(mentions), tuple(_connected(_within(hits, limits))))

    def warm_up(self) -> None:
        """Load the embedding model now rather than with the first question."""
        self._embedder.embed(["warm up"])

    def mask(self, base: KnowledgeBase, question: str, *, revision: str = "main") -> MaskedQuestion:
        return self._index(base, base.resolve(revision)).mask(question)

    def patterns(self, base: KnowledgeBase, *, revision: str = "main") -> Mapping[str, MaskedQuestion]:
        """Id of each template and success → its question, masked, at a commit."""
        return self._index(base, base.resolve(revision)).masked

    def tables(self, base: KnowledgeBase, *, revision: str = "main") -> Mapping[str, tuple[str, ...]]:
        """Table → columns, from the schema items of a commit; those of all databases where several have the table."""
        return self._index(base, base.resolve(revision)).tables

    def _index(self, base: KnowledgeBase, commit: Commit) -> _CommitIndex:
        key = (str(base.id), commit.tree)
        with self._lock:
            if key in self._indexes:
                self._indexes.move_to_end(key)
                return self._indexes[key]
            if self._dense is None:
                self._dense = DenseIndex(self._embedder.dimension)
            making = self._making.setdefault(key, threading.Lock())
        # Embedding a commit may take long: only those who need the same one wait for it.
        with making:
            with self._lock:
                if key in self._indexes:
                    return self._indexes[key]
            index = _CommitIndex(base.snapshot(commit.id), self._dense, self._stored)
            with self._lock:
                self._indexes[key] = index
                self._making.pop(key, None)
                while len(self._indexes) > self._kept:
                    self._indexes.popitem(last=False)
        return index

    def _scores(self, query: Vector, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        assert self._dense is not None, "an index is made before it is searched"
        return self._dense.scores(query, rows)

    def _searched(self, index: _CommitIndex, query: _Query, limits: Limits) -> list[Hit]:
        cosine = self._scores(query.vector, index.rows)
        sparse = index.sparse.scores(query.text)
        best_sparse = float(sparse.max(initial=0.0))
        named = _named(query.mentions)
        hits: list[Hit] = []
        for position, item in enumerate(index.searched):
            share = float(sparse[position]) / best_sparse if best_sparse else 0.0
            own, surfaces = named.get(item.id, (0.0, ()))
            if item.kind != "schema" and not surfaces and cosine[position] < limits.floor:
                continue
            score = float(cosine[position]) + self._weights.sparse * share + self._weights.named * own
            reasons = [f"similar {cosine[position]:.2f}"]
            if share > 0:
                reasons.append(f"words {sparse[position]:.1f}")
            if surfaces:
                reasons.append("names " + ", ".join(surfaces))
            hits.append(Hit(item, index.hashes[item.id], score, tuple(reasons)))
        return _near_best(self._with_database_support(hits), limits)

    def _with_database_support(self, hits: list[Hit]) -> list[Hit]:
        """Tables of one database support each other: its three best tables speak for all of them."""
        by_database: dict[str, list[float]] = {}
        for hit in hits:
            if isinstance(hit.item.body, Schema):
                by_database.setdefault(hit.item.body.database, []).append(hit.score)
        if len(by_database) < 2:
            return hits
        support = {name: sum(sorted(scores)[-3:]) / min(3, len(scores)) for name, scores in by_database.items()}
        return [
            Hit(
                hit.item,
                hit.item_hash,
                hit.score + self._weights.database * support[hit.item.body.database],
                (*hit.reasons, f"database {hit.item.body.database} {support[hit.item.body.database]:.2f}"),
            )
            if isinstance(hit.item.body, Schema)
            else hit
            for hit in hits
        ]

    def _patterns(self, index: _CommitIndex, query: _Query, limits: Limits) -> list[Hit]:
        plain = self._scores(query.vector, index.plain_rows)
        masked = self._scores(query.masked_vector, index.masked_rows)
        hits: list[Hit] = []
        for position, item in enumerate(index.patterns):
            score = 0.5 * float(plain[position]) + 0.5 * float(masked[position])
            if score >= limits.pattern_floor:
                reasons = (f"similar {plain[position]:.2f}", f"masked {masked[position]:.2f}")
                hits.append(Hit(item, index.hashes[item.id], score, reasons))
        return hits


@dataclass(frozen=True, slots=True)
class _Query:
    text: str
    masked: MaskedQuestion
    mentions: list[Mention]
    vector: Vector
    masked_vector: Vector


def _by_name(items: Iterable[Item]) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """Table → columns, and table → item id for the names that one database alone has."""
    columns: dict[str, dict[str, None]] = {}
    ids: dict[str, list[str]] = {}
    for item in items:
        if isinstance(item.body, Schema):
            columns.setdefault(item.body.table, {}).update(dict.fromkeys(c.name for c in item.body.columns))
            ids.setdefault(item.body.table, []).append(item.id)
    only = {table: found[0] for table, found in ids.items() if len(found) == 1}
    return {table: tuple(names) for table, names in columns.items()}, only


def _named(mentions: Iterable[Mention]) -> dict[str, tuple[float, tuple[str, ...]]]:
    """Item id → (share of the question's names that are its own, those names). A name of many items says less."""
    found: dict[str, tuple[float, tuple[str, ...]]] = {}
    mentions = list(mentions)
    for mention in mentions:
        for owner in mention.owners:
            share, surfaces = found.get(owner, (0.0, ()))
            shown = f"'{mention.surface}'" + (" (misspelled)" if mention.fuzzy else "")
            found[owner] = (share + 1 / len(mention.owners) / len(mentions), (*surfaces, shown))
    return found


def _always(index: _CommitIndex, subjects: tuple[str, ...]) -> list[Hit]:
    hits: list[Hit] = []
    for item in index.items:
        if isinstance(item.body, Preference):
            if item.body.subject in subjects:
                hits.append(Hit(item, index.hashes[item.id], 1.0, (f"preference of {item.body.subject}",)))
        elif _is_always(item):
            hits.append(Hit(item, index.hashes[item.id], 1.0, ("always",)))
    return hits


def _near_best(hits: list[Hit], limits: Limits) -> list[Hit]:
    """Without the tables that are far from the best one; where even that one is unlike the question, without any."""
    if limits.near_best <= 0:
        return hits
    best = max((hit.score for hit in hits if hit.item.kind == "schema"), default=0.0)
    return [hit for hit in hits if hit.item.kind != "schema" or hit.score >= limits.near_best * best]


def _referenced(index: _CommitIndex, hits: list[Hit]) -> list[Hit]:
    """Tables that were not found themselves, but are what a found metric, template or success is made of.

    A confirmed answer to a like question is better evidence for its tables than their own likeness to the question,
    so the more alike the questions, the nearer its tables come to the best one.
    """
    have = {hit.item.id for hit in hits}
    best = max((hit.score for hit in hits if hit.item.kind == "schema"), default=1.0)
    added: dict[str, Hit] = {}
    for hit in hits:
        if hit.item.kind not in ("metric", "document", "template", "success"):
            continue
        used = [index.by_table.get(column.rpartition(".")[0], "") for column in hit.item.depends_on]
        for schema in sorted({*hit.item.refs, *used}):
            item = index.by_id.get(schema)
            if item is not None and item.kind == "schema" and schema not in have and schema not in added:
                share = best if hit.item.kind in PATTERNS else 0.5
                added[schema] = Hit(item, index.hashes[schema], hit.score * share, (f"used by {hit.item.id}",))
    return list(added.values())


def _joined(index: _CommitIndex, hits: list[Hit]) -> list[Hit]:
    """Relationships along the shortest paths between found tables, and the tables between them."""
    tables = [hit for hit in hits if hit.item.kind == "schema"]
    have = {hit.item.id for hit in hits}
    scores = {hit.item.id: hit.score for hit in tables}
    added: dict[str, Hit] = {}
    for path in index.joins.paths([hit.item.id for hit in tables]):
        score = min(scores[path.start], scores[path.end])
        end = "itself" if path.end == path.start else path.end.partition(":")[2]
        reason = f"joins {path.start.partition(':')[2]} and {end}"
        for item_id in (*path.relationships, *path.between):
            if item_id not in have and item_id not in added:
                added[item_id] = Hit(index.by_id[item_id], index.hashes[item_id], score, (reason,))
    return list(added.values())


def _gotchas(index: _CommitIndex, query: _Query, hits: list[Hit]) -> list[Hit]:
    """Gotchas one of whose entities occurs in the question or in what was retrieved for it."""
    in_question = _named(query.mentions)
    retrieved = {key: hit.item.id for hit in reversed(hits) for key in _keys(hit.item)}
    found: list[Hit] = []
    for item in index.items:
        if item.kind != "gotcha" or item.usage == "always":
            continue
        if item.id in in_question:
            share, surfaces = in_question[item.id]
            reason = "names " + ", ".join(surfaces)
            found.append(Hit(item, index.hashes[item.id], 1.0 + share, (reason,)))
            continue
        about = [entity.name for entity in item.entities if name_key(entity.name) in retrieved]
        if about:
            reason = f"about {about[0]}, retrieved as {retrieved[name_key(about[0])]}"
            found.append(Hit(item, index.hashes[item.id], 0.5, (reason,)))
    return found


def _keys(item: Item) -> list[str]:
    names = [entity.name for entity in item.entities]
    if isinstance(item.body, Schema):
        names.append(item.body.table)
        names.extend(f"{item.body.table}.{column.name}" for column in item.body.columns)
    return [name_key(name) for name in names]


def _connected(hits: list[Hit]) -> list[Hit]:
    """Without the joins of tables that the limit of tables cut off."""
    bodies = [hit.item.body for hit in hits]
    tables = {(body.database, body.table) for body in bodies if isinstance(body, Schema)}
    kept: list[Hit] = []
    for hit in hits:
        body = hit.item.body
        if isinstance(body, Relationship) and hit.item.usage != "always":
            if {(body.database, body.left_table), (body.database, body.right_table)} <= tables:
                kept.append(hit)
        else:
            kept.append(hit)
    return kept


def _is_always(item: Item) -> bool:
    """A rule always applies, so no limit cuts it."""
    return item.kind == "rule" or item.usage == "always"


def _within(hits: list[Hit], limits: Limits) -> list[Hit]:
    """At most the limit of each kind, best first; ties by id, so that the result never depends on order."""
    kept: list[Hit] = []
    for kind in (*limits.per_kind, *(kind for kind in KINDS if kind not in limits.per_kind)):
        limit = limits.per_kind.get(kind, 0)
        of_kind = [hit for hit in hits if hit.item.kind == kind]
        always = [hit for hit in of_kind if _is_always(hit.item)]
        ranked = sorted((hit for hit in of_kind if not _is_always(hit.item)), key=lambda hit: (-hit.score, hit.item.id))
        kept += [*sorted(always, key=lambda hit: hit.item.id), *ranked[:limit]]
    return kept
