"""What the gateway adds to a request, beside the LiteLLM proxy, in front of one engine that takes 20 ms.

Every round asks each target once, at each number of clients, in an order that turns; so what the machine did meanwhile
falls on all of them. One process is asked at a time, and it alone has its core.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from evals.bench.errors import CoresTooFew
from evals.bench.gateway import proxy as litellm_proxy
from evals.bench.gateway.embedding_engine import SEPARATOR
from evals.bench.gateway.load import Load, Target, load
from evals.bench.gateway.mock_engine import MODEL
from evals.bench.gateway.proxy import Proxy, found_proxy
from evals.bench.gateway.rows import DIRECT, EMBEDDING, PASS_THROUGH, PROXY, RETRIEVAL, Block, rows_of
from evals.bench.gateway.servers import Cores, Server, bound_to, python_module, running
from evals.bench.learning.world import TENANT, World, made_world
from evals.bench.row import Row
from gateway.long_lived import freeze
from kb.embedding import Embedder

QUESTIONS = 200
"""Of the made-up database; each is asked again under a number of its own, so that its embedding is computed anew."""
WAVES = 10
"""A block has at least so many requests of each client."""

_CONFIG = """\
home = "state"

[engines.mock]
model = "openai/{model}"
api_base = "{engine}/v1"
api_key = "none"
window_tokens = 100000
pass_through = ["{tenant}"]

[assistants.world]
kb = "world"
engine = "mock"
"""
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "KVASIR_LOG_LEVEL": "WARNING"}
_KVASIR = [sys.executable, "-c", "from gateway.cli.main import main; main()", "serve", "--port", "{port}"]


@dataclass(frozen=True, slots=True)
class Plan:
    """`requests` are asked of each target in each block; a stream's blocks have half of them."""

    clients: tuple[int, ...] = (1, 4, 16)
    rounds: int = 8
    requests: int = 100
    proxy_python: Path = litellm_proxy.DEFAULT_PYTHON

    def blocks(self) -> Iterator[tuple[int, bool, int]]:
        """Clients, whether streamed, and requests."""
        for clients in self.clients:
            for stream in (False, True):
                wanted = self.requests // 2 if stream else self.requests
                yield clients, stream, max(wanted, WAVES * clients // (2 if stream else 1))


@dataclass(frozen=True, slots=True)
class Measured:
    rows: list[Row]
    facts: dict[str, object]


def measured(plan: Plan, embedder: Embedder, progress: Callable[[str], None]) -> Measured:
    """The rows. Without a proxy those that compare with it are left out, and `progress` gets the reason.

    Raises `CoresTooFew`, `ServerDidNotStart` and `LoadFailed`.
    """
    cores = _cores()
    found = found_proxy(plan.proxy_python)
    if isinstance(found, str):
        progress(f"the proxy is left out: {found}")
    proxy = found if isinstance(found, Proxy) else None
    with made_world(embedder, QUESTIONS) as world, _served(world, cores, proxy) as (targets, servers):
        numbered = _numbered(world)
        freeze()  # else this process's own collections are waits of whoever is asked just then
        blocks: dict[Block, list[Load]] = {}
        with bound_to(cores.others):
            for number in range(-1, plan.rounds):
                found_now = _round(plan, targets, world, numbered, number)
                if number < 0:
                    continue  # it warmed connections, caches and indexes
                for block, one in found_now:
                    blocks.setdefault(block, []).append(one)
                progress(f"round {number + 1} of {plan.rounds}")
        memory = {server.name: server.resident_mib() for server in servers}
    return Measured(rows_of(blocks, memory), {"litellm_proxy": proxy.version if proxy else None})


def _round(
    plan: Plan, targets: Sequence[Target], world: World, questions: Iterator[str], number: int
) -> list[tuple[Block, Load]]:
    found: list[tuple[Block, Load]] = []
    turned = number % len(targets)
    for clients, stream, requests in plan.blocks():
        for target in (*targets[turned:], *targets[:turned]):
            asked = [next(questions) for _ in range(requests)]
            if target.name == EMBEDDING:
                retriever = world.core.retriever
                asked = [f"{text}{SEPARATOR}{retriever.mask(world.base, text).text}" for text in asked]
            one = asyncio.run(load(target, asked, clients, stream=stream))
            found.append((Block(target.name, clients, stream), one))
    return found


@contextmanager
def _served(world: World, cores: Cores, proxy: Proxy | None) -> Iterator[tuple[tuple[Target, ...], tuple[Server, ...]]]:
    folder = world.database.parent
    with ExitStack() as stack:

        def start(
            name: str, command: Sequence[str], own: Sequence[int], health: str, **environment: str | None
        ) -> Server:
            running_server = running(name, command, own, folder, health=health, environment=environment)
            return stack.enter_context(running_server)

        module, own = "evals.bench.gateway", (cores.measured,)
        engine = start("mock engine", python_module(f"{module}.mock_engine"), cores.others, "/")
        embedding = start("embedding", python_module(f"{module}.embedding_engine"), own, "/", **_ONE_THREAD)
        config = folder / "gateway.toml"
        config.write_text(_CONFIG.format(model=MODEL, engine=engine.url, tenant=TENANT), encoding="utf-8")
        gateway = start("kvasir", [*_KVASIR, "--config", os.fspath(config)], own, "/readyz", **_ONE_THREAD)
        key = world.core.api_keys.create(TENANT, "bench", ("ask",))
        targets = [
            Target(DIRECT, engine.url, MODEL),
            Target(PASS_THROUGH, gateway.url, "engine:mock", key),
            Target(RETRIEVAL, gateway.url, "world", key),
            Target(EMBEDDING, embedding.url, MODEL),
        ]
        servers = [gateway]
        if proxy is not None:
            command = litellm_proxy.command_of(proxy, litellm_proxy.written_config(folder, engine.url))
            served = start(PROXY, command, own, litellm_proxy.HEALTH, **litellm_proxy.ENVIRONMENT)
            targets.append(Target(PROXY, served.url, MODEL, litellm_proxy.KEY))
            servers.append(served)
        yield tuple(targets), tuple(servers)


def _numbered(world: World) -> Iterator[str]:
    """Questions without end, no text twice."""
    number = 0
    while True:
        for question in world.questions:
            number += 1
            yield f"{question.text} (No. {number})"


def _cores() -> Cores:
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise CoresTooFew(len(allowed))
    return Cores(allowed[-1], tuple(allowed[:-1]))
