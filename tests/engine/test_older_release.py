"""Kvasir's policies in LMCache 0.5.3, where the engine's Python has it. The folder's other tests run there, too."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from backend.engine_python import inspect_engine_python

pytestmark = [pytest.mark.engine]

REPOSITORY = Path(__file__).parents[2]


def test_the_load_gate_decides_about_ram_and_disk_in_two_steps(engine_python: Path, tmp_path: Path) -> None:
    if (version := inspect_engine_python(engine_python).lmcache) != "0.5.3":
        pytest.skip(f"{engine_python} has LMCache {version}; the two steps are those of 0.5.3")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "LMCACHE_TRACK_USAGE": "false"}
    answer = subprocess.run(
        [str(engine_python), str(Path(__file__).with_name("older_storage.py")), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    assert json.loads(answer.stdout.splitlines()[-1]) == {
        "nothing kept": 0,
        "without a profile, RAM": 8,
        "without a profile, disk": 8,
        "slow disk": 0,
        "RAM, then slow disk": 3,
        "RAM, then quick disk": 8,
        "slow RAM": 0,
        "RAM that pays only with what follows, alone": 0,
        "RAM that pays only with what follows": 8,
        "promoted from a slow disk": 8,
        "gate off": 8,
        "counts": {
            "evicted_files": 0,
            "load_gate_loaded_chunks": 8 + 8 + 3 + 8 + 8 + 8,
            "load_gate_refused_chunks": 8 + 5 + 8 + 2,
            "store_gate_budget": 0,
        },
    }
