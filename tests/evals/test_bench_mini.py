"""The reference model's benchmark, on data small enough to work out by hand and on a model of random weights."""

from __future__ import annotations

import gzip
import json
import sqlite3
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from click.testing import CliRunner, Result

from backend.embedded_model import EmbeddedModel
from backend.embedded_model import Prompt as EmbeddedPrompt
from backend.mini import answer as answer_module
from backend.mini.answer import Answerer
from backend.mini.answer_file import (
    Answered,
    Prompt,
    append_answers,
    model_digest,
    prompt_of,
    read_answers,
    read_prompts,
    write_prompts,
)
from backend.mini.evaluate import held_out
from backend.mini.tokenizer import TextEncoder, train_tokenizer
from backend.mini.train import build_model, export
from backend.mini.training import Shape, Training
from evals.bench.cli import group
from evals.bench.errors import AnswersUnavailable, BenchUnavailable, DataUnavailable, ModelUnavailable
from evals.bench.mini import benchmark, speed
from evals.bench.mini.abilities import ABILITIES, ability_prompts, ability_rows, is_valid
from evals.bench.mini.answer_book import AnswerBook
from evals.bench.mini.benchmark import MiniBenchmark, Plan
from evals.bench.mini.curve import curves_of, draw, point_name
from evals.bench.mini.defog_set import defog_set
from evals.bench.mini.execution import Judged, frozen, is_ordered, judge_by_rows
from evals.bench.mini.prompts import Task, tasks_of
from evals.bench.mini.question_set import Group, Question, QuestionSet, Step
from evals.bench.mini.scores import refused_row, set_rows
from evals.bench.mini.speed import PROMPT_TOKENS, TOLERANCE, long_prompt, speed_rows
from evals.bench.mini.spider_sets import spider_sets
from evals.bench.mini.sql_equality import same_sql
from evals.bench.mini.template_sets import schemas_of, template_sets
from evals.bench.row import Row
from gateway.answering import Ask, prepare
from gateway.conversation import ask
from kb.embedding import SentenceEmbedder
from kb.items import Item, Schema, Success

PETS = """
CREATE TABLE pets (id INTEGER PRIMARY KEY, kind TEXT, weight REAL);
INSERT INTO pets VALUES (1, 'dog', 12.5), (2, 'cat', 4.0), (3, 'dog', 30.0);
"""
STATES = "CREATE TABLE state (name TEXT, area REAL); INSERT INTO state VALUES ('ohio', 1), ('utah', 2), ('iowa', 3);"
TABLES = (("FLIGHT", ("ID", "COST", "FROM_CITY")), ("CITY", ("CODE", "NAME")))


def say(_: str) -> None:
    """Nobody listens."""


def write_lines(path: Path, records: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def make_database(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(path) as connection:
        connection.executescript(script)
    connection.close()
    return path


def template(number: int, area: int, question_split: str, query_split: str) -> dict[str, Any]:
    return {
        "id": f"geography-{number}",
        "question": f"which state has the area {area}",
        "gold_sql": [f"SELECT Salias0.name FROM state AS Salias0 WHERE Salias0.area = {area} ;"],
        "question_split": question_split,
        "query_split": query_split,
    }


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    count = {"id": "dev-1", "db_id": "pets", "question": "How many dogs?"}
    count["gold_sql"] = ["SELECT count(*) FROM pets WHERE kind = 'dog'"]  # type: ignore[assignment]
    heavy = {"id": "dev-2", "db_id": "pets", "question": "Pets by weight?", "gold_sql": ["SELECT id FROM pets"]}
    other = {"question": "How many cats?", "gold_sql": ["SELECT count(*) FROM cats"]}
    write_lines(folder / "spider" / "dev.jsonl", [count, heavy])
    write_lines(folder / "spider" / "realistic.jsonl", [count])
    write_lines(folder / "spider" / "train1196.jsonl", [other, other])
    make_database(folder / "spider" / "database" / "pets.sqlite", PETS)
    make_database(folder / "defog" / "db" / "pets.sqlite", PETS)
    write_lines(folder / "defog" / "glossary.jsonl", [{"id": "pets-g0", "db_id": "pets", "text": "Heavy is over 10."}])
    task = {"id": "t-1", "db_id": "pets", "question": "Today?", "instructions": "Answer with a date."}
    write_lines(folder / "defog" / "tasks.jsonl", [{**task, "gold_sql_frozen": ["SELECT '2025-06-18'"]}])
    sets = folder / "text2sql_templates"
    make_database(sets / "geography.sqlite", STATES)
    trained = [template(number, number, "train", "train") for number in range(10, 30)]
    asked = [template(1, 1, "dev", "train"), template(2, 2, "dev", "dev"), template(3, 3, "train", "dev")]
    write_lines(sets / "geography.jsonl", [*trained, *asked])
    for name in ("atis", "advising", "scholar"):
        write_lines(sets / f"{name}.jsonl", [*trained[:3], *asked])
        (sets / f"{name}-schema.csv").write_text(
            "Table Name, Field Name, Is Primary Key, Is Foreign Key, Type\n"
            "STATE, NAME, y, n, varchar(255)\nSTATE, AREA, n, n, double\n-, -, -, -, -\n"
        )
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of random weights."""
    folder = tmp_path_factory.mktemp("model")
    prompts = [message["content"] for prompt in ability_prompts(1) for message in prompt.messages]
    train_tokenizer(prompts, folder, 1200)
    shape = Shape(hidden=64, layers=2, heads=2, kv_heads=2, intermediate=128, vocab_tokens=1200)
    encoder = TextEncoder(folder)
    model = build_model(shape, 1, end=encoder.end, pad=encoder.pad)
    with torch.no_grad():
        # As they are drawn, the layers add so little that every prompt gets its own last token back.
        for weights in model.model.layers.parameters():
            if weights.dim() > 1:
                weights *= 20
    export(model, folder, folder / "model")
    return folder / "model"


class Scripted:
    """Stands where the answerer does; says what `text_of` makes of a prompt."""

    decoding, device, dtype = "greedy", "cpu", "float32"

    def __init__(self, text_of: Callable[[Prompt], str | None]) -> None:
        self.text_of = text_of
        self.asked: list[Prompt] = []

    def made(self, prompts: Sequence[Prompt], _batch: int) -> Any:
        for place, prompt in reversed(list(enumerate(prompts))):
            self.asked.append(prompt)
            yield place, answer_module.Made(self.text_of(prompt), 10, 5)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Prompt], str | None]], Scripted]:
    def use(text_of: Callable[[Prompt], str | None]) -> Scripted:
        answerer = Scripted(text_of)
        monkeypatch.setattr("evals.bench.mini.answer_book.Answerer", lambda *_: answerer)
        return answerer

    return use


def book_of(model: Path, file: Path | None = None) -> AnswerBook:
    return AnswerBook(model, device="cpu", batch=4, file=file, say=say)


def answered(key: str, model: str = "m", text: str | None = "SELECT 1") -> Answered:
    return Answered(key, model, "greedy", "cpu", "float32", text, 10, 5)


def prompt(text: str, **tables: list[str]) -> Prompt:
    return prompt_of([{"role": "user", "content": text}], tables)


def test_answers_do_not_depend_on_the_batch(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_module, "dtype_on", lambda _: "float32")
    monkeypatch.setattr(answer_module, "ANSWER_TOKENS", 12)
    answerer = Answerer(model, "cpu")
    prompts = [prompt("count"), prompt("count orders by state of each customer"), prompt("sum")]
    messages = [prompt.messages for prompt in prompts]
    together, alone = answerer.answers(messages, 3), answerer.answers(messages, 1)
    assert together == alone
    assert len(set(alone)) > 1


def test_the_embedded_engine_answers_as_a_batch_does(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_module, "ANSWER_TOKENS", 12)
    monkeypatch.setattr(answer_module, "dtype_on", lambda _: "float32")
    monkeypatch.setattr("backend.embedded_model.cpu_multiplies_bf16", lambda: False)
    prompts = [prompt("count"), prompt("count orders by state of each customer"), prompt("sum"), prompt("a " * 4_200)]
    batch = dict(Answerer(model, "cpu").made(prompts, 3))
    engine = EmbeddedModel(model)
    for place in range(3):
        asked = EmbeddedPrompt(tuple(prompts[place].messages), max_tokens=12)
        pieces = list(engine.generate(asked, threading.Event()))
        assert "".join(piece.text for piece in pieces) == batch[place].text
        assert engine.count_tokens(prompts[place].messages) == batch[place].prompt_tokens
    assert batch[3].text is None
    limited = Answerer(model, "cpu", "constrained").made([prompt("how many", zebra=["stripes"])], 1)
    assert (next(limited)[1].text or "").strip().lower().startswith(("select", "with"))


def test_a_prompt_that_leaves_no_room_is_not_asked_and_one_that_leaves_some_is(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_module, "WINDOW_TOKENS", 100)
    answerer = Answerer(model, "cpu")
    made = dict(answerer.made([prompt("state " * 200), prompt("state")], 2))
    assert (made[0].text, made[0].answer_tokens) == (None, 0)
    assert made[0].prompt_tokens > 100
    assert made[1].text is not None
    assert made[1].prompt_tokens + made[1].answer_tokens <= 100


def test_an_answers_file_counts_for_its_own_model_and_a_line_that_was_cut_off_is_made_again(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    write_lines(file, [asdict(answered("a", "one")), asdict(answered("b", "two"))])
    with file.open("a") as lines:
        lines.write('{"key": "c", "mod')
    assert read_answers(file, "one").keys() == {("a", "greedy")}
    list(append_answers(file, [answered("c", "one")]))
    assert read_answers(file, "one").keys() == {("a", "greedy"), ("c", "greedy")}
    assert read_answers(tmp_path / "none.jsonl", "one") == {}


def test_prompts_answered_elsewhere_are_not_asked_again(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scripted: Any
) -> None:
    monkeypatch.setattr(answer_module, "ANSWER_TOKENS", 4)
    prompts, answers = tmp_path / "prompts.jsonl.gz", tmp_path / "answers.jsonl"
    assert write_prompts(prompts, [prompt("a"), prompt("b"), prompt("a")]) == 2
    assert len(gzip.decompress(prompts.read_bytes()).splitlines()) == 2
    monkeypatch.setattr(sys, "argv", ["answer", str(model), str(prompts), str(answers)])
    answer_module.main()
    answer_module.main()
    assert len(answers.read_text().splitlines()) == 2
    here = scripted(lambda _: "made here")
    book = book_of(model, answers)
    texts = [answer.text for answer in book.ask([prompt("b"), prompt("c"), prompt("a")])]
    assert (texts[1], here.asked) == ("made here", [prompt("c")])
    assert texts[0] == read_answers(answers, book.model)[prompt("b").key, "greedy"].text
    assert list(book_of(model, answers).missing([prompt("c"), prompt("d")])) == [prompt("d")]


def test_answers_are_told_apart_by_their_decoding(
    model: Path, tmp_path: Path, scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(lambda _: "made here")
    file = tmp_path / "answers.jsonl"
    line = replace(answered(prompt("a").key, model_digest(model)), decoding="constrained")
    write_lines(file, [asdict(line)])
    book = book_of(model, file)
    assert book.ask([prompt("a")], "constrained")[0].text == "SELECT 1"
    assert book.ask([prompt("a")], "greedy")[0].text == "made here"
    monkeypatch.setattr("evals.bench.mini.answer_book.find_spec", lambda _: None)
    with pytest.raises(AnswersUnavailable, match=r"1 constrained answers .* llguidance"):
        book.ask([prompt("a"), prompt("b")], "constrained")


def test_a_constrained_answer_is_sql_over_the_tables_of_its_own_prompt(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_module, "ANSWER_TOKENS", 40)
    answerer = Answerer(model, "cpu", "constrained")
    asked = [prompt("how many", zebra=["stripes"]), prompt("how many are there", crow=["beak"]), prompt("say")]
    made = dict(answerer.made(asked, 3))
    texts = [made[place].text or "" for place in range(3)]
    assert [text.strip().lower()[:4] for text in texts[:2]] in (
        ["sele", "sele"],
        ["with", "with"],
        ["sele", "with"],
        ["with", "sele"],
    )
    assert texts[2].strip().lower()[:4] not in ("sele", "with")


def test_a_grammar_that_fails_spoils_no_other_answer_of_its_batch(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_module, "ANSWER_TOKENS", 4)
    monkeypatch.setattr(answer_module, "grammar_over", lambda tables: "start: (" if "bad" in tables else None)
    answerer = Answerer(model, "cpu", "constrained")
    made = dict(answerer.made([prompt("a", bad=["x"]), prompt("b", good=["x"])], 2))
    assert made[0].text is None
    assert made[1].text


def test_other_weights_have_another_digest(model: Path, tmp_path: Path) -> None:
    for path in model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert model_digest(tmp_path) == model_digest(model)
    weights = next(tmp_path.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    assert model_digest(tmp_path) != model_digest(model)


@pytest.mark.parametrize(
    ("gold", "said", "judged"),
    [
        ("SELECT kind FROM pets", "SELECT kind FROM pets ORDER BY kind", Judged(True, True)),
        ("SELECT kind FROM pets ORDER BY kind", "SELECT kind FROM pets ORDER BY id", Judged(False, True)),
        ("SELECT count(*) FROM pets", "```sql\nSELECT 3;\n```", Judged(True, True)),
        ("SELECT count(*) FROM pets", "SELECT 4", Judged(False, True)),
        ("SELECT count(*) FROM pets", "SELECT nothing FROM pets", Judged(False, False)),
        ("SELECT count(*) FROM pets", "DELETE FROM pets", Judged(False, False)),
        ("SELECT count(*) FROM pets", "", Judged(False, False)),
        ("SELECT count(*) FROM pets", None, Judged(False, False)),
        ("SELECT count(*) FROM gone", "SELECT 3", None),
        ('SELECT id FROM pets WHERE kind = "cat" ;', "SELECT 2", Judged(True, True)),
    ],
)
def test_an_answer_is_right_if_its_rows_are(data: Path, gold: str, said: str | None, judged: Judged | None) -> None:
    file = data / "spider" / "database" / "pets.sqlite"
    assert judge_by_rows(file, [gold], said) == judged


def test_any_accepted_statement_will_do_each_with_its_own_order(data: Path) -> None:
    file = data / "spider" / "database" / "pets.sqlite"
    gold = ["SELECT id FROM pets ORDER BY id", "SELECT kind FROM pets", "SELECT broken"]
    assert judge_by_rows(file, gold, "SELECT kind FROM pets ORDER BY id DESC") == Judged(True, True)
    assert judge_by_rows(file, gold, "SELECT id FROM pets ORDER BY id DESC") == Judged(False, True)


@pytest.mark.parametrize(
    ("sql", "ordered"),
    [
        ("SELECT a FROM b ORDER BY a", True),
        ("SELECT a FROM (SELECT a FROM b ORDER BY a)", False),
        ("SELECT a FROM b UNION SELECT c FROM d ORDER BY 1", True),
        ("SELECT ( FROM order by", True),
    ],
)
def test_order_counts_where_the_outermost_statement_asks_for_it(sql: str, ordered: bool) -> None:
    assert is_ordered(sql) is ordered


def test_the_clock_stands_still_in_every_spelling_of_now() -> None:
    clock = "2025-06-18 12:00:00"
    sql = "SELECT date('now', '-1 day'), CURRENT_DATE, current_timestamp, CURRENT_TIME, 'nowhere', current_date_x"
    assert frozen(sql, clock) == (
        f"SELECT date('{clock}', '-1 day'), '2025-06-18', '{clock}', '12:00:00', 'nowhere', current_date_x"
    )
    assert frozen(sql, None) == sql


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ("SELECT Falias0.ID FROM FLIGHT AS Falias0 ;", "select f.id from flight f", True),
        ("SELECT ID FROM FLIGHT WHERE COST > 3 AND ID = 1", "SELECT id FROM flight WHERE 1 = id AND 3 < cost", True),
        ("SELECT ID FROM FLIGHT WHERE COST > 3", "SELECT id FROM flight WHERE cost >= 3", False),
        (
            'SELECT F.ID FROM FLIGHT AS F , CITY AS C WHERE ( F.FROM_CITY = C.CODE AND C.NAME = "BOSTON" )',
            "SELECT id FROM city JOIN flight ON code = from_city WHERE name = 'BOSTON'",
            True,
        ),
        ('SELECT ID FROM FLIGHT WHERE FROM_CITY = "BOSTON"', "SELECT id FROM flight WHERE from_city = 'DENVER'", False),
        ("SELECT ID FROM FLIGHT", "SELECT id FROM flight LEFT JOIN city ON code = from_city", False),
        ("SELECT ID FROM FLIGHT", "SELECT DISTINCT id FROM flight", False),
        (
            "SELECT ID FROM FLIGHT WHERE ID = 1 OR (ID = 2 AND COST = 3)",
            "SELECT ID FROM FLIGHT WHERE (ID = 1 OR ID = 2) AND COST = 3",
            False,
        ),
        (
            "SELECT ID FROM FLIGHT WHERE COST = (SELECT MAX(F1.COST) FROM FLIGHT AS F1)",
            "SELECT a.id FROM flight a WHERE a.cost = (SELECT max(cost) AS most FROM flight)",
            True,
        ),
        ("SELECT COUNT(*) AS N FROM CITY ORDER BY N", "SELECT count(*) AS m FROM city ORDER BY m", True),
        ("SELECT ID , COST FROM FLIGHT", "SELECT cost, id FROM flight", False),
        ("SELECT ID FROM FLIGHT", "I do not know", False),
        ("SELECT ID FROM FLIGHT WHERE COST =  ;", "select id  from flight where cost =", True),
    ],
)
def test_statements_are_the_same_but_for_their_spelling(expected: str, actual: str, same: bool) -> None:
    assert same_sql(expected, actual, TABLES) is same
    assert same_sql(expected, expected, TABLES)


def test_a_template_sets_confirmed_answers_are_nested_and_never_those_it_asks(data: Path) -> None:
    sets = {asked.name: asked for asked in template_sets(data)}
    assert len(sets) == 8
    for asked in sets.values():
        (group_,) = asked.groups
        confirmed = [item for step in group_.steps for item in step.added if isinstance(item.body, Success)]
        questions = {item.body.question for item in confirmed if isinstance(item.body, Success)}
        assert questions.isdisjoint(question.text for question in group_.questions)
        counts = [step.confirmed for step in group_.steps if step.confirmed is not None]
        assert counts == sorted(set(counts))
        assert counts[-1] == len(confirmed) == len({item.id for item in confirmed})
    by_question, by_query = sets["geography question split"].groups[0], sets["geography query split"].groups[0]
    assert [question.id for question in by_question.questions] == ["geography-1", "geography-2"]
    assert [question.id for question in by_query.questions] == ["geography-2", "geography-3"]
    assert [step.confirmed for step in by_query.steps] == [None, 0, 10, 21]
    assert by_query.steps[2].added == next(s for s in template_sets(data) if "query" in s.name).groups[0].steps[2].added
    assert all(";" not in item.body.answer for item in by_query.steps[2].added if isinstance(item.body, Success))


def test_a_template_sets_schema_is_read_whatever_the_order_of_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "x-schema.csv"
    path.write_text(
        "Table Name, Field Name, Type, Is Foreign Key, Is Primary Key\n"
        "COURSE, COURSE_ID,  int(11),      NO,   PRI,  0,        -\nCOURSE, NAME, varchar(255), YES, -, NULL, -\n"
        "-, -, -, -, -, -, -\nAREA, AREA, varchar(30),  YES,   -,  NULL,     -\n"
    )
    course, area = (item.body for item in schemas_of(path))
    assert isinstance(course, Schema)
    assert isinstance(area, Schema)
    assert [(column.name, column.type, column.primary_key) for column in course.columns] == [
        ("COURSE_ID", "INT(11)", True),
        ("NAME", "VARCHAR(255)", False),
    ]
    assert area.table == "AREA"
    with pytest.raises(DataUnavailable):
        schemas_of(tmp_path / "none.csv")


def test_every_question_is_asked_at_every_step_of_its_own_base(data: Path, embedder: SentenceEmbedder) -> None:
    sets = [*spider_sets(data), defog_set(data)]
    assert [step.label for step in sets[0].groups[0].steps][-1] == "schemas + 1 successes of other databases"
    tasks = tasks_of(sets, embedder, say)
    dev = {
        task.step.label: task.prompt.messages for task in tasks if task.question.id == "dev-1" and task.set is sets[0]
    }
    empty, schemas, others = dev.values()
    assert "<schema id=" not in empty[0]["content"]
    assert "- kind TEXT (values: cat, dog)" in schemas[0]["content"]
    assert "FROM cats" not in schemas[0]["content"]
    assert "SELECT count(*) FROM cats" in others[0]["content"]
    (last,) = [task for task in tasks if task.step.label == "schemas + glossary"]
    assert '<rule id="rule:pets-g0">\nHeavy is over 10.\n</rule>' in last.prompt.messages[0]["content"]
    assert last.prompt.messages[-1]["content"] == "Today?\nAnswer with a date."
    assert last.set.clock == "2025-06-18 12:00:00"


def test_a_prompt_is_the_one_that_the_gateway_would_send(
    shop: Any, shop_items: list[Item], embedder: SentenceEmbedder
) -> None:
    question = "How many orders does each customer have?"
    learned = Item("success:a", "a", Success("How many orders does each shop have?", "SELECT 1"))
    shop.learn(learned)
    group_ = Group("shop", None, (Question("1", question, ("SELECT 1",)),), (Step("all", (*shop_items, learned)),))
    (task,) = tasks_of([QuestionSet("shop", "execution match", (group_,))], embedder, say)
    sent = prepare(shop.core, Ask("default", "shop", ask(question))).prompt
    assert task.prompt.messages == sent.messages
    assert "success:a" in task.prompt.messages[0]["content"]


def rows_by_name(rows: Sequence[Row]) -> dict[str, Row]:
    assert len({row.name for row in rows}) == len(rows)
    return {row.name: row for row in rows}


def test_a_curve_has_a_row_a_point_with_what_its_confirmed_answers_gained(
    data: Path, embedder: SentenceEmbedder
) -> None:
    asked = template_sets(data)[0]
    tasks = tasks_of([asked], embedder, say)

    def said(task: Task) -> str | None:
        learned = bool(task.step.confirmed)
        if learned or task.question.id == "geography-1":
            return task.question.gold[0] if task.step.label != "empty base" else "SELECT nothing"
        return None

    answers = [answered("k", text=said(task)) for task in tasks]
    rows = rows_by_name(set_rows(asked, tasks, answers, "greedy", say))
    values = {name: row.value for name, row in rows.items()}
    assert values == {
        "geography question split, empty base, greedy": 0.0,
        "geography question split, empty base, answers that run, greedy": 0.0,
        "geography question split, 0 confirmed answers, greedy": 0.5,
        "geography question split, 0 confirmed answers, answers that run, greedy": 0.5,
        "geography question split, 10 confirmed answers, greedy": 1.0,
        "geography question split, 10 confirmed answers, answers that run, greedy": 1.0,
        "geography question split, 21 confirmed answers, greedy": 1.0,
        "geography question split, 21 confirmed answers, answers that run, greedy": 1.0,
        "geography question split, gain of 21 confirmed answers, greedy": 0.5,
    }
    last = rows["geography question split, 21 confirmed answers, greedy"]
    assert (last.n, last.unit, last.baseline) == (2, "execution match", {"schemas": 0.5})
    assert last.interval == pytest.approx((0.342, 1.0), abs=0.001)
    assert rows["geography question split, 0 confirmed answers, greedy"].baseline == {"empty base": 0.0}
    assert rows["geography question split, gain of 21 confirmed answers, greedy"].interval == (0.0, 1.0)
    assert refused_row("curve", answers, "greedy").value == sum(answer.text is None for answer in answers) == 2


def test_where_there_is_no_database_statements_are_compared_and_the_unit_says_so(
    data: Path, embedder: SentenceEmbedder
) -> None:
    asked = next(asked for asked in template_sets(data) if asked.name == "atis query split")
    tasks = tasks_of([asked], embedder, say)
    answers = [answered("k", text="select name from state where 2 = area") for _ in tasks]
    rows = set_rows(asked, tasks, answers, "greedy", say)
    assert {(row.value, row.unit) for row in rows if "gain" not in row.name} == {(0.5, "SQL equality")}


def test_a_question_whose_own_statement_does_not_run_is_left_out_and_told(data: Path) -> None:
    file = data / "spider" / "database" / "pets.sqlite"
    questions = (Question("1", "a", ("SELECT 1",)), Question("2", "b", ("SELECT gone",)))
    step = Step("schemas")
    asked = QuestionSet("x", "execution match", (Group("pets", file, questions, (step,)),))
    tasks = [Task(asked, asked.groups[0], step, question, prompt("")) for question in questions]
    told: list[str] = []
    rows = set_rows(asked, tasks, [answered("k"), answered("k")], "greedy", told.append)
    assert [(row.n, row.value) for row in rows] == [(1, 1.0), (1, 1.0)]
    assert told == ["x: 1 questions left out, their own statement does not run"]


def test_abilities_compare_with_the_same_questions_without_the_knowledge(model: Path, scripted: Any) -> None:
    seed = Training().held_out_seed
    right: dict[str, str] = {}
    for ability in ABILITIES:
        for case in held_out(ability.row, 2, seed):
            right[prompt_of(case.sample.messages).key] = case.sample.answer
            case.connection.close()
    scripted(lambda prompt: right.get(prompt.key, "SELECT no_such_column"))
    rows = rows_by_name(ability_rows(book_of(model), 2, "greedy", say))
    told = rows["gotcha contradicts the obvious column, greedy"]
    assert (told.value, told.ok, told.n, told.baseline) == (1.0, True, 2, {"without it": 0.0})
    without = rows["gotcha contradicts the obvious column, without it, greedy"]
    assert (without.value, without.ok) == (0.0, True)
    valid = rows["SQL parses and names existing columns, greedy"]
    assert (valid.value, valid.n, valid.ok) == (1.0, 2 * len(ABILITIES), True)
    bounds = {name: row.asked.at_least for name, row in rows.items() if row.asked and row.asked.at_least}
    assert list(bounds.values()) == [0.9, 0.9, 0.85, 0.9, 0.85, 0.8, 0.99]


def test_sql_is_valid_if_sqlite_can_prepare_it() -> None:
    (case,) = held_out("plain", 1, Training().held_out_seed)
    table = case.connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchone()[0]
    assert is_valid(case, f"SELECT count(*) FROM {table}")
    for sql in (
        f"SELECT no_such_column FROM {table}",
        "SELECT 1 FROM no_such_table",
        "SELECT",
        "",
        "SELECT 1; SELECT 2",
    ):
        assert not is_valid(case, sql)


def test_the_long_prompt_has_the_asked_length_whatever_counts_its_tokens() -> None:
    def words(messages: Sequence[Any]) -> int:
        return sum(len(message["content"].split()) for message in messages)

    system, questions = long_prompt(words)
    length = words([{"content": system}, {"content": questions[0]}])
    assert abs(length - PROMPT_TOKENS) <= TOLERANCE
    assert len(set(questions)) > 1


def test_speed_is_measured_cold_and_with_the_prefix_cached(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "DECODED_TOKENS", 8)
    cold, cached, decoding = speed_rows(model, say, repeats=2)
    assert cold.value is not None
    assert cached.value is not None
    assert 0 < cached.value < cold.value
    assert (cold.n, cached.n, decoding.n) == (2, 2, 2)
    assert cached.baseline == {"cold": cold.value}
    assert cold.baseline.keys() == decoding.baseline.keys() == {"transformers generate"}
    assert [row.asked and row.asked.to_dict() for row in (cold, cached, decoding)] == [
        {"at_most": 1.5},
        {"at_most": 0.3},
        {"at_least": 40.0},
    ]
    with pytest.raises(ModelUnavailable, match="--model"):
        speed_rows(model / "none", say)


def result_row(name: str, value: float | None, unit: str = "execution match") -> dict[str, Any]:
    interval = None if value is None else [value - 0.1, value + 0.1]
    return {"name": name, "value": value, "unit": unit, "interval": interval}


def test_curves_are_found_among_the_rows_by_split_and_decoding() -> None:
    rows = [
        result_row(f"{point_name('geography question split', 100)}, greedy", 0.6),
        result_row(f"{point_name('geography question split', 0)}, greedy", 0.2),
        result_row(f"{point_name('geography question split', 0)}, constrained", 0.3),
        result_row(f"{point_name('geography question split', 0)}, answers that run, greedy", 0.9),
        result_row(f"{point_name('atis query split', 10)}, greedy", 0.1, "SQL equality"),
        result_row(f"{point_name('atis query split', 100)}, greedy", None),
        result_row("defog, schemas, greedy", 0.5),
    ]
    curves = curves_of(rows)
    assert curves.keys() == {("question", "geography, execution match"), ("query", "atis, SQL equality")}
    points = curves["question", "geography, execution match"]
    assert [(point.confirmed, point.value) for point in points] == [(0, 0.2), (100, 0.6)]
    assert (points[0].low, points[0].high) == pytest.approx((0.1, 0.3))


def test_the_plot_is_a_picture_that_comes_out_the_same_every_time(tmp_path: Path) -> None:
    names = [
        f"{point_name(f'geography {split} split', count)}, greedy"
        for split in ("question", "query")
        for count in (0, 10)
    ]
    curves = curves_of(result_row(name, 0.4) for name in names)
    first, second = tmp_path / "1.svg", tmp_path / "2.svg"
    draw(curves, first)
    draw(curves, second)
    assert first.read_bytes() == second.read_bytes()
    said = "".join(ElementTree.parse(first).getroot().itertext())
    for words in ("Question split", "Query split", "geography, execution match", "confirmed answers in the base"):
        assert words in said


def mini(*arguments: str) -> Result:
    return CliRunner().invoke(group, ["mini", *arguments])


@pytest.fixture
def known_embedder(monkeypatch: pytest.MonkeyPatch, embedder: SentenceEmbedder) -> None:
    monkeypatch.setattr("kb.embedding.SentenceEmbedder", lambda: embedder)


@pytest.mark.usefixtures("known_embedder")
def test_the_command_prints_the_one_form_with_who_answered(data: Path, model: Path, scripted: Any) -> None:
    scripted(lambda _: "SELECT count(*) FROM pets WHERE kind = 'dog'")
    result = mini("--data", str(data), "--model", str(model), "--only", "third-party", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    values = {row["name"]: row["value"] for row in report["rows"]}
    assert values["spider dev, schemas, greedy"] == 0.5
    assert values["spider realistic, schemas, greedy"] == 1.0
    assert values["defog, schemas, greedy"] == 0.0
    assert report["machine"]["model"] == model_digest(model)
    assert report["machine"]["answers"] == {"cpu float32": 3 * 4}


@pytest.mark.usefixtures("known_embedder")
def test_a_section_without_its_data_is_left_out_and_the_others_are_measured(
    data: Path, model: Path, tmp_path: Path, scripted: Any
) -> None:
    scripted(lambda _: "SELECT 1")
    (tmp_path / "text2sql_templates").symlink_to(data / "text2sql_templates")
    result = mini("--data", str(tmp_path), "--model", str(model), "--only", "third-party", "--only", "curve", "--json")
    assert result.exit_code == 0, result.output
    assert "third-party left out" in result.stderr
    assert "train1196.jsonl" in result.stderr
    assert {row["name"].split()[0] for row in json.loads(result.stdout)["rows"]} >= {"geography", "atis", "scholar"}


def test_without_a_model_or_any_data_the_command_says_why_and_exits_3(model: Path, tmp_path: Path) -> None:
    missing = mini("--model", str(tmp_path / "none"), "--only", "speed")
    assert missing.exit_code == 3
    assert "name a model folder with --model" in missing.stderr
    nothing = mini("--data", str(tmp_path), "--model", str(model), "--only", "curve")
    assert nothing.exit_code == 3
    assert "KVASIR_DATA" in nothing.stderr


@pytest.mark.usefixtures("known_embedder")
def test_prompts_can_be_written_before_there_is_a_model(data: Path, tmp_path: Path, embedder: SentenceEmbedder) -> None:
    file = tmp_path / "prompts.jsonl"
    arguments = ("--data", str(data), "--model", str(tmp_path / "none"), "--only", "third-party")
    result = mini(*arguments, "--prompts", str(file))
    assert result.exit_code == 0, result.output
    written = read_prompts(file)
    assert all(prompt.key == prompt_of(prompt.messages).key for prompt in written)
    assert {"pets": ["id", "kind", "weight"]} in [prompt.tables for prompt in written]
    tasks = tasks_of([*spider_sets(data), defog_set(data)], embedder, say)
    assert {prompt.key for prompt in written} == {task.prompt.key for task in tasks}
    assert len(written) < len(tasks)
    assert result.output.endswith(f"{file}: {len(written)} prompts\n")


def test_every_section_of_the_command_is_one_of_the_benchmark() -> None:
    offered = next(option.type for option in group.commands["mini"].params if option.name == "only")
    assert tuple(offered.choices) == benchmark.SECTIONS  # type: ignore[attr-defined]


def test_drawing_a_result_without_curves_exits_3_and_says_how_to_make_one(tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    for content in ('{"rows": []}', "[]", "no json"):
        result.write_text(content)
        drawn = CliRunner().invoke(group, ["curve", str(result), str(tmp_path / "x.svg")])
        assert drawn.exit_code == 3
        assert "kvasir bench mini" in drawn.stderr
    result.write_text(json.dumps({"rows": [result_row(f"{point_name('geography query split', 0)}, greedy", 0.2)]}))
    drawn = CliRunner().invoke(group, ["curve", str(result), str(tmp_path / "x.svg")])
    assert (drawn.exit_code, (tmp_path / "x.svg").exists()) == (0, True)


def test_a_benchmark_that_can_measure_nothing_raises_its_first_reason(
    model: Path, tmp_path: Path, embedder: SentenceEmbedder
) -> None:
    plan = Plan(model, tmp_path, ("third-party", "curve"))
    with pytest.raises(BenchUnavailable, match=r"train1196\.jsonl"):
        MiniBenchmark(plan, embedder, say).measure()
