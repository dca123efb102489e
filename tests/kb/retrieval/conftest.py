"""The shop, as it is only read."""

from __future__ import annotations

import pytest

from kb.embedding import SentenceEmbedder
from kb.knowledge_base import KnowledgeBase
from kb.retrieval import Retriever

from .shop import SHOP, base_of


@pytest.fixture(scope="module")
def shop() -> KnowledgeBase:
    """Read it only."""
    return base_of(SHOP)


@pytest.fixture(scope="module")
def retriever(shop: KnowledgeBase, embedder: SentenceEmbedder) -> Retriever:
    return Retriever(shop.store, embedder)
