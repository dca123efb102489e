from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from kb.importers.dbt import import_dbt
from kb.importers.errors import SourceInvalid
from kb.importers.imported import Imported, Known
from kb.items import Column, Entity, Item, Metric, Relationship, Schema


def column(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "description": "", "meta": {}, "data_type": None, "constraints": [], "tags": []} | more


def check(name: str, tested: str | None, on: str, **kwargs: Any) -> dict[str, Any]:
    """A generic test of a column, with the node that it is attached to."""
    return {
        "resource_type": "test",
        "name": f"{name}_{on}",
        "column_name": on,
        "attached_node": tested,
        "test_metadata": {"name": name, "kwargs": {"column_name": on, "model": "{{ ref('stays') }}"} | kwargs},
        "depends_on": {"macros": [], "nodes": ["seed.inn.rooms", "model.inn.stays"]},
    }


MANIFEST: dict[str, Any] = {
    "metadata": {
        "dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json",
        "adapter_type": "duckdb",
    },
    "nodes": {
        "model.inn.stays": {
            "resource_type": "model",
            "name": "stays",
            "alias": "fct_stays",
            "description": "One night of a guest.",
            "config": {"materialized": "table"},
            "columns": {
                "id": column("id", data_type="integer", constraints=[{"type": "primary_key"}]),
                "room": column("room", description="Its room", meta={"data_type": "text"}),
                "state": column("state"),
                "price": column("price", data_type="numeric"),
            },
        },
        "seed.inn.rooms": {"resource_type": "seed", "name": "rooms", "columns": {"number": column("number")}},
        "model.inn.helper": {"resource_type": "model", "name": "helper", "config": {"materialized": "ephemeral"}},
        "test.inn.a": check("relationships", "model.inn.stays", "room", to="ref('rooms')", field="number"),
        "test.inn.b": check("not_null", "model.inn.stays", "room"),
        "test.inn.c": check("accepted_values", "model.inn.stays", "state", values=["booked", "gone", 3]),
        "test.inn.d": check("unique", None, "number", model="{{ get_where_subquery(ref('inn', 'rooms')) }}"),
        "test.inn.e": {"resource_type": "test", "name": "by hand", "columns": {}},
    },
    "sources": {
        "source.inn.raw.guests": {
            "resource_type": "source",
            "name": "guests",
            "identifier": "guest_list",
            "columns": {"id": column("id")},
        },
        "source.inn.raw.rooms": {"resource_type": "source", "name": "rooms", "columns": {}},
    },
    "metrics": {
        "metric.inn.income": {
            "name": "income",
            "label": "Income of the inn",
            "description": "All money.",
            "type": "simple",
            "type_params": {"measure": {"name": "price_sum"}},
            "filter": None,
        },
        "metric.inn.nights": {"name": "nights", "type": "simple", "type_params": {"measure": {"name": "nights"}}},
        "metric.inn.mean": {
            "name": "mean",
            "type": "ratio",
            "type_params": {"numerator": {"name": "income"}, "denominator": {"name": "nights"}},
        },
        "metric.inn.gone": {
            "name": "gone",
            "type": "simple",
            "type_params": {"measure": {"name": "nights"}},
            "filter": {"where_filters": [{"where_sql_template": "{{ Dimension('stay__state') }} = 'gone'"}]},
        },
        "metric.inn.profit": {"name": "profit", "type": "derived", "type_params": {"expr": "income - cost"}},
    },
    "semantic_models": {
        "semantic_model.inn.stays": {
            "name": "stays",
            "node_relation": {"alias": "fct_stays", "schema_name": "main"},
            "measures": [
                {"name": "price_sum", "agg": "sum", "expr": "price"},
                {"name": "nights", "agg": "count_distinct", "expr": "id"},
            ],
        }
    },
    "exposures": {"exposure.inn.x": "left out"},
    "disabled": {"model.inn.off": "left out"},
}


def read(folder: Path, manifest: object = MANIFEST, catalog: object = None) -> Imported:
    path = folder / "manifest.json"
    path.write_text(manifest if isinstance(manifest, str) else json.dumps(manifest))
    if catalog is not None:
        (folder / "catalog.json").write_text(json.dumps(catalog))
    return import_dbt(path, Known())


def items(folder: Path, manifest: object = MANIFEST, catalog: object = None) -> dict[str, Item]:
    return {item.id: item for item in read(folder, manifest, catalog).items}


def test_models_seeds_and_sources_become_tables_by_the_name_of_the_database(tmp_path: Path) -> None:
    imported = read(tmp_path)
    found = {item.id: item for item in imported.items}
    assert found["schema:fct_stays"].body == Schema(
        "fct_stays",
        (
            Column("id", "integer", nullable=False, primary_key=True),
            Column("price", "numeric"),
            Column("room", "text", nullable=False, comment="Its room"),
            Column("state", "unknown", samples=("booked", "gone", "3")),
        ),
        comment="One night of a guest.",
    )
    assert found["schema:fct_stays"].entities == (Entity("fct_stays", ("stays", "fct stays")),)
    assert found["schema:rooms"].body == Schema("rooms", (Column("number", "unknown", comment="Unique."),))
    assert "schema:guest_list" in found
    assert "schema:helper" not in found
    assert [w.partition(": ")[2] for w in imported.warnings] == [
        "source.inn.raw.rooms has the table name of seed.inn.rooms; left out"
    ]


def test_a_relationships_test_becomes_a_join(tmp_path: Path) -> None:
    join = items(tmp_path)["relationship:fct_stays.room-rooms.number"]
    assert join.body == Relationship("fct_stays", ("room",), "rooms", ("number",))
    assert join.refs == ("schema:fct_stays", "schema:rooms")


def test_a_test_is_found_by_the_model_that_it_calls_where_it_is_attached_to_none(tmp_path: Path) -> None:
    manifest = copy.deepcopy(MANIFEST)
    manifest["nodes"]["test.inn.a"]["attached_node"] = None
    assert "relationship:fct_stays.room-rooms.number" in items(tmp_path, manifest)


def test_arguments_a_level_down_are_read(tmp_path: Path) -> None:
    manifest = copy.deepcopy(MANIFEST)
    metadata = manifest["nodes"]["test.inn.a"]["test_metadata"]
    metadata["kwargs"] = {"arguments": metadata["kwargs"]}
    assert "relationship:fct_stays.room-rooms.number" in items(tmp_path, manifest)


def test_metrics_have_an_expression_where_the_measures_give_one(tmp_path: Path) -> None:
    found = items(tmp_path)
    assert found["metric:income"].body == Metric("All money.", "SUM(price)")
    assert found["metric:income"].depends_on == ("fct_stays.price",)
    assert found["metric:income"].entities == (Entity("income", ("Income of the inn",)),)
    assert found["metric:mean"].body == Metric(
        "A ratio metric of dbt.\nThe ratio of income to nights.",
        "1.0 * SUM(price) / COUNT(DISTINCT id)",
    )
    assert found["metric:mean"].depends_on == ("fct_stays.id", "fct_stays.price")
    assert "income - cost" in found["metric:profit"].body.definition  # type: ignore[union-attr]


def test_a_metric_with_a_filter_tells_it_and_gives_no_expression_without_it(tmp_path: Path) -> None:
    body = items(tmp_path)["metric:gone"].body
    assert isinstance(body, Metric)
    assert "Only where: {{ Dimension('stay__state') }} = 'gone'" in body.definition
    assert body.expression == ""


def test_the_catalog_beside_it_gives_types_and_columns(tmp_path: Path) -> None:
    columns = {"NUMBER": {"name": "NUMBER", "type": "VARCHAR"}, "FLOOR": {"name": "FLOOR", "type": "INT"}}
    catalog = {"nodes": {"seed.inn.rooms": {"columns": columns}}, "sources": {}}
    assert items(tmp_path, catalog=catalog)["schema:rooms"].body == Schema(
        "rooms", (Column("number", "VARCHAR", comment="Unique."), Column("FLOOR", "INT"))
    )


def changed(path: str, value: object) -> dict[str, Any]:
    manifest = copy.deepcopy(MANIFEST)
    *way, last = path.split("/")
    inner = manifest
    for key in way:
        inner = inner[key]
    inner[last] = value
    return manifest


BAD = [
    (changed("metadata/dbt_schema_version", "https://schemas.getdbt.com/dbt/manifest/v7.json"), "is v7; read are"),
    (changed("metadata/dbt_schema_version", "x"), "is no manifest; read are manifests v10 to v12"),
    ({"nodes": {}}, "field '$.metadata.dbt_schema_version'"),
    (changed("nodes", []), "field '$.nodes': is a list; fields are expected"),
    (changed("nodes/model.inn.stays/columns/id", 3), "field '$.nodes.model.inn.stays.columns.id': is a number"),
    (changed("nodes/test.inn.b/test_metadata/kwargs", "x"), "test_metadata.kwargs': is text; fields are expected"),
    (changed("metrics/metric.inn.mean/type_params/numerator", 1), "type_params.numerator': is a number"),
    ('{"metadata": ' + '{"a": ' * 100_000, "nested deeper"),
    ("\ufeff{", "manifest.json:1: is not JSON"),
]


@pytest.mark.parametrize(("manifest", "told"), BAD, ids=range(len(BAD)))
def test_a_bad_file_is_refused_with_its_place(tmp_path: Path, manifest: object, told: str) -> None:
    with pytest.raises(SourceInvalid) as caught:
        read(tmp_path, manifest)
    assert told in str(caught.value)


@pytest.mark.parametrize("version", ["v10", "v11", "v12"])
def test_each_version_is_read(tmp_path: Path, version: str) -> None:
    address = f"https://schemas.getdbt.com/dbt/manifest/{version}.json"
    assert len(items(tmp_path, changed("metadata/dbt_schema_version", address))) == 9
