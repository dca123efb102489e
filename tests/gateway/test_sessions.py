"""Sessions: a conversation finds what its turns placed by its messages alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.client import Message
from gateway.conversation import Conversation, parse_conversation
from gateway.sessions import Sessions
from kb.database import open_database, upgrade

USER = "ada"
PLACED = (("rule:a", "hash a"), ("schema:b", "hash b"))


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[Sessions]:
    database = open_database(f"sqlite:///{tmp_path}/state.db")
    upgrade(database)
    yield Sessions(database)
    database.dispose()


def talk(*contents: str, system: str | None = None) -> Conversation:
    """User and assistant in turn, after the system's text."""
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    messages += [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(contents)]
    return parse_conversation(messages)


@pytest.fixture
def session_id(sessions: Sessions) -> str:
    """Of a conversation `q1` answered with `a1`."""
    first = talk("q1")
    found = sessions.find("acme", "shop", USER, first, None)
    assert found.placements == ()
    sessions.keep("acme", "shop", USER, found.id, first.answered("a1"), [PLACED])
    return found.id


def test_the_next_turn_of_a_plain_client_finds_its_session(sessions: Sessions, session_id: str) -> None:
    second = talk("q1", "a1", "q2")
    found = sessions.find("acme", "shop", USER, second, None)
    assert (found.id, found.placements) == (session_id, (PLACED,))
    sessions.keep("acme", "shop", USER, found.id, second.answered("a2"), [PLACED, ()])
    third = sessions.find("acme", "shop", USER, talk("q1", "a1", "q2", "a2", "q3"), None)
    assert (third.id, third.placements) == (session_id, (PLACED, ()))


@pytest.mark.parametrize("history", [("q1 ", "a1", "q2"), ("\nq1", "  a1\n", "q2")])
def test_white_space_around_a_message_does_not_lose_the_session(
    sessions: Sessions, session_id: str, history: tuple[str, ...]
) -> None:
    assert sessions.find("acme", "shop", USER, talk(*history), None).id == session_id


@pytest.mark.parametrize(
    "history",
    [("q1 edited", "a1", "q2"), ("q1", "a1 edited", "q2"), ("q 1", "a1", "q2"), ("q1", "a1", "q2", "a2", "q3")],
)
def test_an_edited_history_is_a_new_session(sessions: Sessions, session_id: str, history: tuple[str, ...]) -> None:
    found = sessions.find("acme", "shop", USER, talk(*history), None)
    assert found.id != session_id
    assert found.placements == ()


def test_another_system_text_is_another_conversation(sessions: Sessions, session_id: str) -> None:
    assert sessions.find("acme", "shop", USER, talk("q1", "a1", "q2", system="Be brief."), None).id != session_id


def test_texts_that_join_to_the_same_letters_are_different_conversations() -> None:
    assert talk("ab", "c", "d").chain != talk("a", "bc", "d").chain
    assert talk("a", system="b").chain != talk("b", system="a").chain


@pytest.mark.parametrize(("tenant", "assistant"), [("rival", "shop"), ("acme", "other")])
def test_neither_another_tenant_nor_another_assistant_finds_it(
    sessions: Sessions, session_id: str, tenant: str, assistant: str
) -> None:
    found = sessions.find(tenant, assistant, USER, talk("q1", "a1", "q2"), None)
    assert found.id != session_id
    assert found.placements == ()


def test_a_given_id_is_kept_and_its_placements_are_still_found_by_the_messages(
    sessions: Sessions, session_id: str
) -> None:
    named = sessions.find("acme", "shop", USER, talk("q1", "a1", "q2"), "mine")
    assert (named.id, named.placements) == ("mine", (PLACED,))
    unknown = sessions.find("acme", "shop", USER, talk("other", "a1", "q2"), session_id)
    assert (unknown.id, unknown.placements) == (session_id, ())


def test_a_repeated_first_question_is_a_session_of_its_own(sessions: Sessions, session_id: str) -> None:
    assert sessions.find("acme", "shop", USER, talk("q1"), None).id != session_id


def test_two_answers_of_one_wording_share_the_first_entry(sessions: Sessions, session_id: str) -> None:
    sessions.keep("acme", "shop", USER, "later", talk("q1").answered("a1"), [()])
    found = sessions.find("acme", "shop", USER, talk("q1", "a1", "q2"), None)
    assert (found.id, found.placements) == (session_id, (PLACED,))


def test_messages_between_the_answer_and_the_question_placed_nothing(sessions: Sessions, session_id: str) -> None:
    messages: list[Message] = [
        {"role": "user", "content": "q1"},
        {"role": "assistant", "content": "a1"},
        {"role": "user", "content": "wait"},
        {"role": "user", "content": "q2"},
    ]
    found = sessions.find("acme", "shop", USER, parse_conversation(messages), None)
    assert (found.id, found.placements) == (session_id, (PLACED, ()))


def test_two_messages_in_a_row_are_answered_over_http(serve: Callable[..., Any]) -> None:
    served = serve()
    served.engine.enqueue("SELECT 1", "SELECT 2")
    question = "Which supplier has the longest lead time?"
    first = served.ask(question).json()
    messages = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": "SELECT 1"},
        {"role": "user", "content": "Wait."},
        {"role": "user", "content": "And how many returns were there?"},
    ]
    second = served.ask(messages)
    assert second.status_code == 200
    assert second.json()["kvasir"]["session_id"] == first["kvasir"]["session_id"]
    before, after = (call.messages for call in served.engine.calls)
    assert after[: len(before)] == before
    assert after[-2] == messages[2]


def test_another_user_who_says_the_same_words_has_another_session(sessions: Sessions, session_id: str) -> None:
    found = sessions.find("acme", "shop", "bob", talk("q1", "a1", "q2"), None)
    assert found.id != session_id
    assert found.placements == ()
