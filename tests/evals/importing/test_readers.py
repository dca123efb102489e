"""Each reader: what becomes a case, what is left out and why, and what a torn file is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.case import Case, Equals, Judge, Refuses, Regex, Similar, SqlResult
from evals.importing.formats import detect, import_cases
from evals.importing.found import Imported
from kb.importers.errors import SourceInvalid

SPIDER = """\
[{"db_id": "pets", "question": "How many pets are there?", "query": "SELECT count(*) FROM pets", "sql": {"a": [1]}},
 {"db_id": "pets", "question": "Which pet is oldest?",
  "query": "SELECT name FROM pets ORDER  BY age DESC LIMIT 1"},
 {"db_id": "cars", "question": "How many cars?", "query": "SELECT count(*) FROM cars"},
 {"db_id": "pets", "question": "How many pets are there?", "query": "SELECT count(*) FROM pets"}]
"""
BIRD = """\
[
  {"question_id": 7, "db_id": "school", "question": "How many?", "evidence": "many means over 5",
   "SQL": "SELECT 1", "difficulty": "simple"},
  {"question_id": 8, "db_id": "school", "question": "Who?", "evidence": "", "SQL": "SELECT 2"}
]
"""
PROMPTFOO = """\
prompts: ["Answer {{question}}"]
providers: [openai:gpt]
defaultTest:
  assert:
    - {type: latency, threshold: 3000}
tests:
  - description: count of orders
    vars: {question: How many orders?, wanted: SELECT count(*) FROM orders}
    assert:
      - type: equals
        value: "{{ wanted }}"
  - vars:
      question: [Who are you?, What are you?]
    assert:
      - {type: equals, value: A library}
      - {type: icontains, value: "shelf (1)"}
      - {type: contains-any, value: "book, tome"}
      - {type: llm-rubric, value: It is polite.}
      - {type: cost, threshold: 0.1}
  - description: delete
    vars: {question: Delete all orders., tone: rude}
    assert: [{type: is-refusal}, {type: similar, value: I cannot., threshold: 0.8}]
  - description: by function
    vars: {question: What now?}
    assert: [{type: javascript, value: output.length > 3}]
  - description: by score
    threshold: 0.5
    vars: {question: What then?}
    assert: [{type: contains, value: x}]
  - file://more.yaml
"""
SNOWFLAKE = """\
name: Harbour
tables:
  - name: calls
    base_table: {database: PORT, schema: PUBLIC, table: port_calls}
    dimensions:
      - {name: ship, expr: ship, data_type: NUMBER}
verified_queries:
  - name: ships
    question: How many ships called?
    sql: SELECT count(DISTINCT ship) FROM __calls;
  - name: torn
    question: What is torn?
    sql: SELECT FROM WHERE
"""
CSV = """\
id,question,sql,tags,owner
first,How many?,SELECT 1,"a; b",ann
,"Who, then?",SELECT 2,,
first,What?,SELECT 3,a,
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def read(folder: Path, format_: str, name: str, text: str, database: str | None = None) -> Imported:
    path = folder / name
    path.write_text(text)
    return import_cases(format_, path, database)


def left_out(imported: Imported) -> list[tuple[int | None, str, str, str]]:
    return [(left.place.line, left.name, left.what, left.reason) for left in imported.left_out]


def test_spider_takes_one_database_and_orders_rows_where_the_query_does(folder: Path) -> None:
    imported = read(folder, "spider", "dev.json", SPIDER, "pets")

    assert imported.cases == (
        Case("how-many-pets-are-there", "How many pets are there?", (SqlResult(("SELECT count(*) FROM pets",)),)),
        Case(
            "which-pet-is-oldest",
            "Which pet is oldest?",
            (SqlResult(("SELECT name FROM pets ORDER  BY age DESC LIMIT 1",), ordered=True),),
        ),
    )
    assert left_out(imported) == [
        (5, "how-many-pets-are-there-2", "", "it asks and expects the same as how-many-pets-are-there")
    ]


@pytest.mark.parametrize(
    ("database", "told"), [(None, "asks 2 databases; name one with --db: pets (3), cars (1)"), ("x", "database 'x'")]
)
def test_spider_asks_which_database_is_meant(folder: Path, database: str | None, told: str) -> None:
    with pytest.raises(SourceInvalid) as caught:
        read(folder, "spider", "dev.json", SPIDER, database)

    assert told in str(caught.value)


def test_json_lines_are_read_with_their_lines_and_several_accepted_queries(folder: Path) -> None:
    text = '{"id": "a-1", "question": "How many?", "gold_sql": ["SELECT 1", "SELECT 2"]}\n\n{"question": "Who?"}\n'
    with pytest.raises(SourceInvalid, match=r"dev\.jsonl:3, field '\$\[1\]\.query': is missing"):
        read(folder, "spider", "dev.jsonl", text)

    imported = read(folder, "spider", "dev.jsonl", text.splitlines()[0])
    assert imported.cases == (Case("a-1", "How many?", (SqlResult(("SELECT 1", "SELECT 2")),)),)


def test_bird_keeps_the_difficulty_as_a_tag_and_tells_the_evidence(folder: Path) -> None:
    imported = read(folder, "bird", "dev.json", BIRD)

    assert [(case.id, case.tags, case.expect) for case in imported.cases] == [
        ("school-7", ("simple",), (SqlResult(("SELECT 1",)),)),
        ("school-8", (), (SqlResult(("SELECT 2",)),)),
    ]
    ((line, name, what, reason),) = left_out(imported)
    assert (line, name, what) == (2, "school-7", "evidence")
    assert "write it as an item" in reason


def test_promptfoo_keeps_what_has_a_counterpart_and_tells_the_rest(folder: Path) -> None:
    imported = read(folder, "promptfoo", "promptfooconfig.yaml", PROMPTFOO)

    shelf = (Equals(("A library",)), Regex((r"(?i)shelf \(1\)",)), Regex(("book|tome",)), Judge("It is polite."))
    assert imported.cases == (
        Case("count of orders", "How many orders?", (SqlResult(("SELECT count(*) FROM orders",)),)),
        Case("who-are-you", "Who are you?", shelf),
        Case("what-are-you", "What are you?", shelf),
        Case("delete", "Delete all orders.", (Refuses(), Similar(("I cannot.",), 0.8))),
    )
    told = left_out(imported)
    assert (5, "count of orders", "assert", "'latency' has no counterpart") in told
    assert (19, "Who are you?", "assert", "'cost' has no counterpart") in told
    assert (21, "delete", "variable tone", "only the question is asked") in told
    assert (25, "by function", "assert", "'javascript' has no counterpart") in told
    assert (23, "by function", "", "none of its assertions has a counterpart") in told
    assert (26, "by score", "", "with a threshold not every assertion must hold") in told
    assert (30, "file://more.yaml", "", "these tests lie in another file; import that one") in told


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        ("vars: {a: x, b: y}", "none of its variables (a, b) is called question"),
        ("vars: file://vars.yaml", "its variables lie in another file"),
        ("vars: {question: x}\n  options: {transform: output.trim()}", "its option 'transform' changes"),
        ("vars: {question: '{{ name | upper }}'}", "a template that is more than a variable's name"),
        ("vars: {question: x, y: [a, b]}", "its variable 'y' is a list"),
    ],
)
def test_a_promptfoo_test_that_a_suite_cannot_say_is_left_out_whole(folder: Path, test: str, reason: str) -> None:
    text = f"- {test}\n  assert: [{{type: contains, value: x}}]\n- vars: {{question: ok}}\n  assert:\n"
    imported = read(folder, "promptfoo", "tests.yaml", text + "    - {type: starts-with, value: a.b}\n")

    assert [(case.id, case.expect) for case in imported.cases] == [("ok", (Regex((r"\Aa\.b",)),))]
    assert [(line, what) for line, _, what, _ in left_out(imported)] == [(1, "")]
    assert reason in imported.left_out[0].reason


@pytest.mark.parametrize(
    ("assertion", "reason"),
    [
        ("{type: not-contains, value: x}", "'not-contains' has no counterpart"),
        ("{type: contains, value: x, weight: 0}", "with weight 0 it decides nothing"),
        ("{type: equals, value: x, transform: f}", "it judges a transformed answer"),
        ("{type: equals, value: {a: 1}}", "its value has fields"),
        ("{type: equals, value: file://x.txt}", "it lies in another file"),
        ("{type: equals, value: '{{ other }}'}", "no variable 'other' is given"),
        ("{type: llm-rubric, value: x, threshold: 0.8}", "its grader gives a score"),
        ("{type: regex, value: '(?<year>[0-9]+)'}", "Python reads its regular expression otherwise"),
    ],
)
def test_an_assertion_of_promptfoo_without_a_counterpart_is_told(folder: Path, assertion: str, reason: str) -> None:
    text = (
        f"tests:\n  - vars: {{question: ok}}\n    assert:\n      - {{type: contains, value: a}}\n      - {assertion}\n"
    )
    imported = read(folder, "promptfoo", "c.yaml", text)

    assert [case.expect for case in imported.cases] == [(Regex(("a",)),)]
    assert [(line, what) for line, _, what, _ in left_out(imported)] == [(5, "assert")]
    assert reason in imported.left_out[0].reason


def test_snowflakes_queries_speak_of_the_databases_tables(folder: Path) -> None:
    imported = read(folder, "snowflake", "model.yaml", SNOWFLAKE)

    (case,) = imported.cases
    assert (case.id, case.question) == ("ships", "How many ships called?")
    (expectation,) = case.expect
    assert isinstance(expectation, SqlResult)
    assert "port_calls" in expectation.accepted[0]
    assert "__calls" not in expectation.accepted[0].replace('AS "__calls"', "").replace("AS __calls", "")
    assert left_out(imported) == [(11, "torn", "", "its sql is not one query that can be read")]


def test_nao_is_a_folder_of_tests(folder: Path) -> None:
    tests = folder / "tests"
    (tests / "outputs").mkdir(parents=True)
    (tests / "b.yml").write_text("name: revenue\nprompt: What was the revenue?\nsql: |\n  SELECT sum(x)\n  FROM y\n")
    (tests / "a.yaml").write_text("name: orders\nprompt: How many orders?\nsql: SELECT 1\nowner: ann\n")
    (tests / "c.yml").write_text("name: tools\nprompt: Which tool?\n")
    (tests / "outputs" / "results.yml").write_text("not: a test\n")

    imported = import_cases("nao", folder)

    assert imported == import_cases("nao", tests)
    assert imported.cases == (
        Case("orders", "How many orders?", (SqlResult(("SELECT 1",)),)),
        Case("revenue", "What was the revenue?", (SqlResult(("SELECT sum(x)\nFROM y",)),)),
    )
    assert left_out(imported) == [
        (4, "orders", "owner", "a case has no such field"),
        (1, "tools", "", "it has no sql to compare with"),
    ]


def test_csv_takes_ids_and_tags_where_there_are_any(folder: Path) -> None:
    imported = read(folder, "csv", "questions.csv", CSV)

    assert [(case.id, case.question, case.tags) for case in imported.cases] == [
        ("first", "How many?", ("a", "b")),
        ("who-then", "Who, then?", ()),
        ("first-2", "What?", ("a",)),
    ]
    assert left_out(imported) == [(1, "the header", "owner", "a case has no such field")]


TORN = {
    "json that breaks off": ("spider", "a.json", '[{"question": "x",\n "query"', ":2: is not JSON"),
    "a list of texts": ("bird", "a.json", '[\n"x"]', ":2, field '$[0]': an object with fields is expected"),
    "a query that is a number": ("spider", "a.json", '[\n\n{"question": "x", "query": 7}]', ":3, field '$[0].query'"),
    "no SQL": ("bird", "a.json", '[{"question": "x", "db_id": "y"}]', ":1, field '$[0].SQL': is missing"),
    "an empty list": ("spider", "a.json", "[]", "holds no test that a suite can say"),
    "a header without sql": ("csv", "a.csv", "question,answer\nx,y\n", ":1: a column 'sql' is expected"),
    "a row without a question": ("csv", "a.csv", "question,sql\nx,SELECT 1\n,SELECT 2\n", ":3, field 'question'"),
    "no prompt": ("nao", "a.yml", "name: x\nsql: SELECT 1\n", ":1, field '$.prompt': is missing"),
    "an assertion without a type": (
        "promptfoo",
        "a.yaml",
        "tests:\n- vars: {q: x}\n  assert:\n  - value: y\n",
        ":4, field '$.tests[0].assert[0].type': is missing",
    ),
    "a threshold in words": (
        "promptfoo",
        "a.yaml",
        "- vars: {q: x}\n  assert:\n  - {type: similar, value: y, threshold: high}\n",
        ":3, field '$.items[0].assert[0].threshold': 'high' is no number",
    ),
    "tests that are a text": ("promptfoo", "a.yaml", "tests: file://other.csv\n", "import that one"),
    "no verified queries": ("snowflake", "a.yaml", "name: x\n", "expected verified_queries"),
    "a verified query without sql": (
        "snowflake",
        "a.yaml",
        "verified_queries:\n  - name: x\n    question: y\n",
        ":2, field '$.verified_queries[0].sql': is missing",
    ),
}


@pytest.mark.parametrize("name", TORN)
def test_a_torn_file_is_told_with_file_line_and_field(folder: Path, name: str) -> None:
    format_, file, text, told = TORN[name]

    with pytest.raises(SourceInvalid) as caught:
        read(folder, format_, file, text)

    assert str(folder / file) in str(caught.value)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("file", "text", "format_"),
    [
        ("dev.json", SPIDER, "spider"),
        ("dev.json", BIRD, "bird"),
        ("one.jsonl", '{"question": "x", "query": "y"}\n', "spider"),
        ("config.json", '{"tests": [],\n "prompts": []}', "promptfoo"),
        ("config.yaml", PROMPTFOO, "promptfoo"),
        ("model.yaml", SNOWFLAKE, "snowflake"),
        ("test.yml", "name: x\nprompt: y\nsql: z\n", "nao"),
        ("q.CSV", CSV, "csv"),
        ("tests.yaml", "- vars: {}\n", None),
        ("other.json", '[{"question": "x"}]', None),
        ("notes.txt", "x", None),
    ],
)
def test_a_format_is_found_where_it_is_plain(folder: Path, file: str, text: str, format_: str | None) -> None:
    (folder / file).write_text(text)

    assert detect(folder / file) == format_
    assert detect(folder) == "nao"
