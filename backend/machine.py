"""What a figure was measured on: processor, cores, memory, Python. Nothing that names the machine or its user."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil


def machine_facts() -> dict[str, object]:
    """`cores` are those this process may use; `memory_gib` is the machine's."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
    }


def _cpu_model() -> str:
    listed = Path("/proc/cpuinfo")
    if listed.is_file():
        for line in listed.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
