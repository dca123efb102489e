"""The preparation of the demo shop: whole or not there, and what was learned since is kept."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from gateway.settings import load_settings

SHOP = Path(__file__).parents[2] / "examples" / "shop"
COMMAND = [sys.executable, str(SHOP / "prepare.py")]


@pytest.fixture
def prepare() -> ModuleType:
    """The module `examples/shop/prepare.py`."""
    spec = importlib.util.spec_from_file_location("kvasir_shop_prepare", SHOP / "prepare.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def messages(prepare: ModuleType, config: Path) -> list[str]:
    return [commit["message"] for commit in json.loads(prepare.kvasir(config, "kb", "log", "--kb", "shop", "--json"))]


def test_a_preparation_that_broke_off_before_the_import_is_made_again_and_a_whole_one_is_kept(
    prepare: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KVASIR_HOME", str(tmp_path / "elsewhere"))
    run = prepare.kvasir

    def broken(config: Path, *arguments: str) -> str:
        if "import" in arguments:
            raise prepare.StepFailed("broken off")
        return str(run(config, *arguments))

    monkeypatch.setattr(prepare, "kvasir", broken)
    with pytest.raises(prepare.StepFailed, match="broken off"):
        prepare.prepare(tmp_path / "shop")
    assert not (tmp_path / "shop" / "state").exists()
    monkeypatch.setattr(prepare, "kvasir", run)
    config = prepare.prepare(tmp_path / "shop")
    whole = ["Import knowledge: 12 items", "Introspect shop: 22 items", "Start the knowledge base"]
    assert messages(prepare, config) == whole
    run(config, "kb", "revert", "main", "--kb", "shop")
    said: list[str] = []
    prepare.prepare(tmp_path / "shop", say=said.append)
    assert said == []
    assert messages(prepare, config)[1:] == whole
    assert not (tmp_path / "elsewhere").exists()
    monkeypatch.delenv("KVASIR_HOME")
    settings = load_settings(config)
    assert Path(settings.assistants["shop"].suite or "").samefile(SHOP / "suite.yaml")
    assert f'suite = "{SHOP}' not in config.read_text()


def test_an_interrupt_ends_it_without_a_traceback(tmp_path: Path) -> None:
    process = subprocess.Popen([*COMMAND, str(tmp_path / "shop")], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not (tmp_path / "shop" / "state.new").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.decode() == "interrupted; run it again to finish\n"
    assert not (tmp_path / "shop" / "state").exists()
