"""What was measured on: processor, memory, GPU, versions. Nothing that names the machine or its user."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import psutil

from backend.engine_python import engine_python_path, inspect_engine_python
from backend.errors import EnginePythonInvalid


def machine_facts() -> dict[str, object]:
    """`vllm` and `lmcache` are those of the engine's Python here, and `None` without one."""
    try:
        python = inspect_engine_python(engine_python_path())
    except EnginePythonInvalid:
        python = None
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": _gpu(),
        "python": platform.python_version(),
        "vllm": python.vllm if python else None,
        "lmcache": python.lmcache if python else None,
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


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
