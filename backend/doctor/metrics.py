"""One reading of a `/metrics` page, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True)
class Series:
    """One value with its labels."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True)
class Metrics:
    """Counters have `_total` at the end of their names, sums and counts of histograms `_sum` and `_count`."""

    series: tuple[Series, ...] = ()

    def total(self, name: str, **labels: str) -> float:
        """The sum over all series of `name` that have these labels; 0 for none."""
        return sum(one.value for one in self._of(name) if labels.items() <= one.labels.items())

    def by(self, label: str, name: str) -> dict[str, float]:
        """The sum of `name` for each value of `label`."""
        totals: dict[str, float] = {}
        for one in self._of(name):
            if label in one.labels:
                totals[one.labels[label]] = totals.get(one.labels[label], 0.0) + one.value
        return totals

    def label(self, name: str, label: str) -> str | None:
        """The label of the first series of `name`: what vLLM tells of its configuration."""
        return next((one.labels[label] for one in self._of(name) if label in one.labels), None)

    def _of(self, name: str) -> Iterable[Series]:
        return (one for one in self.series if one.name == name)


def parse_metrics(text: str) -> Metrics:
    """Without the buckets of histograms, which no rule reads. Raises `ValueError` for another format."""
    return Metrics(
        tuple(
            Series(sample.name, dict(sample.labels), sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if not sample.name.endswith(("_bucket", "_created"))
        )
    )
