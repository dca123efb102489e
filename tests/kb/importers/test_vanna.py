from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kb.importers.errors import SourceInvalid
from kb.importers.imported import Imported, Known
from kb.importers.vanna import import_vanna
from kb.items import Column, Document, Item, Relationship, Schema, Success

DDL = """CREATE TABLE visits (
    id INT PRIMARY KEY, pet_id INT NOT NULL REFERENCES pets (id), cost NUMERIC(10, 2), vet TEXT,
    FOREIGN KEY (vet, cost) REFERENCES vets (name, fee)
)"""
RECORDS: list[dict[str, Any]] = [
    {"id": "1-sql", "training_data_type": "sql", "question": "What did it cost?",
     "content": "SELECT SUM(cost) FROM visits"},
    {"id": "2-ddl", "training_data_type": "ddl", "question": None, "content": DDL},
    {"id": "3-doc", "training_data_type": "documentation", "question": None, "content": "A visit is paid at once."},
]  # fmt: skip


def read(folder: Path, value: object, dialect: str = "") -> Imported:
    path = folder / "training.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return import_vanna(path, Known(dialect=dialect))


def check(imported: Imported) -> None:
    found: dict[str, Item] = {item.kind: item for item in imported.items if item.kind != "relationship"}
    assert found["success"].body == Success("What did it cost?", "SELECT SUM(cost) FROM visits")
    assert (found["success"].status, found["success"].depends_on) == ("proposed", ("visits.cost",))
    assert found["document"].body == Document("A visit is paid at once.")
    assert found["schema"].body == Schema(
        "visits",
        (
            Column("id", "INT", nullable=False, primary_key=True),
            Column("pet_id", "INT", nullable=False),
            Column("cost", "DECIMAL(10, 2)"),
            Column("vet", "TEXT"),
        ),
    )
    assert {item.id: item.body for item in imported.items if item.kind == "relationship"} == {
        "relationship:visits.pet_id-pets.id": Relationship("visits", ("pet_id",), "pets", ("id",)),
        "relationship:visits.vet+cost-vets.name+fee": Relationship("visits", ("vet", "cost"), "vets", ("name", "fee")),
    }
    assert imported.warnings == ()


def test_json_records_become_a_success_a_table_with_its_joins_and_a_document(tmp_path: Path) -> None:
    check(read(tmp_path, RECORDS))


def test_csv_says_the_same(tmp_path: Path) -> None:
    quoted = DDL.replace('"', '""')
    path = tmp_path / "training.csv"
    path.write_text(
        ",id,question,content,training_data_type\n"
        "0,1-sql,What did it cost?,SELECT SUM(cost) FROM visits,sql\n"
        f'1,2-ddl,,"{quoted}",ddl\n'
        "2,3-doc,,A visit is paid at once.,documentation\n"
    )
    check(import_vanna(path, Known()))


def test_ddl_that_cannot_be_read_is_kept_as_a_document(tmp_path: Path) -> None:
    ddl = [{"training_data_type": "ddl", "content": text} for text in ("CREATE TABLE my-table (", "DROP TABLE x")]
    imported = read(tmp_path, ddl)
    assert [item.kind for item in imported.items] == ["document", "document"]
    assert "$.items[0].content: is not one CREATE TABLE" in imported.warnings[0]


def test_sql_without_a_question_is_left_out_and_told(tmp_path: Path) -> None:
    imported = read(tmp_path, [*RECORDS, {"training_data_type": "sql", "question": None, "content": "SELECT 1"}])
    assert len(imported.items) == 5
    assert "the SQL has no question; left out" in imported.warnings[0]


BAD = [
    ("{}", "holds no list of records"),
    ("[]", "holds nothing to import"),
    ("[1]", "field '$.items[0]': is a number; fields are expected"),
    ('[{"content": "x"}]', "field '$.items[0].training_data_type': is missing"),
    ('[{"training_data_type": "sqll", "content": "x"}]', "'sqll' is no type; expected is sql, ddl, documentation"),
    ('[{"training_data_type": "sql", "question": "x"}]', "field '$.items[0].content': is missing"),
    ('[{"training_data_type": "sql", "question": ["x"], "content": "x"}]', "$.items[0].question': is a list"),
    ("[" * 100_000, "nested deeper"),
    ('{"items": ', "training.json:1: is not JSON"),
]


@pytest.mark.parametrize(("text", "told"), BAD, ids=range(len(BAD)))
def test_a_bad_file_is_refused_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SourceInvalid) as caught:
        read(tmp_path, text)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "sql",
    ["SELECT " + "(" * 4000, "SELECT " + "NOT " * 4000 + "1", "SELECT " + "f(" * 6000, "SELECT " + "a" * 200_000],
)
def test_sql_that_no_parser_likes_is_kept_with_a_warning(tmp_path: Path, sql: str) -> None:
    imported = read(tmp_path, [{"training_data_type": "sql", "question": "Why?", "content": sql}])
    assert imported.items[0].depends_on == ()
    assert len(imported.warnings) == 1
