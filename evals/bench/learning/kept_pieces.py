"""What pieces of a benchmark gave, in a file that a run which was cut off goes on from."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from evals.bench.errors import KeptUnreadable
from evals.bench.machine import bench_machine


class KeptPieces:
    """JSON lines, one a piece, on the disk before the next piece is begun. Another version of Kvasir or other data may
    give other results, so a file belongs to one of each.

    Raises `KeptUnreadable`. A last line that was cut off is left out and written anew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._results: dict[str, Any] = {}
        self._machines: Counter[str] = Counter()
        try:
            lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else [""]
        except (OSError, UnicodeDecodeError) as exc:
            raise KeptUnreadable(path, f"cannot be read ({exc})") from exc
        for number, line in enumerate(lines[:-1], start=1):
            try:
                entry = json.loads(line)
                self._results[entry["piece"]] = entry["result"]
                self._machines[entry["machine"]] += 1
            except (ValueError, KeyError, TypeError) as exc:
                raise KeptUnreadable(path, f"line {number} is no result of a piece ({exc!r})") from exc
        self._cut_off = lines[-1] != ""

    def get(self, piece: str) -> Any:
        """The result in its JSON form; `None` where there is none."""
        return self._results.get(piece)

    def keep(self, piece: str, result: Any) -> None:
        machine = str(bench_machine()["cpu"])
        if self._cut_off:
            self._drop_last_line()
        with self._path.open("a", encoding="utf-8") as file:
            entry = {"piece": piece, "machine": machine, "result": result}
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._results[piece] = result
        self._machines[machine] += 1

    @property
    def machines(self) -> dict[str, int]:
        """How many pieces were made on which processor."""
        return dict(self._machines)

    def _drop_last_line(self) -> None:
        whole = self._path.read_bytes()
        os.truncate(self._path, whole.rfind(b"\n") + 1)
        self._cut_off = False
