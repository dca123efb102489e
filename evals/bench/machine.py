"""What a figure was measured on: the machine and the libraries."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from backend.machine import machine_facts

LIBRARIES = ("torch", "transformers", "sentence-transformers", "faiss-cpu", "bm25s", "numpy", "sqlglot", "litellm")


def bench_machine() -> dict[str, object]:
    """`libraries` maps names to versions; one that is absent is `None`."""
    return {
        **machine_facts(),
        "system": f"{platform.system()} {platform.machine()}",
        "libraries": {name: _version(name) for name in LIBRARIES},
    }


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
