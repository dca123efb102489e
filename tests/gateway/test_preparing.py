"""What preparing a prompt reads, and that what is kept changes none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from gateway.answering import Ask, Prepared, prepare
from gateway.conversation import Conversation, parse_conversation
from gateway.core import Core, open_core
from gateway.message_chain import Scope
from gateway.placements import reference
from gateway.sessions import Session
from gateway.settings import Settings
from gateway.testing import ScriptedEngine
from kb.embedding import SentenceEmbedder
from kb.errors import BaseNotFound
from kb.items import Gotcha, Item
from kb.knowledge_base import Changes, KnowledgeBase

QUESTIONS = (
    "How many customers are there in Germany?",
    "Which supplier has the longest lead time?",
    "How much money came in during May 2026, in euros?",
    "How many orders placed in 2025 were cancelled?",
    "What share of the shipments came late?",
)


@pytest.fixture
def open_shop(
    make_settings: Callable[..., Settings], fill: Any, shop_items: Changes, embedder: SentenceEmbedder
) -> Iterator[Callable[..., Core]]:
    opened: list[Core] = []

    def open_one(*, filled: bool = False) -> Core:
        settings = make_settings()
        if not filled:
            fill(settings, shop_items)
        opened.append(open_core(settings, engines={"main": ScriptedEngine()}, embedder=embedder))
        return opened[-1]

    yield open_one
    for core in opened:
        core.close()


@contextmanager
def statements(core: Core) -> Iterator[list[str]]:
    """What the state database is asked meanwhile."""
    found: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if not statement.startswith("BEGIN"):
            found.append(statement)

    event.listen(core.database, "before_cursor_execute", note)
    yield found
    event.remove(core.database, "before_cursor_execute", note)


def talk(*said: str) -> Conversation:
    roles = ("user", "assistant")
    return parse_conversation([{"role": roles[turn % 2], "content": text} for turn, text in enumerate(said)])


def asked(core: Core, *said: str, revision: str | None = None, session: Session | None = None) -> Prepared:
    return prepare(core, Ask("default", "shop", talk(*said)), revision=revision, session=session)


def seen(prepared: Prepared) -> tuple[object, ...]:
    return prepared.prompt, prepared.retrieval.hits, prepared.verified, prepared.placements


def test_a_case_of_a_replay_is_prepared_without_a_read(open_shop: Callable[..., Core]) -> None:
    core = open_shop()
    commit = core.base("default", "shop").resolve().id
    asked(core, QUESTIONS[0], revision=commit, session=Session("eval"))
    with statements(core) as found:
        for question in QUESTIONS:
            asked(core, question, revision=commit, session=Session("eval"))
    assert found == []


def test_a_first_question_reads_where_its_branch_stands_and_nothing_else(open_shop: Callable[..., Core]) -> None:
    core = open_shop()
    asked(core, QUESTIONS[0])
    with statements(core) as found:
        asked(core, QUESTIONS[1])
    assert len(found) == 1
    assert "kb_refs" in found[0]


def test_a_follow_up_reads_its_session_and_no_item(open_shop: Callable[..., Core]) -> None:
    core = open_shop()
    first = asked(core, QUESTIONS[0])
    session = Session("ses", first.placements.map(reference))
    with statements(core) as found:
        second = asked(core, QUESTIONS[0], "SELECT 1", QUESTIONS[1], session=session)
    assert len(found) == 1
    assert second.placements.system == first.placements.system
    assert second.prompt.messages[0] == first.prompt.messages[0]


def test_a_later_turn_leaves_out_tables_that_are_hardly_likely(
    open_shop: Callable[..., Core], monkeypatch: pytest.MonkeyPatch
) -> None:
    core = open_shop()
    first = asked(core, QUESTIONS[1])

    def tables(session: Session) -> list[str]:
        prepared = asked(core, QUESTIONS[1], "SELECT 1", QUESTIONS[4], session=session)
        return [hit.item.id for hit in prepared.retrieval.of_kind("schema")]

    alone = tables(Session("new"))
    monkeypatch.setattr("gateway.new_tables.LACKED", 1)
    assert tables(Session("ses", first.placements.map(reference))) == ["schema:suppliers"]
    assert tables(Session("new")) == alone
    assert len(alone) > 3


def test_what_is_kept_of_other_questions_and_commits_changes_no_prompt(open_shop: Callable[..., Core]) -> None:
    core = open_shop()
    base = core.base("default", "shop")
    gotcha = Item("gotcha:late", "Late", Gotcha("Late is after the promised day, whatever the shipments say."))
    commits = [base.resolve().id, base.commit(Changes((gotcha,)), author="ann", message="x").id]
    pairs = [(question, commit) for question in QUESTIONS for commit in commits]
    warm = [[seen(asked(core, question, revision=commit)) for question, commit in pairs] for _ in range(2)][1]
    for number, (question, commit) in list(enumerate(pairs))[::-3]:
        fresh = open_shop(filled=True)
        assert seen(asked(fresh, question, revision=commit)) == warm[number]


PREPARER = """
import json, sys
from pathlib import Path
from gateway.answering import Ask, prepare
from gateway.conversation import parse_conversation
from gateway.core import open_core
from gateway.settings import load_settings

core = open_core(load_settings(Path(sys.argv[1])))
for messages in json.loads(sys.argv[2]):
    print(prepare(core, Ask("default", "shop", parse_conversation(messages))).prompt.hash)
core.close()
"""


def test_another_process_prepares_the_same_bytes(open_shop: Callable[..., Core], tmp_path: Path) -> None:
    core = open_shop()
    answered = talk(QUESTIONS[0])
    first = prepare(core, Ask("default", "shop", answered))
    scope = Scope("default", "shop", "shop")
    core.sessions.keep(scope, first.session.id, answered, first.placements.map(reference), "SELECT 1")
    reach = {item: number % 5 for number, item in enumerate(sorted(core.base("default", "shop").entries()))}
    core.base("default", "shop").commit(Changes(), author="ann", message="x", reach=reach)
    talks = [talk(question) for question in QUESTIONS] + [talk(QUESTIONS[0], "SELECT 1", QUESTIONS[1])]
    here = [prepare(core, Ask("default", "shop", each)).prompt.hash for each in talks]
    config = tmp_path / "kvasir.toml"
    config.write_text('home = "home"\n[assistants.shop]\nkb = "shop"\n')
    messages = json.dumps([each.messages for each in talks])
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", PREPARER, str(config), messages]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.split() == here


def test_a_base_that_is_made_later_is_found_and_then_kept(open_shop: Callable[..., Core]) -> None:
    core = open_shop()
    with pytest.raises(BaseNotFound, match="later"):
        core.base("default", "later")
    KnowledgeBase.create(core.store, "default", "later", author="ann")
    assert core.base("default", "later").name == "later"
    with statements(core) as found:
        core.base("default", "later")
        assert found == []
        with pytest.raises(BaseNotFound):
            core.base("umbrella", "later")
