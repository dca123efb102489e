"""Hybrid retrieval over one commit: each kind by its own rule, every hit with the reasons it was retrieved.

Same commit, question and limits give the same hits.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from kb.commit_index import CommitIndex
from kb.commit_indexes import CommitIndexes
from kb.companions import connected, gotchas, joined, referenced
from kb.dense_index import DenseIndex
from kb.embedding import Embedder, StoredEmbedder
from kb.entities import Mention
from kb.fusion import Weights, fuse, like_patterns
from kb.hit import Hit, Limits, within
from kb.items import Kind
from kb.knowledge_base import KnowledgeBase
from kb.masking import MaskedQuestion, mask
from kb.objects import Commit
from kb.store import Store

KEPT_COMMITS, KEPT_BASES = 16, 64
"""Indexes that a retriever keeps: of so many commits of a base, some forty bytes an item each, and of so many bases."""

__all__ = ["Hit", "Limits", "Retrieval", "Retriever", "Weights"]


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Hits by kind, best first within a kind."""

    commit: Commit
    question: MaskedQuestion
    mentions: tuple[Mention, ...]
    hits: tuple[Hit, ...]

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
        self._beside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kvasir-retrieval")
        self._lock = threading.Lock()
        self._indexes: CommitIndexes | None = None

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
        plain, as_masked = self.embedder.embed([question, masked.text])
        evidence = index.evidence(question, plain, mentions)
        # FAISS computes without Python's lock, so a second core does this while the first one ranks.
        likeness = self._beside.submit(index.pattern_evidence, plain, as_masked)
        hits = within([*_always(index, subjects), *fuse(evidence, self._weights, limits)], limits)
        patterns = like_patterns(likeness.result(), limits)
        hits = referenced(index, hits, patterns)
        hits += joined(index, hits)
        hits += gotchas(index, mentions, hits)
        hits += patterns
        return Retrieval(commit, masked, tuple(mentions), tuple(connected(within(hits, limits))))

    def warm_up(self) -> None:
        """Load the embedding model now rather than with the first question."""
        self.embedder.embed(["warm up"])

    def mask(self, base: KnowledgeBase, question: str, *, revision: str = "main") -> MaskedQuestion:
        return self._index(base, base.resolve(revision)).mask(question)

    def patterns(self, base: KnowledgeBase, *, revision: str = "main") -> Mapping[str, MaskedQuestion]:
        """Id of each template and success → its question, masked, at a commit."""
        return self._index(base, base.resolve(revision)).masked

    def tables(self, base: KnowledgeBase, *, revision: str = "main") -> Mapping[str, tuple[str, ...]]:
        """Table → columns, from the schema items of a commit; those of all databases where several have the table."""
        return self._index(base, base.resolve(revision)).tables

    def prepare(self, base: KnowledgeBase, *, revision: str = "main") -> Commit:
        """Make the index of a commit now rather than with its first question."""
        commit = base.resolve(revision)
        self._index(base, commit).complete()
        return commit

    def _index(self, base: KnowledgeBase, commit: Commit) -> CommitIndex:
        with self._lock:
            if self._indexes is None:
                # Here rather than at the start, since the dimension is known when the model is loaded.
                dense = DenseIndex(self.embedder.dimension)
                self._indexes = CommitIndexes(self._stored, dense, kept=self._kept, bases=KEPT_BASES)
        return self._indexes.at(base, commit)


def _always(index: CommitIndex, subjects: tuple[str, ...]) -> list[Hit]:
    hits = [index.hit(slot, 1.0, "always") for slot in index.always]
    for subject in dict.fromkeys(subjects):
        hits += [index.hit(slot, 1.0, f"preference of {subject}") for slot in index.preferences(subject)]
    return hits
