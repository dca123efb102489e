"""The child process that runs a datasource's statements: `python -m gateway.sql_worker`, spoken to over its pipes.

A process of its own because only a process can be given a memory limit and be killed in the middle of a statement.
The database's address comes over the pipe, never in the arguments, where every user of the machine could read it.
It imports neither sqlglot nor SQLAlchemy: it starts in the time that Python takes. A thread reads the requests, so
that the end of the parent (end of file on stdin) ends the worker at once, mid-statement too.

Requests:  {"op": "open", "kind": "sqlite" | "postgres", "target": …, limits}, {"op": "ping"},
           {"op": "run", "sql": …, "max_rows": …}
Replies:   {"columns": […], "rows": [[…]], "truncated": …}, {} for open and ping,
           {"failure": a FailureKind, "message": …}
"""

from __future__ import annotations

import os
import resource
import sys
import threading
from queue import SimpleQueue
from typing import BinaryIO

from gateway.sql_reader import Reader, ReadFailure, ReadLimits
from gateway.sql_wire import Frame, read_frame, write_frame

_READER_STACK_BYTES = 256 * 1024
_BALLAST_BYTES = 1024 * 1024
MEMORY_EXIT = 70


def main() -> None:
    requests = _incoming(sys.stdin.buffer)
    replies = os.fdopen(os.dup(1), "wb")
    # A library that prints must not break a frame.
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    reader = _open(requests.get(), replies)
    while reader is not None:
        # Freed when memory runs out, so that the reply that says so can be built.
        ballast: bytearray | None = bytearray(_BALLAST_BYTES)
        try:
            reply = _answer(reader, requests.get())
        except ReadFailure as failure:
            reply = {"failure": failure.kind, "message": failure.message}
        except MemoryError:
            ballast = None
            reply = {"failure": "memory", "message": ""}
        write_frame(replies, reply)
        if ballast is None:
            os._exit(MEMORY_EXIT)


def _incoming(stream: BinaryIO) -> SimpleQueue[Frame]:
    queue: SimpleQueue[Frame] = SimpleQueue()

    def pump() -> None:
        while (frame := read_frame(stream)) is not None:
            queue.put(frame)
        os._exit(0)

    threading.stack_size(_READER_STACK_BYTES)
    threading.Thread(target=pump, name="requests", daemon=True).start()
    return queue


def _open(request: Frame, replies: BinaryIO) -> Reader | None:
    limits = ReadLimits(
        timeout_seconds=float(request["timeout_seconds"]),
        max_memory_bytes=int(request["max_memory_bytes"]),
        max_result_bytes=int(request["max_result_bytes"]),
    )
    reader: Reader
    if request["kind"] == "sqlite":
        from gateway.sqlite_reader import SqliteReader

        reader = SqliteReader(request["target"], limits)
    else:
        try:
            from gateway.postgres_reader import PostgresReader
        except ImportError as exc:
            write_frame(replies, {"failure": "unavailable", "message": f"psycopg cannot be imported: {exc}"})
            return None
        reader = PostgresReader(request["target"], limits)
    limit_memory(limits.max_memory_bytes)
    write_frame(replies, {})
    return reader


def _answer(reader: Reader, request: Frame) -> Frame:
    if request["op"] == "ping":
        reader.ping()
        return {}
    rows = reader.read(request["sql"], int(request["max_rows"]))
    return {"columns": rows.columns, "rows": rows.rows, "truncated": rows.truncated}


def limit_memory(max_memory_bytes: int) -> None:
    """Caps what this process can allocate from here on. Best effort: macOS knows RLIMIT_AS but does not keep it."""
    limits = {
        resource.RLIMIT_DATA: max_memory_bytes,
        # What is mapped already (libraries, mostly not in memory) does not count.
        resource.RLIMIT_AS: max_memory_bytes + _mapped_bytes(),
        resource.RLIMIT_CORE: 0,
    }
    for which, wanted in limits.items():
        _, hard = resource.getrlimit(which)
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        try:
            resource.setrlimit(which, (limit, limit))
        except (ValueError, OSError):
            continue
    try:
        # Where the machine itself runs out, this process goes before the gateway does.
        with open("/proc/self/oom_score_adj", "w") as score:
            score.write("1000")
    except OSError:
        return


def _mapped_bytes() -> int:
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 1 << 30


if __name__ == "__main__":
    main()
