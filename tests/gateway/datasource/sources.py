"""Datasources with other limits, and a look at their workers."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from gateway.datasource import Datasource, DatasourceConfig

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"


def libpq(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def with_limits(source: Datasource, **limits: float) -> Datasource:
    known = {name: getattr(source.config, name) for name in source.config.__dataclass_fields__}
    return Datasource(DatasourceConfig(**{**known, **limits}))


def worker_pids(source: Datasource) -> set[int]:
    return {process.pid for process in [*source._pool._idle, *source._pool._lent]}


def wait_for(condition: Callable[[], bool]) -> None:
    """Fails by the suite's timeout where it never comes true."""
    while not condition():
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
