"""One writer of the concurrent benchmark: `python -m evals.bench.kb.writer DATABASE FIRST COUNT`.

Commits items FIRST to FIRST + COUNT, one a commit, and prints each commit's id once it is acknowledged.
"""

from __future__ import annotations

import sys
from pathlib import Path

from evals.bench.kb.large_base import AUTHOR, item
from kb.database import open_database
from kb.knowledge_base import Changes, KnowledgeBase
from kb.sql_store import SqlStore


def main() -> None:
    path, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    base = KnowledgeBase(SqlStore(open_database(f"sqlite:///{path}")), "bench", "large")
    for number in range(first, first + count):
        commit = base.commit(Changes((item(number),)), author=AUTHOR, message=f"Item {number}")
        print(commit.id, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
