"""The planner: what it may move, what it never moves, and that assembly and traces know its order."""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.conversation import Conversation, ask
from gateway.placements import Placed, Placements
from gateway.planner import PLANNED, Planner, blocks_of
from gateway.prompt import Prompt, assemble, layer_of
from kb.items import Document, Gotcha, Item, Metric, Preference, Relationship, Rule, Schema, Success, Template

INSTRUCTIONS = "Answer with one query."
MAKERS = {
    "rule": Rule,
    "schema": lambda text: Schema("t", (), comment=text),
    "relationship": lambda text: Relationship("l", (text,), "r", (text,)),
    "metric": Metric,
    "document": Document,
    "gotcha": Gotcha,
    "template": lambda text: Template(text, "SELECT 1"),
    "success": lambda text: Success(text, "SELECT 1"),
    "preference": lambda text: Preference(text, "ann"),
}


def placed(kind: str, name: str, *, usage: str = "auto", reach: int = 0) -> Placed:
    item = Item(f"{kind}:{name}", name, MAKERS[kind](f"about {name * 9}"), usage=usage)  # type: ignore[operator, arg-type]
    return Placed(item, f"hash of {item!r}", reach)


POOL = [
    *(placed(kind, name, reach=index) for kind in sorted(MAKERS) for index, name in enumerate(("a", "bb", "c"))),
    placed("schema", "always", usage="always"),
]
ITEMS = st.lists(st.sampled_from(POOL), unique_by=lambda one: one.item.id, max_size=12).map(tuple)
STREAM = st.lists(ITEMS, max_size=8)


def prompt_of(items: tuple[Placed, ...], conversation: Conversation | None = None) -> Prompt:
    return assemble(INSTRUCTIONS, conversation or ask("q"), Placements(items))


def served(stream: list[tuple[Placed, ...]], blocks: int = 1000) -> tuple[Planner, list[Prompt]]:
    """A planner that gave these items their places, and the prompts that it made."""
    planner, prompts = Planner(blocks), []
    for items in stream:
        prompts.append(prompt_of(planner.planned(INSTRUCTIONS, items)))
        planner.served(blocks_of(prompts[-1].messages, prompts[-1].parts))
    return planner, prompts


def ids(prompt: Prompt) -> list[str]:
    return [part.item for part in prompt.parts if part.item is not None]


def test_a_layer_stands_along_the_longest_beginning_that_was_served() -> None:
    a, b, c, d = (placed("schema", name) for name in "abcd")
    planner, _ = served([(a, d), (a, b, d)])
    prompt = prompt_of(planner.planned(INSTRUCTIONS, (a, b, c, d)))
    assert ids(prompt) == ["schema:a", "schema:d", "schema:b", "schema:c"]
    assert prompt.order == "planned"


def test_a_layer_is_planned_across_its_kinds_and_the_next_one_only_behind_all_of_it() -> None:
    a, b, join = placed("schema", "a"), placed("schema", "b"), placed("relationship", "j")
    gotcha, other = placed("gotcha", "z"), placed("gotcha", "y")
    planner, _ = served([(a, join, gotcha)])
    assert ids(prompt_of(planner.planned(INSTRUCTIONS, (a, b, join)))) == ["schema:a", "relationship:j", "schema:b"]
    along = ids(prompt_of(planner.planned(INSTRUCTIONS, (a, join, other, gotcha))))
    assert along == ["schema:a", "relationship:j", "gotcha:z", "gotcha:y"]
    behind = ids(prompt_of(planner.planned(INSTRUCTIONS, (a, b, join, other, gotcha))))
    assert behind[3:] == ["gotcha:y", "gotcha:z"], "no prompt has them behind schema:b"


@settings(deadline=None)
@given(ITEMS)
def test_with_nothing_served_the_order_is_the_canonical_one(items: tuple[Placed, ...]) -> None:
    planned = Planner(100).planned(INSTRUCTIONS, items)
    assert prompt_of(planned) == prompt_of(items)
    assert all(one.place == 0 for one in planned)
    assert prompt_of(planned).order == "canonical"


@settings(deadline=None)
@given(STREAM, ITEMS, st.sampled_from([3, 1000]))
def test_only_the_items_of_a_planned_layer_change_places(
    stream: list[tuple[Placed, ...]], items: tuple[Placed, ...], blocks: int
) -> None:
    planner, _ = served(stream, blocks)
    canonical, planned = prompt_of(items), prompt_of(planner.planned(INSTRUCTIONS, items))
    layers = [part.layer for part in canonical.parts]
    assert [part.layer for part in planned.parts] == layers
    for layer in set(layers):
        ours, theirs = ([part for part in one.parts if part.layer == layer] for one in (planned, canonical))
        assert ours == theirs or (layer in PLANNED and sorted(ours, key=repr) == sorted(theirs, key=repr))
    assert planned.stable_prefix == canonical.stable_prefix
    assert (planned.order == "planned") == (planned.hash != canonical.hash)
    assert len(planner) <= blocks


@settings(deadline=None)
@given(STREAM, ITEMS)
def test_no_more_of_the_canonical_order_was_served_than_of_the_planned_one(
    stream: list[tuple[Placed, ...]], items: tuple[Placed, ...]
) -> None:
    items = tuple(one for one in items if one.item.kind != "preference")
    planner, prompts = served(stream)

    def shared(prompt: Prompt) -> int:
        """Characters of whole blocks."""
        ours = blocks_of(prompt.messages, prompt.parts)
        pairs = [zip(ours, blocks_of(one.messages, one.parts), strict=False) for one in prompts]
        most = max((sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], one)) for one in pairs), default=0)
        return sum(part.characters for part in prompt.parts[:most])

    assert shared(prompt_of(planner.planned(INSTRUCTIONS, items))) >= shared(prompt_of(items))


@settings(deadline=None)
@given(STREAM, ITEMS, st.randoms())
def test_the_same_was_served_and_is_asked_so_the_same_is_planned(
    stream: list[tuple[Placed, ...]], items: tuple[Placed, ...], random: Random
) -> None:
    planner, _ = served(stream)
    again, _ = served(stream)
    shuffled = tuple(random.sample(items, len(items)))
    assert planner.planned(INSTRUCTIONS, items) == again.planned(INSTRUCTIONS, shuffled)


@settings(deadline=None)
@given(STREAM)
def test_the_same_items_asked_at_once_again_stand_as_they_stood(stream: list[tuple[Placed, ...]]) -> None:
    planner, prompts = served(stream)
    if stream:
        assert prompt_of(planner.planned(INSTRUCTIONS, stream[-1])).hash == prompts[-1].hash


@settings(deadline=None)
@given(STREAM)
def test_the_parts_of_a_planned_prompt_say_what_assembles_it_again(stream: list[tuple[Placed, ...]]) -> None:
    _, prompts = served(stream)
    for items, prompt in zip(stream, prompts, strict=True):
        stands = {item: number for number, item in enumerate(ids(prompt), start=1)}
        assert prompt_of(tuple(replace(one, place=stands[one.item.id]) for one in items)).hash == prompt.hash


def test_what_is_of_one_user_or_one_client_is_not_remembered() -> None:
    table, preference = placed("schema", "a"), placed("preference", "p")
    without = prompt_of((table,))
    theirs = assemble(INSTRUCTIONS, Conversation(("Be brief.",), ask("q").messages), Placements((table, preference)))
    assert blocks_of(theirs.messages, theirs.parts) == blocks_of(without.messages, without.parts)
    assert layer_of(preference.item) not in PLANNED


def test_other_instructions_have_beginnings_of_their_own() -> None:
    a, b = placed("schema", "a"), placed("schema", "b")
    planner, _ = served([(b,)])
    assert [one.place for one in planner.planned(INSTRUCTIONS, (a, b))] == [1, 2]
    assert [one.place for one in planner.planned("Answer in French.", (a, b))] == [0, 0]
