from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import subprocess
import sys
import traceback
from collections.abc import Sequence

import psutil
import pytest

from backend.client import Chunk, EngineConfig, Message, Sampling, Usage, connect
from backend.errors import (
    BackendError,
    ContextTooLong,
    EngineFailing,
    EngineInterrupted,
    EngineMisconfigured,
    EngineRefused,
    EngineTimeout,
    EngineUnreachable,
)

QUESTION: Sequence[Message] = [{"role": "user", "content": "How many?"}]
KEY = "sk-very-secret-key"
PROVIDERS = pytest.mark.parametrize("provider", ["hosted_vllm", "openai", "custom_openai"])
"""vLLM, any other server that speaks OpenAI's API, and such a server through LiteLLM."""


def engine(server, provider: str = "hosted_vllm", **settings):
    base = {"api_base": server.api_base, "api_key": KEY, "retries": 0, "timeout_seconds": 20.0}
    return connect(EngineConfig("main", f"{provider}/served", **{**base, **settings}))


def complete(engine, sampling: Sampling | None = None, salt: str | None = None):
    return asyncio.run(engine.complete(QUESTION, sampling or Sampling(), cache_salt=salt))


def stream(engine, received: list[Chunk] | None = None):
    received = [] if received is None else received

    async def read():
        async for chunk in engine.stream(QUESTION, Sampling(), cache_salt=None):
            received.append(chunk)
        return received

    return asyncio.run(read())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_vllms_answer_comes_with_whose_cache_was_hit(server):
    answer = complete(engine(server, lmcache=True))
    assert (answer.text, answer.finish_reason, answer.model) == ("hi", "stop", "served")
    assert answer.usage == Usage(9, 3, 4, engine_cached_tokens=3, lmcache_cached_tokens=4, lmcache_loaded_tokens=1)
    assert server.bodies[0]["kv_transfer_params"] == {"cached_token_stats": True}


def test_the_ttft_of_a_whole_answer_has_the_time_in_vllms_queue_and_is_none_where_vllm_does_not_tell(server):
    server.timing = {"time_to_first_token_ms": 250.0, "queue_time_ms": 50.0}
    assert complete(engine(server)).ttft_seconds == pytest.approx(0.3)
    server.timing = None
    assert complete(engine(server)).ttft_seconds is None


def test_the_cache_salt_reaches_vllm_and_no_other_provider(server):
    complete(engine(server), salt="acme")
    complete(engine(server, "openai", lmcache=True), salt="acme")
    assert server.bodies[0]["cache_salt"] == "acme"
    assert "kv_transfer_params" not in server.bodies[0]
    assert not {"cache_salt", "kv_transfer_params", "extra_body"} & server.bodies[1].keys()


def test_a_priority_reaches_a_vllm_that_schedules_by_it_alone(server):
    later = Sampling(priority=1)
    complete(engine(server, priorities=True), later)
    complete(engine(server, priorities=True))
    complete(engine(server), later)
    complete(engine(server, "openai", priorities=True), later)
    assert [body.get("priority") for body in server.bodies] == [1, None, None, None]


@PROVIDERS
def test_what_sampling_leaves_open_is_the_configurations_or_the_engines(server, provider):
    complete(engine(server, provider, max_output_tokens=77, temperature=0.5))
    complete(engine(server, provider), Sampling(max_tokens=5, temperature=1.0, top_p=0.9, seed=3, stop=("\n",)))
    first, second = server.bodies
    assert (first["max_tokens"], first["temperature"]) == (77, 0.5)
    assert not {"top_p", "seed", "stop", "presence_penalty", "model_folder"} & first.keys()
    names = ("max_tokens", "temperature", "top_p", "seed", "stop")
    assert [second[name] for name in names] == [5, 1.0, 0.9, 3, ["\n"]]


@PROVIDERS
def test_a_stream_gives_the_pieces_and_then_the_usage(server, provider):
    chunks = stream(engine(server, provider))
    assert [chunk.text for chunk in chunks] == ["w0 ", "w1 ", "w2 ", ""]
    assert chunks[-1] == Chunk("", "length", Usage(9, 3, cached_tokens=4))
    assert server.bodies[0]["stream_options"] == {"include_usage": True}


@PROVIDERS
def test_an_answer_that_repeats_itself_is_not_cut_short(server, provider):
    server.mode = "monotonous"
    chunks = stream(engine(server, provider))
    assert "".join(chunk.text for chunk in chunks) == "w0 w1 w2 " + "----" * 300
    assert chunks[-1].finish_reason == "length"


@PROVIDERS
def test_a_refused_connection_names_the_address_and_the_next_step(provider):
    api_base = f"http://127.0.0.1:{free_port()}/v1"
    unreachable = connect(EngineConfig("main", f"{provider}/served", api_base=api_base, api_key=KEY, retries=0))
    for call in (complete, stream):
        with pytest.raises(EngineUnreachable) as failed:
            call(unreachable)
        assert api_base in str(failed.value)
        assert "kvasir backend up" in str(failed.value)


@pytest.mark.parametrize("provider", ["hosted_vllm", "openai"])
def test_a_refused_connection_names_the_address_without_its_password(provider, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "is-not-for-this-server")
    host = f"127.0.0.1:{free_port()}"
    config = EngineConfig("main", f"{provider}/served", api_base=f"http://ada:sekret@{host}/v1", retries=0)
    with pytest.raises(EngineUnreachable) as failed:
        complete(connect(config))
    assert f"http://…@{host}/v1" in str(failed.value)
    assert "sekret" not in str(failed.value)


@pytest.mark.parametrize("provider", ["hosted_vllm", "openai"])
def test_a_key_beside_a_password_in_the_address_is_refused_at_once(provider):
    config = EngineConfig("main", f"{provider}/served", api_base="http://ada:sekret@one/v1", api_key=KEY)
    with pytest.raises(EngineMisconfigured, match="api_key is given") as refused:
        connect(config)
    assert "sekret" not in str(refused.value)


@PROVIDERS
@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 500, 503])
def test_a_refusal_keeps_its_status_and_the_engines_words(server, provider, status):
    server.mode, server.error_message = status, "because of the weather"
    for call in (complete, stream):
        with pytest.raises(EngineRefused) as failed:
            call(engine(server, provider))
        assert failed.value.status == status
        assert isinstance(failed.value, EngineFailing) == (status >= 500)
        assert "because of the weather" in str(failed.value)
        assert failed.value.retry_after_seconds == 7.0


@PROVIDERS
def test_a_prompt_over_the_window_is_told_apart(server, provider):
    server.mode = 400
    server.error_message = "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens"
    with pytest.raises(ContextTooLong):
        complete(engine(server, provider, retries=3))
    assert len(server.requests) == 1


@PROVIDERS
def test_silence_is_a_timeout(server, provider):
    server.mode = "silent"
    for call in (complete, stream):
        with pytest.raises(EngineTimeout, match=r"0\.3 s"):
            call(engine(server, provider, timeout_seconds=0.3))


@PROVIDERS
@pytest.mark.parametrize("mode", ["cut", "stalled", "dying", "unfinished", "done_without_reason", "aborted"])
def test_a_stream_that_stops_half_way_is_never_a_whole_answer(server, provider, mode):
    server.mode = mode
    received: list[Chunk] = []
    with pytest.raises(EngineInterrupted):
        stream(engine(server, provider, timeout_seconds=1.0), received)
    assert [chunk.text for chunk in received] == ["w0 ", "w1 ", "w2 "]
    assert all(chunk.finish_reason is None for chunk in received)


@PROVIDERS
def test_an_answer_that_vllm_aborted_is_not_a_whole_answer(server, provider):
    server.mode = "aborted"
    with pytest.raises(EngineInterrupted, match="abort"):
        complete(engine(server, provider))


def test_a_vllm_server_without_a_key_is_not_sent_openais(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    vllm = engine(server, api_key=None)
    complete(vllm)
    stream(vllm)
    asyncio.run(vllm.count_tokens(QUESTION))
    assert KEY not in str([headers for _, _, headers in server.requests])


@PROVIDERS
@pytest.mark.parametrize("cancel", [False, True], ids=["closed", "cancelled"])
def test_leaving_a_stream_closes_the_connection(server, provider, cancel):
    server.mode = "endless"

    async def leave():
        chunks = engine(server, provider).stream(QUESTION, Sampling(), cache_salt=None)
        await anext(chunks)
        if not cancel:
            await chunks.aclose()
            return await asyncio.to_thread(server.reader_left.wait, 10)

        async def read_on():
            async for _ in chunks:
                pass

        reader = asyncio.create_task(read_on())
        await asyncio.sleep(0.1)
        reader.cancel()
        await asyncio.wait([reader])
        return await asyncio.to_thread(server.reader_left.wait, 10)

    assert asyncio.run(leave())


@PROVIDERS
def test_a_thought_that_an_answer_begins_with_is_no_part_of_it(server, provider):
    server.text = "<think>one <b> two\n</think>hi <think>there</think>"
    assert complete(engine(server, provider)).text == "hi <think>there</think>"


@PROVIDERS
@pytest.mark.parametrize(("said", "reason"), [("eos_token", "stop"), ("stop_sequence", "stop"), ("length", "length")])
def test_the_reason_why_an_answer_ended_is_in_openais_words(server, provider, said, reason):
    server.finish_reason = said
    assert complete(engine(server, provider)).finish_reason == reason


@pytest.mark.parametrize("provider", ["hosted_vllm", "openai"])
def test_an_error_in_the_place_of_the_first_piece_is_the_servers_refusal(server, provider):
    server.mode = "refusing"
    with pytest.raises(EngineFailing, match="too hot") as failed:
        stream(engine(server, provider))
    assert failed.value.status == 503


def test_a_model_whose_parameters_litellm_knows_is_asked_through_it(server):
    for _ in range(2):  # what is asked once is known to LiteLLM, and must not be asked another way then
        complete(connect(EngineConfig("main", "openai/o3-mini", api_base=server.api_base, api_key=KEY)))
        complete(connect(EngineConfig("main", "openai/served", api_base=server.api_base, api_key=KEY)))
    limits = [{"max_tokens", "max_completion_tokens"} & body.keys() for body in server.bodies]
    assert limits == [{"max_completion_tokens"}, {"max_tokens"}] * 2
    agents = [headers["user-agent"].split("/")[0].lower() for _, _, headers in server.requests]
    assert agents[1] == agents[3] == "python"


@pytest.mark.parametrize("provider", ["openai", "custom_openai"])
def test_a_server_without_a_key_of_its_own_is_sent_openais(server, provider, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    complete(engine(server, provider, api_key=None))
    assert server.requests[0][2]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(("names", "asked"), [("", True), ("example.invalid", False)])
def test_a_server_elsewhere_is_asked_through_the_proxy_of_the_environment(server, monkeypatch, names, asked):
    monkeypatch.setenv("http_proxy", server.api_base.removesuffix("/v1"))
    monkeypatch.setenv("no_proxy", names)
    away = connect(EngineConfig("main", "hosted_vllm/served", api_base="http://example.invalid/v1", retries=0))
    with contextlib.nullcontext() if asked else pytest.raises(EngineUnreachable):
        complete(away)
    assert [path for path, _, _ in server.requests] == (["http://example.invalid/v1/chat/completions"] if asked else [])


def test_connections_are_closed_with_the_loop_that_they_belong_to(server, recwarn):
    asked = engine(server)
    sockets = len(psutil.Process().net_connections())
    for _ in range(3):
        complete(asked)
        stream(asked)
    gc.collect()
    assert len([found for found in psutil.Process().net_connections() if found.raddr]) <= sockets
    assert not [warning for warning in recwarn if issubclass(warning.category, ResourceWarning)]


def test_a_server_that_is_briefly_unable_is_asked_again(server):
    server.fail_first = 1
    # The server asks for seven seconds, which is too long to hold a request for.
    with pytest.raises(EngineRefused):
        complete(engine(server, retries=1))
    assert len(server.requests) == 1


def test_a_dropped_connection_is_tried_again_as_often_as_configured():
    attempts = []

    async def drop(reader, writer):
        attempts.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    async def run():
        listener = await asyncio.start_server(drop, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        config = EngineConfig("main", "hosted_vllm/served", api_base=f"http://127.0.0.1:{port}/v1", retries=1)
        async with listener:
            await connect(config).complete(QUESTION, Sampling(), cache_salt=None)

    with pytest.raises(EngineInterrupted):
        asyncio.run(run())
    assert len(attempts) == 2


@pytest.mark.parametrize("status", [400, 401, 404])
def test_a_request_that_is_wrong_is_not_repeated(server, status):
    server.mode = status
    with pytest.raises(EngineRefused):
        complete(engine(server, retries=3))
    assert len(server.requests) == 1


@PROVIDERS
def test_no_error_and_no_traceback_repeats_the_key(server, provider):
    server.mode, server.error_message = 401, "bad header {key}"
    with pytest.raises(EngineRefused) as failed:
        complete(engine(server, provider))
    assert KEY in server.requests[0][2]["authorization"]
    assert KEY not in "".join(traceback.format_exception(failed.value))
    assert KEY not in repr(engine(server, provider).config)


def test_vllm_counts_the_tokens_and_tells_its_window(server):
    vllm = engine(server)
    assert asyncio.run(vllm.count_tokens(QUESTION)) == 42
    assert asyncio.run(vllm.window_tokens()) == 4096
    path, body, headers = server.requests[0]
    assert path == "/tokenize"
    assert body == {"model": "served", "messages": QUESTION, "add_generation_prompt": True}
    assert headers["authorization"] == f"Bearer {KEY}"


def test_vllm_tells_the_tokens_themselves_and_others_do_not(server):
    assert asyncio.run(engine(server).token_ids(QUESTION)) == [7, 8]
    assert server.requests[0][0] == "/tokenize"
    assert asyncio.run(connect(EngineConfig("other", "openai/x")).token_ids(QUESTION)) is None


def test_vllm_counts_a_text_by_itself(server):
    assert asyncio.run(engine(server).text_tokens("a block")) == 42
    path, body, _ = server.requests[0]
    assert (path, body) == ("/tokenize", {"model": "served", "prompt": "a block", "add_special_tokens": False})


def test_counting_maps_the_same_errors_as_asking(server):
    server.mode = 401
    with pytest.raises(EngineRefused) as refused:
        asyncio.run(engine(server).count_tokens(QUESTION))
    assert refused.value.status == 401
    gone = EngineConfig("main", "hosted_vllm/served", api_base=f"http://127.0.0.1:{free_port()}/v1")
    with pytest.raises(EngineUnreachable):
        asyncio.run(connect(gone).window_tokens())
    with pytest.raises(EngineUnreachable):
        asyncio.run(connect(gone).text_tokens("a block"))


def test_a_configured_window_is_not_asked_for(server):
    assert asyncio.run(engine(server, window_tokens=100).window_tokens()) == 100
    assert server.requests == []


def test_other_providers_are_counted_without_a_network():
    code = (
        "import asyncio, socket\n"
        "def refuse(*a, **k): raise AssertionError('network')\n"
        "socket.getaddrinfo = socket.create_connection = socket.socket.connect = refuse\n"
        "from backend.client import EngineConfig, connect\n"
        "for model in ('openai/gpt-4o', 'anthropic/claude-sonnet-4-5', 'together_ai/meta-llama/Llama-3-70b-chat-hf'):\n"
        "    engine = connect(EngineConfig('main', model, api_key='k'))\n"
        "    tokens = asyncio.run(engine.count_tokens([{'role': 'user', 'content': 'one two three'}]))\n"
        "    print(tokens, asyncio.run(engine.window_tokens()), asyncio.run(engine.text_tokens('one two three')))\n"
    )
    lines = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120, env={**os.environ}
    ).stdout.splitlines()
    assert [int(line.split()[0]) > 3 for line in lines] == [True, True, True]
    assert lines[0].split()[1] == "128000"
    assert [int(line.split()[2]) for line in lines] == [3, 3, 3]


@pytest.mark.parametrize("model", ["embedded/x", "hosted_vllm/x"])
def test_an_engine_without_its_address_is_refused_at_once(model):
    with pytest.raises(EngineMisconfigured, match="main"):
        connect(EngineConfig("main", model))


def test_one_engine_serves_concurrent_calls_of_several_loops(server):
    shared = engine(server)

    async def many():
        calls = (shared.complete(QUESTION, Sampling(), cache_salt=None) for _ in range(5))
        return [answer.text for answer in await asyncio.gather(*calls)]

    assert asyncio.run(many()) + asyncio.run(many()) == ["hi"] * 10


def test_every_engine_error_is_a_backend_error():
    kinds = (EngineUnreachable, EngineTimeout, EngineInterrupted, EngineRefused, ContextTooLong)
    assert all(issubclass(kind, BackendError) for kind in kinds)
