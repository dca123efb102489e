"""What the replicas of engines were asked, for Prometheus: read from the routing when somebody asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from backend.client import Engine
from backend.routing.routed_engine import RoutedEngine

_LABELS = ["engine", "replica"]


class ReplicaCollector(Collector):
    """Of the engines that have several."""

    def __init__(self, engines: Mapping[str, Engine]) -> None:
        self._routed = {name: engine for name, engine in engines.items() if isinstance(engine, RoutedEngine)}

    def collect(self) -> Iterable[Metric]:
        counters: dict[str, CounterMetricFamily] = {
            "requests": CounterMetricFamily("kvasir_replica_requests", "Requests to a replica", labels=_LABELS),
            "failures": CounterMetricFamily(
                "kvasir_replica_failures", "Requests that failed by the replica's fault", labels=_LABELS
            ),
            "prompt_tokens": CounterMetricFamily(
                "kvasir_replica_prompt_tokens", "Prompt tokens of its answers", labels=_LABELS
            ),
            "cached_tokens": CounterMetricFamily(
                "kvasir_replica_cached_prompt_tokens", "Those whose KV it reused", labels=_LABELS
            ),
        }
        gauges: dict[str, GaugeMetricFamily] = {
            "in_flight": GaugeMetricFamily("kvasir_replica_in_flight", "Requests under way", labels=_LABELS),
            "away": GaugeMetricFamily("kvasir_replica_away", "1 where it failed and is left out", labels=_LABELS),
            "known_blocks": GaugeMetricFamily(
                "kvasir_replica_known_blocks", "Blocks of prompts that it was asked and may hold", labels=_LABELS
            ),
        }
        for engine, routed in self._routed.items():
            for state in routed.routing.states():
                labels = [engine, state.name]
                for field, counter in counters.items():
                    counter.add_metric(labels, getattr(state, field))
                for field, gauge in gauges.items():
                    gauge.add_metric(labels, getattr(state, field))
        return [*counters.values(), *gauges.values()]
