"""The training text of the reference model: it runs, it is the same each time, and it contradicts itself on purpose."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from backend.mini.corpus import samples_of, write_corpus
from backend.mini.counterpart import counterpart
from backend.mini.database import DatabaseSpec, fill, random_database
from backend.mini.query import Query, pattern_of
from backend.mini.query_maker import QueryMaker
from backend.mini.sample import Sample
from backend.mini.skills import Skills
from backend.mini.sql_writer import PLAIN, Hand, random_hand

SEED = 5
DATABASES = range(25)


def opened(database: int) -> tuple[DatabaseSpec, sqlite3.Connection]:
    random = Random(f"{SEED}/{database}")
    spec = random_database(random)
    return spec, fill(spec, random)


@pytest.fixture(scope="module")
def samples() -> dict[int, list[Sample]]:
    return {database: list(samples_of(SEED, database)) for database in DATABASES}


def test_every_answer_runs_on_its_database_and_returns_a_value(samples: dict[int, list[Sample]]) -> None:
    assert sum(len(made) for made in samples.values()) > 200
    for database, made in samples.items():
        with closing(opened(database)[1]) as connection:
            for sample in made:
                rows = connection.execute(sample.answer).fetchall()
                assert any(cell is not None for row in rows for cell in row), sample.answer


def test_every_skill_is_there(samples: dict[int, list[Sample]]) -> None:
    skills = {sample.skill for made in samples.values() for sample in made}
    assert skills == {"plain", "gotcha", "rule", "metric", "success", "success among distractors", "follow-up"}


def test_the_tables_of_an_answer_are_in_its_context(samples: dict[int, list[Sample]]) -> None:
    for database, made in samples.items():
        spec, connection = opened(database)
        connection.close()
        for sample in made:
            context = "\n".join(message["content"] for message in sample.messages)
            words = set(sample.answer.replace(".", " ").replace("(", " ").replace(")", " ").replace('"', "").split())
            for table in spec.tables:
                if table.name in words and table.name not in {c.name for t in spec.tables for c in t.columns}:
                    shown = any(f"Table {table.name}{end}" in context for end in ("\n", ": "))
                    assert shown, (table.name, sample.answer)


def test_the_same_seed_gives_the_same_text_whatever_the_number_of_processes(tmp_path: Path) -> None:
    told: list[int] = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        write_corpus(folder, seed=SEED, databases=3, processes=processes, on_shard=lambda _, count: told.append(count))
    first, second = (sorted((tmp_path / name).glob("*.jsonl")) for name in ("1", "2"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second] != []
    assert told[0] == told[1] == len(first[0].read_text().splitlines())


def test_another_seed_gives_other_databases() -> None:
    assert random_database(Random("1/0")) != random_database(Random("2/0"))


def test_no_database_has_two_tables_or_columns_of_one_name() -> None:
    for number in range(300):
        spec = random_database(Random(number))
        tables = [table.name.lower() for table in spec.tables]
        assert len(tables) == len(set(tables))
        for table in spec.tables:
            columns = [column.name.lower() for column in table.columns]
            assert len(columns) == len(set(columns))


def test_a_gotcha_changes_the_answer_to_the_question_it_is_about() -> None:
    changed = 0
    for number in range(60):
        answers = []
        for stated in (True, False):
            random = Random(f"gotcha {number}")
            spec = random_database(random)
            with closing(fill(spec, random)) as connection:
                sample = Skills(spec, connection, random).gotcha(stated=stated)
            answers.append(sample)
        told, untold = answers
        if told is None or untold is None:
            continue
        assert "<gotcha id=" in told.messages[0]["content"]
        changed += told.answer != untold.answer
    assert changed >= 10


def test_a_metrics_name_is_explained_nowhere_but_in_its_definition() -> None:
    random = Random(3)
    spec = random_database(random)
    with closing(fill(spec, random)) as connection:
        made = [sample for _ in range(20) if (sample := Skills(spec, connection, random).metric())]
    assert made
    for sample in made:
        system, question = sample.messages[0]["content"], sample.messages[-1]["content"]
        name = system.partition('<metric id="metric:')[2].partition('"')[0]
        assert name in question.lower()
        assert name not in sample.answer


def test_a_query_says_the_same_sql_each_time() -> None:
    random = Random(1)
    spec = random_database(random)
    with closing(fill(spec, random)) as connection:
        maker = QueryMaker(spec, connection, random)
        query = maker.make()
        assert query is not None
        assert maker.sql(query) == maker.sql(query)


@pytest.fixture
def maker() -> Iterator[QueryMaker]:
    random = Random(8)
    spec = random_database(random)
    with closing(fill(spec, random)) as connection:
        yield QueryMaker(spec, connection, random)


def made_by(maker: QueryMaker, count: int) -> list[Query]:
    return [query for _ in range(count) if (query := maker.make()) is not None]


def test_a_query_means_the_same_in_every_hand(maker: QueryMaker) -> None:
    written = set()
    for query in made_by(maker, 60):
        expected = Counter(maker.connection.execute(maker.sql(query, PLAIN)).fetchall())
        for _ in range(5):
            hand = random_hand(maker.random)
            sql = maker.sql(query, replace(hand, nested=False))
            written.add(sql)
            assert Counter(maker.connection.execute(sql).fetchall()) == expected, sql
    assert len(written) > 150


def test_the_extreme_of_a_column_can_be_found_by_a_subquery(maker: QueryMaker) -> None:
    nested = [sql for query in made_by(maker, 200) if " = (SELECT m" in (sql := maker.sql(query, Hand(nested=True)))]
    assert nested
    for sql in nested:
        assert maker.connection.execute(sql).fetchall()


def test_training_and_held_out_queries_share_no_template(maker: QueryMaker) -> None:
    trained = {pattern_of(query) for query in made_by(maker, 300)}
    held_out = {pattern_of(query) for query in made_by(replace(maker, held_out=True), 100)}
    assert len(trained) > 60
    assert len(held_out) > 15
    assert not trained & held_out


def test_no_answer_of_the_training_text_has_a_held_out_template() -> None:
    """Of those that can be told: the answer is the plain hand's SQL of a query that is held out."""
    for number in range(30):
        random = Random(f"templates {number}")
        spec = random_database(random)
        with closing(fill(spec, random)) as connection:
            held_out = QueryMaker(spec, connection, random, held_out=True)
            kept = {held_out.sql(query) for query in made_by(held_out, 40)}
        assert not kept & {sample.answer for sample in samples_of(SEED, number)}


def test_a_counterpart_has_the_same_template_on_another_table(maker: QueryMaker) -> None:
    pairs = [(query, other) for query in made_by(maker, 80) if (other := counterpart(maker, query)) is not None]
    assert len(pairs) > 20
    for query, other in pairs:
        assert pattern_of(other) == pattern_of(query)
        assert other.table != query.table
        assert maker.answers(other)


def test_where_pieces_are_given_nearly_all_names_are_made_of_them() -> None:
    spec = random_database(Random(2), pieces=("zub", "quoll"))
    spoken = [word for table in spec.tables for word in table.thing.singular.split()]
    assert sum("zub" in word or "quoll" in word for word in spoken) >= len(spec.tables) / 2


def test_names_that_are_words_of_sql_or_single_letters_still_give_samples() -> None:
    words = "intersect returning create true current_date select order s y to as null values union".split()
    for number in range(6):
        random = Random(f"{SEED}/words/{number}")
        spec = random_database(random, words)
        with closing(fill(spec, random)) as connection:
            skills = Skills(spec, connection, random)
            made = [skills.plain() for _ in range(12)]
            assert any(made)
            for sample in made:
                if sample is not None:
                    assert connection.execute(sample.answer).fetchall()
