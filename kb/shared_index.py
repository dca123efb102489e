"""What all commits of a base share: every item version, word, name, join and masked question, each held once.

It only grows. `kb/commit_index.py` is one commit's filter over it. Embedded texts are shared with all other bases.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kb.dense_index import DenseIndex
from kb.embedding import StoredEmbedder, text_hash
from kb.item_versions import NONE, ItemVersions, embedded_text
from kb.items import Item
from kb.join_paths import JoinGraph
from kb.masking import MaskedQuestion
from kb.name_index import NameIndex
from kb.name_words import NameWords
from kb.pattern_masks import PatternMasks
from kb.sparse_index import SparseIndex

EMBEDDED_AT_ONCE = 4096
"""Texts; what was embedded is kept in the store after each batch."""


class SharedIndex:
    """One thread at a time may add; any may read meanwhile, and what a reader holds never changes under it."""

    def __init__(self, embedder: StoredEmbedder, dense: DenseIndex) -> None:
        self.dense = dense
        self.versions = ItemVersions()
        self.sparse = SparseIndex()
        self.names = NameIndex()
        self.words = NameWords()
        self.joins = JoinGraph(self.versions.items)
        self.patterns = PatternMasks()
        self._embedder = embedder

    def add(self, items: Mapping[str, Item]) -> None:
        """Take up versions by item hash; those that are there already are left as they are."""
        texts = {key: text for key, item in items.items() if (text := embedded_text(item)) is not None}
        self._embed(texts.values())
        for key, item in items.items():
            if key not in self.versions:
                self._add(key, item, texts.get(key))

    def number_masks(self, masks: Mapping[int, MaskedQuestion]) -> dict[int, int]:
        """Slot of a pattern → the number of its masked question, which is embedded where it is new."""
        self._embed(mask.text for mask in masks.values() if self.patterns.number(mask) is None)
        return {slot: self._number(mask) for slot, mask in masks.items()}

    def _number(self, mask: MaskedQuestion) -> int:
        number = self.patterns.number(mask)
        if number is None:
            (row,) = self.dense.rows([text_hash(mask.text)])
            number = self.patterns.keep(mask, int(row))
        return number

    def _add(self, key: str, item: Item, text: str | None) -> None:
        row = NONE if text is None else int(self.dense.rows([text_hash(text)])[0])
        slot = self.versions.add(key, item, row)
        if slot is None:
            return
        self.names.add(slot, item)
        self.words.add(slot, item)
        self.joins.add(slot)
        if text is None:
            return
        if self.versions.column("pattern", slot + 1)[slot] == NONE:
            self.sparse.add(slot, text)
        else:
            self.patterns.add(slot, text)

    def _embed(self, texts: Iterable[str]) -> None:
        by_hash = {key: text for text in texts if (key := text_hash(text)) not in self.dense}
        fresh = list(by_hash.values())
        for start in range(0, len(fresh), EMBEDDED_AT_ONCE):
            self.dense.add(self._embedder.embed(fresh[start : start + EMBEDDED_AT_ONCE]))
