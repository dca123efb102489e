"""The report over scripted traces. Every character is a token, so that what is expected can be counted by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, update

from backend.client import Message
from gateway.cache_report.report import CacheReport, cache_report
from gateway.cache_report.served import served as served_of
from gateway.conversation import parse_conversation
from gateway.errors import BadRequest
from gateway.placements import Placed, Placements
from gateway.prompt import PREAMBLE, assemble
from gateway.since import since_time
from gateway.tables import requests
from gateway.traces import Trace, Traces
from kb.database import checked_database
from kb.items import Gotcha, Item, Rule, Schema

from .cli_home import Home
from .test_cli import home, prepared  # noqa: F401

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
HEAD = f"<system>Do.\n\n{PREAMBLE}"
MAKERS = {"schema": lambda text: Schema("t", (), comment=text), "gotcha": Gotcha, "rule": Rule}


def placed(item_id: str, text: str = "x") -> Placed:
    item = Item(item_id, item_id, MAKERS[item_id.partition(":")[0]](text))
    return Placed(item, f"hash of {item!r}")


def block(item_id: str, text: str = "x") -> str:
    inner = f"Table t: {text}" if item_id.startswith("schema") else text
    kind = item_id.partition(":")[0]
    return f'\n\n<{kind} id="{item_id}">\n{inner}\n</{kind}>'


def served(
    number: int,
    question: str = "How many?",
    items: str | list[Placed] = "",
    *,
    said: tuple[str, ...] = (),
    turns: tuple[tuple[Placed, ...], ...] = (),
    instructions: str = "Do.",
    tenant: str = "default",
    usage: dict[str, Any] | None = None,
    **changed: Any,
) -> Trace:
    """A request with these items in its system message, behind what was `said`; `turns` has what later turns placed."""
    texts = [*said, question]
    messages: list[Message] = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]
    conversation = parse_conversation(messages)
    first = tuple(placed(item) for item in items.split()) if isinstance(items, str) else tuple(items)
    later = turns or ((),) * (len(conversation.user_turns) - 1)
    prompt = assemble(instructions, conversation, Placements.by_turn((first, *later)))
    tokens = sum(len(f"<{message['role']}>{message['content']}") for message in prompt.messages)
    fields: dict[str, Any] = {
        "commit": "c1",
        "status": "answered",
        "answered_by": "engine",
        "engine": "main",
        "assistant": "shop",
        "answer": f"answer {number}",
        "usage": {"prompt_tokens": tokens, "cached_tokens": None, **(usage or {})},
        **changed,
    }
    return Trace(
        id=f"req_{number}",
        tenant=tenant,
        created_at=f"2026-11-29T10:{number // 60:02}:{number % 60:02}+00:00",
        kb="shop",
        session_id="ses",
        user="",
        messages=conversation.messages,
        question=question,
        items=(),
        prompt=prompt.messages,
        prompt_hash=prompt.hash,
        parts=prompt.parts,
        **fields,
    )


def ends(report: CacheReport) -> dict[str, int]:
    return {cause: ended.requests for cause, ended in report.ends.items()}


def only_break(*traces: Trace) -> Any:
    (broken,) = cache_report(traces).broken.values()
    return broken


A_B_C = "schema:a schema:b schema:c"


@pytest.mark.parametrize(
    ("before", "after", "cause", "layer", "item", "lost"),
    [
        ("schema:a schema:c", A_B_C, "inserted", "schemas", "schema:b", [block("schema:c")]),
        (A_B_C, "schema:a schema:c", "removed", "schemas", "schema:b", [block("schema:c")]),
        (A_B_C, "schema:a schema:d", "replaced", "schemas", "schema:d", []),
        ("schema:a gotcha:g", "rule:r schema:a gotcha:g", "inserted", "always", "rule:r", ["schema:a", "gotcha:g"]),
        ("schema:a gotcha:g", "schema:a", None, None, None, None),
        ("schema:a", "schema:a gotcha:g", "inserted", "gotchas", "gotcha:g", []),
    ],
)
def test_the_first_item_that_differs_is_what_broke_the_prefix(
    before: str, after: str, cause: str | None, layer: str, item: str, lost: list[str]
) -> None:
    report = cache_report([served(1, "q1", before), served(2, "q2", after)])
    if cause is None:
        # Nothing stands behind what was left out but the question.
        assert ends(report) == {"first": 1, "question": 1}
        return
    (broken,) = report.broken.values()
    assert (broken.cause, broken.layer, broken.item) == (cause, layer, item)
    assert broken.lost_tokens == pytest.approx(sum(len(text if "<" in text else block(text)) for text in lost))
    (example,) = broken.examples
    assert (example.request, example.recent, example.other_commit) == ("req_2", "req_1", False)
    assert report.layers[layer].breaks == report.total.breaks == 1  # type: ignore[index]


def test_items_in_another_order_are_told_from_other_items() -> None:
    one, other = served(1, "q", "schema:a schema:b"), served(2, "q", "schema:a schema:b")
    # No assembly gives this order; a planner, or an older one, might.
    head, first, second, question = one.parts
    text = one.prompt[0]["content"]
    cut = head.characters
    swapped = text[:cut] + text[cut + first.characters :] + text[cut : cut + first.characters]
    message: Message = {"role": "system", "content": swapped}
    one = replace(one, parts=(head, second, first, question), prompt=(message, one.prompt[1]))
    broken = only_break(one, other)
    assert (broken.cause, broken.item, broken.examples[0].instead_of) == ("reordered", "schema:a", "schema:b")
    assert broken.lost_tokens == pytest.approx(len(block("schema:a") + block("schema:b") + "<user>q"))


def test_a_text_that_a_commit_changed_says_that_the_commit_is_another() -> None:
    old, new = ([placed("schema:a", text), placed("schema:b")] for text in ("in euros", "in cents"))
    broken = only_break(served(1, "q", old), served(2, "q", new, commit="c2"))
    assert (broken.cause, broken.item, broken.other_commit) == ("changed", "schema:a", 1)
    shared = broken.examples[0].shared_tokens
    assert shared == pytest.approx(len(HEAD + block("schema:a", "in euros").partition("euros")[0]))


def test_other_instructions_of_the_same_assistant_are_a_change_and_another_assistants_are_not() -> None:
    broken = only_break(served(1), served(2, instructions="Do it well."))
    assert (broken.cause, broken.layer, broken.item) == ("changed", "instructions", None)
    assert broken.examples[0].shared_tokens == pytest.approx(len("<system>Do"))
    other = cache_report([served(1), served(2, instructions="Do it well.", assistant="other")])
    assert ends(other) == {"first": 2}


def test_the_next_turn_continues_and_a_repeated_prompt_repeats() -> None:
    first = served(1, "q1", "schema:a")
    second = served(2, "q2", "schema:a", said=("q1", "answer 1"), turns=((placed("gotcha:g"),),))
    report = cache_report([first, second, served(3, "q1", "schema:a")])
    assert ends(report) == {"first": 1, "continued": 1, "repeated": 1}
    assert not report.broken
    whole = len(HEAD + block("schema:a") + "<user>q1")
    assert report.total.shared_tokens == pytest.approx(2 * whole)
    assert report.layers["added"].tokens == pytest.approx(len('<user><gotcha id="gotcha:g">\nx\n</gotcha>'))


def test_a_conversation_that_comes_back_without_its_beginning_was_cut() -> None:
    first = served(1, "q1", "schema:a")
    second = served(2, "q2", "schema:a", said=("q1", "answer 1"))
    third = served(3, "q3", "schema:a", said=("q2", "answer 2"))
    broken = only_break(first, second, third)
    assert (broken.cause, broken.layer, broken.item) == ("cut", "conversation", None)
    assert broken.examples[0].recent == "req_2"


def test_a_conversation_whose_turns_an_engine_never_got_breaks_nothing() -> None:
    elsewhere = served(2, "q3", "schema:a", said=("q0", "a confirmed answer"))
    assert ends(cache_report([served(1, "q1", "schema:a"), elsewhere])) == {"first": 1, "conversation": 1}


def test_what_the_engine_reused_covers_the_layers_from_the_front() -> None:
    always = len(HEAD) + len(block("rule:r"))
    half = len(block("schema:a")) // 2
    reused = {"cached_tokens": always + half}
    report = cache_report([served(1, "q", "rule:r schema:a", usage=reused), served(2, "q", "rule:r schema:a")])
    rates = {name: layer.hit_rate for name, layer in report.layers.items()}
    assert rates["instructions"] == rates["always"] == pytest.approx(1.0)
    assert rates["schemas"] == report.kinds["schema"].hit_rate == pytest.approx(half / len(block("schema:a")))
    assert rates["question"] == 0.0
    assert report.total.cached_tokens == pytest.approx(always + half)
    # The second request did not tell, so it is no part of a rate.
    assert report.total.told_tokens == pytest.approx(report.total.tokens / 2)
    assert report.total.shared_rate == pytest.approx(0.5)


def test_where_no_engine_tells_there_is_no_hit_rate() -> None:
    assert cache_report([served(1)]).total.hit_rate is None


def test_prompts_of_another_engine_and_older_than_the_recent_ones_are_not_compared() -> None:
    same = [served(number, "q", "schema:a", engine=engine) for number, engine in enumerate("ab")]
    assert ends(cache_report(same)) == {"first": 2}
    stream = [served(1, "q", "schema:a"), served(2, "q", "schema:b"), served(3, "q", "schema:a")]
    assert ends(cache_report(stream, recent=2)) == {"first": 1, "replaced": 1, "repeated": 1}
    assert ends(cache_report(stream, recent=1)) == {"first": 1, "replaced": 2}


def test_requests_that_cannot_be_reported_on_are_counted_by_why() -> None:
    given = [
        served(1),
        served(2, status="failed"),
        served(3, answered_by="verified"),
        replace(served(4), parts=()),
    ]
    report = cache_report(given)
    assert (report.requests, report.left_out) == (1, {"failed": 1, "verified": 1, "unknown": 1})


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sets(st.sampled_from("abcdef"), max_size=4), min_size=1, max_size=12), st.integers(1, 5))
def test_shared_is_the_longest_beginning_that_a_recent_prompt_has(streams: list[set[str]], recent: int) -> None:
    """Against all pairs: at least in whole parts, at most to the letter."""
    traces = [served(n, "q", " ".join(f"schema:{name}" for name in names)) for n, names in enumerate(streams)]
    parts = [[stretch.text for stretch in made.stretches] for made in map(served_of, traces) if made]
    whole = letters = 0
    for number, own in enumerate(parts):
        earlier = parts[max(0, number - recent) : number]
        whole += max((len("".join(common(own, other))) for other in earlier), default=0)
        letters += max((len(common("".join(own), "".join(other))) for other in earlier), default=0)
    assert whole - 1e-6 <= cache_report(traces, recent=recent).total.shared_tokens <= letters + 1e-6


def common(one: Sequence[str], other: Sequence[str]) -> Sequence[str]:
    pairs = enumerate(zip(one, other, strict=False))
    return one[: next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))]


@pytest.fixture
def filled(home: Home) -> Home:  # noqa: F811
    """Three requests of the tenant, and one of another's."""
    with checked_database(f"sqlite:///{home.folder / 'state' / 'kvasir.db'}", "kvasir init") as database:
        traces = Traces(database)
        told = {"cached_tokens": 100, "engine_cached_tokens": 64, "lmcache_loaded_tokens": 36}
        traces.keep(served(1, "q1", "schema:a", timings={"ttft_seconds": 0.25}))
        traces.keep(served(2, "q2", "schema:a gotcha:own", usage=told, stable_prefix_tokens=50))
        traces.keep(served(90, "q3", "schema:b", usage=told))
        traces.keep(served(3, "q1", "schema:a gotcha:secret", tenant="rival"))
    return home


def test_the_command_reports_on_the_tenants_own_requests(filled: Home) -> None:
    report = json.loads(filled("cache", "report", "--json").stdout)
    assert (report["requests"], report["tenant"]) == (3, "default")
    assert report["by_source"] == {"requests": 2, "engine_cached_tokens": 128, "lmcache_loaded_tokens": 72}
    assert report["stable_prefix"] == {"requests": 1, "tokens": 50}
    assert report["ttft_seconds"] == {"requests": 1, "p50": 0.25, "p90": 0.25}
    assert [(one["cause"], one["item"]) for one in report["broken_by"]] == [
        ("inserted", "gotcha:own"),
        ("replaced", "schema:b"),
    ]
    assert report["broken_by"][0]["examples"][0]["recent_request_id"] == "req_1"
    for shown in (report, filled("cache", "report").stdout):
        assert "secret" not in str(shown)
        assert "req_3" not in str(shown)
    rival = json.loads(filled("cache", "report", "--json", "--tenant", "rival").stdout)
    assert (rival["requests"], rival["ends"]) == (1, {"first": {"requests": 1, "lost_tokens": 0}})


def test_the_command_begins_where_it_is_told(filled: Home) -> None:
    late = json.loads(filled("cache", "report", "--json", "--since", "2026-11-29T12:01+02:00").stdout)
    assert late["requests"] == 1
    result = filled("cache", "report", "--since", "2100-01-01")
    assert result.exit_code == 2
    assert "no request of tenant 'default' since 2100-01-01" in result.stderr
    assert "'yesterday' is no time" in filled.refused("cache", "report", "--since", "yesterday")


def test_a_trace_that_an_older_gateway_stored_is_read_and_left_out(filled: Home) -> None:
    with checked_database(f"sqlite:///{filled.folder / 'state' / 'kvasir.db'}", "kvasir init") as database:
        without = func.json_remove(requests.c.trace, "$.parts", "$.stable_prefix_tokens")
        with database.begin() as connection:
            connection.execute(update(requests).where(requests.c.id == "req_1").values(trace=func.json(without)))
        assert Traces(database).get("default", "req_1").parts == ()
    report = json.loads(filled("cache", "report", "--json").stdout)
    assert (report["requests"], report["left_out"]) == (2, {"unknown": 1})


def test_the_tables_and_the_plot_show_what_broke(filled: Home, tmp_path: Path) -> None:
    plot = tmp_path / "cache.svg"
    result = filled("cache", "report", "--plot", plot, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert "inserted in gotchas: gotcha:own" in result.stdout
    assert "told from where: 128 tokens of its own cache, 72 loaded from LMCache" in result.stdout
    assert "…" not in filled("cache", "report", env={"COLUMNS": "60"}).stdout, "what is cut cannot be looked up"
    drawn = plot.read_text()
    assert "gotchas" in drawn
    assert "replaced" in drawn
    assert "cannot be written" in filled.refused("cache", "report", "--plot", tmp_path / "cache.nothing")


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("30m", "2026-11-29T11:30:00+00:00"),
        ("7d", "2026-11-22T12:00:00+00:00"),
        ("2026-11-28", "2026-11-28T00:00:00+00:00"),
        ("2026-11-28T10:00+02:00", "2026-11-28T08:00:00+00:00"),
    ],
)
def test_a_time_is_how_long_ago_or_a_point_in_utc(text: str, time: str) -> None:
    assert since_time(text, NOW) == time


@pytest.mark.parametrize("text", ["", "7", "d", "-7d", "7 days", "2026-13-01", "99999999999d"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="is no time"):
        since_time(text, NOW)
