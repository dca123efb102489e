"""Hybrid retrieval over one commit: each kind by its own rule, every hit with the reasons it was retrieved.

Same commit, question and limits give the same hits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from kb.commit_index import CommitIndex
from kb.commit_indexes import CommitIndexes
from kb.companions import connected, gotchas, joined, referenced
from kb.dense_index import DenseIndex
from kb.embedding import Embedder, StoredEmbedder
from kb.entities import Mention
from kb.fusion import PatternEvidence, Weights, fuse, like_patterns
from kb.hit import Hit, Limits, within
from kb.items import Item, Kind
from kb.knowledge_base import KnowledgeBase
from kb.known_values import Values
from kb.masking import MaskedQuestion, mask
from kb.objects import Commit
from kb.store import BaseId, Store, Vector

KEPT_COMMITS, KEPT_BASES = 16, 64
"""Indexes that a retriever keeps: of so many commits of a base, some forty bytes an item each, and of so many bases."""

KEPT_QUESTIONS = 4096
"""Questions whose vectors a retriever keeps, some 3 kB each: a replay asks the same ones at commit after commit."""
KEPT_CHARACTERS = 1000
"""Of a longer question they are not kept: what anybody sends must not fill the memory."""

_BESIDE = 8
"""Questions whose likeness to confirmed ones is computed at once; each waits for FAISS, not for Python."""
_FEW_PATTERNS = 4096
"""Confirmed questions whose likeness takes less time than to hand it to another thread."""

__all__ = ["Hit", "Limits", "Retrieval", "Retriever", "Weights"]


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Hits by kind, best first within a kind. `reach` is that of the commit's items, 0 of what is not there."""

    commit: Commit
    question: MaskedQuestion
    mentions: tuple[Mention, ...]
    hits: tuple[Hit, ...]
    reach: Mapping[str, int]

    def of_kind(self, *kinds: Kind) -> tuple[Hit, ...]:
        return tuple(hit for hit in self.hits if hit.item.kind in kinds)


class Retriever:
    """Retrieves from any base and commit of one store. Safe to call from several threads."""

    def __init__(
        self, store: Store, embedder: Embedder, *, weights: Weights | None = None, kept: int = KEPT_COMMITS
    ) -> None:
        self.embedder = embedder
        self._stored = StoredEmbedder(embedder, store)
        self._weights = weights or Weights()
        self._kept = kept
        self._beside = ThreadPoolExecutor(max_workers=_BESIDE, thread_name_prefix="kvasir-retrieval")
        self._lock = threading.Lock()
        self._indexes: CommitIndexes | None = None
        self._vectors = lru_cache(KEPT_QUESTIONS)(self._embedded)

    def retrieve(
        self,
        base: KnowledgeBase,
        question: str,
        *,
        revision: str = "main",
        subjects: tuple[str, ...] = (),
        limits: Limits | None = None,
        follows: str = "",
    ) -> Retrieval:
        """`subjects` are the user and teams whose preferences apply.

        `follows` is what was asked before: what the question leans on is looked for with it. The patterns that a
        question matches are its own.
        """
        commit, index = self._at(base, revision)
        limits = limits or Limits()
        asked = f"{follows}\n{question}" if follows else question
        mentions = index.entities.find(asked)
        masked = mask(question, index.entities.find(question) if follows else mentions)
        embed = self._vectors if len(asked) <= KEPT_CHARACTERS else self._embedded
        whole, plain, as_masked = embed(base.id, asked, question, masked.text)
        likeness = self._likeness(index, plain, as_masked)
        evidence = index.evidence(asked, whole, mentions)
        hits = within([*_always(index, subjects), *fuse(evidence, self._weights, limits)], limits)
        patterns = like_patterns(likeness(), limits)
        hits = referenced(index, hits, patterns)
        # Cut first, so that no gotcha comes for a table that is not shown.
        hits = within([*hits, *joined(index, hits)], limits)
        hits += gotchas(index, mentions, hits)
        hits += patterns
        return Retrieval(commit, masked, tuple(mentions), tuple(connected(within(hits, limits))), base.reach(commit))

    def warm_up(self) -> None:
        """Load the embedding model now rather than with the first question."""
        self.embedder.embed(["warm up"])

    def mask(self, base: KnowledgeBase, question: str, *, revision: str = "main") -> MaskedQuestion:
        return self._at(base, revision)[1].mask(question)

    def patterns(self, base: KnowledgeBase, *, revision: str = "main") -> Mapping[str, MaskedQuestion]:
        """Id of each template and success → its question, masked, at a commit."""
        return self._at(base, revision)[1].masked

    def tables(self, base: KnowledgeBase, *, revision: str = "main") -> Mapping[str, tuple[str, ...]]:
        """Table → columns, from the schema items of a commit; those of all databases where several have the table."""
        return self._at(base, revision)[1].tables

    def values(self, base: KnowledgeBase, *, revision: str = "main") -> Values:
        """What the schema items of a commit know of the values in their columns."""
        return self._at(base, revision)[1].values

    def items(self, base: KnowledgeBase, hashes: Iterable[str]) -> dict[str, Item]:
        """Items by the hash under which they were retrieved, whatever the commit; most of them are not read."""
        return self._held().items(base, hashes)

    def prepare(self, base: KnowledgeBase, *, revision: str = "main") -> Commit:
        """Make the index of a commit now rather than with its first question."""
        commit, index = self._at(base, revision)
        index.complete()
        return commit

    def _at(self, base: KnowledgeBase, revision: str) -> tuple[Commit, CommitIndex]:
        indexes = self._held()
        commit_id = base.id_named_by(revision)
        kept = indexes.kept(base, commit_id) if commit_id is not None else None
        if kept is not None:
            return kept
        commit = base.resolve(commit_id or revision)
        return commit, indexes.at(base, commit)

    def _embedded(self, _base: BaseId, asked: str, question: str, masked: str) -> NDArray[np.float32]:
        """Of the question with what it follows, of the question, and of its masked text; by base, since how soon it
        comes tells that it was asked before.

        All in one batch, and kept together: what stands beside a text in a batch may change its last bits.
        """
        texts = [question, masked] if asked == question else [question, masked, asked]
        vectors = self.embedder.embed(texts)[[texts.index(asked), 0, 1]]
        vectors.setflags(write=False)
        return vectors

    def _likeness(self, index: CommitIndex, plain: Vector, as_masked: Vector) -> Callable[[], PatternEvidence]:
        work = partial(index.pattern_evidence, plain, as_masked)
        # FAISS computes without Python's lock, so a second core does much of it while the first one ranks.
        return work if index.pattern_count <= _FEW_PATTERNS else self._beside.submit(work).result

    def _held(self) -> CommitIndexes:
        with self._lock:
            if self._indexes is None:
                # Here rather than at the start, since the dimension is known when the model is loaded.
                dense = DenseIndex(self.embedder.dimension)
                self._indexes = CommitIndexes(self._stored, dense, kept=self._kept, bases=KEPT_BASES)
            return self._indexes


def _always(index: CommitIndex, subjects: tuple[str, ...]) -> list[Hit]:
    hits = [index.hit(slot, 1.0, "always") for slot in index.always]
    for subject in dict.fromkeys(subjects):
        hits += [index.hit(slot, 1.0, f"preference of {subject}") for slot in index.preferences(subject)]
    return hits
