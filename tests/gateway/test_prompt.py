"""The prompt as a pure function: what may change a byte of it, and where."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.conversation import Conversation, parse_conversation
from gateway.item_text import item_text
from gateway.placements import Placed, Placements
from gateway.prompt import assemble, newly_needed
from kb.items import Column, Document, Gotcha, Item, Metric, Preference, Rule, Schema, Success, Template

MAKERS = {
    "rule": Rule,
    "document": Document,
    "gotcha": Gotcha,
    "metric": Metric,
    "schema": lambda text: Schema("t", (), comment=text),
    "success": lambda text: Success(text, "SELECT 1"),
    "template": lambda text: Template(text, "SELECT 1"),
    "preference": lambda text: Preference(text, "ann"),
}
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9)
INSTRUCTIONS = "Answer with one query."


def placed(kind: str, name: str, text: str = "x", usage: str = "auto", reach: int = 0) -> Placed:
    item = Item(f"{kind}:{name}", name, MAKERS[kind](text), usage=usage)  # type: ignore[operator, arg-type]
    return Placed(item, f"hash of {item!r}", reach)


PLACED = st.builds(
    placed,
    st.sampled_from(sorted(MAKERS)),
    st.text("abcdefgh", min_size=1, max_size=3),
    st.text(max_size=20),
    st.sampled_from(["auto", "always"]),
    st.integers(0, 3),
)
ITEMS = st.lists(PLACED, max_size=8, unique_by=lambda entry: entry.item.id)


def asked(*turns: str, system: str | None = None) -> Conversation:
    """A conversation whose user says the turns, each but the last answered."""
    messages = [{"role": "system", "content": system}] if system else []
    for turn in turns[:-1]:
        messages += [{"role": "user", "content": turn}, {"role": "assistant", "content": f"answer to {turn}"}]
    return parse_conversation([*messages, {"role": "user", "content": turns[-1]}])  # type: ignore[list-item]


@given(ITEMS, st.randoms())
def test_the_order_in_which_items_are_given_changes_nothing(items: list[Placed], random: object) -> None:
    shuffled = list(items)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = (assemble(INSTRUCTIONS, asked("q"), Placements(tuple(order))) for order in (items, shuffled))
    assert first == second


@given(ITEMS, PLACED)
def test_an_added_item_changes_no_byte_before_the_place_where_it_stands(items: list[Placed], added: Placed) -> None:
    without = [entry for entry in items if entry.item.id != added.item.id]
    before = assemble(INSTRUCTIONS, asked("q"), Placements(tuple(without))).messages[0]["content"]
    after = assemble(INSTRUCTIONS, asked("q"), Placements((*without, added))).messages[0]["content"]
    block = f"\n\n{item_text(added.item)}"
    place = after.index(block)
    assert before == after[:place] + after[place + len(block) :]


@settings(max_examples=50)
@given(st.lists(ITEMS, min_size=1, max_size=4), st.lists(WORDS, min_size=4, max_size=4))
def test_a_later_turn_changes_no_byte_of_an_earlier_turns_messages(turns: list[list[Placed]], words: list[str]) -> None:
    questions = [f"q{word}" for word in words][: len(turns)]
    prompts = [
        assemble(INSTRUCTIONS, asked(*questions[:count]), Placements.by_turn(turns[:count])).messages
        for count in range(1, len(turns) + 1)
    ]
    for earlier, later in itertools.pairwise(prompts):
        assert later[: len(earlier)] == earlier


def test_the_same_inputs_give_the_same_bytes_in_another_process() -> None:
    program = (
        "from gateway.conversation import ask\n"
        "from gateway.placements import Placed, Placements\n"
        "from gateway.prompt import assemble\n"
        "from kb.items import *\n"
        "items = {Item(f'{b.kind}:{n}', n, b) for n in 'abcdefgh' for b in (Rule(n), Document(n), Metric(n, 'x'))}\n"
        "placed = tuple(Placed(item, item.id) for item in items)\n"
        "print([p.item.id for p in placed][:3], assemble('Do.', ask('q?'), Placements(placed)).hash)\n"
    )
    outputs = []
    for seed in ("1", "2", "3"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        outputs.append(done.stdout.rsplit(maxsplit=1))
    assert len({order for order, _ in outputs}) > 1, "the seeds gave one order, so this compares nothing"
    assert len({digest for _, digest in outputs}) == 1


def test_layers_stand_in_the_order_of_the_design() -> None:
    items = [placed(kind, "a") for kind in sorted(MAKERS)] + [placed("document", "z", usage="always")]
    system = assemble(INSTRUCTIONS, asked("q"), Placements(tuple(items))).messages[0]["content"]
    found = [line.split('"')[1] for line in system.splitlines() if line.startswith("<") and " id=" in line]
    assert found == [
        "document:z",
        "rule:a",
        "schema:a",
        "metric:a",
        "document:a",
        "gotcha:a",
        "template:a",
        "success:a",
        "preference:a",
    ]


def test_within_a_kind_the_widest_reach_comes_first_and_the_kinds_keep_their_places() -> None:
    items = (
        placed("success", "a", reach=1000),
        placed("schema", "a"),
        placed("schema", "b", reach=20),
        placed("schema", "c", reach=700),
        placed("schema", "d", reach=20),
    )
    system = assemble(INSTRUCTIONS, asked("q"), Placements(items)).messages[0]["content"]
    found = [line.split('"')[1] for line in system.splitlines() if line.startswith("<") and " id=" in line]
    assert found == ["schema:c", "schema:b", "schema:d", "schema:a", "success:a"]


def test_what_came_after_reach_was_frozen_stands_at_the_end_of_its_layer() -> None:
    always = (placed("rule", "b", usage="always", reach=1000), placed("rule", "c", usage="always", reach=900))
    layer = (placed("metric", "b", reach=5), placed("document", "a", reach=900))
    before = assemble(INSTRUCTIONS, asked("q"), Placements((*always, *layer))).messages[0]["content"]
    new = (placed("metric", "a"),)
    after = assemble(INSTRUCTIONS, asked("q"), Placements((*always, *layer, *new))).messages[0]["content"]
    assert after.startswith(before)
    always_too = assemble(INSTRUCTIONS, asked("q"), Placements((*always, placed("rule", "a", usage="always"))))
    alone = assemble(INSTRUCTIONS, asked("q"), Placements(always)).messages[0]["content"]
    assert always_too.messages[0]["content"].startswith(alone)


def test_a_preference_stands_behind_all_that_users_share_even_where_it_always_applies() -> None:
    items = (placed("preference", "a", usage="always"), placed("rule", "b"), placed("success", "c"))
    system = assemble(INSTRUCTIONS, asked("q"), Placements(items)).messages[0]["content"]
    assert system.index("<success") < system.index("<preference")


def test_the_clients_own_system_text_stands_behind_the_items() -> None:
    prompt = assemble(INSTRUCTIONS, asked("q", system="Be brief."), Placements((placed("rule", "a"),)))
    assert prompt.messages[0]["content"].startswith(INSTRUCTIONS)
    assert prompt.messages[0]["content"].endswith("</rule>\n\nBe brief.")
    assert [message["role"] for message in prompt.messages] == ["system", "user"]


def test_a_later_turns_items_stand_in_front_of_its_message() -> None:
    prompt = assemble(INSTRUCTIONS, asked("q1", "q2"), Placements.by_turn([(), (placed("gotcha", "g"),)]))
    assert prompt.messages[-1]["content"] == '<gotcha id="gotcha:g">\nx\n</gotcha>\n\nq2'
    assert prompt.messages[1]["content"] == "q1"


def test_an_item_is_placed_again_only_in_a_new_wording() -> None:
    rule, other = placed("rule", "a"), placed("rule", "b")
    reworded = placed("rule", "a", "y")
    assert newly_needed([rule, other], [rule]) == (other,)
    assert newly_needed([reworded], [rule]) == (reworded,)
    assert newly_needed([rule], [rule, reworded]) == (rule,)
    assert newly_needed([reworded], [rule, reworded]) == ()


def test_a_version_that_reads_the_same_is_not_placed_again() -> None:
    columns = (Column("state", "TEXT"), Column("state", "TEXT", values=("open",)))
    before, after = (
        Placed(Item("schema:t", "t", Schema("t", (column,))), f"hash {number}") for number, column in enumerate(columns)
    )
    assert newly_needed([after], [before]) == ()


def test_the_hash_is_over_the_messages_alone() -> None:
    item = placed("rule", "a")
    same = replace(item, item_hash="another", item=replace(item.item, title="Another title"))
    first, second = (assemble(INSTRUCTIONS, asked("q"), Placements((entry,))) for entry in (item, same))
    assert first.hash == second.hash
    assert first.hash != assemble(INSTRUCTIONS, asked("Q"), Placements((item,))).hash


def test_placements_that_do_not_fit_the_turns_are_a_bug_of_ours() -> None:
    with pytest.raises(AssertionError, match="every user turn"):
        assemble(INSTRUCTIONS, asked("q1", "q2"), Placements())
