"""What a pair was measured on: the machine, its GPU, vLLM and LMCache."""

from __future__ import annotations

import subprocess

from backend.engine_python import engine_python_path, inspect_engine_python
from backend.errors import EnginePythonInvalid
from backend.machine import machine_facts


def pair_machine() -> dict[str, object]:
    """`vllm` and `lmcache` are those of the engine's Python here, and `None` without one."""
    try:
        python = inspect_engine_python(engine_python_path())
    except EnginePythonInvalid:
        python = None
    return {
        **machine_facts(),
        "gpu": _gpu(),
        "vllm": python.vllm if python else None,
        "lmcache": python.lmcache if python else None,
    }


def _gpu() -> str | None:
    try:
        answer = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return ", ".join(answer.stdout.split("\n")).strip(", ") or None
