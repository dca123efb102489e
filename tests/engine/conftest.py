"""The real pair, vLLM with LMCache, on free ports, with a small model made on the spot or with the one that ships.
Always stopped at the end.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from backend.engine_python import engine_python_path, inspect_engine_python
from backend.errors import EnginePythonInvalid
from backend.launcher import down, up
from backend.model_folder import SHIPPED_FOLDER
from backend.plan import LaunchOptions, LaunchPlan, make_plan
from backend.tiny_model import make_model_folder

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Pair:
    """A running pair. Metrics are summed over their labels."""

    plan: LaunchPlan
    state_dir: Path

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

    def restart_engine(self) -> None:
        """Stop vLLM and start it again, while LMCache lives. vLLM's counters begin at 0."""
        down(self.state_dir, print, only="engine")
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
def free_ports() -> Callable[[int], list[int]]:
    """Finds so many ports that nothing listens on."""
    return _free_ports


@pytest.fixture(scope="session")
def pair(engine_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    home = tmp_path_factory.mktemp("kvasir")
    # 64 for each head, since vLLM's attention on a CPU takes no smaller ones.
    model = make_model_folder(home / "kvasir-tiny", _project_texts(), hidden=128, heads=2, kv_heads=1)
    with running_pair(model, home, engine_python) as running:
        yield running


@pytest.fixture(scope="module")
def mini_pair(engine_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """With the model that ships."""
    with running_pair(SHIPPED_FOLDER, tmp_path_factory.mktemp("mini"), engine_python) as running:
        yield running


@contextmanager
def running_pair(model: Path, home: Path, python: Path) -> Iterator[Pair]:
    engine_port, cache_port, cache_http_port = _free_ports(3)
    options = LaunchOptions(
        model=model,
        engine_port=engine_port,
        cache_port=cache_port,
        cache_http_port=cache_http_port,
        window_tokens=4096,
        cpu_kv_gb=float(os.environ.get("VLLM_CPU_KVCACHE_SPACE", "1")),
    )
    plan = make_plan(options, home, python=python)
    state_dir = home / "backend"
    try:
        up(plan, state_dir, print)
        yield Pair(plan, state_dir)
    finally:
        down(state_dir, print)


def _project_texts() -> list[str]:
    found = [REPOSITORY / "README.md", REPOSITORY / "LICENSE"]
    for folder, pattern in (("docs", "*.md"), ("backend", "*.py"), ("kb", "*.py"), ("gateway", "*.py")):
        found += sorted((REPOSITORY / folder).rglob(pattern))
    return [path.read_text(encoding="utf-8") for path in found if path.is_file()]


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _metrics(url: str) -> dict[str, float]:
    totals: dict[str, float] = {}
    for family in text_string_to_metric_families(httpx.get(url, trust_env=False).raise_for_status().text):
        for sample in family.samples:
            totals[sample.name] = totals.get(sample.name, 0.0) + sample.value
    return totals
