"""A replica of the benchmark: `python -m evals.bench.kb.replica DATABASE`. Ends when its input does.

It follows `main` and prints each head's id and the time, in seconds since 1970, when its index was ready.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from evals.bench.kb.large_base import BASE, TENANT
from evals.bench.kb.stand_ins import StandIns
from kb.database import open_database
from kb.embedding import SentenceEmbedder
from kb.follower import Follower
from kb.knowledge_base import KnowledgeBase
from kb.objects import Commit
from kb.retrieval import Retriever
from kb.sql_store import SqlStore


class _Telling(Retriever):
    def prepare(self, base: KnowledgeBase, *, revision: str = "main") -> Commit:
        commit = super().prepare(base, revision=revision)
        print(commit.id, time.time(), flush=True)  # noqa: T201
        return commit


def main() -> None:
    database = open_database(f"sqlite:///{Path(sys.argv[1])}")
    store = SqlStore(database)
    base = KnowledgeBase(store, TENANT, BASE)
    retriever = _Telling(store, StandIns(SentenceEmbedder()))
    retriever.warm_up()
    follower = Follower(database, retriever, lambda: [(base, "main")])
    follower.start()
    sys.stdin.read()
    follower.stop()
    database.dispose()


if __name__ == "__main__":
    main()
