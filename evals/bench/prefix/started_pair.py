"""The real pair, vLLM with LMCache, started for a benchmark on free ports and stopped at its end."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from backend.errors import BackendError
from backend.launcher import down, up
from backend.plan import LaunchOptions, LaunchPlan, make_plan
from evals.bench.errors import EngineUnavailable


@contextmanager
def started_pair(model: Path, say: Callable[[str], None]) -> Iterator[LaunchPlan]:
    """Raises `EngineUnavailable`, with the reason."""
    with TemporaryDirectory(prefix="kvasir-bench-") as home:
        engine_port, cache_port, cache_http_port = _free_ports(3)
        options = LaunchOptions(
            model=model,
            engine_port=engine_port,
            cache_port=cache_port,
            cache_http_port=cache_http_port,
            restart=False,
        )
        state_dir = Path(home) / "backend"
        try:
            plan = make_plan(options, Path(home))
            up(plan, state_dir, say)
        except BackendError as exc:
            raise EngineUnavailable(str(exc)) from exc
        try:
            yield plan
        finally:
            down(state_dir, say)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
