"""Starts vLLM alone for as long as it takes to say how many tokens its KV cache holds."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from backend import processes
from backend.shared_memory import remove_segments, segments_of
from evals.bench.errors import EngineDidNotReport

_SIZE = re.compile(r"(?P<device>\w+) KV cache size: (?P<tokens>[\d,]+) tokens")
_POLL_SECONDS = 0.5
_GRACE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class ReportedSize:
    """`device` is the word vLLM puts before it: "CPU" or "GPU"."""

    device: str
    tokens: int


def reported_size(
    python: Path,
    model: Path,
    log: Path,
    *,
    kv_gib: int,
    window_tokens: int,
    batched_tokens: int,
    timeout_seconds: float,
    on_wait: Callable[[float], None] = lambda _: None,
) -> ReportedSize:
    """What vLLM prints for the model folder `model`, whose weights are made up and need not be there.

    Every process that was started is ended. Raises `EngineDidNotReport` with the end of the log.
    """
    argv = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    argv += ["--load-format", "dummy", "--skip-tokenizer-init", "--enforce-eager", "--dtype", "bfloat16"]
    argv += ["--max-model-len", str(window_tokens), "--max-num-batched-tokens", str(batched_tokens)]
    argv += ["--host", "127.0.0.1", "--port", "0"]
    log.unlink(missing_ok=True)
    mark = processes.spawn(argv, {**os.environ, **_quiet(kv_gib)}, log)
    segments: set[Path] = set()
    try:
        begun = time.monotonic()
        while (waited := time.monotonic() - begun) < timeout_seconds:
            text = log.read_text(encoding="utf-8", errors="replace")
            if match := _SIZE.search(text):
                return ReportedSize(match["device"], int(match["tokens"].replace(",", "")))
            if processes.find(mark) is None:
                raise EngineDidNotReport(model.name, "ended", _tail(text))
            on_wait(waited)
            time.sleep(_POLL_SECONDS)
        raise EngineDidNotReport(model.name, f"said nothing for {timeout_seconds:g} s", _tail(text))
    finally:
        present = processes.members(mark, log)
        segments |= segments_of(process.pid for process in present)
        processes.stop(present, mark, log, grace_seconds=_GRACE_SECONDS)
        processes.exit_code(mark)
        remove_segments(segments)


def _quiet(kv_gib: int) -> Mapping[str, str]:
    return {
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        # `python -m` would put the current folder before the installed packages.
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "VLLM_CPU_KVCACHE_SPACE": str(kv_gib),
        "VLLM_NO_USAGE_STATS": "1",
    }


def _tail(text: str) -> tuple[str, ...]:
    """The lines that say why, where there are some, else the last ones."""
    lines = text.splitlines()
    telling = [line for line in lines if re.search(r"\w+(Error|Exception)\b", line)]
    return tuple((telling or lines)[-6:])
