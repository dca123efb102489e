"""The benchmark of prefixes: caches, bounds and streams counted by hand, and a tiny run on items made on the spot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backend.client import Usage
from backend.model_folder import SHIPPED_FOLDER
from evals.bench.errors import ModelUnavailable
from evals.bench.prefix.block_cache import BlockCache
from evals.bench.prefix.bound import Pieces, best_order_hits, common_tokens
from evals.bench.prefix.engine_section import told, ttft_row
from evals.bench.prefix.engines import CountingEngine, Sent
from evals.bench.prefix.hit_rates import Use, rate, ratio, ratio_interval, unlimited
from evals.bench.prefix.landing_rows import before_and_after
from evals.bench.prefix.landings import lesson
from evals.bench.prefix.played import Played
from evals.bench.prefix.request_stream import Request, interleaved, zipf_draw
from evals.bench.prefix.spider_traffic import Traffic, in_database
from evals.bench.prefix.token_section import Streams, earlier_reach, token_rows
from evals.bench.remembering import Remembering
from evals.bench.row import Asked
from kb.embedding import SentenceEmbedder
from kb.introspect import introspect
from kb.items import Gotcha, Item, Schema, Success


def test_a_cache_has_the_whole_blocks_that_a_prompt_begins_with() -> None:
    cache = BlockCache(4)
    assert cache.take(_tokens(range(10))) == 0
    assert cache.take(_tokens([*range(6), 99, 98, 97])) == 4
    assert cache.take(_tokens([7, *range(1, 10)])) == 0, "a block counts by what stands before it as well"


def test_the_last_token_of_a_prompt_is_always_computed() -> None:
    cache = BlockCache(4)
    cache.take(_tokens(range(8)))
    assert cache.take(_tokens(range(8))) == 4
    assert cache.take(_tokens(range(9))) == 8


def test_what_was_answered_is_there_for_the_turn_that_sends_it_back() -> None:
    asked, answer = _tokens(range(6)), _tokens(range(60, 67))
    after = _tokens([*asked, *answer, 1, 2])
    turns = [Sent("a", prompt, None, None, answer) for prompt in (asked, after)]
    played = [Played(_request("d", turn), None, None, {"ours": sent}) for turn, sent in enumerate(turns)]  # type: ignore[arg-type]
    assert [use.hit_tokens for use in unlimited(played, "ours", 4)] == [0, 4]
    assert [use.hit_tokens for use in unlimited(played, "ours", 4, answers=True)] == [0, 12]


def test_prompts_have_at_most_their_head_their_common_items_and_the_start_of_another_in_common() -> None:
    one = Pieces((1, 1), {"a": (5, 5, 5), "b": (6, 7)}, (9,))
    assert common_tokens(one, Pieces((1, 1), {"a": (5, 5, 5), "c": (6, 8)}, (9,))) == 2 + 3 + 1
    assert common_tokens(one, Pieces((1, 1), {"b": (6, 7), "a": (5, 5, 5)}, (9, 4))) == 2 + 5 + 1
    assert common_tokens(one, Pieces((1, 2), {"a": (5, 5, 5)}, (9,))) == 1


def test_the_bound_is_never_below_what_any_order_reaches() -> None:
    random = np.random.default_rng(3)
    items = {name: tuple(int(token) for token in random.integers(0, 3, 5)) for name in "abcdef"}
    prompts, cache, reached = [], BlockCache(2), []
    for _ in range(60):
        names = list(random.permutation(list(items))[: random.integers(1, 5)])
        tail = tuple(int(token) for token in random.integers(0, 3, 3))
        prompts.append(Pieces((8, 8, 8), {name: items[name] for name in names}, tail))
        reached.append(cache.take(_tokens([8, 8, 8, *(token for name in names for token in items[name]), *tail])))
    bound = best_order_hits(prompts, 2)
    assert all(most >= hit for most, hit in zip(bound, reached, strict=True))
    assert sum(bound) > sum(reached)


def test_a_zipf_draw_repeats_the_same_favourites_in_every_stream() -> None:
    questions = [_request(f"d{number}") for number in range(50)]
    one, other = zipf_draw(questions, 300, "one"), zipf_draw(questions, 300, "other")
    assert [request.question for request in one] != [request.question for request in other]
    assert one == zipf_draw(questions, 300, "one")
    assert len({request.dialogue for request in one}) == 300
    assert _favourite(one) == _favourite(other)


def test_people_take_turns_and_nobody_skips_a_turn() -> None:
    dialogues = [[_request(f"d{number}", turn) for turn in range(3)] for number in range(8)]
    stream = interleaved(dialogues, "seed", people=4)
    assert len(stream) == 24
    assert len({request.person for request in stream}) == 4
    for number in range(8):
        turns = [request for request in stream if request.dialogue == f"d{number}"]
        assert [request.turn for request in turns] == [0, 1, 2]
        assert len({request.person for request in turns}) == 1
    assert [request.dialogue for request in stream] != sorted(request.dialogue for request in stream)


def test_rates_are_of_tokens_and_a_ratio_draws_both_sides_at_once() -> None:
    ours, theirs = [Use(90, 100), Use(0, 300)], [Use(45, 100), Use(0, 300)]
    assert rate(ours) == 90 / 400
    assert ratio(ours, theirs) == 2.0
    assert ratio_interval(ours, theirs) == (2.0, 2.0)
    assert rate([]) is None
    assert ratio(ours, [Use(0, 100), Use(0, 300)]) is None


def test_a_landing_is_judged_by_whole_windows_around_it() -> None:
    uses = [Use(8, 10)] * 2 + [Use(4, 10)] * 2 + [Use(1, 10)]
    assert before_and_after(uses, every=2) == [0.5]


def test_three_kinds_of_lessons_land_about_what_was_just_asked(shop_items: list[Item]) -> None:
    items = {item.id: item for item in shop_items}
    asked = Request("d", 0, "How many?", "SELECT 1", frozenset({"schema:orders"}))
    comment, gotcha, success = (lesson(number, asked, items) for number in (3, 4, 5))
    assert comment.id == "schema:orders"
    assert comment != items["schema:orders"]
    assert isinstance(gotcha.body, Gotcha)
    assert gotcha.entities[0].name.startswith("orders.")
    assert success.body == Success("How many?", "SELECT 1")


def test_what_the_engine_tells_and_its_times_become_rows() -> None:
    played = [_played(hit, seconds) for hit, seconds in ((10, 0.1), (20, 0.2), (30, 0.3))]
    assert [use.hit_tokens for use in told(played, "ours")] == [10, 20, 30]
    row = ttft_row("(a)", played, Asked(at_most=0.6))
    assert row.value == pytest.approx(0.5)
    assert row.ok


def test_a_folder_that_is_no_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="name a model folder with --model"):
        CountingEngine(tmp_path)


def test_a_tiny_run_measures_every_stream(shop_database: Path, embedder: SentenceEmbedder) -> None:
    items = [in_database(item, "shop") for item in introspect(f"sqlite:///{shop_database}")]
    tables = [item.body.table for item in items if isinstance(item.body, Schema)]
    questions = [
        Request(f"q-{table}", 0, f"How many {table} are there?", f"SELECT 1 FROM {table}", frozenset({_id(table)}))
        for table in tables
    ]
    dialogues = [
        [one, replace(one, turn=1, question=one.question.replace("are", "were"), answer="SELECT 2")]
        for one in questions
    ]
    traffic = Traffic(tuple(items), tuple(questions), tuple(tuple(turns) for turns in dialogues))
    streams = Streams(questions[:2], zipf_draw(questions, 52, "measured"), interleaved(dialogues, "measured", 3))
    engine, remembering, said = CountingEngine(SHIPPED_FOLDER), Remembering(embedder), list[str]()
    reach = earlier_reach(traffic, streams, engine, remembering, said.append)
    rows = {row.name: row for row in token_rows(traffic, streams, reach, engine, remembering, said.append)}

    assert reach
    assert rows["(a) prompts that hold the tokens of the order by score"].value == 1.0
    bounded = rows["(a) ours ÷ bound, blocks of 16"].value
    assert bounded is not None
    assert 0.5 < bounded <= 1.0
    assert rows["(a) hit rate, blocks of 16"].baseline.keys() == {"by score", "by id", "planned", "bound"}
    ours = rows["(a) hit rate, blocks of 16"]
    assert ours.value is not None
    assert ours.baseline["planned"] <= ours.baseline["bound"]
    assert rows["(a) planned ÷ ours, blocks of 16"].value == pytest.approx(ours.baseline["planned"] / ours.value)
    assert rows["(a) planned prompts that hold the tokens of ours"].value == 1.0
    assert rows["(c) planned ÷ ours after landings, blocks of 16"].n == 27
    later = rows["(b) hit rate from the second turn on, blocks of 16"]
    assert later.n == len(tables)
    assert later.value is not None
    assert later.value > later.baseline["by score"]
    with_answers = rows["(b) hit rate from the second turn on, answers cached, blocks of 16"]
    assert with_answers.value is not None
    assert with_answers.value > later.value
    assert with_answers.baseline.keys() == {"by score"}
    landed = rows["(c) hit rate after landings, blocks of 16"]
    assert landed.n == 27
    assert landed.value is not None
    assert landed.value >= landed.baseline["warming off"]
    assert rows["(c) tokens that warming computes, blocks of 16"].n == 2


def _tokens(values: range | list[int]) -> np.ndarray:
    return np.array(list(values), dtype=np.uint32)


def _id(table: str) -> str:
    return f"schema:shop.{table}".lower()


def _request(dialogue: str, turn: int = 0) -> Request:
    return Request(dialogue, turn, f"{dialogue}, turn {turn}?", "SELECT 1", frozenset({"schema:a"}))


def _favourite(stream: list[Request]) -> str:
    questions = [request.question for request in stream]
    return max(set(questions), key=questions.count)


def _played(hit_tokens: int, seconds: float) -> Played:
    ours = Sent("a", None, Usage(100, 1, cached_tokens=hit_tokens), seconds)
    theirs = Sent("b", None, Usage(100, 1, cached_tokens=0), 2 * seconds)
    return Played(_request("d"), None, None, {"ours": ours, "by score": theirs})  # type: ignore[arg-type]
