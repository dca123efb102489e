"""Sessions: a conversation finds what its turns placed by its messages alone, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select, text, update

import gateway.sessions
from backend.client import Message
from gateway.conversation import Conversation, parse_conversation
from gateway.message_chain import Scope
from gateway.placements import Placements, Reference
from gateway.sessions import Session, Sessions
from gateway.tables import turns
from kb.database import open_database, transaction, upgrade

SHOP = Scope("acme", "shop", "shop", "ada")
FIRST = (Reference("rule:a", "hash a", 900), Reference("schema:b", "hash b"))
SECOND, THIRD = (Reference("schema:c", "hash c"),), (Reference("gotcha:d", "hash d", 7),)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path}/state.db" if request.param == "sqlite" else request.getfixturevalue("fresh_postgres")
    database = open_database(url)
    upgrade(database)
    yield database
    database.dispose()


@pytest.fixture
def sessions(database: Engine) -> Sessions:
    return Sessions(database)


def talk(*contents: str, system: str | None = None) -> Conversation:
    """User and assistant in turn, after the system's text."""
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    messages += [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(contents)]
    return parse_conversation(messages)


def find(sessions: Sessions, *contents: str, scope: Scope = SHOP, session_id: str | None = None) -> Session:
    return sessions.find(scope, talk(*contents), session_id)


PLACED = Placements.by_turn([FIRST, SECOND, THIRD])


@pytest.fixture
def session_id(sessions: Sessions) -> str:
    """Of a conversation `q1`, `a1`, `q2`, `a2`, `q3`, `a3`, each turn of which placed something."""
    said = ("q1", "a1", "q2", "a2", "q3", "a3")
    found = Session("")
    for turn in range(3):
        conversation = talk(*said[: 2 * turn + 1])
        found = sessions.find(SHOP, conversation, None)
        placed = Placements.by_turn([FIRST, SECOND, THIRD][: turn + 1])
        sessions.keep(SHOP, found.id, conversation, placed, said[2 * turn + 1])
    return found.id


def test_the_next_turn_of_a_plain_client_finds_its_session(sessions: Sessions, session_id: str) -> None:
    assert find(sessions, "q1", "a1", "q2", "a2", "q3", "a3", "q4") == Session(session_id, PLACED)


@pytest.mark.parametrize("history", [("q1 ", "a1"), ("\nq1", "  a1\n"), ("q1", "a1\n\n")])
def test_white_space_does_not_lose_the_session(sessions: Sessions, session_id: str, history: tuple[str, ...]) -> None:
    assert find(sessions, *history, "q2") == Session(session_id, Placements(FIRST))


def test_an_answer_that_the_client_reflowed_is_the_same_answer(sessions: Sessions) -> None:
    sessions.keep(SHOP, "ses", talk("q"), Placements(FIRST), "SELECT 1\n  FROM t\n")
    assert find(sessions, "q", "SELECT 1 FROM t", "next") == Session("ses", Placements(FIRST))


def test_a_question_asked_again_stands_on_the_same_history(sessions: Sessions, session_id: str) -> None:
    for question in ("q3", "q3 in other words"):
        found = find(sessions, "q1", "a1", "q2", "a2", question)
        assert found == Session(session_id, Placements.by_turn([FIRST, SECOND]))


def test_each_branch_goes_on_from_what_it_placed(sessions: Sessions, session_id: str) -> None:
    branch = Placements.by_turn([FIRST, THIRD])
    sessions.keep(SHOP, session_id, talk("q1", "a1", "q2"), branch, "another a2")
    assert find(sessions, "q1", "a1", "q2", "another a2", "q3").placements == branch
    assert find(sessions, "q1", "a1", "q2", "a2", "q3").placements == Placements.by_turn([FIRST, SECOND])


@pytest.mark.parametrize("answer", ["a2 in the client's words", "a", "**a2**"])
def test_a_changed_answer_keeps_all_that_was_placed(sessions: Sessions, session_id: str, answer: str) -> None:
    found = find(sessions, "q1", "a1", "q2", answer, "q3")
    assert found == Session(session_id, Placements.by_turn([FIRST, SECOND]))


def test_an_answer_that_broke_off_keeps_what_its_turn_placed(sessions: Sessions) -> None:
    sessions.keep(SHOP, "ses", talk("q1"), Placements(FIRST), None)
    assert find(sessions, "q1", "the beginning of a", "q2") == Session("ses", Placements(FIRST))


def test_turns_that_another_server_answered_placed_nothing(sessions: Sessions, session_id: str) -> None:
    found = find(sessions, "q1", "a1", "elsewhere", "its answer", "q2")
    assert found == Session(session_id, Placements(FIRST, ((), ())))


def test_an_edited_first_question_is_a_new_session(sessions: Sessions, session_id: str) -> None:
    for history in (("q1 edited", "a1"), ("q 1", "a1"), ("q1 edited", "a1", "q2", "a2")):
        found = find(sessions, *history, "q3")
        assert found.id != session_id
        assert found.placements is None


def test_a_conversation_whose_oldest_messages_were_dropped_is_found(sessions: Sessions, session_id: str) -> None:
    assert find(sessions, "q2", "a2", "q3", "a3", "q4") == Session(session_id, Placements(FIRST, (SECOND, THIRD)))
    assert find(sessions, "q3", "a3", "q4") == Session(session_id, Placements(FIRST, (THIRD,)))


def test_a_conversation_that_lost_its_middle_is_found(sessions: Sessions, session_id: str) -> None:
    assert find(sessions, "q1", "a1", "q3", "a3", "q4") == Session(session_id, Placements(FIRST, ((), THIRD)))


def test_a_shortened_conversation_goes_on_as_one(sessions: Sessions, session_id: str) -> None:
    placed = Placements(FIRST, (SECOND, THIRD, ()))
    sessions.keep(SHOP, session_id, talk("q2", "a2", "q3", "a3", "q4"), placed, "a4")
    assert find(sessions, "q2", "a2", "q3", "a3", "q4", "a4", "q5") == Session(session_id, placed)
    shorter = Placements(FIRST, (THIRD, ()))
    assert find(sessions, "q3", "a3", "q4", "a4", "q5") == Session(session_id, shorter)


def test_a_last_exchange_that_came_twice_places_nothing_twice(sessions: Sessions, session_id: str) -> None:
    found = find(sessions, "q1", "a1", "q2", "a2", "q3", "a3", "q3", "a3", "q4")
    assert found == Session(session_id, Placements(FIRST, ((), SECOND, THIRD, ())))


def test_the_same_last_exchange_of_another_conversation_is_not_this_one(sessions: Sessions, session_id: str) -> None:
    assert find(sessions, "something else", "its answer", "q3", "a3", "q4").placements is None


def test_a_conversation_longer_than_is_kept_is_found_when_it_is_shortened(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway.sessions, "LOOKED_BACK", 4)
    said = [f"{role}{turn}" for turn in range(6) for role in "qa"]
    placed = Placements.by_turn([FIRST, *((Reference(f"schema:{turn}", f"hash {turn}"),) for turn in range(1, 6))])
    sessions.keep(SHOP, "ses", talk(*said[:-1]), placed, said[-1])
    assert find(sessions, *said, "next") == Session("ses", placed)
    assert find(sessions, *said[-4:], "next") == Session("ses", Placements(FIRST, placed.turns[-2:]))
    assert find(sessions, *said[-6:], "next").placements is None


def test_the_clients_system_text_does_not_tell_conversations_apart(sessions: Sessions, session_id: str) -> None:
    for system in ("It is 10:03.", "It is 10:04."):
        assert sessions.find(SHOP, talk("q1", "a1", "q2", system=system), None).id == session_id


@pytest.mark.parametrize(
    "scope",
    [
        Scope("rival", "shop", "shop", "ada"),
        Scope("acme", "other", "shop", "ada"),
        Scope("acme", "shop", "archive", "ada"),
        Scope("acme", "shop", "shop", "bob"),
        Scope("acme", "shop", "shop"),
    ],
)
def test_no_other_tenant_assistant_base_or_user_finds_it(sessions: Sessions, session_id: str, scope: Scope) -> None:
    for history in (("q1", "a1"), ("q1", "changed"), ("q3", "a3")):
        found = find(sessions, *history, "next", scope=scope)
        assert found.id != session_id
        assert found.placements is None


def test_a_given_id_is_kept_and_its_placements_are_still_found_by_the_messages(
    sessions: Sessions, session_id: str
) -> None:
    assert find(sessions, "q1", "a1", "q2", session_id="mine") == Session("mine", Placements(FIRST))
    assert find(sessions, "other", "a1", "q2", session_id=session_id) == Session(session_id, None)


def test_a_repeated_first_question_is_a_session_of_its_own(sessions: Sessions, session_id: str) -> None:
    found = find(sessions, "q1")
    assert found.id != session_id
    assert found.placements is None


def test_of_two_conversations_in_the_same_words_the_later_goes_on(sessions: Sessions, session_id: str) -> None:
    sessions.keep(SHOP, "later", talk("q1"), Placements(SECOND), "a1")
    assert find(sessions, "q1", "a1", "q2") == Session("later", Placements(SECOND))
    # What the earlier one has said since is its own, and all that it had placed is still with it.
    assert find(sessions, "q1", "a1", "q2", "a2", "q3").placements == Placements.by_turn([FIRST, SECOND])


def test_messages_between_the_answer_and_the_question_placed_nothing(sessions: Sessions, session_id: str) -> None:
    said = [("user", "q1"), ("assistant", "a1"), ("user", "wait"), ("user", "q2")]
    messages: list[Message] = [{"role": role, "content": content} for role, content in said]
    found = sessions.find(SHOP, parse_conversation(messages), None)
    assert found == Session(session_id, Placements(FIRST, ((), ())))


def test_another_gateway_on_the_same_database_finds_it(database: Engine, session_id: str) -> None:
    other = open_database(database.url.render_as_string(hide_password=False))
    assert find(Sessions(other), "q1", "a1", "q2") == Session(session_id, Placements(FIRST))
    other.dispose()


def test_another_state_database_hashes_the_same_words_to_something_else(
    sessions: Sessions, database: Engine, tmp_path: Path
) -> None:
    other = open_database(f"sqlite:///{tmp_path}/other.db")
    upgrade(other)
    chains = []
    for each in (database, other):
        Sessions(each).keep(SHOP, "ses", talk("q1"), Placements(), "a1")
        with each.connect() as connection:
            chains.append(set(connection.scalars(select(turns.c.chain))))
    assert chains[0].isdisjoint(chains[1])
    other.dispose()


def test_what_expired_is_not_found_and_is_deleted(sessions: Sessions, database: Engine, session_id: str) -> None:
    sessions.keep(SHOP, "young", talk("young"), Placements(SECOND), "answer")
    old = (datetime.now(UTC) - timedelta(days=31)).isoformat()
    with transaction(database) as connection:
        connection.execute(update(turns).where(turns.c.session_id == session_id).values(created_at=old))
    for history in (("q1", "a1"), ("q1", "changed"), ("q3", "a3")):
        assert find(sessions, *history, "next").placements is None
    with transaction(database) as connection:
        sessions.sweep(connection)
        assert connection.scalar(select(func.count()).select_from(turns)) == 2
    assert find(sessions, "young", "answer", "next").placements == Placements(SECOND)


def test_a_sweep_is_due_with_the_turns_that_are_kept(
    sessions: Sessions, database: Engine, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = (datetime.now(UTC) - timedelta(days=31)).isoformat()
    with transaction(database) as connection:
        connection.execute(update(turns).values(created_at=old))
    monkeypatch.setattr(gateway.sessions, "SWEEP_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(gateway.sessions, "SWEPT_AT_ONCE", 4)
    left = []
    for number in range(2):
        sessions.keep(SHOP, "new", talk(f"new {number}"), Placements(), "answer")
        with database.connect() as connection:
            left.append(connection.scalar(select(func.count()).select_from(turns).where(turns.c.created_at == old)))
    assert left == [2, 0]


def test_a_sweep_leaves_what_another_gateway_writes_just_now(fresh_postgres: str) -> None:
    database = open_database(fresh_postgres)
    upgrade(database)
    sessions = Sessions(database, expire_after=timedelta(0))
    for question in ("carried on", "left"):
        sessions.keep(SHOP, "ses", talk(question), Placements(), None)
    with transaction(database) as other:
        sessions.add(other, SHOP, "ses", talk("carried on"), Placements(FIRST), None)
        with transaction(database) as connection:
            connection.execute(text("SET LOCAL lock_timeout = '10s'"))
            sessions.sweep(connection)
    with database.connect() as connection:
        assert connection.scalars(select(turns.c.placements["system"])).all() == [[list(each[:3]) for each in FIRST]]
    database.dispose()


def test_a_question_asked_many_times_is_stored_once_for_each_answer(sessions: Sessions, database: Engine) -> None:
    for number in range(6):
        sessions.keep(SHOP, f"ses_{number}", talk("q"), Placements(FIRST), f"answer {number % 2}")
    with database.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(turns)) == 3
