"""Whether `kvasir backend size` counts as vLLM does: tokens of KV cache, of small models that are really started."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from backend.engine_python import engine_python_path, inspect_engine_python
from backend.errors import EnginePythonInvalid
from backend.sizing.report import SizeOptions, size_model
from evals.bench.errors import EngineDidNotReport, EngineUnavailable
from evals.bench.row import Asked, Row
from evals.bench.size.architectures import ARCHITECTURES, Architecture
from evals.bench.size.vllm_start import Start, reported_tokens

_GIB = 2**30
_TOLERANCE = 0.02


@dataclass(frozen=True, slots=True)
class Plan:
    """`only` names architectures; empty means all. Every model gets `kv_gib` for KV and, where its positions allow,
    sequences of `window_tokens`."""

    only: tuple[str, ...] = ()
    kv_gib: int = 1
    window_tokens: int = 8192
    batched_tokens: int = 2048
    timeout_seconds: float = 600.0


def size_rows(plan: Plan, progress: Callable[[str], None]) -> list[Row]:
    """A row for each architecture: what `size` says, beside what vLLM prints; asked is 2 % of the latter.

    A model that vLLM did not start has no value, and `progress` gets the reason. Raises `EngineUnavailable`.
    """
    python = engine_python_path()
    try:
        engine = inspect_engine_python(python)
    except EnginePythonInvalid as exc:
        raise EngineUnavailable(str(exc)) from exc
    chosen = [one for one in ARCHITECTURES if not plan.only or one.name in plan.only]
    rows = []
    with tempfile.TemporaryDirectory(prefix="kvasir-size-") as name:
        folder = Path(name)
        starts = [Start(write_config(one, folder), one.window_tokens(plan.window_tokens)) for one in chosen]
        progress(f"vLLM {engine.vllm} starts with {len(starts)} models …")
        reported = reported_tokens(
            python,
            starts,
            folder,
            kv_bytes=plan.kv_gib * _GIB,
            batched_tokens=plan.batched_tokens,
            timeout_seconds=plan.timeout_seconds,
        )
        for number, (one, start, found) in enumerate(zip(chosen, starts, reported, strict=True), 1):
            tokens = sized_tokens(start, plan, cpu=engine.cpu_only)
            rows.append(_row(one, tokens, found))
            progress(
                str(found)
                if isinstance(found, EngineDidNotReport)
                else f"{number}/{len(starts)} {one.name}: vLLM {found:,}, size {tokens:,}"
            )
    return rows


def sized_tokens(start: Start, plan: Plan, *, cpu: bool) -> int:
    """What `size` says of the same model, memory and settings."""
    options = SizeOptions(
        start.folder,
        kv_gib=plan.kv_gib,
        cpu=cpu,
        dtype="bfloat16",
        window_tokens=start.window_tokens,
        batched_tokens=plan.batched_tokens,
    )
    return size_model(options).gpus[0].fit.kv_tokens


def write_config(one: Architecture, folder: Path) -> Path:
    """The folder of a model without weights, made below `folder`."""
    model = folder / one.name
    model.mkdir(parents=True, exist_ok=True)
    (model / "config.json").write_text(json.dumps(one.config, indent=2), encoding="utf-8")
    return model


def architecture_names() -> Sequence[str]:
    return [one.name for one in ARCHITECTURES]


def _row(one: Architecture, tokens: int, found: int | EngineDidNotReport) -> Row:
    name = f"{one.name}: {one.kind}"
    if isinstance(found, EngineDidNotReport):
        return Row(name, None, "tokens", 0, asked=Asked(at_least=0))
    asked = Asked(at_least=found * (1 - _TOLERANCE), at_most=found * (1 + _TOLERANCE))
    return Row(name, tokens, "tokens", 1, baseline={"vllm": found}, asked=asked)
