from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import backend

ROOT = Path(backend.__file__).parent
OURS = ("backend", "backend.address", "backend.errors")
FOREIGN = {
    "tiers": set(),
    "lmcache_server": {"lmcache", "torch", "fastapi", "pydantic", "prometheus_client"},
    "vllm_connector": {"lmcache", "vllm", "torch", *(path.stem for path in (ROOT / "vllm_connector").glob("*.py"))},
}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("package", sorted(FOREIGN))
def test_what_runs_in_the_engines_python_needs_nothing_of_kvasirs(package):
    paths = sorted((ROOT / package).glob("*.py"))
    assert paths
    for path in [*paths, ROOT / "errors.py", ROOT / "address.py"]:
        for name in imported(path):
            top = name.split(".")[0]
            ours = name in OURS or name.startswith(("backend.tiers", "backend.lmcache_server"))
            assert ours or top in sys.stdlib_module_names or top in FOREIGN[package], f"{path.name} imports {name}"


def test_only_the_servers_wrapper_and_vllms_connector_know_lmcaches_classes():
    for path in ROOT.rglob("*.py"):
        knows = any(name.split(".")[0] == "lmcache" for name in imported(path))
        assert not knows or path.parent.name in ("lmcache_server", "vllm_connector"), path
