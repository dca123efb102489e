"""Metrics of dbt's semantic layer, with an expression where one table's measures give it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kb.importers.imported import entity, title_of
from kb.importers.record import Record
from kb.importers.statement import Statements
from kb.items import Item, Metric, Provenance, item_id

_AGGREGATIONS = {
    "sum": "SUM({})",
    "count": "COUNT({})",
    "count_distinct": "COUNT(DISTINCT {})",
    "average": "AVG({})",
    "min": "MIN({})",
    "max": "MAX({})",
    "median": "MEDIAN({})",
    "sum_boolean": "SUM(CASE WHEN {} THEN 1 ELSE 0 END)",
}


@dataclass(frozen=True, slots=True)
class _Measure:
    """`expression` is empty for an aggregation that is not one function call."""

    table: str
    expression: str


def metric_items(manifest: Record, statements: Statements, provenance: Provenance) -> Iterator[tuple[Item, Record]]:
    """An item for each metric, with the record it stands in."""
    measures = {name: measure for name, measure in _measures(manifest)}
    metrics = {record.required("name"): record for _, record in manifest.entries("metrics")}
    for name, record in metrics.items():
        measure = _expression(record, metrics, measures)
        filters = _filters(record)
        kind = record.text("type")
        parts = [
            record.text("description") or " ".join(["A", *([kind] if kind else []), "metric of dbt."]),
            *_made_of(record, kind),
        ]
        parts += [f"Only where: {text}" for text in filters]
        # An expression without its filter would count too much.
        expression = measure.expression if measure and not filters else ""
        label = record.text("label")
        item = Item(
            id=item_id("metric", name),
            title=title_of(label or name),
            body=Metric("\n".join(parts), expression),
            entities=(entity(name, (label,) if label and label != name else ()),),
            refs=(item_id("schema", measure.table),) if measure and measure.table in statements.tables else (),
            depends_on=statements.expression_reads(expression, measure.table) if measure and expression else (),
            provenance=provenance,
        )
        yield item, record


def _measures(manifest: Record) -> Iterator[tuple[str, _Measure]]:
    for _, model in manifest.entries("semantic_models"):
        relation = model.record("node_relation")
        table = relation.text("alias") if relation else ""
        for measure in model.records("measures"):
            name = measure.required("name")
            pattern = _AGGREGATIONS.get(measure.text("agg"), "")
            yield name, _Measure(table, pattern.format(measure.text("expr") or name) if pattern else "")


def _expression(record: Record, metrics: dict[str, Record], measures: dict[str, _Measure]) -> _Measure | None:
    """Of a simple metric, or of a ratio of two such over one table."""
    parameters = record.record("type_params")
    if parameters is None:
        return None
    if record.text("type") == "simple":
        measure = parameters.record("measure")
        return measures.get(measure.text("name")) if measure else None
    if record.text("type") == "ratio":
        sides = []
        for part in (parameters.record("numerator"), parameters.record("denominator")):
            metric = metrics.get(part.text("name")) if part else None
            if metric is None or part is None or part.record("filter") or _filters(metric):
                return None
            sides.append(_expression(metric, {}, measures))
        above, below = sides
        if above and below and above.table == below.table and above.expression and below.expression:
            return _Measure(above.table, f"1.0 * {above.expression} / {below.expression}")
    return None


def _made_of(record: Record, kind: str) -> Iterator[str]:
    parameters = record.record("type_params")
    if parameters is None:
        return
    above, below = parameters.record("numerator"), parameters.record("denominator")
    if kind == "ratio" and above and below:
        yield f"The ratio of {above.text('name')} to {below.text('name')}."
    if kind == "derived" and parameters.text("expr"):
        yield f"Computed from other metrics: {parameters.text('expr')}"


def _filters(record: Record) -> tuple[str, ...]:
    found = record.record("filter")
    return tuple(each.text("where_sql_template") for each in found.records("where_filters")) if found else ()
