"""What was told to the engines' caches, for Prometheus: read from the caches when somebody asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.engine_cache import EngineCache


class CacheCollector(Collector):
    def __init__(self, caches: Mapping[str, EngineCache]) -> None:
        self._caches = caches

    def collect(self) -> Iterable[Metric]:
        told = CounterMetricFamily(
            "kvasir_cache_messages",
            "What was told to engines' caches, by kind and what became of it",
            labels=["engine", "kind", "outcome"],
        )
        waiting = GaugeMetricFamily(
            "kvasir_cache_messages_waiting", "What waits to be told to engines' caches", labels=["engine"]
        )
        for name, cache in self._caches.items():
            for (kind, outcome), count in sorted(cache.counts().items()):
                told.add_metric([name, kind, outcome], count)
            waiting.add_metric([name], cache.waiting())
        return told, waiting
