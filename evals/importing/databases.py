"""The questions of one database: benchmarks hold many in a file, and a suite asks an assistant, which has one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from kb.importers.errors import SourceInvalid
from kb.importers.record import Record

_SHOWN = 8


def of_database(path: Path, records: Sequence[Record], database: str | None) -> list[Record]:
    """The records whose `db_id` is `database`. Raises `SourceInvalid` where none is, or it is not said which."""
    counts = Counter(record.text("db_id") for record in records)
    if database is None and len(counts) < 2:
        return list(records)
    if database is not None and database in counts:
        return [record for record in records if record.text("db_id") == database]
    names = [f"{name or '(none)'} ({count})" for name, count in counts.most_common(_SHOWN)]
    listed = ", ".join(names) + (f" and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else "")
    if database is None:
        raise SourceInvalid(str(path), f"asks {len(counts)} databases; name one with --db: {listed}", field="db_id")
    raise SourceInvalid(str(path), f"asks nothing of a database '{database}'; it has {listed}", field="db_id")
