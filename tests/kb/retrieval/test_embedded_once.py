"""A text is embedded once, whatever commits, threads and processes need it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kb.database import open_database, upgrade
from kb.embedding import SentenceEmbedder
from kb.knowledge_base import Changes, KnowledgeBase
from kb.retrieval import Retriever
from kb.sql_store import SqlStore

from .shop import SHOP, Counting, base_of, table


def embedded(retriever: Retriever) -> int:
    """Texts in the dense index."""
    assert retriever._indexes is not None
    return len(retriever._indexes.dense)


def test_the_index_holds_a_text_once_across_commits_and_embeds_only_what_is_new(embedder: SentenceEmbedder) -> None:
    base, counting = base_of(SHOP), Counting(embedder)
    retriever = Retriever(base.store, counting)
    retriever.retrieve(base, "orders")
    # 5 tables, metric and document; success and template, each as asked and masked.
    assert len(counting.asked) - 2 == embedded(retriever) == 7 + 2 * 2
    counting.asked.clear()
    base.commit(Changes(put=(table("shipments", "id", "carrier"),)), author="ann", message="More")
    retriever.retrieve(base, "orders")
    assert counting.asked == ["shipments: id, carrier"]
    assert embedded(retriever) == 12
    counting.asked.clear()
    base.commit(Changes(remove=("schema:shipments",)), author="ann", message="Less")
    retriever.retrieve(base, "orders")
    assert counting.asked == []
    assert embedded(retriever) == 12


def test_another_process_embeds_nothing_anew(embedder: SentenceEmbedder, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/kb.sqlite"
    counting = Counting(embedder)
    found = []
    for start in (True, False):
        database = open_database(url)
        if start:
            upgrade(database)
            base = KnowledgeBase.create(SqlStore(database), "acme", "shop", author="ann")
            base.commit(Changes(put=tuple(SHOP)), author="ann", message="Start")
        base = KnowledgeBase(SqlStore(database), "acme", "shop")
        counting.asked.clear()
        found.append(Retriever(base.store, counting).retrieve(base, "orders").hits)
        database.dispose()
    assert counting.asked == ["orders", "<name>"]
    assert found[0] == found[1]


def test_many_threads_that_need_one_commit_make_its_index_once(embedder: SentenceEmbedder) -> None:
    base, counting = base_of(SHOP), Counting(embedder)
    retriever = Retriever(base.store, counting)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: retriever.retrieve(base, "customers orders").hits, range(16)))
    assert all(hits == found[0] for hits in found)
    of_items = [text for text in counting.asked if text not in ("customers orders", "<name> <name>")]
    assert of_items
    assert len(of_items) == len(set(of_items))
