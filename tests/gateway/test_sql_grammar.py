"""The SQL grammar: what it takes, what it refuses, and that whatever comes out of it is SQL over tables that exist."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import numpy as np
import pytest
import sqlglot
from sqlglot import exp
from transformers import AutoTokenizer

from backend.constraint import Constraint, Grammars
from backend.embedded_model import EmbeddedModel, Prompt
from backend.mini.corpus import samples_of
from backend.mini.database import fill, random_database
from backend.mini.schema_items import schema_item
from backend.tiny_model import make_model_folder
from gateway.sql_grammar import _KEYWORDS, grammar_of, sql_grammar
from kb.introspect import introspect
from kb.items import Column, Document, Item, Schema

from .taken_by_grammar import compiled, taken, takes

DATA = Path(os.environ.get("KVASIR_DATA", "../shared/data"))
HELD_OUT = 1_000_003

PETS = Schema("pets", tuple(Column(name, "TEXT") for name in ("pet_id", "name", "weight", "order", "Home Town")))
OWNERS = Schema("Owners", tuple(Column(name, "TEXT") for name in ("owner_id", "pet_id", "zandistar_code")))


def grammar(dialect: str | None = "sqlite") -> str:
    made = sql_grammar([PETS, OWNERS], dialect)
    assert made is not None
    return made


BOTH = r"""
SELECT * FROM pets
select name, pets.weight from pets where weight > 10.5 and name <> 'it''s' order by weight desc limit 3
SELECT count(*) FROM pets;
SELECT count(DISTINCT name), max(weight) - min(weight) FROM pets
SELECT T1.name FROM pets AS T1 JOIN Owners AS T2 ON T1.pet_id = T2.pet_id
SELECT p.* FROM pets p, Owners AS Ownersalias0 WHERE p.pet_id = Ownersalias0.pet_id
SELECT pets.name FROM pets, Owners WHERE pets.pet_id = Owners.pet_id
select count( * ) from pets as petsalias0 where petsalias0.weight > ( SELECT MAX( weight ) FROM pets ) ;
SELECT name FROM pets WHERE pet_id NOT IN (SELECT pet_id FROM Owners WHERE zandistar_code IS NOT NULL)
SELECT name, count(*) AS n FROM pets GROUP BY name HAVING n > 2 ORDER BY n
SELECT p.name FROM pets AS p LEFT OUTER JOIN Owners AS o2 USING (pet_id) WHERE o2.pet_id IS NULL
SELECT name FROM pets WHERE EXISTS (SELECT 1 FROM Owners WHERE Owners.pet_id = pets.pet_id)
SELECT avg(cnt) FROM (SELECT count(*) AS cnt FROM Owners GROUP BY pet_id) AS per
WITH heavy AS (SELECT * FROM pets WHERE weight > 9), few AS (SELECT name FROM heavy) SELECT count(*) FROM few
SELECT CASE WHEN weight BETWEEN 1 AND 5 THEN 'light' ELSE 'heavy' END, CAST(weight AS INTEGER) FROM pets
SELECT "order", "Home Town" FROM pets WHERE pets."order" LIKE '%x'
SELECT name FROM pets UNION ALL SELECT zandistar_code FROM Owners
SELECT rank() OVER (PARTITION BY name ORDER BY weight) FROM pets
SELECT round(avg(weight), 2) FROM pets WHERE NOT (name = 'a' OR upper(name) = 'B')
SELECT -weight FROM pets WHERE weight > -1
SELECT sum(weight) FILTER (WHERE name = 'a') FROM pets
SELECT name FROM pets WHERE weight = ( SELECT max(weight) FROM pets )
SELECT (SELECT count(*) FROM pets) * 1.0 / (SELECT count(*) FROM Owners)
""".strip().splitlines()

SQLITE = """
SELECT name FROM pets WHERE name = "Rex"
SELECT name FROM pets LIMIT 2, 3
SELECT strftime('%Y', name) FROM pets JOIN Owners
""".strip().splitlines()

POSTGRES = """
SELECT weight::numeric(10, 2) FROM pets WHERE name ILIKE 'r%'
SELECT date_trunc('month', name), extract(year FROM name) FROM pets WHERE name > now() - interval '1 day'
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY weight) FROM pets
SELECT name FROM pets WHERE weight > ALL (SELECT owner_id FROM Owners)
""".strip().splitlines()

REFUSED = [
    ("SELECT nam FROM pets", "SELECT nam"),  # a name may be begun, and an alias is as short; but it is no column
    ("SELECT zanSpnsrar FROM Owners", "SELECT zan"),
    ("SELECT pets.owner_id FROM pets", "SELECT pets."),
    ("SELECT name FROM pet", "SELECT name FROM pet"),
    ("SELECT name FROM dogs", "SELECT name FROM "),
    ("SELECT weight_kg FROM pets", "SELECT weight"),
    ("SELECT T1.weigth FROM pets AS T1", "SELECT T1.weig"),
    ("SELECT nameFROM pets", "SELECT name"),
    ("SELECTname FROM pets", "SELECT"),
    ("SELECT name FROM pets WHERE name = 'a' -- x", "SELECT name FROM pets WHERE name = 'a' -"),
    ("SELECT weight--1 FROM pets", "SELECT weight-"),
    ("SELECT name FROM pets; SELECT", "SELECT name FROM pets;"),
    ("DELETE FROM pets", ""),
    ("SELECT name FROM pets WHERE", "SELECT name FROM pets WHERE"),
    ("SELECT name FROM pets GROUP weight", "SELECT name FROM pets GROUP "),
    ("SELECT order FROM pets", "SELECT order"),
    ("SELECT from.name FROM pets", "SELECT from"),
    ("SELECT name AS select FROM pets", "SELECT name AS select"),
    ("SELECT name", "SELECT name"),
    ("ſELECT name FROM pets", ""),
    ("sElECT name FROM pets", "s"),
    ("SELECT Name FROM pets", "SELECT Nam"),
    ("SELECT name FROM PETS", "SELECT name FROM "),
    ("SELECT  name FROM pets", "SELECT "),
    ("SELECT name\nFROM pets", "SELECT name"),
    ("SELECT name FROM pets WHEREFollow", "SELECT name FROM pets WHERE"),
    ("SELECT name FROM pets WHEREp", "SELECT name FROM pets WHERE"),
    ("SELECT pets.name FROM pets JOIN Owners ONo1", "SELECT pets.name FROM pets JOIN Owners ON"),
    ("SELECT name FROM pets WHERE ze.name = 1", "SELECT name FROM pets WHERE "),
    ("SELECT name FROM pets WHERE p1.name = 1", "SELECT name FROM pets WHERE p"),
    ("SELECT nameINININ3.weight FROM pets", "SELECT name"),
    ("SELECT petsalias0.owner_id FROM pets AS petsalias0", "SELECT petsalias0."),
    ("SELECT o1.name FROM pets AS o1", "SELECT o1."),
    ("SELECT pets. name FROM pets", "SELECT pets."),
    ("SELECT pets.name FROM pets JOIN pets", "SELECT pets.name FROM pets JOIN "),
    ("SELECT pets.name FROM pets, pets", "SELECT pets.name FROM pets, "),
    ("SELECT name FROM pets WHERE Owners.pet_id = 1", "SELECT name FROM pets WHERE "),
    ("SELECT name FROM pets WHERE count(*) = 1", "SELECT name FROM pets WHERE co"),
    ("SELECT name AS n FROM pets WHERE n = 1", "SELECT name AS n FROM pets WHERE n"),
    ("SELECT p.name FROM pets", "SELECT p.name FROM pets"),
    ("```sql\nSELECT name FROM pets\n```", ""),
]


@pytest.mark.parametrize("sql", BOTH)
def test_the_grammar_takes_what_both_dialects_share(sql: str) -> None:
    for dialect in ("sqlite", "postgres", None):
        assert takes(grammar(dialect), sql), sql[: taken(grammar(dialect), sql)]


@pytest.mark.parametrize(
    ("sql", "dialect", "other"),
    [*((sql, "sqlite", "postgres") for sql in SQLITE), *((sql, "postgres", "sqlite") for sql in POSTGRES)],
)
def test_what_one_dialect_has_alone_is_taken_there_alone(sql: str, dialect: str, other: str) -> None:
    assert takes(grammar(dialect), sql), sql[: taken(grammar(dialect), sql)]
    assert takes(grammar(None), sql)
    assert not takes(grammar(other), sql)


@pytest.mark.parametrize(("sql", "begun"), REFUSED)
def test_a_wrong_statement_is_left_at_the_first_character_that_can_lead_nowhere(sql: str, begun: str) -> None:
    for dialect in ("sqlite", "postgres", None):
        assert taken(grammar(dialect), sql) <= len(begun)


UNJOINED = """
SELECT owner_id FROM pets
SELECT Owners.pet_id FROM pets
SELECT count(*) FROM pets WHERE owner_id = 1
SELECT name AS n FROM pets WHERE zandistar_code = 'x' ORDER BY n
SELECT name FROM pets UNION SELECT weight FROM Owners
SELECT name FROM pets GROUP BY name ORDER BY owner_id
""".strip().splitlines()


@pytest.mark.parametrize("sql", UNJOINED)
def test_a_select_of_one_table_cannot_end_with_a_column_of_another(sql: str) -> None:
    assert not takes(grammar(), sql)
    mended = re.sub("FROM (pets|Owners)(?= AS T1|)", r"FROM pets JOIN Owners ON pets.pet_id = Owners.pet_id", sql)
    assert takes(grammar(), mended.replace(" AS T1", "").replace("T1.", "Owners."))


def test_among_many_tables_those_of_one_select_are_not_told_apart() -> None:
    made = sql_grammar([PETS, OWNERS, *(Schema(f"more{n}", (Column("id", "INT"),)) for n in range(20))], "sqlite")
    assert made is not None
    assert takes(made, "SELECT owner_id FROM pets")
    assert not takes(made, "SELECT owner_ids FROM pets")


def test_a_name_can_only_be_finished_as_it_is_written_in_the_schema() -> None:
    matcher = compiled(grammar()).deep_copy()
    matcher.consume_tokens(list(b"SELECT zan"))
    mask = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8), bitorder="little")
    assert {chr(token) for token in mask.nonzero()[0]} == {"d", ".", *"0123456789"}  # or it is an alias, `zan`


def test_the_same_names_give_the_same_text_in_any_order_and_no_schema_gives_none() -> None:
    backwards = Schema("pets", PETS.columns[::-1])
    assert sql_grammar([OWNERS, backwards, PETS], "sqlite") == grammar()
    assert sql_grammar([]) is None
    note = Item("document:a", "A", Document("Nothing of tables."))
    assert grammar_of([note]) is None
    assert grammar_of([note, Item("schema:pets", "Pets", PETS)], "sqlite") == sql_grammar([PETS], "sqlite")


def test_a_table_of_a_named_database_is_taken_with_and_without_it() -> None:
    made = sql_grammar([Schema("pets", PETS.columns, database="zoo")])
    assert made is not None
    assert takes(made, "SELECT name FROM zoo.pets")
    assert takes(made, "SELECT pets.name FROM pets")
    assert not takes(made, "SELECT name FROM zoo2.pets")


# ── what people and the generator have written ───────────────────────────────────────────────────────────────────


def introspected(path: Path) -> list[Schema]:
    return [item.body for item in introspect(f"sqlite:///{path}") if isinstance(item.body, Schema)]


def spider_schemas() -> Callable[[str], list[Schema]]:
    listed: dict[str, list[Schema]] = {}
    for entry in json.loads((DATA / "spider" / "tables.json").read_text()):
        columns: list[list[Column]] = [[] for _ in entry["table_names_original"]]
        for table, name in entry["column_names_original"]:
            if table >= 0:
                columns[table].append(Column(name, "TEXT"))
        tables = zip(entry["table_names_original"], columns, strict=True)
        listed[entry["db_id"]] = [Schema(name, tuple(its)) for name, its in tables]
    return lambda name: listed.get(name) or introspected(DATA / "spider" / "database" / f"{name}.sqlite")


def as_taught(sql: str, schemas: list[Schema]) -> str:
    """With single spaces, and names as their schemas spell them: people write them in any case."""
    tables = {schema.table.lower(): schema.table for schema in schemas}
    columns = {column.name.lower(): column.name for schema in schemas for column in schema.columns}
    own = {f"{schema.table}.{column.name}".lower(): column.name for schema in schemas for column in schema.columns}

    def spelt(found: re.Match[str]) -> str:
        word, before = found[0], found.string[: found.start()]
        small = word.lower()
        alias = re.fullmatch(r"(.*)(alias[0-9]+)", small)
        if small in _KEYWORDS:
            return word
        if alias and alias[1] in tables:
            return tables[alias[1]] + alias[2]
        if found.string[found.end() :].startswith(".") or re.search(r"\b(from|join) $", before, re.IGNORECASE):
            return tables.get(small, word)
        qualified = re.search(r"\w+\.$", before)
        if qualified:
            return own.get(f"{qualified[0]}{word}".lower(), columns.get(small, word))
        return columns.get(small, tables.get(small, word))

    parts = re.split(r"('(?:[^']|'')*'|\"[^\"]*\")", sql)
    parts[::2] = [re.sub(r"[A-Za-z_]\w*", spelt, re.sub(r"\s+", " ", part)) for part in parts[::2]]
    return "".join(parts).strip()


SETS: dict[str, tuple[str, Callable[[], Callable[[str], list[Schema]]], float]] = {
    "spider dev": ("spider/dev.jsonl", spider_schemas, 1.0),
    "spider train1196": ("spider/train1196.jsonl", spider_schemas, 0.995),
    "defog": ("defog/tasks.jsonl", lambda: lambda name: introspected(DATA / "defog" / "db" / f"{name}.sqlite"), 0.98),
    "geography": (
        "text2sql_templates/geography.jsonl",
        lambda: lambda name: introspected(DATA / "text2sql_templates" / f"{name}.sqlite"),
        0.99,
    ),
}
"""File of questions, schemas by database, and the least share of gold statements that must be taken."""


@pytest.mark.parametrize("name", SETS)
def test_gold_statements_are_taken(name: str) -> None:
    file, loader, least = SETS[name]
    if not (DATA / file).exists():
        pytest.skip(f"{DATA / file} is not there; name its folder in KVASIR_DATA")
    records = [json.loads(line) for line in (DATA / file).read_text().splitlines()]
    databases = {record["db_id"] for record in records}
    of = loader()
    known = {database: of(database) for database in databases}
    grammars = {database: sql_grammar(schemas, "sqlite") for database, schemas in known.items()}
    gold = [
        (grammars[record["db_id"]], as_taught(sql, known[record["db_id"]]))
        for record in records
        for sql in record["gold_sql"]
    ]
    refused = [sql for its, sql in gold if its is None or not takes(its, sql)]
    assert 1 - len(refused) / len(gold) >= least, "\n".join(refused)


def test_every_answer_of_the_generator_is_taken() -> None:
    refused = []
    for database in range(20):
        spec = random_database(Random(f"{HELD_OUT}/{database}"))
        made = sql_grammar([body for table in spec.tables for body in schemas_of([schema_item(table)])], "sqlite")
        assert made is not None
        refused += [sample.answer for sample in samples_of(HELD_OUT, database) if not takes(made, sample.answer)]
    assert refused == []


def schemas_of(items: Iterable[Item]) -> list[Schema]:
    return [item.body for item in items if isinstance(item.body, Schema)]


# ── what comes out of it ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = [sample.answer for database in range(20) for sample in samples_of(1, database)]
    return make_model_folder(tmp_path_factory.mktemp("models") / "sql", texts, vocab_tokens=1200, window_tokens=2048)


def liking(text: str) -> float:
    """A walk that opens more than it closes, or begins with WITH, never ends."""
    bare = text.strip().lower()
    if "(" in bare or bare.startswith("w") or not text.isascii() or not text:
        return 0.05
    return {"from": 60.0, ")": 30.0, "": 0.3}.get(bare, 4.0 if not bare[:1].isalpha() else 1.0 / len(bare))


def walk(constraint: Constraint, texts: list[str], end: int, random: Random, most: int) -> str | None:
    """A random text of the grammar, with a liking for short ones; `None` if it is not done after `most` tokens."""
    quotes = [token for token, text in enumerate(texts) if text.strip() in ("'", '"')]
    weights = [liking(text) for text in texts]
    said: list[int] = []
    while len(said) < most:
        allowed = constraint.allowed(len(texts))
        if allowed[end] and (len(said) > most / 2 or random.random() < 0.3):
            return "".join(texts[token] for token in said)
        options = allowed.nonzero()[0].tolist()
        closing = [token for token in quotes if allowed[token]]
        if len(options) > len(texts) / 2 and closing and random.random() < 0.6:
            options = closing
        token = random.choices(options, [weights[token] for token in options])[0]
        if token == end:
            return "".join(texts[token] for token in said)
        said.append(token)
        constraint.advance(token)
    return None


@pytest.fixture(scope="module")
def walks(model_folder: Path) -> list[tuple[sqlite3.Connection, set[str], str]]:
    """Random statements with their database and its columns' names."""
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    texts = [tokenizer.decode([token]) for token in range(len(tokenizer))]
    grammars = Grammars(tokenizer)
    return list(random_statements(grammars, texts, tokenizer.eos_token_id))


def random_statements(
    grammars: Grammars, texts: list[str], end: int
) -> Iterator[tuple[sqlite3.Connection, set[str], str]]:
    for number in range(12):
        random = Random(f"walk {number}")
        spec = random_database(random)
        connection = fill(spec, random)
        columns = {column.name.lower() for table in spec.tables for column in table.columns}
        made = sql_grammar(schemas_of(schema_item(table) for table in spec.tables), "sqlite")
        assert made is not None
        for _ in range(40):
            text = walk(grammars.constraint(made), texts, end, random, 200)
            if text is not None:
                yield connection, columns, text


SYNTAX = re.compile("syntax error|unrecognized token|incomplete input|no such table|one statement")
OWN_NAMES = re.compile(r"\b(as|with)\b|from\s*\(|join\s*\(|,\s*\(", re.IGNORECASE)


def failure(connection: sqlite3.Connection, sql: str) -> str:
    try:
        connection.execute(f"EXPLAIN {sql}")
    except sqlite3.Error as exc:
        return str(exc)
    return ""


def test_any_text_of_the_grammar_is_a_statement_to_sqlite(
    walks: list[tuple[sqlite3.Connection, set[str], str]],
) -> None:
    failures = [(failure(connection, sql), sql) for connection, _, sql in walks if sql.lower().split()[0] != "with"]
    assert len(failures) > 80
    # `c1.*` is of a table to SQLite, where nothing is called c1.
    assert [entry for entry in failures if SYNTAX.search(entry[0]) and ".*" not in entry[1]] == []


def test_names_are_those_of_the_schema_where_the_statement_gives_none_of_its_own(
    walks: list[tuple[sqlite3.Connection, set[str], str]],
) -> None:
    """What SQLite misses then stands behind an alias, or the table of the column is not joined."""
    own = [(connection, columns, sql) for connection, columns, sql in walks if not OWN_NAMES.search(sql)]
    missed = [(failure(connection, sql), columns, sql) for connection, columns, sql in own]
    assert len(missed) > 30
    for message, columns, sql in missed:
        if message.startswith("no such column: "):
            assert message.removeprefix("no such column: ").split(".")[-1].lower() in columns, sql
            assert "." in message or len(list(sqlglot.parse_one(sql, dialect="sqlite").find_all(exp.Table))) > 1, sql


def test_a_model_of_random_weights_answers_in_sql_or_is_cut_at_max_tokens(model_folder: Path) -> None:
    model = EmbeddedModel(model_folder)
    random = Random("model")
    spec = random_database(random)
    made = sql_grammar(schemas_of(schema_item(table) for table in spec.tables), "sqlite")
    reasons = set()
    with closing(fill(spec, random)) as connection:
        for seed in range(10):
            prompt = Prompt(({"role": "user", "content": "Hm?"},), 60, temperature=1.0, seed=seed, grammar=made)
            pieces = list(model.generate(prompt, threading.Event()))
            text, last = "".join(piece.text for piece in pieces), pieces[-1]
            reasons.add(last.finish_reason)
            assert last.completion_tokens <= 60
            assert (last.finish_reason == "length") == (last.completion_tokens == 60 and not takes(made or "", text))
            if last.finish_reason == "stop" and text.lower().split()[0] != "with":
                assert not SYNTAX.search(failure(connection, text))
    assert "length" in reasons
