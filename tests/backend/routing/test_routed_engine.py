"""An engine of several servers, over real sockets: streams among them, and one that is killed and comes back."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from backend.client import Chunk, EngineConfig, Sampling, connect
from backend.errors import ContextTooLong, EngineInterrupted, EngineRefused, EngineUnreachable
from backend.routing import replicas as replicas_module
from backend.routing.routed_engine import RoutedEngine
from gateway.scripted_server import ScriptedServer

from .replica_process import replica_processes


class Fleet:
    """Scripted servers, and the engine over them."""

    def __init__(self, stack: ExitStack, running, count: int = 2, **settings) -> None:
        self.servers = [ScriptedServer() for _ in range(count)]
        urls = [stack.enter_context(running(server.app)) for server in self.servers]
        self.by_name = dict(zip((url.removeprefix("http://") for url in urls), self.servers, strict=True))
        self.engine = engine_of([f"{url}/v1" for url in urls], **settings)

    def server_of(self, session: str) -> ScriptedServer:
        return self.by_name[self.engine.replica_for(turns(session, 1), cache_salt="acme")]


def engine_of(addresses: list[str], **settings) -> RoutedEngine:
    given = {"retries": 0, "timeout_seconds": 20.0, **settings}
    engine = connect(EngineConfig("main", "hosted_vllm/scripted", replicas=tuple(addresses), **given))
    assert isinstance(engine, RoutedEngine)
    return engine


@pytest.fixture
def fleet(running) -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(stack, running)


def turns(session: str, count: int):
    messages = []
    for number in range(count):
        messages += [
            {"role": "user", "content": f"{session} asks {number} " * (60 if number else 90)},
            {"role": "assistant", "content": "SELECT 1"},
        ]
    return messages[:-1]


def complete(engine, session: str, count: int = 1, salt: str = "acme"):
    return asyncio.run(engine.complete(turns(session, count), Sampling(), cache_salt=salt))


def stream(engine, session: str, count: int = 1) -> list[Chunk]:
    async def read() -> list[Chunk]:
        return [chunk async for chunk in engine.stream(turns(session, count), Sampling(), cache_salt="acme")]

    return asyncio.run(read())


def test_a_conversation_finds_its_cache_whole_or_streamed(fleet):
    for session in map(str, range(6)):
        first = complete(fleet.engine, session)
        second = complete(fleet.engine, session, 2)
        third = stream(fleet.engine, session, 3)
        assert {second.replica, *(chunk.replica for chunk in third)} == {first.replica}
        # What the turn before had, in whole blocks of 16 words.
        assert (first.usage.cached_tokens, second.usage.cached_tokens, third[-1].usage.cached_tokens) == (0, 256, 448)
    states = fleet.engine.routing.states()
    assert all(3 * state.cached_tokens == 704 * state.requests for state in states)
    assert sum(state.requests for state in states) == 18


def test_what_the_model_is_asked_about_itself_is_no_request_of_a_replica(fleet):
    messages = turns("one", 1)
    assert asyncio.run(fleet.engine.count_tokens(messages)) == len(messages[0]["content"].split())
    assert len(asyncio.run(fleet.engine.token_ids(messages))) == len(messages[0]["content"].split())
    assert asyncio.run(fleet.engine.text_tokens("three words here")) == 3
    assert asyncio.run(fleet.engine.window_tokens()) == 100_000
    assert [state.requests for state in fleet.engine.routing.states()] == [0, 0]


@pytest.mark.parametrize("ask", [complete, stream])
@pytest.mark.parametrize("status", [429, 500, 503, 404])
def test_what_one_replica_refuses_another_answers(fleet, ask, status):
    ill = fleet.server_of("one")
    ill.status = status
    answered = ask(fleet.engine, "one")
    replica = answered[-1].replica if isinstance(answered, list) else answered.replica
    assert fleet.by_name[replica] is not ill
    assert len(ill.asked) == 1
    ask(fleet.engine, "one")
    assert len(ill.asked) == 1, "it is left out now"


def test_what_is_wrong_with_the_request_is_not_asked_twice(fleet):
    server = fleet.server_of("one")
    server.status = 400
    with pytest.raises(EngineRefused) as failed:
        complete(fleet.engine, "one")
    assert failed.value.status == 400
    assert not isinstance(failed.value, ContextTooLong)
    assert sum(len(each.asked) for each in fleet.servers) == 1


def test_where_all_fail_the_last_error_is_told_and_all_are_tried_again_as_often_as_retries_say(running):
    with ExitStack() as stack:
        fleet = Fleet(stack, running, retries=1)
        for server in fleet.servers:
            server.status = 503
        with pytest.raises(EngineRefused) as failed:
            complete(fleet.engine, "one")
        assert failed.value.status == 503
        assert [len(server.asked) for server in fleet.servers] == [2, 2]


def test_a_reader_who_leaves_a_stream_ends_its_request(fleet):
    for server in fleet.servers:
        server.text, server.piece_seconds = "word " * 500, 0.02

    async def leave() -> None:
        chunks = fleet.engine.stream(turns("one", 1), Sampling(), cache_salt="acme")
        await anext(chunks)
        assert sum(state.in_flight for state in fleet.engine.routing.states()) == 1
        await chunks.aclose()

    asyncio.run(leave())
    states = fleet.engine.routing.states()
    assert [(state.in_flight, state.failures, state.away) for state in states] == [(0, 0, False)] * 2


def test_every_server_can_be_asked_by_itself_and_the_choice_knows_of_it(fleet):
    async def warm() -> None:
        for server in fleet.engine.servers:
            await server.complete(turns("one", 1), Sampling(max_tokens=1), cache_salt="acme")

    asyncio.run(warm())
    assert [len(server.asked) for server in fleet.servers] == [1, 1]
    assert [state.known_blocks > 0 for state in fleet.engine.routing.states()] == [True, True]
    assert complete(fleet.engine, "one").usage.cached_tokens == 256


def test_nobody_there_is_an_unreachable_engine():
    ports = free_ports(2)
    gone = engine_of([f"http://127.0.0.1:{port}/v1" for port in ports])
    for ask in (complete, stream):
        with pytest.raises(EngineUnreachable):
            ask(gone, "one")


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def test_a_replica_that_is_killed_under_streams_and_comes_back_costs_only_the_streams_that_it_had(monkeypatch):
    monkeypatch.setattr(replicas_module, "FIRST_AWAY_SECONDS", 0.1)
    monkeypatch.setattr(replicas_module, "LONGEST_AWAY_SECONDS", 0.1)
    with replica_processes(free_ports(3), 0.05) as processes:
        engine = engine_of([process.api_base for process in processes], retries=1)
        sessions = [session for process in processes for session in sessions_of(engine, process.name, 4)]
        home = {session: complete(engine, session).replica for session in sessions}
        victim = processes[0]
        assert Counter(home.values()) == {process.name: 4 for process in processes}

        broken, whole = asyncio.run(_streamed_while_killed(engine, sessions, victim))
        assert broken == {session for session in sessions if home[session] == victim.name}
        assert whole == {session: home[session] for session in sessions if home[session] != victim.name}

        during = {session: stream(engine, session, 3)[-1].replica for session in sessions}
        assert victim.name not in during.values()
        assert all(during[session] == home[session] for session in whole)

        victim.start()
        victim.await_ready()
        after = {session: complete(engine, session, 4).replica for session in sessions}
        assert after == during, "nobody goes back to a replica that lost what it knew"
        new = {complete(engine, f"new {number}").replica for number in range(20)}
        assert victim.name in new


def sessions_of(engine: RoutedEngine, name: str, count: int) -> list[str]:
    """Conversations that begin at this replica."""
    numbers = (f"session {number}" for number in itertools.count())
    ours = (one for one in numbers if engine.replica_for(turns(one, 1), cache_salt="acme") == name)
    return list(itertools.islice(ours, count))


async def _streamed_while_killed(engine, sessions, victim):
    """All sessions stream their second turn; once all have begun, the victim is killed."""
    begun = {session: asyncio.Event() for session in sessions}
    broken: set[str] = set()
    whole: dict[str, str] = {}

    async def read(session: str) -> None:
        last = None
        try:
            async for chunk in engine.stream(turns(session, 2), Sampling(), cache_salt="acme"):
                begun[session].set()
                last = chunk
        except EngineInterrupted:
            broken.add(session)
        else:
            assert last is not None
            assert last.finish_reason == "stop"
            whole[session] = last.replica

    readers = [asyncio.create_task(read(session)) for session in sessions]
    await asyncio.gather(*(event.wait() for event in begun.values()))
    victim.kill()
    await asyncio.gather(*readers)
    return broken, whole
