"""How many tokens vLLM says that its KV cache holds, for model folders with a config and no weights."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from backend import processes
from backend.shared_memory import remove_segments, segments_of
from evals.bench.errors import EngineDidNotReport

_SIZE = re.compile(r"KV cache size: (?P<tokens>[\d,]+) tokens")
_PROBE = Path(__file__).with_name("vllm_probe.py")
_POLL_SECONDS = 0.5
_GRACE_SECONDS = 10.0
_TAIL_LINES = 6

_ENVIRONMENT = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "PYTHONUNBUFFERED": "1",
    # Where it is set, it goes before the memory that the probe asks for.
    "VLLM_CPU_KVCACHE_SPACE": "",
    # The engine in the probe's own fork, not in a process that imports all of vLLM again.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    # It is compiled at start, and stops the engine where no compiler is installed.
    "VLLM_USE_FLASHINFER_SAMPLER": "0",
}


@dataclass(frozen=True, slots=True)
class Start:
    """A model folder, and the longest sequence that vLLM is to allow."""

    folder: Path
    window_tokens: int


def reported_tokens(
    python: Path,
    starts: Sequence[Start],
    work: Path,
    *,
    kv_bytes: int,
    batched_tokens: int,
    timeout_seconds: float,
) -> Iterator[int | EngineDidNotReport]:
    """What vLLM prints for each start, in order and as it comes, or why it printed nothing.

    `work` gets the logs. `timeout_seconds` is for one model; after one that took longer, none is started any more.
    Every process is ended, also where the caller stops asking.
    """
    logs = [work / f"{number}-{one.folder.name}.log" for number, one in enumerate(starts)]
    asked = {
        "models": [
            {"folder": str(one.folder), "log": str(log), "window_tokens": one.window_tokens}
            for one, log in zip(starts, logs, strict=True)
        ],
        "kv_bytes": kv_bytes,
        "batched_tokens": batched_tokens,
    }
    order = work / "asked.json"
    order.write_text(json.dumps(asked), encoding="utf-8")
    main_log = work / "probe.log"
    # -P: else the folder of the probe would come before the installed packages.
    argv = [str(python), "-P", str(_PROBE), str(order)]
    mark = processes.spawn(argv, {**os.environ, **_ENVIRONMENT}, main_log)
    in_time = True
    try:
        for one, log in zip(starts, logs, strict=True):
            if not in_time:
                yield EngineDidNotReport(one.folder.name, "was not started after the one before", ())
                continue
            found = _wait(mark, log, main_log, one.folder.name, timeout_seconds)
            in_time = found is not None
            yield found or EngineDidNotReport(one.folder.name, f"took over {timeout_seconds:g} s", _last(log, main_log))
    finally:
        present = processes.members(mark, main_log)
        segments = segments_of(process.pid for process in present)
        processes.stop(present, mark, main_log, grace_seconds=_GRACE_SECONDS)
        processes.exit_code(mark)
        remove_segments(segments)


def _wait(
    mark: processes.ProcessMark, log: Path, main_log: Path, name: str, timeout_seconds: float
) -> int | EngineDidNotReport | None:
    begun = time.monotonic()
    while time.monotonic() - begun < timeout_seconds:
        # Asked before the log is read, so that nothing is written in between.
        over = processes.find(mark) is None or str(log) in _text(main_log).splitlines()
        if match := _SIZE.search(_text(log)):
            return int(match["tokens"].replace(",", ""))
        if over:
            return EngineDidNotReport(name, "ended", _last(log, main_log))
        time.sleep(_POLL_SECONDS)
    return None


def _last(log: Path, main_log: Path) -> tuple[str, ...]:
    """The lines of the log that say why, where some do, else its last ones."""
    lines = (_text(log) or _text(main_log)).splitlines()
    telling = [line for line in lines if re.search(r"(Error|Exception): ", line)]
    return tuple((telling or lines)[-_TAIL_LINES:])


def _text(log: Path) -> str:
    try:
        return log.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
