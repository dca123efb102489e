"""The client of the measurements, against the answers of both servers as they came."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from backend.errors import MeasurementFailed
from backend.profiling.pair import MeasuredPair, PairAddress, PrefixCounts

ADDRESS = PairAddress("http://engine", "http://cache", "m")
STREAM = (
    'data: {"choices": [{"text": "x"}], "usage": null}\n\n'
    'data: {"choices": [], "usage": {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 7}}}\n\n'
    "data: [DONE]\n\n"
)


def pair(answer: Callable[[httpx.Request], httpx.Response]) -> MeasuredPair:
    return MeasuredPair(ADDRESS, transport=httpx.MockTransport(answer))


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr("backend.profiling.pair.time.sleep", lambda _: None)


def test_a_first_token_says_how_much_of_its_prompt_was_cached():
    asked: list[dict[str, object]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        return httpx.Response(200, text=STREAM)

    first = pair(answer).first_token([1, 2, 3])
    assert (first.cached_tokens, first.seconds > 0) == (7, True)
    assert (asked[0]["model"], asked[0]["prompt"], asked[0]["max_tokens"]) == ("m", [1, 2, 3], 1)


def test_an_answer_without_a_token_is_no_measurement():
    with pytest.raises(MeasurementFailed, match="no token"):
        pair(lambda _: httpx.Response(200, text="data: [DONE]\n\n")).first_token([1])


def test_a_refused_prompt_is_shown_as_the_engine_refused_it():
    with pytest.raises(MeasurementFailed, match="status 400: too long"):
        pair(lambda _: httpx.Response(400, text="too long")).first_token([1])


def test_an_engine_that_still_hands_blocks_over_is_asked_again():
    answers = iter([{"success": False}, {"success": False}, {"success": True}])
    pair(lambda _: httpx.Response(200, json=next(answers))).empty_engine()
    assert next(answers, None) is None


def test_an_older_engine_that_does_not_say_so_is_emptied_once_it_holds_nothing():
    gauges = iter([0.5, 0.0])
    resets: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/metrics":
            return httpx.Response(200, text=f"vllm:kv_cache_usage_perc{{}} {next(gauges)}\n")
        resets.append(request.url.path)
        return httpx.Response(200)

    pair(answer).empty_engine()
    assert len(resets) == 3


def test_the_engines_counters_are_summed_over_their_labels():
    text = (
        'vllm:prompt_tokens_total{engine="0"} 15.0\n'
        'vllm:prefix_cache_queries_total{engine="0"} 10.0\nvllm:prefix_cache_queries_total{engine="1"} 5.0\n'
        'vllm:prefix_cache_hits_total{engine="0"} 4.0\n'
    )
    assert pair(lambda _: httpx.Response(200, text=text)).prefix_counts() == PrefixCounts(15, 15, 4, 0)


def test_a_prompt_that_vllm_looked_for_in_several_steps_was_found_once():
    before = PrefixCounts(prompts=100, looked_for=300, own_hits=0, other_hits=0)
    after = PrefixCounts(prompts=150, looked_for=450, own_hits=96, other_hits=16)
    assert after.since(before) == PrefixCounts(50, 150, 32, 16)
    assert before.since(before) == PrefixCounts(0, 0, 0, 0)


def test_memory_is_emptied_until_nothing_is_left_in_it():
    objects = iter([3, 1, 0])

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/cache/clear":
            return httpx.Response(200, json={})
        memory = {"total_object_count": next(objects), "read_locked_count": 1}
        return httpx.Response(200, json={"storage": {"l1": [memory], "l2": {"total_object_count": 9}}})

    pair(answer).empty_ram()
    assert next(objects, None) is None


def test_an_engine_that_cannot_be_reset_names_the_option():
    with pytest.raises(MeasurementFailed, match="--allow-reset"):
        pair(lambda _: httpx.Response(404)).empty_engine()


def test_a_plain_cache_is_recognized():
    with pytest.raises(MeasurementFailed, match="--plain-cache"):
        pair(lambda _: httpx.Response(404)).status()


def test_a_pair_that_is_down_says_what_to_look_at():
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(MeasurementFailed, match="kvasir backend status"):
        pair(refuse).transfers(0)


def test_stores_are_awaited_until_they_add_up():
    store = {"kind": "store", "tier": "disk", "size_bytes": 5, "seconds": 0.1}
    rounds = iter([[], [{**store, "number": 3}], [{**store, "number": 3}, {**store, "number": 4}]])

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.params["after"] == "2"
        return httpx.Response(200, json=next(rounds))

    assert [one["number"] for one in pair(answer).await_stored("disk", 10, 2)] == [3, 4]
