"""Rows of the gateway's benchmark, from the seconds of every request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evals.bench.bootstrap import mean_interval
from evals.bench.gateway.added import Pooled, added_ms, over_rounds, pool
from evals.bench.gateway.load import Load
from evals.bench.row import Asked, Row

DIRECT, PASS_THROUGH, RETRIEVAL = "engine alone", "pass-through", "with retrieval"
EMBEDDING, PROXY = "embedding alone", "litellm proxy"
QUANTILES = {"p50": 0.5, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class Block:
    """What was asked: whom, by so many clients at a time, whole answers or streams."""

    target: str
    clients: int
    stream: bool


Blocks = Mapping[Block, Sequence[Load]]
"""One load a round."""


def rows_of(blocks: Blocks, memory_mib: Mapping[str, float]) -> list[Row]:
    """`memory_mib` is of `kvasir` and, where it ran, of the proxy."""
    rows: list[Row] = []
    for clients in sorted({block.clients for block in blocks}):
        rows += _Clients(blocks, clients, stream=False).rows("added")
        rows += _Clients(blocks, clients, stream=True).rows("TTFT added")
        rows += _rates(blocks, clients)
    baseline = {name: value for name, value in memory_mib.items() if name == PROXY}
    rows.append(
        Row("memory of the gateway, its embedding model included", memory_mib["kvasir"], "MiB", 1, None, baseline)
    )
    return rows


class _Clients:
    """The rows of one number of clients, of whole answers or of streams."""

    def __init__(self, blocks: Blocks, clients: int, *, stream: bool) -> None:
        self._clients = clients
        self._rounds = {
            block.target: [one.seconds for one in loads]
            for block, loads in blocks.items()
            if block.clients == clients and block.stream == stream
        }
        self._bounds = not stream
        """What was asked is of whole answers."""

    def rows(self, what: str) -> list[Row]:
        rows: list[Row] = []
        for target, others in ((PASS_THROUGH, (PROXY,)), (RETRIEVAL, (PASS_THROUGH, EMBEDDING, PROXY))):
            rows += [self._added(what, target, others, name) for name in QUANTILES]
        if self._bounds and PROXY in self._rounds:
            rows.append(self._beside_proxy())
        if self._bounds:
            rows += [self._beside_embedding(name) for name in QUANTILES]
        return rows

    def _added(self, what: str, target: str, others: Sequence[str], name: str) -> Row:
        quantile = QUANTILES[name]
        value, interval = over_rounds(self._rounds, lambda pooled: added_ms(pooled, target, DIRECT, quantile))
        pooled = pool(self._rounds)
        baseline = {other: added_ms(pooled, other, DIRECT, quantile) for other in others if other in pooled}
        return Row(f"{target}, {self._at_a_time}: {name} {what}", value, "ms", self._n(target), interval, baseline)

    def _beside_proxy(self) -> Row:
        def ratio(pooled: Pooled) -> float:
            return added_ms(pooled, PASS_THROUGH, DIRECT, 0.99) / added_ms(pooled, PROXY, DIRECT, 0.99)

        value, interval = over_rounds(self._rounds, ratio)
        name = f"{PASS_THROUGH}, {self._at_a_time}: p99 added, beside the proxy's"
        return Row(name, value, "times", self._n(PASS_THROUGH), interval, asked=Asked(at_most=0.5))

    def _beside_embedding(self, name: str) -> Row:
        quantile = QUANTILES[name]

        def ratio(pooled: Pooled) -> float:
            allowed = 2 * added_ms(pooled, PASS_THROUGH, DIRECT, quantile)
            allowed += added_ms(pooled, EMBEDDING, DIRECT, quantile)
            return added_ms(pooled, RETRIEVAL, DIRECT, quantile) / allowed

        value, interval = over_rounds(self._rounds, ratio)
        label = f"{RETRIEVAL}, {self._at_a_time}: {name} added, beside twice pass-through and the embedding"
        return Row(label, value, "times", self._n(RETRIEVAL), interval, asked=Asked(at_most=1.0))

    @property
    def _at_a_time(self) -> str:
        return f"{self._clients} at a time"

    def _n(self, target: str) -> int:
        return sum(len(one) for one in self._rounds[target])


def _rates(blocks: Blocks, clients: int) -> list[Row]:
    """Whole answers a second, the mean of the rounds."""
    rates = {
        block.target: [len(one.seconds) / one.elapsed_seconds for one in loads]
        for block, loads in blocks.items()
        if block.clients == clients and not block.stream
    }
    means = {target: sum(found) / len(found) for target, found in rates.items()}
    return [
        Row(
            f"{target}, {clients} at a time: requests a second",
            means[target],
            "a second",
            len(rates[target]),
            mean_interval(rates[target]),
            {other: means[other] for other in (DIRECT, PROXY) if other in means},
        )
        for target in (PASS_THROUGH, RETRIEVAL)
    ]
