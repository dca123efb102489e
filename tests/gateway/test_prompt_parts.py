"""The parts of a prompt: they cover it, and name whose text is whose; the stable prefix is what all share."""

from __future__ import annotations

from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from gateway.item_text import item_text
from gateway.placements import Placed, Placements
from gateway.prompt import assemble

from .test_prompt import INSTRUCTIONS, ITEMS, asked, placed

LOOKED_UP = ITEMS.map(lambda items: [one for one in items if one.item.usage == "auto" and one.item.kind != "rule"])


@given(st.lists(ITEMS, min_size=1, max_size=3), st.none() | st.text("Be brief.", max_size=9))
def test_the_parts_cover_every_message_and_an_items_part_is_its_text(
    turns: list[list[Placed]], system: str | None
) -> None:
    placements = Placements.by_turn(turns)
    prompt = assemble(INSTRUCTIONS, asked(*("q" * (n + 1) for n in range(len(turns))), system=system), placements)
    texts = {entry.item.id: set[str]() for turn in turns for entry in turn}
    for turn in turns:
        for entry in turn:
            texts[entry.item.id].add(item_text(entry.item))
    by_message = {index: list(parts) for index, parts in groupby(prompt.parts, key=lambda part: part.message)}
    assert list(by_message) == list(range(len(prompt.messages)))
    for index, parts in by_message.items():
        rest = prompt.messages[index]["content"]
        for part in parts:
            text, rest = rest[: part.characters], rest[part.characters :]
            assert part.item is None or text.removeprefix("\n\n") in texts[part.item]
        assert rest == ""
    assert [part.layer for part in prompt.parts].count("question") == 1


@given(LOOKED_UP, LOOKED_UP)
def test_what_a_question_looks_up_changes_nothing_of_the_stable_prefix(one: list[Placed], other: list[Placed]) -> None:
    always = [placed("rule", "r"), placed("document", "always", usage="always")]
    first = assemble(INSTRUCTIONS, asked("q"), Placements((*always, *one)))
    second = assemble(INSTRUCTIONS, asked("another", system="Be brief."), Placements((*always, *other)))
    assert first.stable_prefix == second.stable_prefix
    assert first.stable_prefix.endswith(item_text(always[0].item))
    assert first.messages[0]["content"].startswith(first.stable_prefix)


def test_items_of_a_later_turn_are_added_first_and_conversation_afterwards() -> None:
    gotcha = placed("gotcha", "g")
    second = assemble(INSTRUCTIONS, asked("q1", "q2"), Placements.by_turn([(), (gotcha,)]))
    third = assemble(INSTRUCTIONS, asked("q1", "q2", "q3"), Placements.by_turn([(), (gotcha,), ()]))
    assert [part.layer for part in second.parts] == [
        "instructions",
        "conversation",
        "conversation",
        "added",
        "question",
    ]
    assert [part.layer for part in third.parts if part.item] == ["conversation"]
