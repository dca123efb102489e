"""Starts LMCache with Kvasir's policies: `python …/lmcache_server/__main__.py SETTINGS server …LMCache's arguments`.

The policies must be registered before LMCache builds its argument parser, which takes their names from the registry.
`SETTINGS` is the JSON of `backend.tiers.settings`.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def _import_backend() -> None:
    """Make `backend` importable from the folder that this file lies in.

    That folder's parent may be the site-packages of another Python, with another torch. On the path, it would shadow
    the packages that LMCache needs; so only this one package is taken from there.
    """
    folder = Path(__file__).resolve().parents[1]
    spec = importlib.util.spec_from_file_location(
        "backend", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot import the package in {folder}")
    module = importlib.util.module_from_spec(spec)
    sys.modules["backend"] = module
    spec.loader.exec_module(module)


def main() -> None:
    settings, *arguments = sys.argv[1:]
    _import_backend()
    from backend.lmcache_server.start import start

    start(settings, arguments)


if __name__ == "__main__":
    main()
