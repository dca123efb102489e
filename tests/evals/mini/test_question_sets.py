"""Questions that others wrote, with the base that each is asked on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evals.bench.errors import DataUnavailable
from evals.bench.mini.defog_set import defog_set
from evals.bench.mini.prompts import tasks_of
from evals.bench.mini.question_set import Group, Question, QuestionSet, Step
from evals.bench.mini.spider_sets import spider_sets
from evals.bench.mini.template_sets import schemas_of, template_sets
from gateway.answering import Ask, prepare
from gateway.conversation import ask
from kb.embedding import SentenceEmbedder
from kb.items import Item, Schema, Success

from .made import (
    say,
)


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
