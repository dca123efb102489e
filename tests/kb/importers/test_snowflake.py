from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kb.importers.errors import SourceInvalid
from kb.importers.imported import Imported, Known
from kb.importers.snowflake import import_snowflake
from kb.importers.yaml_file import parse_yaml
from kb.items import Column, Entity, Item, Metric, Provenance, Relationship, Rule, Success

MODEL = """\
name: Harbour
custom_instructions: "Round tonnes to whole numbers."
module_custom_instructions:
  sql_generation: |
    Ships without a berth are at sea.
tables:
  - name: calls
    synonyms: [port calls]
    description: One row for each ship that came in.
    base_table: {database: PORT, schema: PUBLIC, table: port_calls}
    primary_key:
      columns: [call_id]
    dimensions:
      - name: call_id
        expr: id
        data_type: NUMBER
      - name: ship
        expr: ship_no
        data_type: NUMBER
      - name: flag
        expr: flag_code
        description: Country of registration
        data_type: TEXT
        synonyms: ["country", "registry"]
        sample_values: [NO, "007", 3]
    time_dimensions:
      - name: arrived
        expr: arrived_at
        data_type: TIMESTAMP
    measures:
      - name: tonnes
        expr: kilos / 1000.0
        data_type: NUMBER
        description: Cargo in tonnes
    metrics:
      - name: cargo
        expr: SUM(tonnes)
        synonyms: [freight]
        description: All cargo
    filters:
      - name: foreign_flag
        expr: flag <> 'NO'
  - name: ships
    base_table: {database: PORT, schema: PUBLIC, table: ships}
    dimensions:
      - name: ship_no
        expr: ship_no
        data_type: NUMBER
      - name: title
        expr: title
        data_type: TEXT
relationships:
  - name: call_of
    left_table: calls
    right_table: ships
    join_type: left_outer
    relationship_columns:
      - left_column: ship
        right_column: ship_no
verified_queries:
  - name: by_flag
    question: How much cargo came by flag?
    verified_at: 1717000000
    verified_by: Ida
    sql: "SELECT flag, SUM(tonnes) FROM __calls GROUP BY flag"
  - name: names
    question: What are the ships called?
    sql: "SELECT title FROM __ships;"
"""


def read(folder: Path, text: str = MODEL, known: Known | None = None) -> Imported:
    path = folder / "harbour.yaml"
    path.write_text(text)
    return import_snowflake(path, known or Known())


def items(folder: Path, text: str = MODEL) -> dict[str, Item]:
    return {item.id: item for item in read(folder, text).items}


def test_tables_speak_of_the_databases_columns_and_know_the_logical_names(tmp_path: Path) -> None:
    item = items(tmp_path)["schema:port_calls"]
    assert item.body.columns == (  # type: ignore[union-attr]
        Column("id", "NUMBER", nullable=False, primary_key=True),
        Column("ship_no", "NUMBER"),
        Column("flag_code", "TEXT", comment="Country of registration", samples=("NO", "007", "3")),
        Column("arrived_at", "TIMESTAMP"),
        Column("kilos", "unknown"),
    )
    assert Entity("port_calls", ("calls", "port calls")) in item.entities
    assert Entity("port_calls.flag_code", ("flag", "country", "registry")) in item.entities


def test_relationships_metrics_and_filters_are_over_the_databases_columns(tmp_path: Path) -> None:
    found = items(tmp_path)
    join = found["relationship:port_calls.ship_no-ships.ship_no"]
    assert join.body == Relationship("port_calls", ("ship_no",), "ships", ("ship_no",))
    assert found["metric:calls.tonnes"].body == Metric("Cargo in tonnes", "kilos / 1000.0")
    assert found["metric:calls.cargo"].body == Metric("All cargo", "SUM((kilos / 1000.0))")
    assert found["metric:calls.cargo"].entities == (Entity("cargo", ("freight",)),)
    assert found["metric:calls.foreign_flag"].body.expression == "flag_code <> 'NO'"  # type: ignore[union-attr]
    assert found["metric:calls.foreign_flag"].depends_on == ("port_calls.flag_code",)


def test_custom_instructions_are_a_rule(tmp_path: Path) -> None:
    rule = items(tmp_path)["rule:harbour.custom_instructions"]
    assert rule.body == Rule("Round tonnes to whole numbers.\n\nShips without a berth are at sea.")


def test_a_verified_query_runs_on_the_database_and_is_active(tmp_path: Path) -> None:
    found = items(tmp_path.joinpath())["success:by_flag"]
    assert isinstance(found.body, Success)
    answer = " ".join(found.body.answer.split())
    assert answer.startswith("WITH __calls AS ( SELECT flag_code AS flag, kilos / 1000.0 AS tonnes FROM port_calls )")
    assert found.status == "active"
    assert found.provenance == Provenance(
        "snowflake harbour.yaml", confirmed_by="Ida", confirmed_at="2024-05-29T16:26:40+00:00"
    )
    assert "port_calls.flag_code" in found.depends_on


def test_a_query_that_nobody_verified_is_proposed(tmp_path: Path) -> None:
    found = items(tmp_path)["success:names"]
    assert (found.status, found.depends_on) == ("proposed", ("ships.title",))
    assert " ".join(found.body.answer.split()) == "SELECT title FROM ships AS __ships"  # type: ignore[union-attr]


@pytest.mark.parametrize("missing", ["    verified_by: Ida\n", "    verified_at: 1717000000\n"])
def test_half_a_verification_is_none(tmp_path: Path, missing: str) -> None:
    found = items(tmp_path, MODEL.replace(missing, ""))["success:by_flag"]
    assert found.status == "proposed"
    assert found.provenance == Provenance("snowflake harbour.yaml")


def test_a_verified_query_that_cannot_be_read_is_proposed_with_a_warning(tmp_path: Path) -> None:
    imported = read(tmp_path, MODEL.replace("SELECT flag, SUM(tonnes)", "SELECT FROM flag SUM"))
    (item,) = (item for item in imported.items if item.id == "success:by_flag")
    assert item.status == "proposed"
    line = MODEL.count("\n", 0, MODEL.index("- name: by_flag")) + 1
    assert [f"harbour.yaml:{line}" in told and "is not one query" in told for told in imported.warnings] == [True]


def test_a_query_with_its_own_with_still_reads_from_the_logical_table(tmp_path: Path) -> None:
    sql = "WITH f AS (SELECT flag FROM __calls) SELECT flag FROM f"
    text = MODEL.replace("SELECT flag, SUM(tonnes) FROM __calls GROUP BY flag", sql)
    found = items(tmp_path, text)["success:by_flag"]
    answer = " ".join(found.body.answer.split())  # type: ignore[union-attr]
    assert answer.startswith("WITH __calls AS ( SELECT flag_code AS flag FROM port_calls ), f AS (")
    assert found.depends_on == ("port_calls.flag_code",)


BAD: list[tuple[str, int | str | None, str]] = [
    ("name: [", None, "is not YAML"),
    ("- a\n", 1, "'field: value' lines are expected"),
    ("", 1, "'field: value' lines are expected"),
    ("name: a\n", None, "holds nothing to import"),
    ("name: a\nname: b\n", 2, "stands here twice; first on line 1"),
    ("name: !!python/object:os.system x\n", 1, "the YAML tag"),
    ("a: &x [1]\nb: *x\n", 2, "'*x' is an alias"),
    ("? [a]\n: b\n", 1, "a field's name is expected"),
    ("name: a\n---\nname: b\n", 2, "a second document"),
    ("a: " + "[" * 5000, 1, "nested deeper than 100"),
    ("a: " + "{a: " * 5000, 1, "nested deeper than 100"),
    ("\n".join(" " * depth + "a:" for depth in range(3000)), 101, "nested deeper than 100"),
    ("name: a\x01b\n", None, "does not allow"),
    (MODEL.replace("  - name: calls\n", "  - nam: calls\n"), "- nam: calls", "field '$.tables[0].name': is missing"),
    (
        MODEL.replace("    base_table: {database: PORT, schema: PUBLIC, table: ships}\n", ""),
        "- name: ships",
        "base_table",
    ),
    (MODEL.replace("left_table: calls", "left_table: cals"), "left_table", "'cals' is none of the tables"),
    (MODEL.replace("verified_at: 1717000000", "verified_at: soon"), "verified_at", "'soon' is no time"),
    (MODEL.replace("verified_at: 1717000000", f"verified_at: {'9' * 30}"), "verified_at", "is no time"),
    (MODEL.replace("verified_at: 1717000000", f"verified_at: {'9' * 9000}"), "verified_at", "is no time"),
    (MODEL.replace("  - name: ships", "  - name: CALLS"), "- name: CALLS", "a second table"),
    (MODEL.replace("synonyms: [freight]", "synonyms: freight"), "synonyms: freight", "is text; a list is expected"),
    (MODEL.replace("expr: SUM(tonnes)", "expr: [SUM]"), "expr: [SUM]", "is a list; text is expected"),
]


@pytest.mark.parametrize(("text", "line", "told"), BAD, ids=range(len(BAD)))
def test_a_bad_file_is_refused_with_line_and_field(
    tmp_path: Path, text: str, line: int | str | None, told: str
) -> None:
    with pytest.raises(SourceInvalid) as caught:
        read(tmp_path, text)
    assert told in str(caught.value)
    if isinstance(line, str):
        line = text.count("\n", 0, text.index(line)) + 1
    assert line is None or caught.value.line == line


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=60), st.text("a:-[]{}'\"\n |>&*!#?,~\t", max_size=60)))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(SourceInvalid):
        assert isinstance(parse_yaml("a.yaml", text).values, dict)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(MODEL)), st.integers(0, 30), st.sampled_from(["", "[", "x", ":", "\n", "- ", "'", "null"]))
def test_a_model_with_a_piece_torn_out_is_read_or_refused(start: int, length: int, instead: str) -> None:
    with tempfile.TemporaryDirectory() as folder, suppress(SourceInvalid):
        assert read(Path(folder), MODEL[:start] + instead + MODEL[start + length :]).items
