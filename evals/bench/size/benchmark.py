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
from evals.bench.size.engine_start import reported_size

_TOLERANCE = 0.02
_REPORT_EVERY_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Plan:
    """`only` names architectures; empty means all. Every model gets `kv_gib` for KV and, where its positions allow,
    sequences of `window_tokens`."""

    only: tuple[str, ...] = ()
    kv_gib: int = 1
    window_tokens: int = 8192
    batched_tokens: int = 2048
    timeout_seconds: float = 300.0


def size_rows(plan: Plan, progress: Callable[[str], None]) -> list[Row]:
    """A row an architecture: what `size` says, beside what vLLM prints; asked is 2 % of the latter.

    A model that vLLM did not start has no value, and `progress` gets the reason. Raises `EngineUnavailable`.
    """
    python = engine_python_path()
    try:
        engine = inspect_engine_python(python)
    except EnginePythonInvalid as exc:
        raise EngineUnavailable(str(exc)) from exc
    chosen = [one for one in ARCHITECTURES if not plan.only or one.name in plan.only]
    rows = []
    with tempfile.TemporaryDirectory(prefix="kvasir-size-") as folder:
        for number, one in enumerate(chosen, 1):
            progress(f"{number}/{len(chosen)} {one.name}: vLLM {engine.vllm} starts …")
            rows.append(_row(one, plan, python, Path(folder), cpu=engine.cpu_only, progress=progress))
    return rows


def _row(
    one: Architecture, plan: Plan, python: Path, folder: Path, *, cpu: bool, progress: Callable[[str], None]
) -> Row:
    model = write_config(one, folder)
    window = one.window_tokens(plan.window_tokens)
    said = size_model(
        SizeOptions(
            model, kv_gib=plan.kv_gib, cpu=cpu, window_tokens=window, batched_tokens=plan.batched_tokens, dtype="bfloat16"
        )
    )
    tokens = said.gpus[0].fit.kv_tokens
    name = f"{one.name}, {one.kind}"
    try:
        reported = reported_size(
            python,
            model,
            folder / f"{one.name}.log",
            kv_gib=plan.kv_gib,
            window_tokens=window,
            batched_tokens=plan.batched_tokens,
            timeout_seconds=plan.timeout_seconds,
            on_wait=_spaced(lambda waited: progress(f"  {one.name}: {waited:.0f} s")),
        )
    except EngineDidNotReport as exc:
        progress(str(exc))
        return Row(name, None, "tokens", 0, asked=Asked(at_least=0))
    progress(f"  {one.name}: vLLM {reported.tokens:,}, size {tokens:,}")
    asked = Asked(at_least=reported.tokens * (1 - _TOLERANCE), at_most=reported.tokens * (1 + _TOLERANCE))
    return Row(name, tokens, "tokens", 1, baseline={"vllm": reported.tokens}, asked=asked)


def write_config(one: Architecture, folder: Path) -> Path:
    """The folder of a model without weights, made below `folder`."""
    model = folder / one.name
    model.mkdir(parents=True, exist_ok=True)
    (model / "config.json").write_text(json.dumps(one.config, indent=2), encoding="utf-8")
    return model


def architecture_names() -> Sequence[str]:
    return [one.name for one in ARCHITECTURES]


def _spaced(report: Callable[[float], None]) -> Callable[[float], None]:
    last = 0.0

    def heard(waited: float) -> None:
        nonlocal last
        if waited - last >= _REPORT_EVERY_SECONDS:
            last = waited
            report(waited)

    return heard
