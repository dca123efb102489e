"""Who is chosen as requests come, end and fail, on a clock of the test's own."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.engine import Usage
from backend.errors import (
    ContextTooLong,
    EngineFailing,
    EngineInterrupted,
    EngineRefused,
    EngineTimeout,
    EngineUnreachable,
)
from backend.routing.choice import SLACK
from backend.routing.prefix import Prefix, prefix_of
from backend.routing.replicas import FIRST_AWAY_SECONDS, LONGEST_AWAY_SECONDS, Replicas

NAMES = ("a:1", "b:1", "c:1")
AWAY = EngineUnreachable("main", "http://a:1/v1")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class World:
    def __init__(self, **settings):
        self.clock = Clock()
        self.replicas = Replicas("main", NAMES, clock=self.clock, **settings)

    def asked(self, prefix: Prefix) -> str:
        """One request, begun and ended."""
        name = self.replicas.choose(prefix)
        with self.replicas.asking(name, prefix):
            return name

    def fail(self, name: str, error: Exception = AWAY, prefix: Prefix | None = None) -> None:
        with suppress(type(error)), self.replicas.asking(name, prefix or talk("?")):
            raise error

    def state(self, name: str):
        return next(state for state in self.replicas.states() if state.name == name)


def talk(session: str, turns: int = 1, *, shared: str = "", salt: str = "acme") -> Prefix:
    """A conversation that has several blocks of its own in each turn."""
    messages = [{"role": "system", "content": shared}]
    for turn in range(turns):
        messages.append({"role": "user", "content": f"{session} asks {turn} " * 100})
        messages.append({"role": "assistant", "content": f"{session} hears {turn} " * 100})
    return prefix_of(messages[:-1], salt)


def test_a_conversation_stays_where_its_turns_are():
    world = World()
    for session in map(str, range(20)):
        first = world.asked(talk(session))
        assert [world.asked(talk(session, turns)) for turns in (2, 3, 4)] == [first] * 3
    assert {state.requests for state in world.replicas.states()} != {0}


def test_another_tenants_prompt_is_nowhere_known():
    world = World()
    shared = "what all of them know " * 200
    home = world.asked(talk("one", shared=shared))
    mine = {world.replicas.choose(talk(str(number), shared=shared)) for number in range(40)}
    theirs = {world.replicas.choose(talk(str(number), shared=shared, salt="other")) for number in range(40)}
    assert mine == {home}
    assert theirs == set(NAMES)


def under_way(world: World, count: int, shared: str) -> list[str]:
    """Who is asked by conversations that begin alike and are all under way at once."""
    with ExitStack() as stack:
        names = []
        for number in range(count):
            prefix = talk(str(number), shared=shared)
            names.append(world.replicas.choose(prefix))
            stack.enter_context(world.replicas.asking(names[-1], prefix))
        return names


def test_conversations_that_are_mostly_alike_stay_together_until_that_replica_is_overloaded():
    world = World()
    shared = "what all of them know " * 200
    home = world.asked(talk("one", shared=shared))
    names = under_way(world, SLACK + 2, shared)
    assert names[: SLACK + 1] == [home] * (SLACK + 1)
    assert names[-1] != home


def test_conversations_that_are_hardly_alike_are_spread_at_once():
    world = World()
    shared = "what all of them know " * 20
    world.asked(talk("one", shared=shared))
    assert Counter(under_way(world, 9, shared)) == dict.fromkeys(NAMES, 3)


@given(st.sets(st.integers(0, 500), min_size=1, max_size=30), st.sampled_from(NAMES), st.data())
def test_who_leaves_and_comes_back_moves_its_own_conversations_once_and_no_others(sessions, leaver, data):
    world = World()
    turns = {f"session {number}": 1 for number in sorted(sessions)}
    home = {session: world.asked(talk(session)) for session in turns}

    world.fail(leaver)
    talked = data.draw(st.sets(st.sampled_from(list(turns))))
    during = {}
    for session in talked:
        turns[session] += 1
        during[session] = world.asked(talk(session, turns[session]))
        assert during[session] != leaver
        assert during[session] == home[session] or home[session] == leaver

    world.clock.now += FIRST_AWAY_SECONDS
    for session in turns:
        turns[session] += 1
        after = world.asked(talk(session, turns[session]))
        # Who asked meanwhile stays where that was; who did not finds its own replica again.
        assert after == during.get(session, home[session])


def test_what_a_process_held_is_forgotten_when_nothing_listens_there_any_more():
    # Without a cache that outlives it: else, and where it only failed, it may still hold it.
    for settings, error, kept in (
        ({}, AWAY, False),
        ({"outlived": True}, AWAY, True),
        ({}, EngineFailing("main", 500, "no"), True),
    ):
        world = World(**settings)
        shared = "what all of them know " * 200
        home = world.asked(talk("one", shared=shared))
        world.fail(home, error)
        world.clock.now += FIRST_AWAY_SECONDS
        assert (world.state(home).known_blocks > 0) is kept


def test_who_fails_again_is_left_out_twice_as_long_up_to_a_bound():
    world = World()
    waits = []
    for _ in range(6):
        world.fail("a:1")
        begun = world.clock.now
        while "a:1" not in world.replicas.there():
            world.clock.now += 1
        waits.append(world.clock.now - begun)
    assert waits == [5, 10, 20, 40, LONGEST_AWAY_SECONDS, LONGEST_AWAY_SECONDS]
    with world.replicas.asking("a:1", talk("?")):
        pass
    world.fail("a:1")
    world.clock.now += FIRST_AWAY_SECONDS
    assert "a:1" in world.replicas.there()


def test_requests_that_fail_together_are_one_failure():
    world = World()
    for _ in range(4):
        world.fail("a:1")
    world.clock.now += FIRST_AWAY_SECONDS
    assert "a:1" in world.replicas.there()
    assert world.state("a:1").failures == 4


def test_who_comes_back_is_tried_by_one_request_at_a_time_until_one_is_answered():
    world = World()
    world.fail("a:1")
    world.clock.now += FIRST_AWAY_SECONDS
    with world.replicas.asking("a:1", talk("?")):
        assert "a:1" not in world.replicas.there()
    assert "a:1" in world.replicas.there()
    with world.replicas.asking("a:1", talk("?")):
        assert "a:1" in world.replicas.there()


def test_an_answer_that_began_before_the_failure_does_not_say_that_the_replica_is_back():
    world = World()
    with world.replicas.asking("a:1", talk("?")):
        world.fail("a:1")
    assert world.state("a:1").away


def test_a_question_about_the_model_is_no_load_and_no_proof_that_prompts_are_answered():
    world = World()
    world.fail("a:1")
    with world.replicas.asking("a:1", None):
        pass
    assert world.state("a:1").away
    assert [state.requests for state in world.replicas.states()] == [1, 0, 0]


def test_where_all_are_left_out_all_are_asked():
    world = World()
    for name in NAMES:
        world.fail(name)
    assert world.replicas.there() == list(NAMES)
    assert world.replicas.choose(talk("?"), without={"a:1", "b:1"}) == "c:1"


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (EngineTimeout("main", 1.0), True),
        (EngineInterrupted("main", "gone"), True),
        (EngineRefused("main", 429, "busy"), True),
        (EngineRefused("main", 404, "another model"), True),
        (EngineRefused("main", 400, "bad request"), False),
        (ContextTooLong("main", 400, "long"), False),
    ],
)
def test_an_error_that_is_the_requests_own_leaves_nobody_out(error, away):
    world = World()
    world.fail("a:1", error)
    assert world.state("a:1").away is away


def test_it_counts_what_was_asked_and_what_was_reused():
    world = World()
    with world.replicas.asking("b:1", talk("?")):
        assert world.state("b:1").in_flight == 1
    world.replicas.count("b:1", Usage(100, 5, 80))
    world.replicas.count("b:1", Usage(50, 5, None))
    world.replicas.count("b:1", None)
    state = world.state("b:1")
    assert (state.in_flight, state.requests, state.prompt_tokens, state.cached_tokens) == (0, 1, 150, 80)
