from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from kb.importers.errors import SourceInvalid
from kb.importers.imported import Imported, Known
from kb.importers.wren import import_wren
from kb.items import Column, Document, Entity, Item, Metric, Provenance, Relationship, Rule, Schema, Success, Template

MDL: dict[str, Any] = {
    "catalog": "wren",
    "schema": "farm",
    "dataSource": "POSTGRES",
    "models": [
        {
            "name": "Milkings",
            "tableReference": {"catalog": None, "schema": "raw", "table": "milk_log"},
            "primaryKey": "id",
            "columns": [
                {"name": "id", "type": "INTEGER"},
                {"name": "cow", "type": "INTEGER", "expression": "cow_no", "notNull": True},
                {"name": "litres", "type": "DOUBLE", "properties": {"description": "Of milk", "displayName": "Yield"}},
                {"name": "gallons", "type": "DOUBLE", "isCalculated": True, "expression": "litres / 3.785"},
                {"name": "animal", "type": "Cows", "relationship": "milk_cow"},
                {"name": "secret", "type": "TEXT", "isHidden": True},
            ],
            "properties": {"description": "Each milking"},
        },
        {
            "name": "Cows",
            "tableReference": {"table": "cows"},
            "primaryKey": ["no"],
            "columns": [{"name": "no", "type": "INTEGER"}, {"name": "name", "type": "TEXT"}],
        },
        {
            "name": "Best",
            "refSql": "SELECT cow_no AS cow, litres FROM milk_log WHERE litres > 30",
            "columns": [{"name": "cow", "type": "INTEGER"}],
        },
    ],
    "relationships": [
        {
            "name": "milk_cow",
            "models": ["Cows", "Milkings"],
            "joinType": "ONE_TO_MANY",
            "condition": "Cows.no = Milkings.cow",
        },
    ],
    "metrics": [
        {
            "name": "Output",
            "baseObject": "Milkings",
            "dimension": [{"name": "cow", "type": "INTEGER"}],
            "measure": [{"name": "total", "type": "DOUBLE", "expression": "SUM(litres)"}],
            "properties": {"description": "Milk of the farm"},
        }
    ],
    "cubes": [
        {
            "name": "Herd",
            "baseObject": "Milkings",
            "measures": [{"name": "milked", "expression": "COUNT(DISTINCT cow)", "type": "BIGINT"}],
        }
    ],
    "views": [{"name": "names", "statement": "SELECT name FROM wren.farm.Cows", "properties": {}}],
}
PAIR = """\
---
nl: How much does each cow give?
sql: |
  SELECT cow, SUM(litres) FROM Milkings GROUP BY cow
source: user
tags:
  - milk
---

Checked in spring.
"""


def project(folder: Path, mdl: object = MDL, **files: str) -> Path:
    """A project; `files` are by path, with `__` for a slash, and go without their suffix `.md`."""
    root = folder / "farm"
    (root / "target").mkdir(parents=True)
    (root / "target" / "mdl.json").write_text(mdl if isinstance(mdl, str) else json.dumps(mdl))
    for name, text in files.items():
        path = root / f"{name.replace('__', '/')}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def by_id(imported: Imported) -> dict[str, Item]:
    return {item.id: item for item in imported.items}


def answer(item: Item) -> str:
    assert isinstance(item.body, Success)
    return " ".join(item.body.answer.split())


def test_models_become_tables_by_the_name_of_the_database(tmp_path: Path) -> None:
    found = by_id(import_wren(project(tmp_path) / "target" / "mdl.json", Known()))
    assert found["schema:milk_log"].body == Schema(
        "milk_log",
        (
            Column("id", "INTEGER", nullable=False, primary_key=True),
            Column("cow_no", "INTEGER", nullable=False),
            Column("litres", "DOUBLE", comment="Of milk"),
        ),
        comment="Each milking",
    )
    assert Entity("milk_log", ("Milkings", "milk log")) in found["schema:milk_log"].entities
    assert Entity("milk_log.cow_no", ("cow",)) in found["schema:milk_log"].entities
    assert Entity("milk_log.litres", ("Yield",)) in found["schema:milk_log"].entities
    assert found["schema:cows"].provenance == Provenance("wren mdl.json")
    assert "schema:Best" not in found


def test_a_join_starts_from_the_side_that_holds_the_key(tmp_path: Path) -> None:
    found = by_id(import_wren(project(tmp_path), Known()))
    assert found["relationship:milk_log.cow_no-cows.no"].body == Relationship("milk_log", ("cow_no",), "cows", ("no",))


def test_a_condition_that_is_no_equality_is_left_out_and_told(tmp_path: Path) -> None:
    mdl = copy.deepcopy(MDL)
    mdl["relationships"][0]["condition"] = "Cows.no > Milkings.cow"
    imported = import_wren(project(tmp_path, mdl), Known())
    assert not [item for item in imported.items if item.kind == "relationship"]
    assert "$.relationships[0]: joins by more than equal columns" in imported.warnings[0]


def test_computed_columns_metrics_and_cubes_are_metrics(tmp_path: Path) -> None:
    found = by_id(import_wren(project(tmp_path), Known()))
    assert found["metric:Milkings.gallons"].body == Metric(
        "gallons of Milkings, as the model defines it.", "litres / 3.785"
    )
    assert found["metric:Output.total"].body == Metric("Milk of the farm", "SUM(litres)")
    assert found["metric:Output.total"].depends_on == ("milk_log.litres",)
    assert found["metric:Herd.milked"].body.expression == "COUNT(DISTINCT cow_no)"  # type: ignore[union-attr]


def test_views_and_models_of_sql_are_proposed_templates_over_the_databases_tables(tmp_path: Path) -> None:
    found = by_id(import_wren(project(tmp_path), Known()))
    names, best = found["template:names"], found["template:Best"]
    assert isinstance(names.body, Template)
    assert isinstance(best.body, Template)
    assert " ".join(names.body.sql.split()) == "SELECT name FROM cows"
    assert best.body.sql == "SELECT cow_no AS cow, litres FROM milk_log WHERE litres > 30"
    assert best.depends_on == ("milk_log.cow_no", "milk_log.litres")
    assert names.status == best.status == "proposed"


def test_a_pair_over_a_model_of_sql_gets_its_sql_in_front(tmp_path: Path) -> None:
    root = project(tmp_path, knowledge__sql__best="---\nnl: Who?\nsql: SELECT cow FROM Best\n---\n")
    (pair,) = (item for item in import_wren(root, Known()).items if item.kind == "success")
    assert answer(pair) == (
        "WITH Best AS ( SELECT cow_no AS cow, litres FROM milk_log WHERE litres > 30 ) SELECT cow FROM Best"
    )
    assert pair.depends_on == ("milk_log.cow_no", "milk_log.litres")


def test_the_knowledge_folder_gives_rules_documents_and_proposed_pairs(tmp_path: Path) -> None:
    root = project(
        tmp_path,
        knowledge__rules__units="# Units\n\nMilk is in litres.\n",
        knowledge__glossary__words="---\ntags: [a]\n---\nA heifer has not calved.\n",
        knowledge__sql__each_cow=PAIR,
        instructions="Be short.",
    )
    found = by_id(import_wren(root, Known()))
    assert found["rule:units"].body == Rule("# Units\n\nMilk is in litres.")
    assert found["rule:units"].title == "Units"
    assert found["rule:instructions"].body == Rule("Be short.")
    assert found["document:glossary.words"].body == Document("A heifer has not calved.", "glossary/words.md")
    (pair,) = (item for item in found.values() if item.kind == "success")
    assert answer(pair).startswith("WITH Milkings AS ( SELECT cow_no AS cow, litres FROM milk_log )")
    assert (pair.status, pair.depends_on) == ("proposed", ("milk_log.cow_no", "milk_log.litres"))
    assert pair.provenance == Provenance("wren farm/knowledge/sql/each_cow.md", evidence="Checked in spring.")


def test_the_knowledge_folder_alone_and_older_pairs_are_read(tmp_path: Path) -> None:
    root = project(tmp_path, knowledge__rules__units="Litres.", knowledge__sql__each_cow=PAIR)
    assert [item.kind for item in import_wren(root / "knowledge", Known()).items] == ["rule", "success"]
    (root / "queries.yml").write_text("version: 1\npairs:\n  - nl: Which names?\n    sql: SELECT name FROM Cows\n")
    found = [item for item in import_wren(root, Known()).items if item.kind == "success"]
    assert sorted(answer(item) for item in found)[0] == "SELECT name FROM cows"


def test_models_that_were_not_compiled_are_told(tmp_path: Path) -> None:
    root = project(tmp_path, knowledge__rules__units="Litres.", models__cows__metadata="x")
    (root / "target" / "mdl.json").unlink()
    assert "run 'wren context build'" in import_wren(root, Known()).warnings[0]


def mdl_with(**changed: object) -> dict[str, Any]:
    return {**copy.deepcopy(MDL), **changed}


BAD = [
    ({"models": {}}, "field '$.models': is a mapping; a list is expected"),
    ({"models": [{"name": "a", "columns": []}]}, "field '$.models[0]': has to say where its rows are"),
    ({"models": [{"columns": []}]}, "field '$.models[0].name': is missing"),
    (mdl_with(models=[*MDL["models"], MDL["models"][0]]), "$.models[3].name': a second model 'Milkings'"),
    (mdl_with(relationships=[{"models": ["Cows"]}]), "$.relationships[0].models': names 1 models; two are expected"),
    (mdl_with(relationships=[{"models": ["Cows", "Cow"]}]), "'Cow' is none of the models"),
    (mdl_with(relationships=[{"models": ["Cows", "Best"]}]), "$.relationships[0].condition': is missing"),
    (mdl_with(views=[{"name": "x"}]), "$.views[0].statement': is missing"),
    (mdl_with(metrics=[{"name": "x", "measure": [{"name": "y"}]}]), "$.metrics[0].baseObject': is missing"),
    ("{", "mdl.json:1: is not JSON"),
    ("{}", "holds nothing to import"),
]


@pytest.mark.parametrize(("mdl", "told"), BAD, ids=range(len(BAD)))
def test_a_bad_mdl_is_refused_with_its_path(tmp_path: Path, mdl: object, told: str) -> None:
    with pytest.raises(SourceInvalid) as caught:
        import_wren(project(tmp_path, mdl), Known())
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("pair", "line", "told"),
    [
        ("SELECT 1\n", 1, "fields 'nl' and 'sql'"),
        ("---\nnl: A?\n---\n", 2, "field '$.sql': is missing"),
        ("---\nnl: A?\nsql: [1]\n---\n", 3, "field '$.sql': is a list"),
        ("---\nnl: A?\nsql: 'x\n---\n", 3, "is not YAML"),
    ],
)
def test_a_bad_pair_is_refused_with_its_line(tmp_path: Path, pair: str, line: int, told: str) -> None:
    with pytest.raises(SourceInvalid) as caught:
        import_wren(project(tmp_path, knowledge__sql__a=pair), Known())
    assert told in str(caught.value)
    assert "knowledge/sql/a.md" in str(caught.value)
    assert caught.value.line == line


def test_a_link_out_of_the_project_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("Secret.")
    root = project(tmp_path, knowledge__rules__a="Litres.")
    (root / "instructions.md").symlink_to(tmp_path / "secret.md")
    with pytest.raises(SourceInvalid, match="leads out of"):
        import_wren(root, Known())
