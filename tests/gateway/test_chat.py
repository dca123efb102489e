"""The chat API over real HTTP, with the official OpenAI client where that is what users have."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import openai
import pytest

from backend.errors import EngineFailing, EngineInterrupted, EngineUnreachable
from gateway.testing import Cut, ScriptedEngine

COVERED = "How many customers do we have in Germany?"
UNCOVERED = "Which supplier has the longest lead time?"
LEAD_TIME = "SELECT name FROM suppliers ORDER BY lead_time_days DESC LIMIT 1"


def client_of(served: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key="unused", max_retries=0)


def test_the_openai_client_gets_an_answer_unchanged(served: Any) -> None:
    served.engine.enqueue(f"```sql\n{LEAD_TIME}\n```")
    answer = client_of(served).chat.completions.create(model="shop", messages=[{"role": "user", "content": UNCOVERED}])
    assert LEAD_TIME in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


def test_the_openai_client_streams(served: Any) -> None:
    served.engine.enqueue_stream("SELECT name ", "FROM suppliers ", "LIMIT 1")
    stream = client_of(served).chat.completions.create(
        model="shop",
        messages=[{"role": "user", "content": UNCOVERED}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "SELECT name FROM suppliers LIMIT 1"
    last = chunks[-1]
    assert last.usage is not None
    extra = last.model_extra or {}
    assert extra["kvasir"]["verification"]["status"] == "passed"
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"]


def test_the_openai_client_lists_assistants_as_models(served: Any) -> None:
    assert [model.id for model in client_of(served).models.list()] == ["shop"]


def test_the_answer_says_what_was_retrieved_and_why(served: Any) -> None:
    served.engine.enqueue(LEAD_TIME)
    response = served.ask(UNCOVERED)
    kvasir = response.json()["kvasir"]
    assert response.headers["x-kvasir-request-id"] == kvasir["request_id"]
    assert response.headers["x-kvasir-commit"] == kvasir["commit"]
    by_id = {item["id"]: item for item in kvasir["items"]}
    assert "names" in by_id["schema:suppliers"]["reason"]
    assert by_id["rule:what_counts"]["reason"] == "always"
    assert kvasir["prompt_tokens"] > 0
    assert len(kvasir["prompt_hash"]) == 64
    assert kvasir["verification"]["status"] == "passed"
    assert {"retrieve_seconds", "generate_seconds", "verify_seconds", "total_seconds"} <= kvasir["timings"].keys()


def test_the_trace_holds_the_prompt_that_the_engine_got(served: Any) -> None:
    served.engine.enqueue(LEAD_TIME)
    request_id = served.ask(UNCOVERED).json()["kvasir"]["request_id"]
    trace = served.client.get(f"/v1/requests/{request_id}").json()
    assert trace["prompt"] == list(served.engine.calls[0].messages)
    assert trace["answer"] == LEAD_TIME
    assert trace["items"]


def test_the_last_traces_come_newest_first(served: Any) -> None:
    served.engine.enqueue(LEAD_TIME)
    first = served.ask(UNCOVERED).json()["kvasir"]["request_id"]
    served.engine.enqueue(LEAD_TIME)
    second = served.ask(UNCOVERED).json()["kvasir"]["request_id"]
    listed = served.client.get("/v1/requests").json()["data"]
    assert [trace["id"] for trace in listed] == [second, first]
    whole = served.client.get(f"/v1/requests/{first}").json()
    assert listed[1] == {
        "object": "kvasir.request_summary",
        **{name: whole[name] for name in listed[1].keys() & whole.keys() - {"object", "verification"}},
        "verification": whole["verification"]["status"],
        "total_seconds": whole["timings"]["total_seconds"],
    }
    assert {"id", "question", "answer", "answered_by", "user", "status"} <= listed[1].keys()
    assert listed[1].keys().isdisjoint(("prompt", "messages", "items"))
    assert [trace["id"] for trace in served.client.get("/v1/requests?limit=1").json()["data"]] == [second]
    assert served.client.get("/v1/requests?assistant=other").json()["data"] == []
    assert served.client.get("/v1/requests?limit=1000").status_code == 400


def test_a_covered_question_is_answered_without_the_engine(served: Any) -> None:
    kvasir = served.ask(COVERED).json()["kvasir"]
    assert kvasir["answered_by"] == "verified"
    assert kvasir["verified_by"] == "success:customers_in_germany"
    assert kvasir["verification"]["rows"] == [[1277]]
    assert served.engine.calls == []


def test_verified_answers_are_off_unless_the_assistant_allows_them(serve: Callable[..., Any]) -> None:
    served = serve(verified_answers=False)
    served.engine.enqueue("SELECT 1")
    assert served.ask(COVERED).json()["kvasir"]["answered_by"] == "engine"


def test_the_cache_salt_is_the_tenants(served: Any) -> None:
    served.engine.enqueue(LEAD_TIME)
    served.ask(UNCOVERED)
    assert served.engine.calls[0].cache_salt == "default"


def test_a_later_turn_changes_no_byte_of_an_earlier_prompt(served: Any) -> None:
    served.engine.enqueue(LEAD_TIME, "SELECT count(*) FROM returns")
    first = served.ask(UNCOVERED).json()
    turns = [
        {"role": "user", "content": UNCOVERED},
        {"role": "assistant", "content": LEAD_TIME},
        {"role": "user", "content": "And how many returns were there?"},
    ]
    second = served.ask(turns).json()
    before, after = (call.messages for call in served.engine.calls)
    assert after[: len(before)] == before
    assert '<schema id="schema:returns">' in after[-1]["content"]
    assert '<schema id="schema:returns">' not in after[0]["content"]
    assert second["kvasir"]["session_id"] == first["kvasir"]["session_id"]


def test_an_engine_that_is_away_is_a_503_that_names_the_next_step(served: Any) -> None:
    served.engine.enqueue(EngineUnreachable("main", "http://127.0.0.1:1/v1"))
    response = served.ask(UNCOVERED)
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "engine_unreachable"
    assert "kvasir backend status" in response.json()["error"]["message"]
    trace = served.client.get(f"/v1/requests/{response.headers['x-kvasir-request-id']}").json()
    assert trace["status"] == "failed"
    assert "nothing answers" in trace["error"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "died",
    [
        EngineUnreachable("main", "http://127.0.0.1:1/v1"),
        EngineInterrupted("main", "the connection was closed"),
        EngineFailing("main", 500, "EngineCore encountered an issue"),
    ],
)
def test_an_engine_that_died_before_its_first_word_is_a_503_that_says_when_to_ask_again(
    served: Any, died: Exception, stream: bool
) -> None:
    served.engine.enqueue(died)
    response = served.ask(UNCOVERED, stream=stream)
    assert response.status_code == 503
    assert response.headers["retry-after"] == "5"
    error = response.json()["error"]
    assert (error["type"], error["param"], error["message"]) == ("server_error", None, str(died))


def test_an_engine_that_stops_mid_stream_ends_the_stream_with_an_error(served: Any) -> None:
    served.engine.enqueue_stream("SELECT ", EngineInterrupted("main", "connection lost"))
    stream = client_of(served).chat.completions.create(
        model="shop", messages=[{"role": "user", "content": UNCOVERED}], stream=True
    )
    pieces: list[str] = []

    def read() -> None:
        pieces.extend(chunk.choices[0].delta.content or "" for chunk in stream)

    with pytest.raises(openai.APIError, match="stopped before its end"):
        read()
    assert "".join(pieces) == "SELECT "


def test_a_broken_stream_has_no_done_marker_and_leaves_a_failed_trace(served: Any) -> None:
    served.engine.enqueue_stream("SELECT ", EngineInterrupted("main", "connection lost"))
    response = served.ask(UNCOVERED, stream=True)
    events = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
    assert json.loads(events[-1])["error"]["code"] == "engine_interrupted"
    trace = served.client.get(f"/v1/requests/{response.headers['x-kvasir-request-id']}").json()
    assert trace["status"] == "failed"
    assert trace["answer"] is None


def test_a_question_without_an_engine_says_how_to_configure_one(serve: Callable[..., Any]) -> None:
    served = serve(engine=None)
    response = served.ask(UNCOVERED)
    assert response.status_code == 503
    message = response.json()["error"]["message"]
    assert "[engines.mini]" in message
    assert "assistants.shop" in message


def test_a_conversation_that_does_not_fit_is_refused_and_nothing_is_cut(served: Any) -> None:
    served.engine.config = ScriptedEngine(window_tokens=200).config
    response = served.ask("Which supplier " + "really " * 300 + "has the longest lead time?")
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["code"] == "context_length_exceeded"
    assert "window is 200" in error["message"]
    assert served.engine.calls == []


@pytest.mark.parametrize("sql", ["DELETE FROM orders", "DROP TABLE orders", "UPDATE orders SET state = 'paid'"])
def test_sql_that_writes_is_refused_and_changes_nothing(served: Any, sql: str) -> None:
    served.engine.enqueue(sql)
    verification = served.ask(UNCOVERED).json()["kvasir"]["verification"]
    assert verification["status"] == "refused"
    rows = served.core.datasources["shop"].run("SELECT count(*) FROM orders").rows
    assert rows == ((7800,),)


def test_an_unknown_column_is_named_with_the_nearest_one(served: Any) -> None:
    served.engine.enqueue("SELECT lead_time_day FROM suppliers")
    verification = served.ask(UNCOVERED).json()["kvasir"]["verification"]
    assert verification["status"] == "refused"
    assert "lead_time_days" in verification["message"]


BAD_BODIES = [
    ("{", "invalid_json"),
    ("[]", "invalid_body"),
    ("{}", "invalid_body"),
    ('{"model": "shop", "messages": []}', "invalid_body"),
    ('{"model": "shop", "messages": [{"role": "robot", "content": "x"}]}', "invalid_body"),
    ('{"model": "shop", "messages": [{"role": "user", "content": ""}]}', "bad_request"),
    ('{"model": "shop", "messages": [{"role": "assistant", "content": "x"}]}', "bad_request"),
    ('{"model": "shop", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]}', "bad_request"),
    ('{"model": "shop", "messages": [{"role": "user", "content": "x"}], "n": 2}', "bad_request"),
    ('{"model": "shop", "messages": [{"role": "user", "content": "x"}], "temperature": 9}', "invalid_body"),
    ('{"model": "shop", "messages": [{"role": "user", "content": "x"}], "logprobs": true}', "bad_request"),
    (
        '{"model": "shop", "messages": [{"role": "user", "content": "x"}], "response_format": {"type": "json_object"}}',
        "bad_request",
    ),
    ('{"model": "shop", "messages": [{"role": "user", "content": "x"}], "kvasir": {"sesion": 1}}', "invalid_body"),
]


@pytest.mark.parametrize(("body", "code"), BAD_BODIES)
def test_a_malformed_body_is_a_400_in_openais_shape(served: Any, body: str, code: str) -> None:
    headers = {"Content-Type": "application/json"}
    response = served.client.post("/v1/chat/completions", content=body, headers=headers)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == code
    assert response.json()["error"].keys() == {"message", "type", "param", "code"}


def test_an_unknown_assistant_is_a_404_that_lists_the_known_ones(served: Any) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client_of(served).chat.completions.create(model="shpo", messages=[{"role": "user", "content": "x"}])
    assert caught.value.code == "model_not_found"
    assert "known: shop" in caught.value.message


def test_an_unknown_route_is_told_in_the_same_shape(served: Any) -> None:
    response = served.client.get("/v1/nothing")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "no_such_route"


def test_health_readiness_and_metrics_answer(served: Any) -> None:
    served.engine.enqueue(LEAD_TIME)
    served.ask(UNCOVERED)
    assert served.client.get("/healthz").json() == {"status": "ok"}
    assert served.client.get("/readyz").json()["status"] == "ready"
    text = served.client.get("/metrics").text
    assert 'kvasir_requests_total{assistant="shop",outcome="engine",tenant="default"} 1.0' in text
    assert 'kvasir_verifications_total{assistant="shop",status="passed"} 1.0' in text


def test_an_answer_that_was_cut_says_so_where_its_statement_cannot_be_read(served: Any) -> None:
    served.engine.enqueue(Cut("SELECT name FROM suppliers WHERE name = 'a"), Cut("SELECT name FROM suppliers LIMIT 1"))
    answered = served.ask(UNCOVERED).json()
    assert answered["choices"][0]["finish_reason"] == "length"
    assert answered["kvasir"]["verification"]["message"].startswith("the answer was cut at its limit of tokens")
    assert served.ask(UNCOVERED).json()["kvasir"]["verification"]["message"] == ""
