"""What retrieval at one commit needs: its items, their rows of the dense index, BM25, names, joins, masked patterns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from kb.dense_index import DenseIndex
from kb.embedding import StoredEmbedder, text_hash
from kb.entities import EntityIndex, Mention
from kb.fusion import NO_DATABASE, PATTERNS, SEARCHED, Candidates, Evidence, PatternEvidence, named
from kb.items import Item, Kind, Schema
from kb.join_paths import JoinGraph
from kb.knowledge_base import Snapshot
from kb.masking import MaskedQuestion, mask
from kb.search_text import search_text
from kb.sparse_index import SparseIndex
from kb.store import Vector


class CommitIndex:
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
        self.candidates = _candidates(self.searched, snapshot.hashes, SEARCHED)
        self.pattern_candidates = _candidates(self.patterns, snapshot.hashes, PATTERNS)
        self._dense = dense
        self._places = {item.id: place for place, item in enumerate(self.searched)}
        self._rows = dense.rows([text_hash(text) for text in texts])
        self._plain_rows = dense.rows([text_hash(text) for text in plain])
        self._masked_rows = dense.rows([text_hash(text) for text in masked])
        self._sparse = SparseIndex(texts)

    def evidence(self, question: str, vector: Vector, mentions: Sequence[Mention]) -> Evidence:
        names = {self._places[owner]: found for owner, found in named(mentions).items() if owner in self._places}
        cosine = self._dense.scores(vector, self._rows).astype(np.float64)
        return Evidence(self.candidates, cosine, self._sparse.scores(question).astype(np.float64), names)

    def pattern_evidence(self, vector: Vector, masked_vector: Vector) -> PatternEvidence:
        plain = self._dense.scores(vector, self._plain_rows).astype(np.float64)
        masked = self._dense.scores(masked_vector, self._masked_rows).astype(np.float64)
        return PatternEvidence(self.pattern_candidates, plain, masked)

    def mask(self, question: str) -> MaskedQuestion:
        return mask(question, self.entities.find(question))


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


def _candidates(items: Sequence[Item], hashes: Mapping[str, str], kinds: tuple[Kind, ...]) -> Candidates:
    numbers: dict[str, int] = {}
    database = [
        numbers.setdefault(item.body.database, len(numbers)) if isinstance(item.body, Schema) else NO_DATABASE
        for item in items
    ]
    return Candidates(
        items,
        [hashes[item.id] for item in items],
        np.array([kinds.index(item.kind) for item in items], dtype=np.int8),
        np.array(database, dtype=np.int64),
    )
