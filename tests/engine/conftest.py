"""The real pair, vLLM with LMCache, on free ports, with a small model made on the spot or with the one that ships.
Always stopped at the end. A start takes most of a minute, so the first kind is started once for all files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from backend.client import Engine, EngineConfig, connect
from backend.engine_python import engine_python_path, inspect_engine_python
from backend.errors import EnginePythonInvalid
from backend.launcher import down, up
from backend.model_folder import SHIPPED_FOLDER
from backend.plan import LaunchOptions, LaunchPlan, make_plan
from backend.ports import find_free
from backend.tiny_model import make_model_folder
from evals.replay import SuiteReplay
from gateway.app import create_app
from gateway.settings import AssistantSettings, DatasourceSettings, EngineSettings, Settings
from kb.introspect import introspect
from kb.items import Document, Item

from .filled import fill
from .policy_pair import PolicyPair

REPOSITORY = Path(__file__).parents[2]
HANDBOOK = " ".join(f"Article {number}: the shop keeps {number} aisles in its store." for number in range(80))
DISK_BYTES = 40_000_000
"""What the pair for all files may keep on disk."""


@dataclass(frozen=True)
class Pair:
    """A running pair. Metrics are summed over their labels; what was on the disk is as the start left it."""

    plan: LaunchPlan
    state_dir: Path
    files_at_start: dict[str, int]
    disk_at_start: dict[str, int]

    @property
    def api_base(self) -> str:
        return self.plan.api_base

    @property
    def cache_url(self) -> str:
        return self.plan.cache_url

    @property
    def model_name(self) -> str:
        return self.plan.served_name

    def vllm_metrics(self) -> dict[str, float]:
        return _metrics(f"{self.api_base.removesuffix('/v1')}/metrics")

    def lmcache_metrics(self) -> dict[str, float]:
        return _metrics(f"{self.cache_url}/metrics")

    def stop_engine(self) -> None:
        """LMCache lives on."""
        down(self.state_dir, print, only="engine")

    def start_engine(self) -> None:
        """After it was stopped. vLLM's counters begin at 0."""
        up(self.plan, self.state_dir, print, only="engine")


@pytest.fixture(scope="session")
def engine_python() -> Path:
    """The interpreter that has vLLM and LMCache; without one, the tests skip or, where services are required, fail."""
    python = engine_python_path()
    try:
        inspect_engine_python(python)
    except EnginePythonInvalid as exc:
        if os.environ.get("KVASIR_REQUIRE_SERVICES") == "1":
            pytest.fail(str(exc))
        pytest.skip(str(exc))
    return python


@pytest.fixture(scope="session")
def pair(engine_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    home = tmp_path_factory.mktemp("kvasir")
    model = tiny_model(home, _project_texts())
    _leave_files(home / "backend" / "kv")
    with running_pair(model, home, engine_python, disk_gb=DISK_BYTES / 1e9) as running:
        yield running


@pytest.fixture(scope="session")
def engine(pair: Pair) -> Engine:
    return connect(EngineConfig("main", f"hosted_vllm/{pair.model_name}", api_base=pair.api_base, lmcache=True))


@pytest.fixture(scope="session")
def policy(pair: Pair) -> Iterator[PolicyPair]:
    with closing(PolicyPair(pair.plan)) as policy:
        yield policy


@pytest.fixture(scope="session")
def client(
    pair: Pair, shop_database: Path, running: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """Of a gateway before the pair."""
    engine = EngineSettings(
        model=f"hosted_vllm/{pair.model_name}", api_base=pair.api_base, lmcache=True, max_output_tokens=8
    )
    settings = Settings(
        home=tmp_path_factory.mktemp("gateway"),
        engines={"main": engine},
        datasources={"shop": DatasourceSettings(url=f"sqlite:///{shop_database}")},
        assistants={
            "shop": AssistantSettings(kb="shop", engine="main", datasource="shop"),
            "sql": AssistantSettings(kb="shop", engine="main", datasource="shop", decoding="sql"),
        },
    )
    handbook = Item("document:handbook", "Handbook", Document(HANDBOOK), usage="always")
    fill(settings, *introspect(f"sqlite:///{shop_database}"), handbook)
    with running(create_app(settings, replay=SuiteReplay())) as url, httpx.Client(base_url=url, timeout=120) as client:
        yield client


@pytest.fixture(scope="module")
def mini_pair(engine_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """With the model that ships."""
    with running_pair(SHIPPED_FOLDER, tmp_path_factory.mktemp("mini"), engine_python) as running:
        yield running


def tiny_model(folder: Path, texts: Sequence[str]) -> Path:
    """A folder with random weights, 512 bytes of KV a token; its tokenizer learns from `texts`."""
    # 64 for each head, since vLLM's attention on a CPU takes no smaller ones.
    return make_model_folder(folder / "kvasir-tiny", texts, hidden=128, heads=2, kv_heads=1)


@contextmanager
def running_pair(model: Path, home: Path, python: Path, **more: Any) -> Iterator[Pair]:
    """`more` are fields of `LaunchOptions`."""
    engine_port, cache_port, cache_http_port = find_free(3)
    options = LaunchOptions(
        model=model,
        engine_port=engine_port,
        cache_port=cache_port,
        cache_http_port=cache_http_port,
        window_tokens=4096,
        allow_reset=True,
        cpu_kv_gb=float(os.environ.get("VLLM_CPU_KVCACHE_SPACE", "1")),
    )
    plan = make_plan(replace(options, **more), home, python=python)
    state_dir = home / "backend"
    try:
        up(plan, state_dir, print)
        files = {path.name: path.stat().st_size for path in plan.kv_dir.iterdir()}
        status = httpx.get(f"{plan.cache_url}/kvasir/status", trust_env=False).raise_for_status().json()
        yield Pair(plan, state_dir, files, status["disk"]["disk"])
    finally:
        down(state_dir, print)


def _leave_files(kv_dir: Path) -> None:
    """What a killed server would leave: more than the cap allows, oldest first, and a file that was being written."""
    kv_dir.mkdir(parents=True)
    for number, eighths in enumerate((6, 1, 1, 1, 1)):
        (kv_dir / f"old{number}.data").write_bytes(bytes(DISK_BYTES * eighths // 8))
    (kv_dir / "half.tmp").write_bytes(bytes(1000))


def _project_texts() -> list[str]:
    found = [REPOSITORY / "README.md", REPOSITORY / "LICENSE"]
    for folder, pattern in (("docs", "*.md"), ("backend", "*.py"), ("kb", "*.py"), ("gateway", "*.py")):
        found += sorted((REPOSITORY / folder).rglob(pattern))
    return [path.read_text(encoding="utf-8") for path in found if path.is_file()]


def _metrics(url: str) -> dict[str, float]:
    totals: dict[str, float] = {}
    for family in text_string_to_metric_families(httpx.get(url, trust_env=False).raise_for_status().text):
        for sample in family.samples:
            totals[sample.name] = totals.get(sample.name, 0.0) + sample.value
    return totals
